"""The source of a tar, seen through a window of one block as the source gives them.

``Window`` is all of the I/O that reading a tar needs: take some bytes, pass over others without copying
them, and say where it stands. This module knows nothing of what the bytes mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

#: Bytes asked of the source at a time.
READ_SIZE = 1 << 20
# Below this, reading on is as fast as seeking, and the next header comes with it.
_SEEK_SIZE = 1 << 18


class TarSource(Protocol):
    """What a tar is read from.

    ``read`` may give less than asked for, and any bytes-like object, valid until the next ``read``; none
    only at the end. A method ``skip(size) -> int`` is used to pass over bodies, if there is one: it says
    how many bytes it skipped, less only at the end. Otherwise a source that is seekable is sought.
    """

    def read(self, size: int, /) -> bytes | bytearray | memoryview:
        """Bytes, at most ``size``."""


class Window:
    """The block of the source that was read last, and a place in it.

    Attributes:
        buffer: the block; only to be used before the window moves on.
        at: place of the next byte in it.
        end: its size.
        base: offset of its start in the tar.
    """

    __slots__ = ("_skip", "_source", "at", "base", "buffer", "end")

    def __init__(self, source: BinaryIO | TarSource) -> None:
        """Stand at offset 0, the present position of ``source``; nothing is read yet."""
        self._source: TarSource = source
        self._skip = _way_to_skip(source)
        self.buffer: bytes | memoryview = b""
        self.at = 0
        self.end = 0
        self.base = 0

    @property
    def offset(self) -> int:
        """Offset of the next byte in the tar."""
        return self.base + self.at

    def take(self, size: int) -> bytes:
        """The next bytes; less only at the end of the source."""
        pieces = []
        while size and (piece := self.take_some(size)):
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def take_some(self, size: int) -> bytes:
        """Some bytes, at most ``size``, which is not 0; none only at the end of the source."""
        at = self.at
        if at == self.end:
            if not self._fill():
                return b""
            at = 0
        self.at = min(at + size, self.end)
        return bytes(self.buffer[at : self.at])

    def pass_over(self, size: int) -> bool:
        """Go on by ``size`` bytes; whether the source has that many."""
        while size > self.end - self.at:
            size -= self.end - self.at
            self.at = self.end
            if self._skip is not None and size >= _SEEK_SIZE:
                skipped = self._skip(size)
                self.base += skipped
                return skipped >= size
            if not self._fill():
                return False
        self.at += size
        return True

    def _fill(self) -> bool:
        """Get the next block in place of the present one, which must be used up; whether there is one."""
        block = self._source.read(READ_SIZE)
        self.base += self.end
        self.at = 0
        self.end = len(block)
        self.buffer = block if type(block) is bytes else memoryview(block)
        return self.end > 0


def _way_to_skip(source: BinaryIO | TarSource) -> Callable[[int], int] | None:
    """How to pass over bytes of the source without reading them, if it can."""
    skip: Callable[[int], int] | None = getattr(source, "skip", None)
    if skip is not None:
        return skip
    seekable: Callable[[], bool] | None = getattr(source, "seekable", None)
    if seekable is None or not seekable():
        return None
    file = cast(BinaryIO, source)

    def seek_past(size: int) -> int:
        # Seeking past the end is no error, and past 64 bits is the wrong one.
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        return file.seek(max(min(start + size, end), start)) - start

    return seek_past
