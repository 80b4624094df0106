"""The ways to decompress: gzip by a library's own reader or member by member, zstd frame by frame.

All ways follow the rules in ``compression``, whose half for reading this is. They know nothing of who
reads, and are told apart by ``compression`` and tests only.
"""

from __future__ import annotations

import errno
import functools
import gzip
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from winlayers.base._compression_libraries import import_zstd, inflating_libraries
from winlayers.errors import Malformed

if TYPE_CHECKING:
    from types import ModuleType

    from _typeshed import ReadableBuffer

BLOCK_SIZE = 1 << 20
"""Compressed bytes at a time."""

MAX_GZIP_HEADER_SIZE = BLOCK_SIZE // 2
"""Bytes before a member's data. They name one file, so that more is an attack on our memory."""

_NATIVE_BUFFER_SIZE = BLOCK_SIZE
_FIRST_STEP = 512

# 128 MiB: what zstd itself takes unless told otherwise, and what --ultra makes.
_ZSTD_MAX_WINDOW_LOG = 27

_GZIP_MAGIC = b"\x1f\x8b"
_FLAG_HEADER_CRC, _FLAG_EXTRA, _FLAG_NAME, _FLAG_COMMENT = 2, 4, 8, 16

_CUT_SHORT = "ends before its last member does"
_NO_MEMBER = "no member starts where one should"
_BAD_METHOD = "a member is not deflated"
_BAD_HEADER = "the header of a member has a wrong checksum"
_LONG_HEADER = f"the header of a member is larger than {MAX_GZIP_HEADER_SIZE} bytes"
_BAD_DATA = "the data of a member are damaged"
_BAD_CRC = "the content of a member has a wrong checksum"
_BAD_SIZE = "the content of a member has a wrong size"

_NATIVE_REASONS = {
    "Not a gzipped file": _NO_MEMBER,
    "Unknown compression method": _BAD_METHOD,
    "Corrupted gzip header": _BAD_HEADER,
    "CRC check failed": _BAD_CRC,
    "Incorrect length of data": _BAD_SIZE,
}


class Reader(Protocol):
    """One way to decompress. Both methods give all that was asked for, or less at the end."""

    def readinto(self, view: memoryview) -> int: ...

    def read(self, size: int) -> bytes: ...


class Feed:
    """The compressed side: counts the bytes and shows them. Also the reader where nothing is compressed."""

    def __init__(self, source: BinaryIO, on_raw: Callable[[bytes], None] | None) -> None:
        self._read_source: Callable[[int], bytes | None] = source.read
        self._fill_from_source: Callable[[memoryview], int | None] = getattr(
            source, "readinto", self._fill_by_read
        )
        self._on_raw = on_raw
        self._head = b""
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """The first bytes, which stay to be read; only before anything else is read."""
        self._head = self._gather(size)
        return self._head

    def readinto(self, view: memoryview) -> int:
        done = min(len(self._head), len(view))
        view[:done] = self._head[:done]
        self._head = self._head[done:]
        while done < len(view):
            count = _blocking(self._fill_from_source(view[done:]))
            if not count:
                break
            done += count
        self._account(view[:done])
        return done

    def read(self, size: int) -> bytes:
        kept = self._head[:size]
        self._head = self._head[size:]
        block = self._gather(size - len(kept))
        if kept:
            block = kept + block
        self._account(block)
        return block

    def _account(self, block: bytes | memoryview) -> None:
        self.offset += len(block)
        if block and self._on_raw is not None:
            self._on_raw(bytes(block))

    def _gather(self, size: int) -> bytes:
        parts = []
        while size:
            block = _blocking(self._read_source(size))
            if not block:
                break
            parts.append(block)
            size -= len(block)
        # A file gives all at once, and then nothing is copied.
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fill_by_read(self, view: memoryview) -> int | None:
        block = self._read_source(len(view))
        if block is None:
            return None
        view[: len(block)] = block
        return len(block)


_Result = TypeVar("_Result", bytes, int)


def _blocking(result: _Result | None) -> _Result:
    # None means "nothing yet" and must not be taken for the end.
    if result is None:
        raise BlockingIOError(
            errno.EAGAIN, "compressed content is read from a file that must block"
        )
    return result


