"""Mounts from their beginning to their end, and what is left of them when they end badly."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.places import Place
from winlayers.base.processes import process_start_time
from winlayers.errors import InUse, LayerMounted, LayerNotFound
from winlayers.mounts.fuse.mountinfo import find_mount

pytestmark = pytest.mark.e2e

#: What is told by a mount whose process is gone, or going.
GONE = (errno.ENOTCONN, errno.ECONNABORTED)


def wait_until_gone(pid: int, started: str) -> None:
    deadline = time.monotonic() + 30
    while process_start_time(pid) == started:
        assert time.monotonic() < deadline, "the process of the mount goes on"
        time.sleep(0.01)


@contextmanager
def left_open(path: Path) -> Iterator[int]:
    """A new file, whose mount goes."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    yield descriptor
    with pytest.raises(OSError) as told:
        os.write(descriptor, b"x")
    assert told.value.errno in GONE
    with suppress(OSError):
        os.close(descriptor)


def test_mount_is_known_by_its_process_until_it_ends(place: Place) -> None:
    path = place.mount("scratch")
    (info,) = place.mounts
    assert info.path == path
    assert process_start_time(info.pid) == info.started
    assert os.getsid(info.pid) == info.pid
    assert os.readlink(f"/proc/{info.pid}/cwd") == "/"
    assert place.mounter.is_mounted(path)
    assert find_mount(path) is not None
    place.mounter.unmount(path)
    assert process_start_time(info.pid) != info.started
    assert not place.mounter.is_mounted(path)
    assert os.listdir(path) == []


def test_nothing_of_who_mounts_is_kept_open(place: Place) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    place.mount("scratch")
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        assert pipe.read() == b""


def test_unmounted_scratch_can_be_opened_at_once(place: Place) -> None:
    path = place.mount("scratch")
    for turn in range(3):
        (path / f"f{turn}").write_bytes(b"x" * 100_000)
        path = place.remount(path, "scratch")
        assert (path / f"f{turn}").read_bytes() == b"x" * 100_000


def test_what_is_done_in_a_mount_is_seen_at_once_by_who_asks_the_driver(place: Place) -> None:
    path = place.driver.get("scratch")
    try:
        for turn in range(30):
            (path / f"f{turn}").mkdir()
            found = [change.path for change in place.driver.changes("scratch")]
            assert f"Files/f{turn}" in found
    finally:
        place.driver.put("scratch")


def test_second_mount_of_a_scratch_is_refused(place: Place) -> None:
    path = place.mount("scratch")
    with pytest.raises(LayerMounted):
        place.mount("scratch")
    with pytest.raises(InUse, match="already"):
        place.mounter.mount(
            place.request("scratch").__class__(place.home, None, "scratch", ("base",), path)
        )
    (path / "f").write_bytes(b"goes on")
    looking = place.mount("scratch", read_only=True)
    with pytest.raises(OSError) as told:
        (looking / "g").touch()
    assert told.value.errno == errno.EROFS


def test_sealed_layer_is_mounted_many_times(place: Place) -> None:
    paths = [place.mount("base") for _ in range(3)]
    assert {(path / "a.txt").read_bytes() for path in paths} == {b"hello"}


def test_layer_that_is_not_there_is_told(place: Place) -> None:
    request = place.request("base")
    with pytest.raises(LayerNotFound):
        place.mounter.mount(request.__class__(place.home, None, "none", (), request.path))
    assert not place.mounter.is_mounted(request.path)


def test_used_mount_is_not_unmounted_and_its_user_named(place: Place) -> None:
    path = place.mount("scratch")
    with open(path / "a.txt", "rb") as file:
        with pytest.raises(InUse, match=str(os.getpid())):
            place.mounter.unmount(path)
        assert file.read() == b"hello"
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=path / "dir",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(InUse, match=str(process.pid)):
            place.mounter.unmount(path)
        assert process.stdin is not None
        process.stdin.close()
    place.mounter.unmount(path)
    assert not place.mounter.is_mounted(path)


def test_killed_mount_is_mended_and_what_was_written_is_there(place: Place) -> None:
    path = place.mount("scratch")
    with open(path / "synced", "wb") as file:
        file.write(b"x" * 100_000)
        file.flush()
        os.fsync(file.fileno())
    place.kill(path)
    with pytest.raises(OSError) as told:
        os.listdir(path)
    assert told.value.errno in GONE
    assert place.mounter.is_mounted(path)
    assert place.mounter.mend(path)
    assert not place.mounter.mend(path)
    assert not place.mounter.is_mounted(path)
    assert (place.remount(path, "scratch") / "synced").read_bytes() == b"x" * 100_000


def test_killed_mount_is_unmounted_like_any_other(place: Place) -> None:
    path = place.mount("scratch")
    place.kill(path)
    place.mounter.unmount(path)
    assert not place.mounter.is_mounted(path)


def test_killed_mount_gives_way_to_a_new_one(place: Place) -> None:
    path = place.mount("scratch")
    place.kill(path)
    request = place.request("scratch").__class__(place.home, None, "scratch", ("base",), path)
    place.mounts.append(place.mounter.mount(request))
    assert (path / "a.txt").read_bytes() == b"hello"


def test_open_unlinked_files_leave_nothing_when_the_process_is_killed(place: Place) -> None:
    path = place.mount("scratch")
    with left_open(path / "gone") as descriptor:
        os.write(descriptor, b"x" * 1000)
        os.unlink(path / "gone")
        place.kill(path)
    path = place.remount(path, "scratch")
    assert "gone" not in os.listdir(path)
    assert not [name for name in os.listdir(path) if name.startswith(".")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_a_mount_with_all_written(place: Place, number: signal.Signals) -> None:
    path = place.mount("scratch")
    (info,) = place.mounts
    with left_open(path / "open") as descriptor:
        os.write(descriptor, b"x" * 100_000)
        os.kill(info.pid, number)
        wait_until_gone(info.pid, info.started)
        assert not place.mounter.is_mounted(path)
    again = place.mount("scratch")
    assert (again / "open").read_bytes() == b"x" * 100_000


def test_mount_goes_on_when_who_mounted_is_gone(place: Place) -> None:
    request = place.request("scratch")
    code = (
        "import sys; from pathlib import Path; "
        "from winlayers.mounts.contract import MountRequest; "
        "from winlayers.mounts.fuse.mounter import FuseMounter; "
        "home, path = map(Path, sys.argv[1:3]); "
        "request = MountRequest(home, None, 'scratch', ('base',), path); "
        "print(FuseMounter('winlayers.mountworker').mount(request).pid)"
    )
    command = [sys.executable, "-c", code, place.home, request.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    (request.path / "f").write_bytes(b"1")
    mount = find_mount(request.path)
    assert mount is not None
    assert mount.pid == int(done.stdout)
    place.mounter.unmount(request.path)
    assert not place.mounter.is_mounted(request.path)


def test_driver_mounts_at_the_first_get_and_unmounts_at_the_last_put(place: Place) -> None:
    first = place.driver.get("scratch")
    assert place.driver.get("scratch") == first
    (first / "f").write_bytes(b"1")
    place.driver.put("scratch")
    assert (first / "f").read_bytes() == b"1"
    with pytest.raises(InUse):
        place.driver.remove("scratch")
    place.driver.put("scratch")
    assert not place.mounter.is_mounted(first)
    place.driver.remove("scratch")
