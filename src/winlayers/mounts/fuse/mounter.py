"""Mounts layers through FUSE: starts the process that serves a mount, and ends it by unmounting.

See ``mounts.contract`` for what the methods do. Everything that is known of a mount is asked of the kernel,
so that any process can unmount what another mounted. This module knows nothing of what is mounted.
Source: fusermount3(1), umount(8), mount(8).
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from winlayers.base.processes import process_start_time
from winlayers.errors import (
    InUse,
    InvalidArgument,
    MissingExtra,
    RemoteFailure,
    TimedOut,
    Unsupported,
)
from winlayers.mounts.contract import ForestRequest, MountInfo, MountRequest
from winlayers.mounts.fuse._holders import holders_of
from winlayers.mounts.fuse._install import INSTALL
from winlayers.mounts.fuse._process import start_process
from winlayers.mounts.fuse.mountinfo import MountLine, canonical, find_mount

_DEVICE = Path("/dev/fuse")
_END_SECONDS = 120.0
_POLL_SECONDS = 0.005
_UNMOUNT_SECONDS = 60.0


class FuseMounter:
    """See ``mounts.contract.Mounter``.

    Args:
        worker: module whose ``run`` is the process that serves a mount.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker

    def mount(self, request: MountRequest | ForestRequest) -> MountInfo:
        check_system()
        self.mend(request.path)
        _check_place(request.path)
        # The process works in the root folder, so that it holds no other.
        absolute = replace(
            request,
            home=request.home.absolute(),
            tmpdir=request.tmpdir and request.tmpdir.absolute(),
            path=canonical(request.path),
        )
        return start_process(self._worker, absolute)

    def unmount(self, path: Path) -> None:
        mount = find_mount(path)
        if mount is None and not _is_other_mount(path):
            return
        if mount is None:
            _unmount(canonical(path))
            return
        started = process_start_time(mount.pid)
        if started is None or _is_broken(mount.path, mount):
            _unmount(mount.path, lazily=True)
            return
        _unmount(mount.path)
        _wait_for_end(mount, started)

    def is_mounted(self, path: Path) -> bool:
        return find_mount(path) is not None or _is_other_mount(path)

    def publish(self, path: Path) -> None:
        try:
            os.statvfs(path)
        except OSError as error:
            # Its process died.
            if error.errno not in (errno.ENOTCONN, errno.ENOENT):
                raise

    def mend(self, path: Path) -> bool:
        mount = find_mount(path)
        place = canonical(path) if mount is None else mount.path
        if not _is_broken(place, mount):
            return False
        _unmount(place, lazily=True)
        return True


def check_system() -> None:
    """See that this system can mount, as far as that can be told before it is tried.

    Raises:
        MissingExtra: mfusepy is not installed.
        Unsupported: there is no FUSE here.
    """
    if importlib.util.find_spec("mfusepy") is None:
        raise MissingExtra(INSTALL)
    if sys.platform != "linux":
        return
    if not _DEVICE.exists():
        raise Unsupported(
            f"there is no {_DEVICE}, so nothing can be mounted; load the module with modprobe fuse, or give "
            f"a container the device with --device {_DEVICE} --cap-add SYS_ADMIN"
        )
    if os.geteuid() and shutil.which("fusermount3") is None and shutil.which("fusermount") is None:
        raise Unsupported(f"there is no fusermount3, which lets users mount; {INSTALL}")


def _check_place(path: Path) -> None:
    if find_mount(path) is not None:
        raise InUse(f"a layer is mounted at {path} already; unmount it first")
    try:
        content = os.listdir(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InvalidArgument(f"{path} is no folder to mount at") from error
    if content:
        raise InvalidArgument(f"{path} is not empty, and a mount would hide what is in it")


def _is_broken(path: Path, mount: MountLine | None) -> bool:
    """Whether a mount is there whose process has died."""
    if mount is not None and process_start_time(mount.pid) is None:
        return True
    try:
        os.statvfs(path)  # unlike what stat tells, this is never kept by the kernel
    except OSError as error:
        # The second is for what was asked while the process ended.
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def _is_other_mount(path: Path) -> bool:
    """Where the system does not list mounts in a file: whether anything is mounted there."""
    return sys.platform != "linux" and os.path.ismount(path)


def _unmount(place: Path, *, lazily: bool = False) -> None:
    done = subprocess.run(
        [*_unmount_command(lazily=lazily), os.fspath(place)],
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_UNMOUNT_SECONDS,
        check=False,
    )
    if not done.returncode:
        return
    complaint = done.stderr.decode("utf-8", "replace").strip()
    if "busy" in complaint:
        by = ", ".join(holders_of(place)) or "a process that cannot be looked into"
        raise InUse(f"{place} is in use by {by}; end that, or leave its folders, and try again")
    raise RemoteFailure(f"{place} could not be unmounted: {complaint}")


def _unmount_command(*, lazily: bool) -> list[str]:
    for name in ("fusermount3", "fusermount"):
        if (found := shutil.which(name)) is not None:
            return [found, "-u", *(["-z"] if lazily else []), "--"]
    flags = [] if not lazily else ["-f"] if sys.platform == "darwin" else ["-l"]
    return [shutil.which("umount") or "/sbin/umount", *flags]


def _wait_for_end(mount: MountLine, started: str) -> None:
    """Wait until the process has written all and ended; the kernel does not wait for that."""
    deadline = time.monotonic() + _END_SECONDS
    while process_start_time(mount.pid) == started:
        if time.monotonic() > deadline:
            raise TimedOut(
                f"{mount.path} is unmounted, but process {mount.pid}, which served it, has not ended in "
                f"{_END_SECONDS:.0f} s; it may be mounted in another mount namespace too"
            )
        time.sleep(_POLL_SECONDS)
