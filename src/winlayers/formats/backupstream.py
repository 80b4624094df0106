"""Win32 backup streams: the byte form in which Windows saves one file with all its parts.

A backup stream is a run of parts, without alignment and without an end mark. Each part is a 20-byte
header, an optional name, and a body; little-endian:

    0   u32  part id (1 data, 3 security, 4 alternate stream, 8 reparse, 9 sparse block, ...)
    4   u32  attributes (8 = sparse)
    8   u64  body size in bytes
    16  u32  name size in bytes (0 but for alternate streams)
    20       name, UTF-16LE, without a NUL (":name:$DATA")
             body

The body of a sparse block (9) starts with an i64, the offset of its bytes in the file; the size in the
header counts it, ``PartHeader.size`` does not. A sparse file has the attribute 8 and size 0 on its data
part, then its blocks in rising order, then a block of size 0 at the offset where the file ends.

This module takes any id, and knows nothing of files on disk, tars or layers. ``exact=False`` treats names
and missing bytes as the original does, for output that must equal the original's.
Source: WIN32_STREAM_ID in the Win32 reference; sparse forms and errors checked against vectors in
tests/vectors/data/backupstream_encode.json and backupstream_decode.json.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import BinaryIO, cast

from winlayers.errors import InvalidArgument, InvalidName, Malformed
from winlayers.formats.text16 import utf16_decode, utf16_encode

MAX_NAME_SIZE = 0xFFFE
"""The longest name taken, in bytes: no path of Windows has more than 32767 units."""

_STRUCTURE = "backup stream"
_HEADER = struct.Struct("<IIQI")
_SPARSE_OFFSET = struct.Struct("<q")
_MAX_BODY_SIZE = 2**63 - 1
# Sizes in headers are only promises: what is read at once is bounded, so that memory follows the bytes
# that are really there.
_BLOCK_SIZE = 1 << 20


class PartId(IntEnum):
    """What a part holds: BACKUP_* of the Win32 reference."""

    DATA = 1
    EA = 2
    SECURITY = 3
    ALTERNATE = 4
    LINK = 5
    PROPERTY = 6
    OBJECT_ID = 7
    REPARSE = 8
    SPARSE_BLOCK = 9
    TXFS = 10


class PartAttributes(IntFlag):
    """Attributes of a part: STREAM_*_ATTRIBUTE of the Win32 reference."""

    MODIFIED_WHEN_READ = 1
    CONTAINS_SECURITY = 2
    CONTAINS_PROPERTIES = 4
    SPARSE = 8


@dataclass(slots=True)
class PartHeader:
    """The header of one part.

    Attributes:
        id: a ``PartId``, or any other number of 32 bits.
        attributes: ``PartAttributes``, or any other 32 bits.
        size: bytes of the body, without the offset of a sparse block.
        name: name of an alternate stream with its colons and type (``:name:$DATA``), else ``""``.
        offset: where the bytes of a sparse block belong in the file; signed 64 bits. 0 for other parts.
    """

    id: int
    attributes: int = 0
    size: int = 0
    name: str = ""
    offset: int = 0


class BackupReader:
    """Reads the parts of a backup stream one after another.

    The reader owns the position of its source from now on. A body that is not read, or not to its end,
    is skipped by the next call of ``next``. After an error the reader is of no more use.
    """

    def __init__(self, source: BinaryIO, *, exact: bool = True, limit: int | None = None) -> None:
        """Begin at the current position of ``source``.

        Args:
            source: file object; it is read, and where it can seek, skipped bodies are jumped over.
            exact: where the end is known, by ``limit`` or because the source can seek, refuse a body that
                goes past it as soon as its header is read. Otherwise do as the original: a skipped body
                may lack bytes if the source can seek.
            limit: bytes of the whole stream, or None for all that the source has. What follows them is
                never read.
        """
        self._source = source
        self._exact = exact
        self._origin = source.tell() if source.seekable() else None
        self._end = _known_end(source, self._origin, limit)
        self._at = 0
        self._left = 0
        self._body: _Body | None = None

    def __iter__(self) -> Iterator[PartHeader]:
        """The headers of all parts that follow."""
        while (header := self.next()) is not None:
            yield header

    def next(self) -> PartHeader | None:
        """Skip what is left of the current body and read the next header.

        Returns:
            The header, or None at a clean end. A name is cut at its first NUL, as everywhere in Windows.
        Raises:
            Malformed: the stream ends within the body that is skipped, or within the header; a name of odd
                or absurd size; a sparse block too small for its offset; a body past the known end.
        """
        if self._body is not None:
            self._body.close()
            self._body = None
        self._skip()
        start = self._at
        raw = self._fill(_HEADER.size)
        if not raw:
            return None
        if len(raw) < _HEADER.size:
            raise self._cut("header")
        part_id, attributes, size, name_size = _HEADER.unpack(raw)
        header = PartHeader(part_id, attributes, size)
        if name_size:
            header.name = self._name(name_size)
        if part_id == PartId.SPARSE_BLOCK:
            self._take_offset(header, start)
        if self._exact and self._end is not None and header.size > self._end - self._at:
            raise self._cut(f"body of {header.size} bytes")
        self._left = header.size
        return header

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the current body.

        Args:
            size: how many bytes at most; negative for all that are left of the body.
        Returns:
            As many bytes as asked for or left in the body; ``b""`` at its end.
        Raises:
            Malformed: the stream ends before that, or the size of the body is above 2**63 - 1.
        """
        self._check_size()
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._fill(wanted)
        self._left -= len(data)
        if len(data) < wanted:
            raise self._cut(f"body, {self._left} bytes missing")
        return data

    def open_body(self) -> BinaryIO:
        """The rest of the current body as a file object that can be read, not sought.

        It is closed by the next call of ``next``. Reading it raises what ``read`` raises.
        """
        self._body = _Body(self)
        return cast(BinaryIO, self._body)

    def _fill(self, size: int) -> bytes:
        """Up to ``size`` bytes; fewer only at the end of the stream."""
        if self._end is not None:
            size = min(size, self._end - self._at)
        data = self._source.read(min(size, _BLOCK_SIZE)) if size > 0 else b""
        if data and len(data) < size:
            data = self._fill_more(data, size)
        self._at += len(data)
        return data

    def _fill_more(self, data: bytes, size: int) -> bytes:
        """``data`` and what follows it, up to ``size`` bytes."""
        gathered = bytearray(data)
        while len(gathered) < size:
            block = self._source.read(min(size - len(gathered), _BLOCK_SIZE))
            if not block:
                break
            gathered += block
        return bytes(gathered)

    def _skip(self) -> None:
        """Go to the end of the current body."""
        self._check_size()
        if self._left and self._origin is not None and self._end is not None:
            # Never past the end: what a seek to there does is up to the file system. The original goes
            # there, finds nothing and takes that for a clean end, which is what follows here too.
            self._at = min(self._at + self._left, self._end)
            self._source.seek(self._origin + self._at)
            self._left = 0
        while self._left:
            data = self._fill(min(self._left, _BLOCK_SIZE))
            self._left -= len(data)
            if not data:
                raise self._cut(f"body, {self._left} bytes missing")

    def _name(self, size: int) -> str:
        at = self._at
        if size > MAX_NAME_SIZE:
            raise Malformed(_STRUCTURE, f"name of {size} bytes", offset=at)
        raw = self._fill(size)
        if len(raw) < size:
            raise self._cut("name")
        name = utf16_decode(raw, structure=_STRUCTURE, offset=at)
        return name.partition("\0")[0]

    def _take_offset(self, header: PartHeader, start: int) -> None:
        """Move the offset of a sparse block from its body to its header."""
        if header.size < _SPARSE_OFFSET.size:
            raise Malformed(_STRUCTURE, f"sparse block of {header.size} bytes", offset=start)
        raw = self._fill(_SPARSE_OFFSET.size)
        if len(raw) < _SPARSE_OFFSET.size:
            raise self._cut("offset of a sparse block")
        header.size -= _SPARSE_OFFSET.size
        (header.offset,) = _SPARSE_OFFSET.unpack(raw)

    def _check_size(self) -> None:
        if self._left > _MAX_BODY_SIZE:
            raise Malformed(_STRUCTURE, f"body of {self._left} bytes", offset=self._at)

    def _cut(self, what: str) -> Malformed:
        return Malformed(_STRUCTURE, f"unexpected EOF in {what}", offset=self._at)


