"""Heads of answers that have an end: what the standard library takes for one without asking for more.

``http.client`` limits the length of a line and the count of headers. But it reads any count of answers ``100`` and of
trailers, and takes a head that was cut for a whole one with fewer headers. This module knows neither URLs nor bodies.

Source: RFC 9112, 2.2 (a head ends with an empty line), 7.1.2 (trailers), 8 (messages that are cut); RFC 9110, 15.2.1
(100).
"""

from __future__ import annotations

import io
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_LINES_SIZE = 1 << 18
"""Bytes of lines in a row, with no body between."""


class BoundedResponse(HTTPResponse):
    """A response whose head is whole and not too long; ``begin`` raises ``HTTPException`` otherwise."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lines = _Lines(self.fp.detach())
        self.fp = self._lines

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        if self._lines.last not in (b"\r\n", b"\n"):
            raise HTTPException("the head was cut")


class _Lines(io.BufferedReader):
    """Counts what is read as lines."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self.last = b""
        self._count = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(-1 if size is None else size)
        self._count += len(self.last)
        if self._count > MAX_LINES_SIZE:
            raise HTTPException(f"more than {MAX_LINES_SIZE} bytes of lines in a row")
        return self.last

    def read(self, size: int | None = -1, /) -> bytes:
        self._count = 0
        return super().read(size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._count = 0
        return super().readinto(buffer)
