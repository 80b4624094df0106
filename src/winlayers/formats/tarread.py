"""Reading tars, entry by entry, from anything that has ``read``.

``TarReader`` gives a ``TarHeader`` for each entry and then its body. It takes what Go's archive/tar takes
and refuses what that refuses, so that two tools never see different entries in one tar. It works on
blocks of the source as they come, never copies a body that nobody asked for, and needs no more memory
than one such block and one header. This module knows no names and no files.

Source: formats.md 1.5a; checked against the vectors gotar_read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from winlayers.base.fileobj import RawReader
from winlayers.errors import Malformed, TooLarge
from winlayers.formats import tarsparse
from winlayers.formats.pax import RECORDS_LIMIT, parse_decimal, parse_pax_time, parse_records
from winlayers.formats.tarblock import (
    ANY_FORMAT,
    BLOCK_SIZE,
    BODILESS_TYPES,
    ENDS_EARLY,
    GNU,
    MAGIC_GNU,
    PAX,
    STRUCTURE_TAR,
    TOO_LONG,
    TYPE_DIRECTORY,
    TYPE_EXTENDED,
    TYPE_GLOBAL,
    TYPE_GNU_SPARSE,
    TYPE_LONG_LINK,
    TYPE_LONG_NAME,
    TYPE_OLD_REGULAR,
    TYPE_REGULAR,
    USTAR,
    ZERO_BLOCK,
    Block,
    TarFormat,
    TarHeader,
    malformed,
    parse_block,
    shown,
    text_of,
)
from winlayers.formats.tarplain import PlainBlocks

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes asked of the source at a time.
READ_SIZE = 1 << 20
# Below this, reading on is as fast as seeking, and the next header comes with it.
_SEEK_SIZE = 1 << 18
# The most zeros that reading a whole body may make out of holes.
_WHOLE_SPARSE_LIMIT = 1 << 30

_GIGA = 1_000_000_000
_EXTENSIONS = frozenset({TYPE_EXTENDED, TYPE_GLOBAL, TYPE_LONG_NAME, TYPE_LONG_LINK})
#: The format guessed from the set of those that are left.
_GUESSES: tuple[TarFormat | None, ...] = tuple(
    USTAR if left & USTAR else PAX if left & PAX else GNU if left & GNU else None
    for left in range(ANY_FORMAT + 1)
)


class TarSource(Protocol):
    """What a tar is read from.

    ``read`` may give less than asked for, and any bytes-like object, valid until the next ``read``; none
    only at the end. A method ``skip(size) -> int`` is used to pass over bodies, if there is one: it says
    how many bytes it skipped, less only at the end. Otherwise a source that is seekable is sought.
    """

    def read(self, size: int, /) -> bytes | bytearray | memoryview:
        """Bytes, at most ``size``."""


class TarReader:
    """The entries of a tar.

    Attributes:
        end_marker: zero blocks seen at the end: 0, 1 or 2. Two are usual, none is no error here.
    """

    def __init__(self, source: BinaryIO | TarSource) -> None:
        """Begin at the present position of ``source``, which is offset 0.

        Args:
            source: see ``TarSource``. More is read from it than is used, so what follows the end of the
                archive may be lost to others; closing and draining it is the caller's.
        """
        self.end_marker = 0
        self._source: TarSource = source
        self._skip_source = _way_to_skip(source)
        self._buffer: bytes | memoryview = b""
        self._at = 0  # in the buffer
        self._end = 0  # of the buffer
        self._base = 0  # offset of the buffer in the tar
        self._left = 0  # bytes of the stored body not read yet
        self._padding = 0  # after them
        self._sparse: tarsparse.SparseBody | None = None
        self._plain = PlainBlocks()
        self._header: TarHeader | None = None  # of the present entry
        self._block_at = 0  # offset of the block last read
        self._body: _Body | None = None
        self._ended = False
        self._error: Malformed | None = None

    @property
    def offset(self) -> int:
        """Bytes of the tar used so far: after ``next`` the start of the body, after the end its end."""
        return self._base + self._at

    def __iter__(self) -> Iterator[TarHeader]:
        """The entries from here on; bodies that were not read are skipped."""
        while (header := self.next()) is not None:
            yield header

    def next(self) -> TarHeader | None:
        """Go on to the next entry, past what is left of the present one.

        Returns:
            Its header, or None at the end: at two zero blocks, or where the source ends at the border of
            an entry (``end_marker`` tells).
        Raises:
            Malformed: a bad header, or the source ends elsewhere; from then on always the same error.
        """
        if self._error is not None:
            raise self._error
        if self._ended:
            return None
        if self._body is not None:
            self._body.close()
            self._body = None
        try:
            header = self._next()
        except Malformed as error:
            raise self._failed(error, self._block_at) from None
        self._ended = header is None
        return header

    def _next(self) -> TarHeader | None:
        start: int | None = None
        formats = ANY_FORMAT
        records: dict[bytes, bytes] = {}
        long_name = long_link = b""
        while True:
            rest = self._left + self._padding
            if rest > self._end - self._at:
                if not self._finish_body():
                    return None
            else:
                self._at += rest
            self._header = None
            self._block_at = self._base + self._at
            if start is None:
                start = self._block_at
            block = self._take(BLOCK_SIZE)
            fields = self._plain.parse(block) if len(block) == BLOCK_SIZE else None
            if fields is None:
                fields = self._parse_odd(block)
                if fields is None:
                    return None
            name, link, kind, size, mtime, ids, owner, times, allowed = fields
            formats &= allowed
            self._open_body(kind, size)
            if kind not in _EXTENSIONS:
                break
            body = self._take_extension()
            if kind == TYPE_LONG_NAME:
                formats &= GNU
                long_name = text_of(body)
            elif kind == TYPE_LONG_LINK:
                formats &= GNU
                long_link = text_of(body)
            else:
                formats &= PAX
                records = parse_records(body)
                if kind == TYPE_GLOBAL:
                    return self._global_header(name, records, formats, start)
        mode, uid, gid = ids
        uname, gname, devmajor, devminor = owner
        atime, ctime = times
        header = TarHeader(
            name,
            kind,
            link,
            size,
            mode,
            uid,
            gid,
            uname,
            gname,
            devmajor,
            devminor,
            mtime * _GIGA,
            None if atime is None else atime * _GIGA,
            None if ctime is None else ctime * _GIGA,
            records,
            _GUESSES[formats],
            start,
        )
        self._header = header
        self._complete(header, block, long_name, long_link)
        return header

    def _complete(
        self, header: TarHeader, block: bytes, long_name: bytes, long_link: bytes
    ) -> None:
        """Apply what stood before the block to its header, and get ready for the body."""
        records = header.pax
        if records:
            _apply_records(header)
        if long_name:
            header.name = long_name
        if long_link:
            header.linkname = long_link
        if header.typeflag == TYPE_OLD_REGULAR:
            header.typeflag = TYPE_DIRECTORY if header.name.endswith(b"/") else TYPE_REGULAR
        self._open_body(header.typeflag, header.size)
        header.body_offset = self._base + self._at
        header.stored_size = self._left
        if header.typeflag == TYPE_GNU_SPARSE or (records and tarsparse.version_of(records)):
            self._set_up_sparse(header, block)

    # Blocks and bodies in the source

    def _parse_odd(self, block: bytes) -> Block | None:
        """A block that is not plain: zeros, the end of the source, another kind, or a bad one."""
        if not block:
            return None
        if len(block) < BLOCK_SIZE:
            raise self._cut()
        if block != ZERO_BLOCK:
            return parse_block(block)
        self.end_marker = 1
        block = self._take(BLOCK_SIZE)
        if not block:
            return None
        if len(block) < BLOCK_SIZE:
            raise self._cut()
        if block != ZERO_BLOCK:
            raise malformed("one zero block, and then one that is not")
        self.end_marker = 2
        return None

    def _open_body(self, kind: bytes, size: int) -> None:
        self._sparse = None
        if kind in BODILESS_TYPES:
            self._left = self._padding = 0
            return
        if size < 0:
            raise malformed(f"negative size {size}")
        self._left = size
        self._padding = -size % BLOCK_SIZE

    def _finish_body(self) -> bool:
        """Pass over the rest of the body and its padding; False where the source ends in the padding."""
        if not self._discard(self._left):
            raise self._cut()
        self._left = 0
        padding, self._padding = self._padding, 0
        return self._discard(padding)

    def _take_extension(self) -> bytes:
        """The body of an ``x``, ``g``, ``L`` or ``K`` entry."""
        wanted = min(self._left, RECORDS_LIMIT + 1)
        body = self._take(wanted)
        if len(body) < wanted:
            raise self._cut()
        if wanted > RECORDS_LIMIT:
            raise malformed(TOO_LONG)
        self._left = 0
        return body

    def _take(self, size: int) -> bytes:
        """The next bytes; less only at the end of the source."""
        at = self._at
        if size <= self._end - at:
            self._at = at + size
            return bytes(self._buffer[at : at + size])
        pieces = []
        while size and (self._at < self._end or self._fill()):
            pieces.append(bytes(self._buffer[self._at : self._at + size]))
            self._at += len(pieces[-1])
            size -= len(pieces[-1])
        return b"".join(pieces)

    def _fill(self) -> bool:
        """Get the next block of the source in place of the present one, which must be used up."""
        chunk = self._source.read(READ_SIZE)
        self._base += self._end
        self._at = 0
        self._end = len(chunk)
        self._buffer = chunk if type(chunk) is bytes else memoryview(chunk)
        return self._end > 0

    def _discard(self, size: int) -> bool:
        """Pass over bytes; whether the source has that many."""
        while size > self._end - self._at:
            size -= self._end - self._at
            self._at = self._end
            if self._skip_source is not None and size >= _SEEK_SIZE:
                skipped = self._skip_source(size)
                self._base += skipped
                return skipped >= size
            if not self._fill():
                return False
        self._at += size
        return True

    def _cut(self) -> Malformed:
        """The error for a source that ends where it must not."""
        return Malformed(STRUCTURE_TAR, ENDS_EARLY, offset=self.offset)

    def _failed(self, error: Malformed, offset: int) -> Malformed:
        """The error with its place added; it is the only answer from now on."""
        self._error = Malformed(
            error.structure,
            error.reason,
            offset=offset if error.offset is None else error.offset,
            entry=None if self._header is None else shown(self._header.name),
        )
        return self._error

    # Kinds of entries

    def _global_header(
        self, name: bytes, records: dict[bytes, bytes], formats: int, start: int
    ) -> TarHeader:
        at = self._base + self._at
        return TarHeader(
            records.get(b"path") or name,
            TYPE_GLOBAL,
            pax=records,
            format=_GUESSES[formats],
            offset=start,
            body_offset=at,
        )

    def _set_up_sparse(self, header: TarHeader, block: bytes) -> None:
        """Read the map of a sparse entry, so that its body is read expanded."""
        if header.typeflag == TYPE_GNU_SPARSE:
            if block[257:265] != MAGIC_GNU:
                raise malformed("old GNU sparse entry without a GNU header")
            header.size, runs = tarsparse.read_old_map(block, self._take_map_block)
        else:
            runs = self._read_pax_map(header)
        if header.typeflag in BODILESS_TYPES:
            raise malformed("sparse entry of a type without a body")
        tarsparse.check_runs(runs, header.size)
        header.sparse = runs
        header.body_offset = self._base + self._at
        header.stored_size = self._left
        self._sparse = tarsparse.SparseBody(runs, header.size, self._left, self._read_stored)

    def _read_pax_map(self, header: TarHeader) -> tarsparse.Runs:
        records = header.pax
        header.name = records.get(tarsparse.NAME_KEY) or header.name
        size = records.get(tarsparse.SIZE_KEY) or records.get(tarsparse.REAL_SIZE_KEY)
        if size:
            header.size = parse_decimal(size)
        if tarsparse.version_of(records) == "1.0":
            return tarsparse.read_map_in_body(self._take_body_block)
        return tarsparse.parse_map_record(records)

    def _take_map_block(self) -> bytes:
        block = self._take(BLOCK_SIZE)
        if len(block) < BLOCK_SIZE:
            raise self._cut()
        return block

    def _take_body_block(self) -> bytes:
        block = self._take(min(BLOCK_SIZE, self._left))
        self._left -= len(block)
        if len(block) < BLOCK_SIZE:
            raise self._cut()
        return block

    # The body of the present entry

    def read(self, size: int = -1) -> bytes:
        """Read on in the body of the present entry.

        Args:
            size: how many bytes at the most; negative for all that is left.
        Returns:
            As many bytes as asked for, less only at the end of the body.
        Raises:
            Malformed: the source ends before the body does, or a sparse map does not fit the data.
            TooLarge: all of a sparse body was asked for, and that is more than 1 GiB.
        """
        remaining = self._left if self._sparse is None else self._sparse.remaining
        if size < 0 and self._sparse is not None and remaining > _WHOLE_SPARSE_LIMIT:
            raise TooLarge(f"sparse body of {remaining} bytes is too large to be read as a whole")
        wanted = remaining if size < 0 else min(size, remaining)
        pieces = []
        while wanted:
            pieces.append(self._read_some(wanted))
            wanted -= len(pieces[-1])
        if size and self._sparse is not None and not self._sparse.remaining:
            self._read_some(1)  # an error if there is more data than the map uses
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read some bytes of the body of the present entry into ``buffer``.

        Returns:
            How many bytes, 0 only at the end of the body.
        Raises:
            Malformed: see ``read``; bytes before the fault were given out.
        """
        view = memoryview(buffer).cast("B")
        piece = self._read_some(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def open_body(self) -> BinaryIO:
        """The body of the present entry as a file object, from where it was read up to.

        Returns:
            A raw file object. It is closed by going on to the next entry.
        """
        if self._body is None:
            self._body = _Body(self)
        return self._body

    def _read_some(self, size: int) -> bytes:
        if self._error is not None:
            raise self._error
        try:
            return self._read_stored(size) if self._sparse is None else self._sparse.read_some(size)
        except Malformed as error:
            raise self._failed(error, self.offset) from None

    def _read_stored(self, size: int) -> bytes:
        """Some bytes of the body as it is stored, none only at its end."""
        size = min(size, self._left)
        if not size:
            return b""
        if self._at == self._end and not self._fill():
            raise self._cut()
        piece = bytes(self._buffer[self._at : min(self._at + size, self._end)])
        self._at += len(piece)
        self._left -= len(piece)
        return piece


class _Body(RawReader):
    """The body of a reader's present entry."""

    def __init__(self, reader: TarReader) -> None:
        self._reader = reader

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("the reader has gone on to the next entry")
        return self._reader.read(-1 if size is None else size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise ValueError("the reader has gone on to the next entry")
        return self._reader.readinto(buffer)


def _apply_records(header: TarHeader) -> None:
    """Let records take the place of fields; an empty value leaves its field alone."""
    get = header.pax.get
    if text := get(b"mtime"):
        header.mtime_ns = parse_pax_time(text)
    if text := get(b"atime"):
        header.atime_ns = parse_pax_time(text)
    if text := get(b"ctime"):
        header.ctime_ns = parse_pax_time(text)
    if text := get(b"path"):
        header.name = text
    if text := get(b"linkpath"):
        header.linkname = text
    if text := get(b"size"):
        header.size = parse_decimal(text)
    if text := get(b"uid"):
        header.uid = parse_decimal(text)
    if text := get(b"gid"):
        header.gid = parse_decimal(text)
    if text := get(b"uname"):
        header.uname = text
    if text := get(b"gname"):
        header.gname = text


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
        # Seeking does not notice the end, so the last byte is read.
        start = file.tell()
        file.seek(start + size - 1)
        if file.read(1):
            return size
        return max(file.seek(0, os.SEEK_END) - start, 0)

    return seek_past