class _Member(Protocol):
    """What decompresses one member, in the words of the standard library's decompressors."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: ReadableBuffer, /, max_length: int) -> bytes: ...


class _MembersReader(ABC):
    """A run of members or frames, each decompressed by an object of its own.

    Here are the rules that gzip and zstd share: at least one member, zeros after it, nothing else
    between members, no end within one. A subclass knows what a member looks like.
    """

    structure: str
    library_errors: tuple[type[Exception], ...]

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._block = memoryview(b"")
        self._position = 0
        self._member: _Member | None = None
        self._is_first = True
        self._step = 0

    @abstractmethod
    def open_member(self) -> _Member:
        """Read what stands before the data of a member."""

    @abstractmethod
    def close_member(self, member: _Member) -> None:
        """Read what stands behind them, and check it."""

    def readinto(self, view: memoryview) -> int:
        done = 0
        while done < len(view):
            data = self._produce(len(view) - done)
            if not data:
                break
            view[done : done + len(data)] = data
            done += len(data)
        return done

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            data = self._produce(size)
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _produce(self, size: int) -> bytes:
        """Some content, ``size`` bytes at most; nothing only at the end."""
        while True:
            if self._member is None:
                if not self._is_first and not self._skip_zeros():
                    return b""
                self._member = self.open_member()
                self._is_first = False
                self._step = _FIRST_STEP
            data = self._decompress(self._member, size)
            if data:
                return data

    def _decompress(self, member: _Member, size: int) -> bytes:
        piece = memoryview(b"")
        if member.needs_input:
            piece = self.next_piece(self._step)
            if not piece:
                raise self.malformed(_CUT_SHORT)
            # What a member leaves of a piece is copied. As pieces grow with the member, a run of
            # tiny ones does not have the whole block copied for each.
            self._step = min(self._step * 2, BLOCK_SIZE)
        try:
            data = member.decompress(piece, max_length=size)
        except self.library_errors as error:
            raise self.malformed(_BAD_DATA) from error
        if member.eof:
            self.give_back(len(member.unused_data))
            self.close_member(member)
            self._member = None
        return data

    def next_piece(self, size: int) -> memoryview:
        """The next bytes, at most ``size``; none only at the end of the source."""
        if self._position == len(self._block):
            self._block = memoryview(self._feed.read(BLOCK_SIZE))
            self._position = 0
        piece = self._block[self._position : self._position + size]
        self._position += len(piece)
        return piece

    def give_back(self, size: int) -> None:
        """Undo a part of the last ``next_piece``."""
        self._position -= size

    def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        taken = b""
        while len(taken) < size:
            piece = self.next_piece(size - len(taken))
            if not piece:
                raise self.malformed(_CUT_SHORT)
            taken += piece
        return taken

    def _skip_zeros(self) -> bool:
        """Go to the next byte that is not zero; returns whether there is one."""
        step = _FIRST_STEP
        while piece := self.next_piece(step):
            rest = piece.tobytes().lstrip(b"\0")
            if rest:
                self.give_back(len(rest))
                return True
            step = min(step * 2, BLOCK_SIZE)
        return False

    def malformed(self, reason: str) -> Malformed:
        return Malformed(self.structure, reason, offset=self._feed.offset)


class ZstdReader(_MembersReader):
    """Zstd frames, by the standard library's module or its backport."""

    structure = "zstd stream"

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._zstd = import_zstd()
        self.library_errors = (self._zstd.ZstdError,)

    def open_member(self) -> _Member:
        # Said here, so that a newer library with other defaults does not take more memory from us.
        options = {self._zstd.DecompressionParameter.window_log_max: _ZSTD_MAX_WINDOW_LOG}
        member: _Member = self._zstd.ZstdDecompressor(options=options)
        return member

    def close_member(self, member: _Member) -> None:
        """A frame checks itself."""


class GzipReader(_MembersReader):
    """Gzip members framed here, with any library that has the functions of zlib."""

    structure = "gzip stream"

    def __init__(self, feed: Feed, library: ModuleType) -> None:
        super().__init__(feed)
        self._library = library
        self.library_errors = (library.error,)

    def open_member(self) -> _Member:
        header = bytearray(self.take(10))
        if not header.startswith(_GZIP_MAGIC):
            raise self.malformed(_NO_MEMBER)
        if header[2] != zlib.DEFLATED:
            raise self.malformed(_BAD_METHOD)
        flags = header[3]
        if flags & _FLAG_EXTRA:
            size = self.take(2)
            header += size + self.take(int.from_bytes(size, "little"))
        for flag in (_FLAG_NAME, _FLAG_COMMENT):
            if flags & flag:
                self._take_text(header)
        if flags & _FLAG_HEADER_CRC:
            crc = int.from_bytes(self.take(2), "little")
            if crc != zlib.crc32(header) & 0xFFFF:
                raise self.malformed(_BAD_HEADER)
        return _DeflatedMember(self._library)

    def _take_text(self, header: bytearray) -> None:
        """Append what is left up to and with a zero byte."""
        while len(header) < MAX_GZIP_HEADER_SIZE:
            piece = self.next_piece(_FIRST_STEP)
            if not piece:
                raise self.malformed(_CUT_SHORT)
            text, zero, rest = piece.tobytes().partition(b"\0")
            header += text + zero
            if zero:
                self.give_back(len(rest))
                return
        raise self.malformed(_LONG_HEADER)

    def close_member(self, member: _Member) -> None:
        assert isinstance(member, _DeflatedMember)
        crc, size = struct.unpack("<II", self.take(8))
        if crc != member.crc:
            raise self.malformed(_BAD_CRC)
        if size != member.size & 0xFFFFFFFF:
            raise self.malformed(_BAD_SIZE)


