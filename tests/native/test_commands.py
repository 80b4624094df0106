"""The command line on a store of Windows: each command works there, or says in one sentence why it does not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from tests.support.builders import a_directory, a_file, a_layer, a_link, a_whiteout, layer_tar
from winlayers import assembly
from winlayers.backends.native import presence
from winlayers.backends.native.backend import NativeBackend
from winlayers.cli.app import run

BASE = a_layer(a_file("Files/a.txt", b"a of the base"), a_link("Files/l", "Files/a.txt"))
CHILD = a_layer(
    a_file("Files/A.TXT", b"a of the child"), a_whiteout("Files/l"), a_directory("Hives")
)


class Shell:
    """Runs commands in this process; a fault of ours is an error of the test."""

    def __init__(self, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capfd = capfd

    def run(self, *arguments: str, code: int = 0) -> str:
        environment = {**os.environ, "DOCKER_WINDOWSFILTER_NOREEXEC": "1"}
        got = run(["--root", str(self.root), "--backend", "native", *arguments], environment)
        out, told = self._capfd.readouterr()
        assert got == code, told
        return out if not code else told


@pytest.fixture
def shell(
    tmp_path: Path,
    fake: Fake,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Shell:
    fake.set("FAKE_BARE", "1")

    def open_backend(_chosen: str, root: Path, **_more: object) -> NativeBackend:
        return NativeBackend(root, api=fake.api)

    monkeypatch.setattr(assembly, "open_backend", open_backend)
    monkeypatch.setattr(presence, "check_layer_calls", lambda: None)
    shell = Shell(tmp_path / "docker", capfd)
    for name, layer, more in (("base", BASE, ()), ("child", CHILD, ("--parent", "base"))):
        tar = tmp_path / f"{name}.tar"
        tar.write_bytes(layer_tar(layer))
        shell.run("layer", "import", name, str(tar), *more)
    return shell


def test_layers_are_looked_at(shell: Shell, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in shell.run("layer", "ls", "--json").splitlines()]
    assert [(row["id"], row["kind"]) for row in rows] == [("base", "sealed"), ("child", "sealed")]
    assert json.loads(shell.run("layer", "inspect", "child"))["chain"] == ["base"]
    assert shell.run("layer", "size", "child") == "14\n"
    assert shell.run("layer", "changes", "child") == "C /A.TXT\nD /l\nA Hives\n"
    assert shell.run("cat", "child", "/a.txt") == "a of the child"
    assert json.loads(shell.run("stat", "child", "/a.txt", "--json"))["size"] == 14
    assert shell.run("check", "child") == ""
    shell.run("layer", "export", "child", "-o", str(tmp_path / "exported"))
    assert (tmp_path / "exported").read_bytes() == layer_tar(CHILD)
    shell.run("cp", "child:/a.txt", str(tmp_path / "copied"))
    assert (tmp_path / "copied").read_bytes() == b"a of the child"


def test_scratch_is_written_by_a_mount(shell: Shell) -> None:
    shell.run("layer", "create", "work", "--parent", "child")
    path = Path(shell.run("layer", "mount", "work").removesuffix("\n"))
    (path / "new.txt").write_bytes(b"new")
    assert json.loads(shell.run("layer", "inspect", "work"))["mounted_at"] == str(path)
    assert "A /new.txt" in shell.run("layer", "changes", "work").splitlines()
    shell.run("check", "work", code=3)  # what the stand-in exports has no Hives
    shell.run("layer", "commit", "work", "committed")
    shell.run("layer", "unmount", "work")
    shell.run("layer", "remove", "work")
    assert shell.run("cat", "committed", "/new.txt") == "new"


def test_what_windows_does_not_do_is_said(shell: Shell, tmp_path: Path) -> None:
    shell.run("layer", "create", "work", "--parent", "child")
    place = tmp_path / "place"
    place.mkdir()
    for arguments in (("child",), ("work", str(place)), ("work", "--read-only")):
        told = shell.run("layer", "mount", *arguments, code=16)
        assert "Windows mounts scratches only" in told
    (tmp_path / "file").write_bytes(b"x")
    told = shell.run("cp", str(tmp_path / "file"), "work:/file", code=16)
    assert "can be written by a mount only" in told
    assert "no parent" in shell.run("layer", "create", "alone", code=2)
    assert "device of Windows" in shell.run("layer", "create", "nul", "--parent", "child", code=2)
