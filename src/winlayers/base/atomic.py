"""Files and folders that appear at once, whole, and stay after a loss of power.

The order is always the same: write beside the place, bring the content to the disk, rename, bring the
rename to the disk. What is read after a crash is the old content or the new one. ``sync=False`` leaves
out the disk: then it still holds when the process dies, but not when the machine does. This module
knows nothing of what is stored.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from winlayers.errors import AlreadyExists

_SYNC_REFUSALS = frozenset({errno.EINVAL, errno.ENOTSUP})

# Virus scanners and indexers of Windows open what is new and let go of it soon.
_WINDOWS_ATTEMPTS = 20
_WINDOWS_PAUSE_SECONDS = 0.05


def write_file(path: Path, data: bytes, mode: int = 0o600, *, sync: bool = True) -> None:
    """Create or replace a file.

    Args:
        path: the file; its folder exists. A link there is replaced, not followed.
        data: the whole content.
        mode: permission bits of the new file, less the umask.
        sync: whether to wait for the disk.
    Raises:
        OSError: it cannot be written; the old file, or none, is still there.
    """
    staged = path.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        _write_new(staged, data, mode, sync=sync)
        _patiently(lambda: os.replace(staged, path))
    except BaseException as error:
        _discard(staged, error)
        raise
    if sync:
        sync_directory(path.parent)


def publish(source: Path, target: Path, *, sync: bool = True) -> None:
    """Give a staged file or folder its name, which must be free.

    Whoever staged it has brought its content to the disk, and keeps others from the name: between the
    look and the rename another process could take it.

    Args:
        source: what was staged, on the same file system.
        target: its name from now on.
        sync: whether to wait for the disk.
    Raises:
        AlreadyExists: something has this name.
        OSError: it cannot be renamed; it still has its old name.
    """
    if os.path.lexists(target):
        raise AlreadyExists(f"{target} exists already")
    if sync and source.is_dir():
        sync_directory(source)
    try:
        _patiently(lambda: os.rename(source, target))
    except FileExistsError as error:
        raise AlreadyExists(f"{target} exists already") from error
    if sync:
        sync_directory(target.parent)
        if source.parent != target.parent:
            sync_directory(source.parent)


def sync_file(descriptor: int) -> None:
    """Bring the content of an open file to the disk.

    Args:
        descriptor: the file, open for writing.
    """
    if sys.platform == "darwin":
        import fcntl

        try:
            # There, fsync leaves the content in the cache of the drive.
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in _SYNC_REFUSALS:
                raise
    os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    """Bring the names in a folder to the disk: what was created, renamed or removed there.

    Windows has no call for this and needs none: NTFS writes names to its journal in order.

    Args:
        path: the folder.
    """
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems know no sync of folders, and cannot give more than they do.
            if error.errno not in _SYNC_REFUSALS:
                raise
        finally:
            os.close(descriptor)


def _write_new(path: Path, data: bytes, mode: int, *, sync: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with open(path, "xb", buffering=0, opener=lambda name, _: os.open(name, flags, mode)) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        if sync:
            sync_file(file.fileno())


def _discard(path: Path, error: BaseException) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as late:
        error.add_note(f"besides, {path} could not be removed: {late}")


def _patiently(rename: Callable[[], None]) -> None:
    attempts = _WINDOWS_ATTEMPTS if sys.platform == "win32" else 1
    for attempt in range(1, attempts + 1):
        try:
            return rename()
        except PermissionError:
            if attempt == attempts:
                raise
            time.sleep(_WINDOWS_PAUSE_SECONDS)
    raise AssertionError("unreachable: the last attempt returns or raises")