class _DeflatedMember:
    """A decompressobj of zlib in the words of the newer decompressors, with checksum and size."""

    def __init__(self, library: ModuleType) -> None:
        self._object = library.decompressobj(-zlib.MAX_WBITS)
        self._crc32 = library.crc32
        self.crc = 0
        self.size = 0
        self.needs_input = True

    @property
    def eof(self) -> bool:
        ended: bool = self._object.eof
        return ended

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._object.unused_data
        return unused

    def decompress(self, data: ReadableBuffer, /, max_length: int) -> bytes:
        content: bytes = self._object.decompress(self._object.unconsumed_tail or data, max_length)
        # A full answer may have more behind it, although all input has been taken.
        self.needs_input = len(content) < max_length and not self._object.unconsumed_tail
        self.crc = self._crc32(content, self.crc)
        self.size += len(content)
        return content


class NativeGzipReader:
    """Gzip by the reader in C that isal and zlib-ng have for themselves.

    It alone can write into a buffer of ours, which saves a copy of all content, and frames members
    without Python. Its name is private; what is used of it is ``readinto`` and ``read``, that it
    asks for no more than fits behind what it still holds in its buffer, and the texts of its errors.
    """

    structure = "gzip stream"

    def __init__(self, feed: Feed, library: ModuleType) -> None:
        self._feed = feed
        self._library_errors = (gzip.BadGzipFile, EOFError, library.error)
        self._native: Reader = library._GzipReader(_NativeSource(feed), _NATIVE_BUFFER_SIZE)

    def readinto(self, view: memoryview) -> int:
        try:
            count = self._native.readinto(view)
        except self._library_errors as error:
            raise self._translated(error) from error
        self._check_not_empty()
        return count

    def read(self, size: int) -> bytes:
        parts = []
        try:
            while size and (block := self._native.read(size)):
                parts.append(block)
                size -= len(block)
        except self._library_errors as error:
            raise self._translated(error) from error
        self._check_not_empty()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_not_empty(self) -> None:
        # The reader in C takes no member at all for a stream.
        if self._feed.offset == 0:
            raise Malformed(self.structure, _CUT_SHORT, offset=0)

    def _translated(self, error: Exception) -> Malformed:
        reason = _CUT_SHORT if isinstance(error, EOFError) else _BAD_DATA
        for text, meaning in _NATIVE_REASONS.items():
            if str(error).startswith(text):
                reason = meaning
        return Malformed(self.structure, reason, offset=self._feed.offset)


class _NativeSource:
    """What a native reader reads from."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def readinto(self, view: memoryview) -> int:
        # Within data and in trailers the reader keeps a few bytes back; what is more is a header of
        # which it has not seen the end. It would double its buffer for it without a limit.
        kept = _NATIVE_BUFFER_SIZE - len(view)
        if kept >= MAX_GZIP_HEADER_SIZE:
            raise Malformed("gzip stream", _LONG_HEADER, offset=self._feed.offset)
        return self._feed.readinto(view[: BLOCK_SIZE // 2])

    def read(self, size: int) -> bytes:
        # Never called: by this name the library tells a file from a buffer.
        return self._feed.read(size)


@functools.cache
def gzip_readers() -> dict[str, Callable[[Feed], Reader]]:
    """The ways to read gzip that are to be had here, by name, the fastest first.

    Returns:
        What makes a reader of each; the first is the one to use.
    """
    libraries = inflating_libraries()
    native = {
        f"{library.__name__} native": functools.partial(NativeGzipReader, library=library)
        for library in libraries
        if hasattr(library, "_GzipReader")
    }
    framed = {
        library.__name__: functools.partial(GzipReader, library=library) for library in libraries
    }
    return {**native, **framed}