class BackupWriter:
    """Writes the parts of a backup stream one after another."""

    def __init__(self, target: BinaryIO, *, exact: bool = True) -> None:
        """Begin at the current position of ``target``.

        Args:
            target: buffered file object; each ``write`` must take all that it is given.
            exact: keep lone surrogates in names and refuse a NUL. Otherwise do as the original: each lone
                surrogate becomes three U+FFFD, and a NUL stays.
        """
        self._target = target
        self._exact = exact
        self._at = 0
        self._left = 0

    def header(self, header: PartHeader) -> None:
        """Begin a part; ``header.size`` bytes of body must follow.

        Raises:
            Malformed: the body of the part before is not complete ("missing N bytes").
            InvalidName: a name that is too long, or that holds a NUL (``exact``).
            InvalidArgument: a number too large for its field.
        """
        self.close()
        raw = _build_header(header, exact=self._exact)
        self._target.write(raw)
        self._at += len(raw)
        self._left = header.size

    def write(self, data: bytes) -> None:
        """Append to the body of the current part.

        Raises:
            Malformed: more than its header said ("too many bytes by N"); nothing of it is written.
        """
        if len(data) > self._left:
            excess = len(data) - self._left
            raise Malformed(_STRUCTURE, f"too many bytes by {excess}", offset=self._at)
        self._target.write(data)
        self._at += len(data)
        self._left -= len(data)

    def close(self) -> None:
        """Make sure that the last body is complete. The target stays open.

        Raises:
            Malformed: it is not ("missing N bytes").
        """
        if self._left:
            raise Malformed(_STRUCTURE, f"missing {self._left} bytes", offset=self._at)


