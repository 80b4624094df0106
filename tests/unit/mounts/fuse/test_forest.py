"""A forest as who asks for it sees it; the file system itself is in tests/e2e."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from winlayers.base.processes import process_start_time
from winlayers.errors import InUse
from winlayers.mounts.contract import ForestRequest, MountInfo, MountRequest
from winlayers.mounts.fuse import forest as module
from winlayers.mounts.fuse.forest import Forest
from winlayers.mounts.fuse.mounter import FuseMounter
from winlayers.mounts.fuse.mountinfo import MountLine


@pytest.fixture
def forest(tmp_path: Path) -> Forest:
    return Forest("nobody", ForestRequest(tmp_path, None, tmp_path / "store/snapshots"))


@pytest.fixture
def running(forest: Forest, monkeypatch: pytest.MonkeyPatch) -> MountLine:
    """A forest that this process serves, as far as the kernel's list says."""
    line = MountLine(forest.folder(0).parent, "snapshots", os.getpid())
    monkeypatch.setattr(module, "find_mount", lambda path: line)
    return line


def failing_with(number: int) -> Callable[[Path], None]:
    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_folders_are_called_by_number(forest: Forest, tmp_path: Path) -> None:
    assert forest.folder(7) == tmp_path / "store/snapshots/7"


def test_forest_that_is_not_there_has_nothing_to_let_go_of(forest: Forest) -> None:
    assert forest.find() is None
    assert forest.let_go(7)
    forest.publish(7)
    forest.end()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOTEMPTY, True),
        (errno.ENOENT, True),
        (errno.ENOTCONN, True),
        (errno.ECONNABORTED, True),
        (errno.EBUSY, False),
    ],
)
def test_answers_to_letting_go(
    forest: Forest, monkeypatch: pytest.MonkeyPatch, number: int, expected: bool
) -> None:
    monkeypatch.setattr(os, "rmdir", failing_with(number))
    assert forest.let_go(7) == expected


def test_fault_of_letting_go_is_told(forest: Forest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "rmdir", failing_with(errno.EIO))
    with pytest.raises(OSError) as told:
        forest.let_go(7)
    assert told.value.errno == errno.EIO


def test_running_forest_is_found_and_not_started_again(
    forest: Forest, running: MountLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = process_start_time(os.getpid())
    expected = MountInfo(running.path, os.getpid(), started or "")
    assert forest.find() == expected
    assert forest.start() == expected


def test_dead_forest_is_mended_before_it_is_started(
    forest: Forest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    info = MountInfo(tmp_path, 1, "now")

    def mend(self: FuseMounter, path: Path) -> bool:
        told.append(f"mend {path.name}")
        return True

    def mount(self: FuseMounter, request: MountRequest | ForestRequest) -> MountInfo:
        told.append(f"mount {request.path.name}")
        assert request.path.is_dir()
        return info

    monkeypatch.setattr(FuseMounter, "mend", mend)
    monkeypatch.setattr(FuseMounter, "mount", mount)
    assert forest.start() == info
    assert told == ["mend snapshots", "mount snapshots"]


def test_forest_that_is_bound_elsewhere_is_not_ended(
    forest: Forest, running: MountLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bound = [MountLine(tmp_path / f"b{n}", "snapshots", running.pid) for n in range(5)]
    monkeypatch.setattr(module, "mounts_of", lambda pid: [running, *bound])
    with pytest.raises(InUse, match=r"b0.*b1.*b2") as told:
        forest.end()
    assert "/b3" not in str(told.value)
