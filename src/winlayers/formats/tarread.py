"""Reading tars, entry by entry, from anything that has ``read``.

``TarReader`` gives a ``TarHeader`` for each entry and then its body. It takes what Go's archive/tar takes
and refuses what that refuses, so that two tools never see different entries in one tar. It works on
blocks of the source as they come, never copies a body that nobody asked for, and needs no more memory
than one such block and one header. This module knows no names and no files.

Source: golang/go src/archive/tar; checked against the vectors gotar_read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from winlayers.base.fileobj import RawReader
from winlayers.errors import Malformed, TooLarge
from winlayers.formats import tarsparse
from winlayers.formats.pax import (
    FIELD_KEYS,
    RECORDS_LIMIT,
    parse_decimal,
    parse_pax_time,
    parse_plain_records,
    parse_records,
)
from winlayers.formats.tarblock import (
    ANY_FORMAT,
    BLOCK_SIZE,
    BODILESS_TYPES,
    DAMAGED,
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
from winlayers.formats.tarsource import TarSource, Window

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# The most zeros that reading a whole body may make out of holes.
_WHOLE_SPARSE_LIMIT = 1 << 30

_GIGA = 1_000_000_000
_EXTENDED = ord(TYPE_EXTENDED)
_PLAIN_TYPES = frozenset({TYPE_REGULAR}) | BODILESS_TYPES
_SELDOM_RECORDS = FIELD_KEYS - {b"mtime", b"atime", b"ctime"}
_EXTENSIONS = frozenset({TYPE_EXTENDED, TYPE_GLOBAL, TYPE_LONG_NAME, TYPE_LONG_LINK})
#: The format guessed from the set of those that are left.
_GUESSES: tuple[TarFormat | None, ...] = tuple(
    USTAR if left & USTAR else PAX if left & PAX else GNU if left & GNU else None
    for left in range(ANY_FORMAT + 1)
)


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
        self._window = Window(source)
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
        return self._window.offset

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
            header = self._next_plain() or self._next()
        except Malformed as error:
            raise self._failed(error, self._block_at) from None
        self._ended = header is None
        return header

    def _next_plain(self) -> TarHeader | None:
        """The next entry if it is like nearly all: plain blocks, wholly in the buffer, not sparse.

        This is ``_next`` for that case alone, in one piece because the import waits for it. None leaves
        the entry, errors included, to ``_next``; nothing has moved then.
        """
        window, plain = self._window, self._plain
        buffer, base, end = window.buffer, window.base, window.end
        start = window.at + self._left + self._padding
        at = start + BLOCK_SIZE
        if at > end:
            return None
        block = bytes(buffer[start:at])
        records: dict[bytes, bytes] | None = {}
        formats = ANY_FORMAT
        if block[156] == _EXTENDED:
            extension = plain.parse_extension(block)
            if extension is None:
                return None
            size, formats = extension
            main = at + size + -size % BLOCK_SIZE
            if size > RECORDS_LIMIT or main + BLOCK_SIZE > end:
                return None
            records = parse_plain_records(bytes(buffer[at : at + size]))
            formats &= PAX
            at = main + BLOCK_SIZE
            block = bytes(buffer[main:at])
        fields = plain.parse(block)
        if fields is None or records is None:
            return None
        name, link, kind, size, mtime, (mode, uid, gid), owner, _, allowed = fields
        if kind not in _PLAIN_TYPES:
            return None
        header = TarHeader(
            name,
            kind,
            link,
            size,
            mode,
            uid,
            gid,
            *owner,
            mtime * _GIGA,
            None,
            None,
            records,
            _GUESSES[formats & allowed],
            base + start,
            base + at,
        )
        if records:
            try:
                _apply_records(header)
            except Malformed:
                return None
            size = header.size
        if kind in BODILESS_TYPES:
            self._left = self._padding = 0
        elif size < 0:
            return None
        else:
            self._left = header.stored_size = size
            self._padding = -size % BLOCK_SIZE
        window.at = at
        self._header = header
        self._sparse = None
        return header

    def _next(self) -> TarHeader | None:
        """The next entry, whatever its kind."""
        before = _Extensions()
        start: int | None = None
        while self._finish_body():
            self._block_at = self.offset
            if start is None:
                start = self._block_at
            block = self._window.take(BLOCK_SIZE)
            fields = self._parse(block)
            if fields is None:
                return None
            kind = fields[2]
            before.formats &= fields[-1]
            self._open_body(kind, fields[3])
            if kind not in _EXTENSIONS:
                return self._complete(fields, block, before, start)
            before.add(kind, self._take_extension())
            if kind == TYPE_GLOBAL:
                return self._global_header(fields[0], before, start)
        return None

    def _complete(self, fields: Block, block: bytes, before: _Extensions, start: int) -> TarHeader:
        """The header of an entry from its block and what stood before; the body is got ready."""
        name, link, kind, size, mtime, ids, owner, (atime, ctime), _ = fields
        header = self._header = TarHeader(name, kind, link, size, *ids)
        header.uname, header.gname, header.devmajor, header.devminor = owner
        header.mtime_ns = mtime * _GIGA
        header.atime_ns = None if atime is None else atime * _GIGA
        header.ctime_ns = None if ctime is None else ctime * _GIGA
        header.format = _GUESSES[before.formats]
        header.offset = start
        records = header.pax = before.records
        _apply_records(header)
        header.name = before.long_name or header.name
        header.linkname = before.long_link or header.linkname
        if header.typeflag == TYPE_OLD_REGULAR:
            header.typeflag = TYPE_DIRECTORY if header.name.endswith(b"/") else TYPE_REGULAR
        self._open_body(header.typeflag, header.size)
        header.body_offset = self.offset
        header.stored_size = self._left
        if header.typeflag == TYPE_GNU_SPARSE or tarsparse.version_of(records):
            self._set_up_sparse(header, block)
        return header

    # Blocks and bodies in the source

    def _parse(self, block: bytes) -> Block | None:
        """The fields of a block that was taken; None at the end of the tar."""
        if not block:
            return None
        if len(block) < BLOCK_SIZE:
            raise self._cut()
        if block != ZERO_BLOCK:
            return self._plain.parse(block) or parse_block(block)
        self.end_marker += 1
        if self.end_marker == 2:
            return None
        if self._parse(self._window.take(BLOCK_SIZE)) is not None:
            raise malformed("one zero block, and then one that is not")
        return None

    def _open_body(self, kind: bytes, size: int) -> None:
        """Get ready for the body of the block that was taken."""
        if kind in BODILESS_TYPES:
            size = 0
        if size < 0:
            raise malformed(f"negative size {size}")
        self._left = size
        self._padding = -size % BLOCK_SIZE

    def _finish_body(self) -> bool:
        """Pass over the rest of the body and its padding; False where the source ends in the padding."""
        if not self._window.pass_over(self._left):
            raise self._cut()
        padding, self._left, self._padding = self._padding, 0, 0
        self._sparse = None
        self._header = None
        return self._window.pass_over(padding)

    def _take_extension(self) -> bytes:
        """The body of an ``x``, ``g``, ``L`` or ``K`` entry."""
        body = self._take(min(self._left, RECORDS_LIMIT + 1))
        if len(body) > RECORDS_LIMIT:
            raise malformed(TOO_LONG)
        self._left = 0
        return body

    def _take(self, size: int) -> bytes:
        """The next bytes, all of them."""
        taken = self._window.take(size)
        if len(taken) < size:
            raise self._cut()
        return taken

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
            finding=error.finding or DAMAGED,
        )
        return self._error

    # Kinds of entries

    def _global_header(self, name: bytes, before: _Extensions, start: int) -> TarHeader:
        """An entry that says something of all that follow; here it is only handed out."""
        records = before.records
        return TarHeader(
            records.get(b"path") or name,
            TYPE_GLOBAL,
            pax=records,
            format=_GUESSES[before.formats],
            offset=start,
            body_offset=self.offset,
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
        header.body_offset = self.offset
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
        return self._take(BLOCK_SIZE)

    def _take_body_block(self) -> bytes:
        if self._left < BLOCK_SIZE:
            raise self._cut()
        self._left -= BLOCK_SIZE
        return self._take(BLOCK_SIZE)

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
        piece = self._window.take_some(size)
        if not piece:
            raise self._cut()
        self._left -= len(piece)
        return piece


class _Extensions:
    """What the blocks before an entry's own say of it.

    Attributes:
        records: those of the last extended header.
        long_name, long_link: from GNU's blocks for them.
        formats: set of formats that all blocks so far allow.
    """

    __slots__ = ("formats", "long_link", "long_name", "records")

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.long_name = b""
        self.long_link = b""
        self.formats = ANY_FORMAT

    def add(self, kind: bytes, body: bytes) -> None:
        """Take in the body of a block of type ``x``, ``g``, ``L`` or ``K``; the last of a kind counts."""
        if kind == TYPE_LONG_NAME:
            self.formats &= GNU
            self.long_name = text_of(body)
        elif kind == TYPE_LONG_LINK:
            self.formats &= GNU
            self.long_link = text_of(body)
        else:
            self.formats &= PAX
            self.records = parse_records(body)


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
    if _SELDOM_RECORDS.isdisjoint(header.pax):
        return
    header.name = get(b"path") or header.name
    header.linkname = get(b"linkpath") or header.linkname
    header.uname = get(b"uname") or header.uname
    header.gname = get(b"gname") or header.gname
    if text := get(b"size"):
        header.size = parse_decimal(text)
    if text := get(b"uid"):
        header.uid = parse_decimal(text)
    if text := get(b"gid"):
        header.gid = parse_decimal(text)
