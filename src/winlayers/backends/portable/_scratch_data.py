"""The files that hold the written contents of a scratch.

    scratch/data/<number>   one part of one node: the whole of its bytes

A number is used once. A file that no part names is left over, and removed when the scratch is opened.
One that was on the disk is removed only when it is on the disk that no part names it any more: until then
a loss of power may bring back the part.
Contents that begin as those of a layer are copied by the kernel where it can: ``copy_file_range`` shares
blocks on file systems that have them to share. This module refuses to know nodes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from winlayers.backends.portable._scratch_spares import Made, Spares
from winlayers.base.atomic import sync_directory
from winlayers.base.fileobj import read_exactly_at, write_all_at

# What a system says that cannot copy between these files by itself.
_REFUSALS = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
)

_BLOCK_SIZE = 1 << 20
_SYNC_THREADS = 8
# What may be left for a while, to have one flush do for many.
_MOST_LEFT = 256
_MOST_LEFT_BYTES = 1 << 20
_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class DataFiles:
    """The files of one scratch.

    Args:
        folder: where they are; it is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = os.path.join(folder, "")
        self._next = count(max(self.numbers(), default=0) + 1)
        self._spares: Spares | None = None
        self._is_folder_synced = True
        # Those that were never brought to the disk, and those that nothing leads to any more, with sizes.
        self._fresh: set[int] = set()
        self._left: dict[int, int] = {}

    def numbers(self) -> list[int]:
        """The numbers of the files that are there."""
        return [int(name) for name in os.listdir(self._folder) if name.isdecimal()]

    def create(self) -> tuple[int, int]:
        """A new empty file: its number and an open descriptor."""
        number, descriptor = self._make() if self._spares is None else self._spares.take()
        self._is_folder_synced = False
        self._fresh.add(number)
        return number, descriptor

    def keep_spares(self) -> None:
        """Make files before they are asked for, from now until ``drop_spares``."""
        self._spares = Spares(self._make)

    def drop_spares(self) -> None:
        """Remove those that nobody asked for."""
        if self._spares is not None:
            spares, self._spares = self._spares, None
            self.remove(spares.stop())

    def open(self, number: int, *, writable: bool = True) -> int:
        """A descriptor of a file."""
        if writable:
            return os.open(self._path(number), _FLAGS)
        return os.open(self._path(number), os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def size(self, number: int) -> int | None:
        """Bytes of a file, or None where it is not there."""
        try:
            return os.stat(self._path(number)).st_size
        except FileNotFoundError:
            return None

    def write_time_ns(self, number: int) -> int:
        """When a file was last written, nanoseconds since 1970."""
        return os.stat(self._path(number)).st_mtime_ns

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove files, those that are there."""
        for number in numbers:
            with suppress(FileNotFoundError):
                os.unlink(self._path(number))
            self._fresh.discard(number)
            self._is_folder_synced = False

    def leave(self, numbers: Iterable[int]) -> bool:
        """Give up files that no part names any more.

        Returns:
            Whether there are so many left that it should be brought to the disk that no part names them;
            ``remove_left`` removes them then.
        """
        for number in numbers:
            if number in self._fresh:
                self.remove([number])
            else:
                self._left[number] = self.size(number) or 0
        return len(self._left) > _MOST_LEFT or sum(self._left.values()) > _MOST_LEFT_BYTES

    def remove_left(self) -> None:
        """Remove what was left."""
        self.remove(self._left)
        self._left.clear()

    def sync_open(self, number: int, descriptor: int) -> None:
        """Bring an open file, and that it is there, to the disk."""
        os.fsync(descriptor)
        self._fresh.discard(number)
        self.sync_folder()

    def sync(self, numbers: Sequence[int]) -> None:
        """Bring files, and that they are there, to the disk."""
        if len(numbers) > 1:
            # Only here: a scratch that writes one file does not want what this brings along.
            from concurrent.futures import ThreadPoolExecutor

            # Disks bring many files to rest in the time of one.
            with ThreadPoolExecutor(_SYNC_THREADS) as pool:
                list(pool.map(self._sync_closed, numbers))
        elif numbers:
            self._sync_closed(numbers[0])
        self.sync_folder()

    def _sync_closed(self, number: int) -> None:
        try:
            descriptor = self.open(number)
        except FileNotFoundError:
            return  # removed since
        try:
            os.fsync(descriptor)
            self._fresh.discard(number)
        finally:
            os.close(descriptor)

    def sync_folder(self) -> None:
        """Bring to the disk which files there are."""
        if not self._is_folder_synced:
            sync_directory(self._folder)
            self._is_folder_synced = True

    def _make(self) -> Made:
        number = next(self._next)
        return number, os.open(self._path(number), _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)

    def _path(self, number: int) -> str:
        return f"{self._prefix}{number}"


def copy_extents(
    source: int, extents: Sequence[tuple[int, int, int]], target: int, size: int
) -> None:
    """Make a file of pieces of another.

    Args:
        source: descriptor of the file that has the pieces.
        extents: (offset in the target, offset in the source, size) of each, in bytes.
        target: descriptor of an empty file; what is between the pieces stays a hole.
        size: bytes of the whole.
    Raises:
        Corrupt: the source ends early.
    """
    os.ftruncate(target, size)
    for offset, position, length in extents:
        while length:
            copied = _copy_range(source, position, target, offset, length)
            offset, position, length = offset + copied, position + copied, length - copied


def _copy_range(source: int, position: int, target: int, offset: int, length: int) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            copied = os.copy_file_range(source, target, length, position, offset)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
        else:
            if copied:
                return copied
    block = read_exactly_at(source, position, min(length, _BLOCK_SIZE))
    write_all_at(target, offset, block)
    return len(block)
