"""Room on a disk for content whose size nobody knows before, as that of what is decompressed.

A disk is never filled to its last byte: others work on it too. What is left alone is 64 MiB, of a small disk 2 %. This
module does not know what is written, or where to.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from winlayers.base.fileobj import RawReader, Readable, read_into
from winlayers.errors import NoSpace

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_RESERVE = 64 << 20
_SMALL_RESERVE = 50
_STEP = (
    1 << 20
)  # bytes of one read at most; to look at the disk before each costs some microseconds


class Disk(Protocol):
    """What ``shutil.disk_usage`` tells, in bytes."""

    @property
    def total(self) -> int: ...

    @property
    def free(self) -> int: ...


def is_nearly_full(disk: Disk, more_size: int = 0) -> bool:
    """Whether a disk has no more than what is left alone.

    Args:
        disk: what it has.
        more_size: bytes that it is about to take.
    """
    return disk.free < more_size + min(_RESERVE, disk.total // _SMALL_RESERVE)


def disk_of(folder: Path) -> Disk:
    """What the disk of a folder has."""
    return shutil.disk_usage(folder)


class RoomReader(RawReader):
    """Content on its way to a disk, given out only as long as that has room.

    Args:
        source: the content.
        folder: on the disk.
        advice: what an error tells to do, after "free some space, or".
    """

    def __init__(self, source: Readable, folder: Path, *, advice: str) -> None:
        self._source = source
        self._folder = folder
        self._advice = advice
        self._given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Raises:
            NoSpace: the disk is nearly full.
        """
        if size is None or size < 0:
            return self.readall()
        wanted = min(size, _STEP)
        self._check(wanted)
        block = self._source.read(wanted)
        self._given += len(block)
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)

    def _check(self, more_size: int) -> None:
        disk = disk_of(self._folder)
        if is_nearly_full(disk, more_size):
            raise NoSpace(
                f"only {disk.free} bytes are left on the disk of {self._folder}, after {self._given} bytes that "
                f"were kept there; free some space, or {self._advice}"
            )
