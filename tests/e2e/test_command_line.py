"""The tour of the README as it is typed: create, mount, change, copy, commit."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LAYER, needs
from tests.support.builders import layer_tar
from winlayers.base.processes import is_running
from winlayers.driver.mounting import MountTable

pytestmark = pytest.mark.e2e
SECONDS = 60


class Shell:
    """Runs the program on a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "store"

    def run(self, *arguments: str | Path, code: int = 0, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "winlayers", "--root", self.root, *arguments],
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A store with a layer ``base`` and a scratch ``work`` on it."""
    shell = Shell(tmp_path)
    shell.run("layer", "import", "base", stdin=layer_tar(LAYER))
    shell.run("layer", "create", "work", "--parent", "base")
    yield shell
    for place in (shell.root / "mounts").glob("*/"):
        subprocess.run(["fusermount3", "-u", "-z", "--", place], check=False, timeout=SECONDS)


def mounted(shell: Shell, *arguments: str | Path) -> Path:
    return Path(os.fsdecode(shell.run("layer", "mount", *arguments)).removesuffix("\n"))


def test_what_is_changed_in_a_mount_is_committed(shell: Shell) -> None:
    place = mounted(shell, "work")
    (place / "new.txt").write_bytes(b"new")
    (place / "a.txt").unlink()
    shell.run("layer", "remove", "work", code=12)
    shell.run("cp", place / "new.txt", "work:/", code=12)
    assert shell.run("cat", "work", "/new.txt") == b"new"
    shell.run("layer", "unmount", "work")
    assert os.listdir(place.parent) in ([], ["work.lock"])
    assert shell.run("layer", "changes", "work") == b"C /\nD /a.txt\nA /new.txt\n"
    diff_id = shell.run("layer", "commit", "work", "new")
    exported = shell.run("layer", "export", "new")
    assert f"sha256:{hashlib.sha256(exported).hexdigest()}\n".encode() == diff_id
    assert shell.run("check", "new") == b""


def test_mount_of_a_sealed_layer_takes_no_writes(shell: Shell) -> None:
    here = shell.folder / "here"
    here.mkdir()
    assert mounted(shell, "base", here, "--raw") == here
    assert sorted(os.listdir(here)) == ["Files", "Hives"]
    with pytest.raises(OSError, match="Read-only"):
        (here / "Files" / "new.txt").touch()
    shell.run("layer", "unmount", "base")
    shell.run("layer", "unmount", "base", code=12)
    assert os.listdir(here) == []


def test_mount_that_somebody_works_in_stays(shell: Shell) -> None:
    place = mounted(shell, "work")
    with open(place / "a.txt", "rb"):
        shell.run("layer", "unmount", "work", code=12)
    shell.run("layer", "unmount", "work")


def test_dead_mount_is_taken_away(shell: Shell) -> None:
    place = mounted(shell, "work")
    (one,) = MountTable(shell.root / "driver.db").all()
    os.kill(one.pid, signal.SIGKILL)
    while is_running(one.pid, one.started):
        time.sleep(0.01)
    shell.run("layer", "unmount", "work")
    assert not place.exists()
    shell.run("layer", "unmount", "work", code=12)


def test_files_copied_out_of_a_mount_keep_what_ntfs_has(shell: Shell) -> None:
    shell.run("layer", "create", "other", "--parent", "base")
    place = mounted(shell, "base")
    shell.run("cp", place / "dir", "other:/copy")
    shell.run("cp", place / "locked.txt", "other:/copy")
    shell.run("cp", place / "a.txt", "other:/copy")
    shell.run("layer", "unmount", "base")
    assert shell.run("cat", "other", "/copy/a.txt:notes") == b"alt"
    facts = [
        shell.run("stat", layer, path, "--json").partition(b'"layer"')[0]
        for layer, path in (("base", "/locked.txt"), ("other", "/copy/locked.txt"))
    ]
    assert facts[0].partition(b'\n  "kind"')[2] == facts[1].partition(b'\n  "kind"')[2]


def test_tar_keeps_what_ntfs_has(shell: Shell) -> None:
    needs("tar")
    shell.run("layer", "create", "other", "--parent", "base")
    place = mounted(shell, "base")
    packed = subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-C", place, "-c", "locked.txt", "a.txt", "link"],
        capture_output=True,
        timeout=SECONDS,
        check=True,
    ).stdout
    shell.run("layer", "unmount", "base")
    shell.run("cp", "-", "other:/dir", stdin=packed)
    assert shell.run("cat", "other", "/dir/a.txt:notes") == b"alt"
    assert b"READONLY" in shell.run("stat", "other", "/dir/locked.txt")
    unpacked = subprocess.run(
        ["tar", "-t"],
        input=shell.run("cp", "-a", "other:/dir", "-"),
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    assert (unpacked.stderr, unpacked.stdout.count(b"\n")) == (b"", 6)
