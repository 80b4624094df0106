"""What a backup stream holds, taken apart into an entry's metadata and parts, and put together again.

Windows gives the parts of a file in an order of its own, and metadata may come after the data. So a
stream is first gone through as a whole: metadata is kept, content only marked by its place. This module
knows entries and backup streams, no tars and no files on disk.

Source: WIN32_STREAM_ID in the Win32 reference; sparse forms as in microsoft/go-winio backuptar/tar.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from winlayers.base.fileobj import BLOCK_SIZE, RawReader, read_into
from winlayers.errors import Malformed, TooLarge
from winlayers.formats.backupstream import (
    BackupReader,
    BackupWriter,
    PartAttributes,
    PartHeader,
    PartId,
)
from winlayers.formats.ea import build_ea_list, parse_ea_list
from winlayers.layer.entry import STREAM_ATTRIBUTE_SPARSE, Entry, Extent, Part
from winlayers.layer.findings import Finding
from winlayers.layer.names import fold
from winlayers.layer.streamnames import bare_name, full_name

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Parts that belong to a volume and not to content: hard links, properties, object ids, transactions.
DROPPED_IDS = frozenset({PartId.LINK, PartId.PROPERTY, PartId.OBJECT_ID, PartId.TXFS})

_STRUCTURE = "backup stream"
# A tar header has no room for more, and no descriptor or EA list of Windows is nearly as large.
_METADATA_LIMIT = 1 << 20
_MAX_BLOCK_COUNT = 1 << 20
_ZEROS = bytes(1 << 16)


@dataclass(slots=True)
class BackupContents:
    """What one backup stream holds.

    Attributes:
        security: the descriptor, ``b""`` for none.
        ea: list of extended attributes, ``b""`` for none.
        reparse: the reparse buffer, ``b""`` for none.
        data: the unnamed data, or None where there was no data part. The extents are places in the file
            object that the stream was read from.
        streams: the alternate streams, in order.
    """

    security: bytes = b""
    ea: bytes = b""
    reparse: bytes = b""
    data: Part | None = None
    streams: list[Part] = field(default_factory=list)

    @property
    def parts(self) -> list[Part]:
        """The data if there is any, then the alternate streams."""
        return self.streams if self.data is None else [self.data, *self.streams]

    def take_metadata(self, reader: BackupReader, header: PartHeader) -> None:
        """Keep a part that is metadata; a later one of the same kind replaces it, EAs are added up.

        Args:
            reader: stands at the body of the part.
            header: of the part: security, EA or reparse data.
        Raises:
            TooLarge: more than 1 MiB.
            Malformed: EAs that do not parse.
        """
        if header.size > _METADATA_LIMIT:
            what = f"part {header.id} of a backup stream"
            raise TooLarge(f"{what} has {header.size} bytes, more than {_METADATA_LIMIT}")
        body = reader.read()
        if header.id == PartId.SECURITY:
            self.security = body
        elif header.id == PartId.REPARSE:
            self.reparse = body
        else:
            attributes = parse_ea_list(body)
            self.ea = build_ea_list([*parse_ea_list(self.ea), *attributes]) if self.ea else body

    def open_parts(self, source: BinaryIO) -> Iterator[tuple[Part, BinaryIO]]:
        """All parts with their bytes; each file object is valid until the next.

        Args:
            source: the file object that the stream was read from.
        """
        for part in self.parts:
            yield part, PartReader(source, part)


METADATA_IDS = frozenset({PartId.SECURITY, PartId.EA, PartId.REPARSE})


def collect_parts(
    source: BinaryIO, path: str, report: Callable[[Finding], None] = lambda finding: None
) -> BackupContents:
    """Go through a whole backup stream.

    Args:
        source: a file object that can seek, at the start of the stream, which reaches to its end.
        path: of the entry, for errors and reports.
        report: told of the parts that belong to a volume, which are dropped.
    Returns:
        What it holds. A sparse part has an extent for each of its ranges.
    Raises:
        Malformed: the stream, or parts that cannot be: data twice, two alternate streams of one name,
            unknown ids, sparse blocks out of order.
        TooLarge: absurdly much metadata, or more than a million ranges of a sparse file.
        InvalidName: an alternate stream whose name cannot be one.
    """
    return _Collector(source, path, report).collect()


class _Collector:
    """One pass over a backup stream."""

    def __init__(self, source: BinaryIO, path: str, report: Callable[[Finding], None]) -> None:
        self._source = source
        self._path = path
        self._report = report
        self._reader = BackupReader(source)
        self._contents = BackupContents()
        self._names: set[str] = set()

    def collect(self) -> BackupContents:
        header = self._reader.next()
        while header is not None:
            header = self._take(header)
        return self._contents

    def _take(self, header: PartHeader) -> PartHeader | None:
        """Take one part in, with its sparse blocks; the header of the next one."""
        contents = self._contents
        if header.id == PartId.DATA:
            if contents.data is not None:
                raise self._malformed("data comes twice")
            contents.data, following = self._content(header, "")
            return following
        if header.id == PartId.ALTERNATE:
            name = bare_name(header.name, self._path)
            if fold(name) in self._names:
                raise self._malformed(f"alternate stream {name!r} comes twice")
            self._names.add(fold(name))
            part, following = self._content(header, name)
            contents.streams.append(part)
            return following
        if header.id in METADATA_IDS:
            contents.take_metadata(self._reader, header)
        elif header.id in DROPPED_IDS:
            detail = f"{PartId(header.id).name.lower()} of {header.size} bytes"
            self._report(Finding("part-dropped", self._path, detail))
        else:
            raise self._malformed(f"unknown stream ID {header.id}")
        return self._reader.next()

    def _content(self, header: PartHeader, name: str) -> tuple[Part, PartHeader | None]:
        """A part with content, and the header after it and its sparse blocks."""
        attributes = header.attributes & STREAM_ATTRIBUTE_SPARSE
        if header.size or not attributes:
            extents = (Extent(0, self._source.tell(), header.size),) if header.size else ()
            return Part(name, header.size, attributes, extents), self._reader.next()
        # An empty sparse file has no blocks at all.
        block = self._reader.next()
        if block is None or block.id != PartId.SPARSE_BLOCK:
            return Part(name, 0, attributes, ()), block
        blocks: list[Extent] = []
        end = 0
        while block is not None and block.id == PartId.SPARSE_BLOCK:
            if block.offset < end:
                raise self._malformed(f"cannot seek back from {end} to {block.offset}")
            if not block.size:
                return Part(name, block.offset, attributes, tuple(blocks)), self._reader.next()
            if len(blocks) == _MAX_BLOCK_COUNT:
                raise TooLarge(f"{self._path!r} has more than {_MAX_BLOCK_COUNT} ranges")
            blocks.append(Extent(block.offset, self._source.tell(), block.size))
            end = block.offset + block.size
            block = self._reader.next()
        raise self._malformed("sparse blocks without the one that ends them")

    def _malformed(self, reason: str) -> Malformed:
        return Malformed(_STRUCTURE, reason, entry=self._path)


class PartReader(RawReader):
    """The bytes of a part that lies in a file object which can seek, holes as zeros.

    Args:
        source: what the extents of the part are places in; its position is used.
        part: has extents.
    """

    def __init__(self, source: BinaryIO, part: Part) -> None:
        self._source = source
        self._size = part.size
        self._extents = iter((*(part.extents or ()), Extent(part.size, 0, 0)))
        self._extent = next(self._extents)
        self._at = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on; may give less than asked for, and nothing only at the end.

        Raises:
            Malformed: the source ends within an extent.
        """
        if size is None or size < 0:
            return self.readall()
        wanted = min(size, self._size - self._at)
        if not wanted:
            return b""
        while self._at >= self._extent.offset + self._extent.size and self._extent.size:
            self._extent = next(self._extents)
        if self._at < self._extent.offset:
            data = _ZEROS[: min(wanted, self._extent.offset - self._at)]
        else:
            data = self._read_extent(wanted)
        self._at += len(data)
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return read_into(self, buffer)

    def _read_extent(self, wanted: int) -> bytes:
        skipped = self._at - self._extent.offset
        self._source.seek(self._extent.source_offset + skipped)
        data = self._source.read(min(wanted, self._extent.size - skipped))
        if not data:
            raise Malformed(_STRUCTURE, "ends within a part")
        return data


