"""A backup stream as entries of a layer tar, and entries of a layer tar as a backup stream.

This is the conversion of the original, for whoever has a backup stream: files of Windows, base layers,
golden vectors. What of a stream is carried where depends on the dialect, and in ``Dialect.GO`` on whether
the source can seek, because the original reads such sources twice:

    part                    before the data             after the data
    1 data                  the body                    error
    2 extended attributes   records                     records if the source can seek, else lost
    3 security, 8 reparse   records, link               error
    4 alternate stream      lost                        an entry of its own
    5 6 7 10                dropped                     dropped
    9 sparse block          error, but in a sparse body of a source that cannot seek
    all others              error                       error

``Dialect.FULL`` goes through the whole stream first and loses nothing but 5, 6, 7 and 10. This module
knows no files on disk and no order of entries.

Source: microsoft/go-winio backuptar/tar.go (WriteTarFileFromBackupStream, WriteBackupStreamFromTarFile);
checked against the vectors backup_to_tar and tar_to_backup.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

from winlayers.base.fileobj import BLOCK_SIZE, CountingReader, copy
from winlayers.errors import Malformed, Unsupported
from winlayers.formats.backupstream import BackupReader, BackupWriter, PartHeader, PartId
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.tar import TarHeader, TarReader, TarWriter
from winlayers.formats.text16 import utf8_decode_go
from winlayers.layer.backupcontents import (
    DROPPED_IDS,
    METADATA_IDS,
    BackupContents,
    collect_parts,
    write_metadata,
)
from winlayers.layer.backuptarwriter import TarEntryWriter
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_DIRECTORY,
    STREAM_ATTRIBUTE_SPARSE,
    Entry,
    EntryKind,
    Part,
)
from winlayers.layer.findings import Finding
from winlayers.layer.names import decode_name, encode_name
from winlayers.layer.streamnames import TYPE_SUFFIX
from winlayers.layer.tarencoder import HeaderEncoder
from winlayers.layer.tarheaders import (
    TYPE_REGULAR,
    Dialect,
    HeaderDecoder,
    parse_descriptor_records,
    parse_ea_records,
)

_STRUCTURE = "backup stream"


def _ignore(finding: Finding) -> None:
    """For whoever does not want to know."""


def write_tar_from_backup(
    target: TarWriter,
    path: str,
    size: int,
    info: BasicInfo,
    stream: BinaryIO,
    *,
    seekable: bool,
    dialect: Dialect = Dialect.FULL,
    report: Callable[[Finding], None] = _ignore,
    spool: Callable[[], BinaryIO] = io.BytesIO,
) -> None:
    """Write the tar entry of a file whose backup stream is at hand, and those of its alternate streams.

    Args:
        target: stands between two entries.
        path: of the entry; not checked.
        size: bytes of the file's data; not regarded for directories.
        info: times and attributes.
        stream: the backup stream, to its end.
        seekable: whether ``stream`` may be sought.
        dialect: see ``Dialect``.
        report: called with each loss.
        spool: makes an empty file that a stream which cannot be sought is put in (FULL). The default
            keeps it in memory.
    Raises:
        Malformed: the stream, or a size that is not that of the data; what was written stays.
        Unsupported: what the original cannot write (GO).
        InvalidName: a name that cannot be written.
    """
    kind = EntryKind.DIRECTORY if info.attributes & FILE_ATTRIBUTE_DIRECTORY else EntryKind.FILE
    entry = Entry(
        path,
        kind,
        info.attributes,
        info.creation_filetime,
        info.access_filetime,
        info.write_filetime,
        info.change_filetime,
        size if kind is EntryKind.FILE else 0,
    )
    encoder = HeaderEncoder(dialect, report)
    if dialect is Dialect.GO:
        _GoConversion(target, entry, size, encoder).run(stream, seekable=seekable)
        return
    if not seekable:
        spooled = spool()
        copy(stream, spooled)
        spooled.seek(0)
        stream = spooled
    contents = collect_parts(stream, path, report)
    found = 0 if contents.data is None else contents.data.size
    if found != entry.size:
        raise Malformed(_STRUCTURE, f"holds {found} bytes of data, not {entry.size}", entry=path)
    _take_over(entry, contents)
    TarEntryWriter(target, encoder).write(entry, contents.open_parts(stream))


def _take_over(entry: Entry, contents: BackupContents) -> None:
    """Put the metadata of a backup stream into an entry that is being made."""
    entry.security = contents.security
    entry.ea = contents.ea
    entry.reparse = contents.reparse


class _GoConversion:
    """One file as the original converts it: byte for byte, with the same losses and errors."""

    def __init__(self, target: TarWriter, entry: Entry, size: int, encoder: HeaderEncoder) -> None:
        self._target = target
        self._entry = entry
        self._size = size
        self._encoder = encoder

    def run(self, stream: BinaryIO, *, seekable: bool) -> None:
        if seekable:
            origin = stream.tell()
            self._metadata(BackupReader(stream, exact=False), whole=True)
            stream.seek(origin)
            reader = BackupReader(stream, exact=False)
            data = next((part for part in reader if part.id == PartId.DATA), None)
        else:
            reader = BackupReader(CountingReader(stream), exact=False)
            data = self._metadata(reader, whole=False)
        header = self._encoder.file_header(self._entry, has_data=data is not None)
        self._target.add(header)
        if data is not None:
            self._data(reader, data)
            self._after_data(reader, header, is_known=seekable)

    def _metadata(self, reader: BackupReader, *, whole: bool) -> PartHeader | None:
        """Collect metadata, from the whole stream or up to the data; the header of the data."""
        contents = BackupContents()
        data = None
        for part in reader:
            if part.id in METADATA_IDS:
                contents.take_metadata(reader, part)
            elif part.id == PartId.DATA:
                data = part
                if not whole:
                    break
            elif part.id == PartId.ALTERNATE:
                if data is None:
                    self._lost("stream-lost", f"alternate stream {part.name!r} before any data")
            elif part.id in DROPPED_IDS:
                self._dropped(part)
            else:
                raise self._malformed(f"unknown stream ID {part.id}")
        _take_over(self._entry, contents)
        return data

    def _data(self, reader: BackupReader, data: PartHeader) -> None:
        """The body of the entry."""
        if data.size or not data.attributes & STREAM_ATTRIBUTE_SPARSE:
            if data.size != self._size:
                sizes = f"file size {self._size} and header size {data.size}"
                raise self._malformed(f"mismatch between {sizes}")
            self._copy(reader)
        elif self._size:
            self._sparse_data(reader)

    def _sparse_data(self, reader: BackupReader) -> None:
        """Sparse blocks as one body with zeros between them."""
        at = 0
        while True:
            block = reader.next()
            if block is None:
                raise self._malformed("unexpected EOF among sparse blocks")
            if block.id != PartId.SPARSE_BLOCK:
                raise self._malformed(f"unexpected stream {block.id} among sparse blocks")
            if block.offset < at:
                raise self._malformed(f"cannot seek back from {at} to {block.offset}")
            self._zeros(block.offset - at)
            if not block.size:
                return
            self._copy(reader)
            at = block.offset + block.size

    def _after_data(self, reader: BackupReader, header: TarHeader, *, is_known: bool) -> None:
        """Alternate streams; ``is_known``: the first pass has told of the rest already."""
        for part in reader:
            if part.id == PartId.ALTERNATE:
                if part.attributes & STREAM_ATTRIBUTE_SPARSE:
                    what = "tar of sparse alternate data streams is unsupported"
                    raise Unsupported(f"{self._entry.path}: {what}")
                stream = self._encoder.stream_header(header, Part("", part.size))
                suffix = encode_name(part.name.removesuffix(TYPE_SUFFIX))
                stream.name = header.name + suffix
                self._target.add(stream)
                self._copy(reader)
            elif part.id == PartId.EA:
                if not is_known:
                    self._lost("ea-lost", "extended attributes after the data")
            elif part.id in DROPPED_IDS:
                if not is_known:
                    self._dropped(part)
            else:
                raise self._malformed(f"unknown stream ID {part.id} after data")

    def _copy(self, reader: BackupReader) -> None:
        while data := reader.read(BLOCK_SIZE):
            self._target.write(data)

    def _zeros(self, count: int) -> None:
        zeros = bytes(min(count, BLOCK_SIZE))
        while count:
            count -= self._target.write(zeros[:count])

    def _lost(self, code: str, detail: str) -> None:
        self._encoder.report(Finding(code, self._entry.path, detail))

    def _dropped(self, part: PartHeader) -> None:
        self._lost("part-dropped", f"{PartId(part.id).name.lower()} of {part.size} bytes")

    def _malformed(self, reason: str) -> Malformed:
        return Malformed(_STRUCTURE, reason, entry=self._entry.path)


def read_backup_from_tar(
    reader: TarReader,
    header: TarHeader,
    target: BinaryIO,
    *,
    dialect: Dialect = Dialect.FULL,
    report: Callable[[Finding], None] = _ignore,
) -> TarHeader | None:
    """Write the backup stream of a tar entry, and take in the alternate streams that follow it.

    The descriptor is passed on as it is: Windows will look at it.

    Args:
        reader: stands at the body of the entry.
        header: of the entry, which is no link and no whiteout.
        target: buffered file object that takes the backup stream.
        dialect: GO replaces lone surrogates in names and links, as the original does.
        report: called with what is odd but no error.
    Returns:
        The header of the next entry, which ``reader`` stands at, or None at the end of the tar.
    Raises:
        Malformed: the tar, or metadata that does not decode; what was written stays.
        InvalidName: a name that is not WTF-8 (FULL).
    """
    path = header.name.decode("utf-8", "backslashreplace")
    reparse = HeaderDecoder(dialect, report).reparse(path, header)
    security = parse_descriptor_records(header.pax)
    ea = parse_ea_records(header.pax)
    writer = BackupWriter(target, exact=dialect is Dialect.FULL)
    write_metadata(writer, security, ea, reparse)
    if header.typeflag == TYPE_REGULAR:
        writer.header(PartHeader(PartId.DATA, size=header.size))
        _copy_body(reader, writer)
    following = reader.next()
    while (
        following is not None
        and following.typeflag == TYPE_REGULAR
        and following.name.startswith(header.name + b":")
    ):
        raw = following.name[len(header.name) :]
        if dialect is Dialect.FULL:
            # Importers of composite images want the type in the tar, the original adds it.
            name = decode_name(raw).removesuffix(TYPE_SUFFIX) + TYPE_SUFFIX
        else:
            name = utf8_decode_go(raw) + TYPE_SUFFIX
        writer.header(PartHeader(PartId.ALTERNATE, 0, following.size, name))
        _copy_body(reader, writer)
        following = reader.next()
    writer.close()
    return following


def _copy_body(reader: TarReader, writer: BackupWriter) -> None:
    while data := reader.read(BLOCK_SIZE):
        writer.write(data)
