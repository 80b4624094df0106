"""A Windows program on a mount: Wine's own cmd.exe, which reads, writes, renames and lists files as Windows does.

Afterwards the scratch becomes a layer, the layer is imported, and its view is what the mount was.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import needs
from tests.e2e.places import Place
from winlayers.layer.changes import changes
from winlayers.layer.view import walk

pytestmark = pytest.mark.e2e

SECONDS = 120


class Wine:
    """A Wine of one's own, ended with the tests."""

    def __init__(self, folder: Path) -> None:
        self._env = {
            **os.environ,
            "WINEPREFIX": str(folder),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",  # nothing to be downloaded
            "DISPLAY": "",
            "LC_ALL": "C.UTF-8",
        }

    def cmd(self, directory: Path, *lines: str) -> list[str]:
        """Run lines as a batch file in a directory; what they printed."""
        batch = directory.parent / "test.bat"
        batch.write_text("\r\n".join(["@echo off", f"cd /d {_windows(directory)}", *lines, ""]))
        done = subprocess.run(
            ["wine", "cmd", "/c", _windows(batch)],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
        return done.stdout.decode().splitlines()

    def end(self) -> None:
        subprocess.run(["wineserver", "-k", "-w"], env=self._env, timeout=SECONDS, check=False)


def _windows(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    needs("wine", "wineserver")
    wine = Wine(tmp_path_factory.mktemp("wine") / "prefix")
    try:
        yield wine
    finally:
        wine.end()


def test_windows_program_works_on_a_mount(wine: Wine, place: Place) -> None:
    root = place.mount("scratch")
    told = wine.cmd(
        root,
        "type A.TXT",
        "echo.",
        "echo written>new.txt",
        "copy /b big.bin + a.txt DIR\\joined.bin >nul",
        "md made\\deep",
        "ren new.txt Renamed.TXT",
        "move renamed.txt made\\deep >nul",
        "attrib +r made\\deep\\RENAMED.txt",
        "del /f dir\\b.txt",
        "for %%f in (made\\deep\\*) do echo %%f",
        "if exist JUNCTION\\joined.bin echo through the junction",
    )
    assert told[0] == "hello"
    assert "through the junction" in told
    assert any(line.lower().endswith("renamed.txt") for line in told)
    joined = (root / "dir" / "joined.bin").read_bytes()
    assert joined == bytes(range(256)) * 4096 + b"hello"
    assert not (root / "dir" / "b.txt").exists()
    assert (root / "made" / "deep" / "Renamed.TXT").read_bytes() == b"written\r\n"
    place.mounter.unmount(root)

    with place.driver.diff("scratch") as tar:
        place.driver.import_layer("committed", "base", tar)
    with place.driver.view("committed") as layer, place.driver.view("scratch") as scratch:
        hives = [change for change in changes(scratch, layer) if change.path.startswith("Files")]
        assert hives == []
        assert sorted(node.path for node in walk(layer, layer.root())) == sorted(
            {node.path for node in walk(scratch, scratch.root())}
        )
        found = layer.lookup("Files/dir/joined.bin")
        assert found is not None
        with layer.open(found) as file:
            assert file.read() == joined