def write_backup(
    target: BinaryIO,
    entry: Entry,
    parts: Iterable[tuple[Part, BinaryIO]],
    *,
    exact: bool = True,
) -> None:
    """Write the backup stream of an entry, in the order 3, 2, 8, 1, 4*.

    Args:
        target: buffered file object.
        entry: a file or directory; times and attributes are not part of a backup stream.
        parts: its data and alternate streams, each as long as it says.
        exact: see ``BackupWriter``.
    Raises:
        Malformed: a part of another size than it said.
        InvalidName: a name of an alternate stream that cannot be written.
    """
    writer = BackupWriter(target, exact=exact)
    write_metadata(writer, entry.security, entry.ea, entry.reparse)
    for part, source in parts:
        part_id = PartId.ALTERNATE if part.name else PartId.DATA
        name = full_name(part.name) if part.name else ""
        attributes = part.attributes & PartAttributes.SPARSE
        writer.header(PartHeader(part_id, attributes, part.size, name))
        while data := source.read(BLOCK_SIZE):
            writer.write(data)
    writer.close()


def write_metadata(writer: BackupWriter, security: bytes, ea: bytes, reparse: bytes) -> None:
    """Write the parts that come before the data, those that are not empty."""
    for part_id, body in (
        (PartId.SECURITY, security),
        (PartId.EA, ea),
        (PartId.REPARSE, reparse),
    ):
        if body:
            writer.header(PartHeader(part_id, size=len(body)))
            writer.write(body)
