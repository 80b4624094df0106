"""Gzip and zstd: found by their first bytes, read by the fastest library there is, written on all cores.

A compressed file is a run of members (gzip) or frames (zstd), each whole in itself:

    gzip    1f 8b 08 flags mtime[4] xfl os | extra, name, comment, header crc | deflate | crc32, size
    zstd    28 b5 2f fd ...           a frame
            5x 2a 4d 18 size[4] ...   a skippable frame, which holds no content

Zeros may follow a member, up to the next one or the end, as writers of tapes and blocks pad; anything
else there is malformed. So is an end within a member, and a checksum that does not fit. All libraries
answer alike. An ``offset`` in an error is how many compressed bytes had been read when the fault
showed: the end of the file where it is cut short, otherwise at most 1 MiB behind the fault.

This module knows nothing of digests; it shows the compressed bytes to whoever wants to make one.
Source: RFC 1952 (gzip), RFC 8878 (zstd); docs/decisions/0001-compression-libraries.md.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from winlayers.base._compress import Compressor, GzipWriter, PlainWriter, ZstdWriter
from winlayers.base._compression_libraries import (
    Library,
    deflating_library,
    import_zstd,
    library_of,
)
from winlayers.base._decompress import Feed, Reader, ZstdReader, gzip_readers
from winlayers.base.fileobj import RawReader
from winlayers.errors import InvalidArgument, Malformed, MissingExtra

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_SIZE = 1 << 20
"""Bytes at a time that are read best."""

DAMAGED = "compression-damaged"
"""Code of the finding for content that cannot be decompressed to its end."""

_HEAD_SIZE = 4


class Compression(enum.Enum):
    """How content is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


_LEVELS = {Compression.GZIP: (6, 9), Compression.ZSTD: (3, 22)}


@dataclass(frozen=True, slots=True)
class Libraries:
    """The libraries that do the work here.

    Attributes:
        inflate: reads gzip.
        deflate: writes gzip of the level that is used where none is asked for.
        zstd: reads and writes zstd; None where nothing does.
    """

    inflate: Library
    deflate: Library
    zstd: Library | None


def libraries() -> Libraries:
    """Which libraries do the work here."""
    inflate = next(iter(gzip_readers())).removesuffix(" native")
    deflate = deflating_library(_LEVELS[Compression.GZIP][0]).__name__
    try:
        zstd = library_of(import_zstd().__name__)
    except MissingExtra:
        zstd = None
    return Libraries(library_of(inflate), library_of(deflate), zstd)


def detect(head: bytes) -> Compression:
    """Tell how content is compressed by its first bytes.

    Args:
        head: the first four bytes of the content, or more; fewer only if it has no more.
    Returns:
        GZIP or ZSTD where their magic bytes are, else NONE.
    """
    if head.startswith(b"\x1f\x8b"):
        return Compression.GZIP
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return Compression.ZSTD
    if head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
        return Compression.ZSTD
    return Compression.NONE


def open_decompressed(
    source: BinaryIO,
    *,
    compression: Compression | None = None,
    on_raw: Callable[[bytes], None] | None = None,
) -> Decompressed:
    """Read compressed content as what it was before.

    Args:
        source: the content from its first byte on, which may be a pipe but must block. Its
            ``readinto`` is used if it has one, otherwise its ``read``.
        compression: how it is compressed, or None to tell by its first bytes.
        on_raw: called with the bytes of the source, in order and each exactly once, as they are read:
            in bytes objects of 0.5 to 1 MiB (the last one is smaller), or as large as the reads
            are where nothing is compressed. What follows the last member is among them as soon as
            the content has been read to its end.
    Returns:
        A file object for reading; closing it leaves ``source`` open.
    Raises:
        MissingExtra: it is zstd, and there is no library for that.
    """
    feed = Feed(source, on_raw)
    if compression is None:
        compression = detect(feed.peek(_HEAD_SIZE))
    return Decompressed(compression, feed)


class Decompressed(RawReader):
    """Compressed content as what it was before; made by ``open_decompressed``.

    A read gives as much as it was asked for, except at the end.

    Attributes:
        compression: how the source is compressed.
    """

    def __init__(self, compression: Compression, feed: Feed) -> None:
        self.compression = compression
        self._feed = feed
        self._reader: Reader = feed
        if compression is Compression.GZIP:
            self._reader = next(iter(gzip_readers().values()))(feed)
        elif compression is Compression.ZSTD:
            self._reader = ZstdReader(feed)
        self._fault: Malformed | None = None

    @property
    def raw_size(self) -> int:
        """How many bytes of the source were read so far; at the end, all it has."""
        return self._feed.offset

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; this is the way that copies least.

        Args:
            buffer: where to; 0.25 to 1 MiB are best.
        Returns:
            Bytes read; less than the buffer holds only at the end.
        Raises:
            Malformed: the source is damaged, cut short or followed by something else. Reading again
                raises it again.
        """
        self._check()
        with memoryview(buffer) as view, view.cast("B") as flat:
            try:
                return self._reader.readinto(flat) if flat else 0
            except Malformed as fault:
                self._remember(fault)
                raise

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Args:
            size: bytes; None or negative reads to the end, however much that is.
        Returns:
            As many bytes, or fewer at the end.
        Raises:
            Malformed: as ``readinto``.
        """
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(BLOCK_SIZE), b""))
        self._check()
        try:
            return self._reader.read(size) if size else b""
        except Malformed as fault:
            self._remember(fault)
            raise

    def _remember(self, fault: Malformed) -> None:
        fault.finding = fault.finding or DAMAGED
        self._fault = fault

    def _check(self) -> None:
        if self.closed:
            raise ValueError("read of a closed file object")
        # A library that has failed may answer anything when it is asked once more.
        if self._fault is not None:
            raise self._fault


def open_compressor(
    target: BinaryIO, compression: Compression, *, level: int | None = None, threads: int = 2
) -> Compressor:
    """Write content compressed.

    The bytes depend on the content, the level and the version of the library only: not on the time,
    the sizes of the writes or the number of threads, but for zstd on whether there is more than one.

    Args:
        target: where the compressed bytes go; written to only by the thread that calls.
        compression: how to compress; NONE writes the content as it is.
        level: 1 to 9 for gzip, 1 to 22 for zstd; None for 6 and 3. Gzip of level 1 is made by isal
            where it is installed, several times as fast.
        threads: how many compress at once.
    Returns:
        A file object for writing. What it wrote is complete only when it was closed without an error.
    Raises:
        InvalidArgument: no such level.
        MissingExtra: it is zstd, and there is no library for that.
    """
    if compression is Compression.NONE:
        return PlainWriter(target)
    default, highest = _LEVELS[compression]
    level = default if level is None else level
    if not 1 <= level <= highest:
        raise InvalidArgument(f"{compression.value} has levels 1 to {highest}, not {level}")
    if compression is Compression.ZSTD:
        return ZstdWriter(target, level, threads)
    return GzipWriter(target, level, threads)
