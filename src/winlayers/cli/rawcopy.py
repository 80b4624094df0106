"""Copies a file to standard output or to a new file as fast as the system can.

Where it can, the kernel moves the bytes: through a pipe by ``splice``, between files by ``copy_file_range``
(which shares the blocks where the file system knows how), to anything else by ``sendfile``. Elsewhere they
are read and written. This module refuses to know what is copied.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from winlayers.base.atomic import sync_directory, sync_file

_STEP_SIZE = 4 << 20
# What fits into the caches of a processor is copied faster than larger blocks.
_BLOCK_SIZE = 128 << 10
_PIPE_SIZE = 1 << 20

# The kernel does not move bytes between these two files, for whatever reason.
_REFUSALS = frozenset(
    getattr(errno, name)
    for name in ("EINVAL", "ENOSYS", "EXDEV", "EOPNOTSUPP", "EBADF", "EPERM", "EISDIR", "ETXTBSY")
)

# (source, target, offset in the source, size) -> bytes moved, 0 at the end of the source.
_Mover = Callable[[int, int, int, int], int]


def copy_descriptor(source: int, target: int, on_moved: Callable[[int], None]) -> None:
    """Copy the rest of a file.

    Args:
        source: a file that can be read by offset, copied from its present position on.
        target: where to, written from its present position on.
        on_moved: called with the bytes of each step; what it raises ends the copy.
    Raises:
        OSError: reading or writing failed; BrokenPipeError where nobody reads ``target`` any more.
    """
    offset = os.lseek(source, 0, os.SEEK_CUR)
    for move in _movers(target):
        try:
            while moved := move(source, target, offset, _STEP_SIZE):
                offset += moved
                on_moved(moved)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
        else:
            return
    os.lseek(source, offset, os.SEEK_SET)
    while block := os.read(source, _BLOCK_SIZE):
        write_fully(target, block)
        on_moved(len(block))


def write_fully(target: int, data: bytes | memoryview) -> None:
    """Write all of some bytes."""
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _movers(target: int) -> Iterator[_Mover]:
    if sys.platform == "linux":
        import fcntl

        if stat.S_ISFIFO(os.fstat(target).st_mode):
            try:
                fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
            except OSError:
                pass  # a user may have only so much of pipes; a smaller one is slower, no more
            yield lambda source, target, offset, size: os.splice(
                source, target, size, offset_src=offset
            )
        else:
            yield lambda source, target, offset, size: os.copy_file_range(
                source, target, size, offset_src=offset
            )
        yield os_sendfile


def os_sendfile(source: int, target: int, offset: int, size: int) -> int:
    """``os.sendfile`` with its arguments in the order of the others."""
    return os.sendfile(target, source, offset, size)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written that has its name only when it is whole and on the disk.

    Args:
        path: its name; what is there is replaced at the end. What is no regular file (a pipe, a
            device) is written to as it is, and a link is followed.
    Raises:
        OSError: there is no such folder, or it cannot be written; the old file is still there.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with open(path, "wb", buffering=0) as file:
            yield file
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    staged = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(staged, "xb", buffering=0) as file:
            yield file
            sync_file(file.fileno())
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