class _Body(io.RawIOBase):
    """The rest of a body as a file object."""

    def __init__(self, reader: BackupReader) -> None:
        super().__init__()
        self._reader = reader

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        self._checkClosed()
        return self._reader.read(-1 if size is None else size)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed asks for its own private buffer type
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _known_end(source: BinaryIO, origin: int | None, limit: int | None) -> int | None:
    """How many bytes the stream has, or None if only reading can tell."""
    if origin is None:
        return limit
    size = max(source.seek(0, os.SEEK_END) - origin, 0)
    source.seek(origin)
    return size if limit is None else min(size, limit)


def _build_header(header: PartHeader, *, exact: bool) -> bytes:
    """The header with its name, and the offset of a sparse block."""
    if exact and "\0" in header.name:
        raise InvalidName(f"stream name {header.name!r} holds a NUL")
    name = utf16_encode(header.name, exact=exact)
    if len(name) > MAX_NAME_SIZE:
        raise InvalidName(f"stream name of {len(name) // 2} units is too long")
    sparse = header.id == PartId.SPARSE_BLOCK
    size = header.size + (_SPARSE_OFFSET.size if sparse else 0)
    if not 0 <= header.size <= size <= _MAX_BODY_SIZE:
        raise InvalidArgument(f"{_STRUCTURE}: body of {header.size} bytes")
    try:
        raw = _HEADER.pack(header.id, header.attributes, size, len(name)) + name
        return raw + _SPARSE_OFFSET.pack(header.offset) if sparse else raw
    except struct.error as error:
        raise InvalidArgument(f"{header} does not fit into its fields: {error}") from error
