"""FileLock: within a process, between processes, and with what Windows has."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from winlayers.base import locking as system_locking
from winlayers.base.progress import Cancel
from winlayers.errors import Cancelled, InvalidArgument, StoreLocked


def fake_msvcrt() -> ModuleType:
    """Exclusive locks of byte ranges that belong to a descriptor, as the C runtime has them."""
    module = types.ModuleType("msvcrt")
    locked: list[tuple[int, int, int, int]] = []  # inode, descriptor, start, end

    def locking(descriptor: int, mode: int, size: int) -> None:
        inode = os.fstat(descriptor).st_ino
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        wanted = (inode, descriptor, start, start + size)
        if mode == 0:
            locked.remove(wanted)
            return
        for other, _, first, end in locked:
            if other == inode and start < end and first < start + size:
                raise OSError(errno.EACCES, "Permission denied")
        locked.append(wanted)

    module.__dict__.update(locking=locking, LK_UNLCK=0, LK_NBLCK=2)
    return module


def windows_locking(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it would be on Windows."""
    monkeypatch.setitem(sys.modules, "msvcrt", fake_msvcrt())
    spec = importlib.util.spec_from_file_location("locking_of_windows", system_locking.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["system", "windows"])
def locking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return system_locking if request.param == "system" else windows_locking(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_exclusive_lock_keeps_everybody_out(locking: ModuleType, path: Path) -> None:
    with locking.FileLock(path) as first:
        assert first.is_held
        other = locking.FileLock(path)
        for shared in (False, True):
            with pytest.raises(StoreLocked, match=f"locked by process {os.getpid()};"):
                other.acquire(shared=shared, timeout_seconds=0)
        assert not other.is_held
    assert not first.is_held
    with other.acquire(timeout_seconds=0):
        assert other.is_held


def test_shared_lock_is_shared(locking: ModuleType, path: Path) -> None:
    with locking.FileLock(path):
        pass  # leaves its number in the file
    sharing = [locking.FileLock(path).acquire(shared=True, timeout_seconds=0) for _ in range(10)]
    with pytest.raises(StoreLocked, match="locked by other processes"):
        locking.FileLock(path).acquire(timeout_seconds=0)
    for lock in sharing:
        lock.release()
    locking.FileLock(path).acquire(timeout_seconds=0).release()


def test_waiting_ends_when_the_lock_is_free(locking: ModuleType, path: Path) -> None:
    first = locking.FileLock(path).acquire()
    timer = threading.Timer(0.05, first.release)
    timer.start()
    with locking.FileLock(path).acquire(timeout_seconds=10) as second:
        assert second.is_held
        assert not first.is_held
    timer.join()


def test_waiting_ends_when_the_time_is_over(locking: ModuleType, path: Path) -> None:
    with locking.FileLock(path):
        start = time.monotonic()
        with pytest.raises(StoreLocked):
            locking.FileLock(path).acquire(timeout_seconds=0.06)
        assert 0.05 < time.monotonic() - start < 5


def test_waiting_ends_when_it_is_cancelled(locking: ModuleType, path: Path) -> None:
    cancel = Cancel()
    timer = threading.Timer(0.03, cancel.set)
    timer.start()
    with locking.FileLock(path), pytest.raises(Cancelled):
        locking.FileLock(path).acquire(cancel=cancel)
    timer.join()


def test_lock_is_taken_once_by_an_object_and_released_any_number_of_times(
    locking: ModuleType, path: Path
) -> None:
    lock = locking.FileLock(path).acquire()
    with pytest.raises(InvalidArgument, match="already"):
        lock.acquire()
    lock.release()
    lock.release()
    assert not lock.is_held


def test_forgotten_lock_is_free(locking: ModuleType, path: Path) -> None:
    locking.FileLock(path).acquire()
    assert locking.FileLock(path).acquire(timeout_seconds=0).is_held


def test_file_that_was_removed_is_made_anew(locking: ModuleType, path: Path) -> None:
    old = locking.FileLock(path).acquire()
    path.unlink()
    new = locking.FileLock(path).acquire(timeout_seconds=0)
    assert new.is_held
    with pytest.raises(StoreLocked):
        locking.FileLock(path).acquire(timeout_seconds=0)
    old.release()
    new.release()


def test_file_removed_between_opening_and_locking_is_not_taken(
    locking: ModuleType, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_lock = locking._try_lock
    removals = [path, path]

    def remove_first(descriptor: int, *, shared: bool) -> int | None:
        if removals:
            removals.pop().unlink()
        place: int | None = try_lock(descriptor, shared=shared)
        return place

    monkeypatch.setattr(locking, "_try_lock", remove_first)
    with locking.FileLock(path).acquire(timeout_seconds=0):
        assert not removals
        with pytest.raises(StoreLocked):
            locking.FileLock(path).acquire(timeout_seconds=0)


def test_full_disk_does_not_prevent_locking(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    lock = system_locking.FileLock(path).acquire()
    assert lock.is_held
    with pytest.raises(StoreLocked, match="locked by other processes"):
        system_locking.FileLock(path).acquire(timeout_seconds=0)


def test_other_errors_of_the_disk_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "ftruncate", broken)
    lock = system_locking.FileLock(path)
    with pytest.raises(OSError, match="Input/output"):
        lock.acquire()
    assert not lock.is_held


@pytest.mark.skipif(sys.platform == "win32", reason="no O_NOFOLLOW there")
def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        system_locking.FileLock(path).acquire()
    assert not (tmp_path / "elsewhere").exists()


HOLDER = """
import sys, time
from pathlib import Path
from winlayers.base.locking import FileLock
lock = FileLock(Path(sys.argv[1])).acquire(shared=sys.argv[2] == "shared")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_lock_holds_between_processes_and_names_the_holder(path: Path) -> None:
    with holder(path, "exclusive") as process:
        with pytest.raises(StoreLocked, match=f"locked by process {process.pid};"):
            system_locking.FileLock(path).acquire(shared=True, timeout_seconds=0)
        process.communicate()
    with system_locking.FileLock(path).acquire(timeout_seconds=0) as lock:
        assert lock.is_held


def test_processes_share_a_shared_lock(path: Path) -> None:
    with holder(path, "shared") as process:
        with system_locking.FileLock(path).acquire(shared=True, timeout_seconds=0) as lock:
            assert lock.is_held
        with pytest.raises(StoreLocked, match="other processes"):
            lock.acquire(timeout_seconds=0)
        process.communicate()


def test_lock_ends_with_its_process(path: Path) -> None:
    with holder(path, "exclusive") as process:
        process.kill()
        process.wait()
        with system_locking.FileLock(path).acquire(timeout_seconds=5) as lock:
            assert lock.is_held


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_that_forgets_the_lock_leaves_it_to_its_parent(path: Path) -> None:
    lock = system_locking.FileLock(path).acquire()
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(StoreLocked):
        system_locking.FileLock(path).acquire(timeout_seconds=0)
    lock.release()
    assert system_locking.FileLock(path).acquire(timeout_seconds=0).is_held
