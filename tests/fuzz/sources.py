"""Ways to give bytes to a decoder, and to take them, that hold it to account."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from winlayers.errors import TooLarge, WinlayersError

#: No chunk of an input is larger.
MAX_CHUNK = 0xFFFF
#: No more is taken of one body or file: what is larger is holes, or a bomb.
ENOUGH = 1 << 20


class Trickle(io.RawIOBase):
    """A file object that cannot be sought and gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes, size: int = 7) -> None:
        self._source = io.BytesIO(data)
        self._size = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._source.read(self._size if size < 0 else min(size, self._size))

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Sink(io.BytesIO):
    """A file object that takes a few MiB and no more.

    Raises:
        TooLarge: more was written.
    """

    def write(self, data: Any, /) -> int:
        written = super().write(data)
        if self.tell() > 4 * ENOUGH:
            raise TooLarge("enough was written")
        return written


def read_some(source: BinaryIO, limit: int = ENOUGH) -> bytes:
    """The bytes of a file object, but no more than ``limit``."""
    pieces = []
    while limit > 0 and (piece := source.read(min(limit, 1 << 16))):
        assert len(piece) <= limit, "more was read than asked for"
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def outcome(decode: Callable[[], Any]) -> Any:
    """What a call returns, or the kind and text of its error; to compare two ways of one thing."""
    try:
        return decode()
    except WinlayersError as error:
        return type(error), str(error), error.finding


def pack(chunks: Sequence[tuple[int, bytes]]) -> bytes:
    """Numbered chunks as one input; see ``unpack``."""
    return b"".join(
        bytes([number]) + len(chunk).to_bytes(2, "little") + chunk for number, chunk in chunks
    )


def unpack(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The numbered chunks of an input; any bytes are some.

    0  u8   number
    1  u16  size, of which there may be less at the end
    3       the chunk
    """
    at = 0
    while at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "little")
        yield data[at], data[at + 3 : at + 3 + size]
        at += 3 + size
