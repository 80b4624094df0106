"""``winlayers layer mount`` and ``unmount``; a stand-in mounts, whose processes only wait."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.harness import Shell
from winlayers.base.processes import process_start_time
from winlayers.errors import InUse
from winlayers.mounts.contract import MountInfo, MountRequest


class Waiting:
    """A mounter whose processes do nothing; see ``mounts.contract.Mounter``."""

    def __init__(self) -> None:
        self.served: dict[Path, subprocess.Popen[bytes]] = {}
        self.asked: list[MountRequest] = []
        self.is_busy = False

    def mount(self, request: MountRequest) -> MountInfo:
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
        self.served[request.path] = child
        self.asked.append(request)
        return MountInfo(request.path, child.pid, str(process_start_time(child.pid)))

    def unmount(self, path: Path) -> None:
        if self.is_busy:
            raise InUse(f"{path} is in use")
        self.end(path)

    def publish(self, path: Path) -> None:
        assert path in self.served

    def is_mounted(self, path: Path) -> bool:
        return path in self.served

    def mend(self, path: Path) -> bool:
        return False  # none of them dies

    def end(self, path: Path) -> None:
        child = self.served.pop(path, None)
        if child is not None:
            child.communicate()


@pytest.fixture
def mounter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    mounter = Waiting()
    monkeypatch.setattr("winlayers.assembly._open_mounter", lambda: mounter)
    yield mounter
    for path in list(mounter.served):
        mounter.end(path)


@pytest.fixture
def work(shell: Shell, mounter: Waiting) -> Shell:
    """A store with a scratch ``work`` on ``app``."""
    shell.run("layer", "create", "work", "--parent", "app")
    return shell


def test_mount_prints_the_path_alone(work: Shell, mounter: Waiting) -> None:
    place = work.root / "mounts" / "work"
    assert work.run("layer", "mount", "wor").lines == [str(place)]
    assert (mounter.asked[0].layer_id, mounter.asked[0].chain) == ("work", ("app", "base"))
    assert (mounter.asked[0].read_only, mounter.asked[0].raw) == (False, False)
    assert work.run("layer", "inspect", "work").document["mounted_at"] == str(place)
    assert work.run("layer", "unmount", "work").out == b""
    assert mounter.served == {}
    assert work.run("layer", "inspect", "work").document["mounted_at"] is None


def test_mount_passes_on_what_was_asked_for(work: Shell, mounter: Waiting) -> None:
    place = work.folder / "here"
    place.mkdir()
    result = work.run("layer", "mount", "base", str(place), "--read-only", "--raw")
    assert result.lines == [str(place)]
    assert (mounter.asked[0].read_only, mounter.asked[0].raw) == (True, True)
    work.run("layer", "unmount", "base")
    work.run("layer", "mount", "base", "", code=2)


def test_mount_is_shared_and_ends_with_the_last(work: Shell, mounter: Waiting) -> None:
    first = work.run("layer", "mount", "work")
    assert work.run("layer", "mount", "work").out == first.out
    work.run("layer", "unmount", "work")
    assert len(mounter.served) == 1
    error = work.run("layer", "mount", "work", "--read-only", code=12).err
    assert "'winlayers layer unmount work' ends that mount." in error
    work.run("layer", "unmount", "work")
    assert mounter.served == {}
    assert "is not mounted" in work.run("layer", "unmount", "work", code=12).err


def test_mount_in_use_stays(work: Shell, mounter: Waiting) -> None:
    work.run("layer", "mount", "work")
    mounter.is_busy = True
    assert "is in use" in work.run("layer", "unmount", "work", code=12).err
    assert len(mounter.served) == 1
    assert "held by process" in work.run("layer", "remove", "work", code=12).err


def test_mount_of_nothing_is_refused(work: Shell) -> None:
    work.run("layer", "mount", "none", code=10)
    work.run("layer", "unmount", "none", code=10)
    work.run("layer", "unmount", "work", code=12)
