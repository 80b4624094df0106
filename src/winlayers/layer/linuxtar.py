"""Windows layers as a Linux builder handles them: the conversions of BuildKit, both ways.

BuildKit builds Windows images on Linux. It gives a snapshotter that knows nothing of Windows the content of
``Files/`` as a plain tar, and makes a layer of the plain tar that it gets back. ``linux_to_windows`` and
``windows_to_linux`` are these two, byte for byte, with all they lose: hives, alternate streams' ownership,
the rights that files had, what a link pointed to. They work on tars as they pass by, not on layers.

Source: moby/buildkit util/winlayers differ.go and applier.go; checked against the vectors buildkit_convert.
"""

from __future__ import annotations

from typing import BinaryIO

from winlayers.formats.tar import TarFormat, TarHeader, TarReader, TarSource, TarTarget, TarWriter
from winlayers.layer.tarheaders import (
    CREATION_TIME,
    FILE_ATTRIBUTES,
    RAW_DESCRIPTOR,
    TYPE_DIRECTORY,
    TYPE_REGULAR,
)

#: The descriptor given to each folder:
#: O:BAG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)(A;CI;LC;;;BU)(A;CI;DC;;;BU)
DIRECTORY_DESCRIPTOR = (
    b"AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgCoAAcAAAAAAxgA/wEfAAECAAAA"
    b"AAAFIAAAACACAAAAAxQA/wEfAAEBAAAAAAAFEgAAAAAAGAD/AR8AAQIAAAAAAAUgAAAAIAIAAAALFAAAAAAQAQEAAAAA"
    b"AAMAAAAAAAMYAKkAEgABAgAAAAAABSAAAAAhAgAAAAIYAAQAAAABAgAAAAAABSAAAAAhAgAAAAIYAAIAAAABAgAAAAAA"
    b"BSAAAAAhAgAA"
)
#: The descriptor given to each file: O:BAG:SYD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1200a9;;;BU)
FILE_DESCRIPTOR = (
    b"AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgBMAAMAAAAAABgA/wEfAAECAAAA"
    b"AAAFIAAAACACAAAAABQA/wEfAAEBAAAAAAAFEgAAAAAAGACpABIAAQIAAAAAAAUgAAAAIQIAAA=="
)

_FILES = b"Files/"
_MODE_DIRECTORY = 0o40000
_MODE_REGULAR = 0o100000
_ATTRIBUTES_DIRECTORY = b"16"
_ATTRIBUTES_FILE = b"32"
_GIGA = 1_000_000_000
_PIECE_SIZE = 1 << 16


def linux_to_windows(
    source: BinaryIO | TarSource, target: BinaryIO | TarTarget, *, now_ns: int
) -> None:
    """Make a layer of a plain tar: everything goes below ``Files``, with made-up metadata.

    The creation time is written as the original does, without zeros before the nanoseconds: 5 ms become
    ``.5000000``, which reads as half a second. Link targets get ``Files/`` too, even symbolic ones.

    Args:
        source: the plain tar; read to the end of its archive.
        target: takes the layer's tar; left open. What was written before an error stays.
        now_ns: time of the two folders that are put first, in nanoseconds since 1970.
    Raises:
        Malformed: the tar is, or a header cannot be written as PAX.
    Source: moby/buildkit util/winlayers.
    """
    writer = TarWriter(target)
    for name in (b"Hives", b"Files"):
        folder = TarHeader(name, TYPE_DIRECTORY, mtime_ns=now_ns)
        _add_attributes(folder)
        writer.add(folder)
    reader = TarReader(source)
    for header in reader:
        header.name = _FILES + header.name
        if header.linkname:
            header.linkname = _FILES + header.linkname
        _add_attributes(header)
        _add_descriptor(header)
        writer.add(header)
        _copy_body(reader, writer)
    writer.close()


def windows_to_linux(source: BinaryIO | TarSource, target: BinaryIO | TarTarget) -> None:
    """Make a plain tar of a layer: what is below ``Files``, without that name, and nothing else.

    Args:
        source: the layer's tar; read to the end of its archive.
        target: takes the plain tar; left open. What was written before an error stays.
    Raises:
        Malformed: the tar is, or a header cannot be written in the format it was read in.
    Source: moby/buildkit util/winlayers.
    """
    writer = TarWriter(target)
    reader = TarReader(source)
    for header in reader:
        if header.name.startswith(_FILES):
            header.name = header.name.removeprefix(_FILES)
            header.linkname = header.linkname.removeprefix(_FILES)
            writer.add(header)
            _copy_body(reader, writer)
    writer.close()


def _add_attributes(header: TarHeader) -> None:
    if header.typeflag == TYPE_DIRECTORY:
        header.mode |= _MODE_DIRECTORY
        header.pax[FILE_ATTRIBUTES] = _ATTRIBUTES_DIRECTORY
    elif header.typeflag == TYPE_REGULAR:
        header.mode |= _MODE_REGULAR
        header.pax[FILE_ATTRIBUTES] = _ATTRIBUTES_FILE
    header.pax[CREATION_TIME] = b"%d.%d" % divmod(header.mtime_ns or 0, _GIGA)
    header.format = TarFormat.PAX


def _add_descriptor(header: TarHeader) -> None:
    if header.typeflag == TYPE_DIRECTORY:
        header.pax[RAW_DESCRIPTOR] = DIRECTORY_DESCRIPTOR
    elif header.typeflag == TYPE_REGULAR:
        header.pax[RAW_DESCRIPTOR] = FILE_DESCRIPTOR


def _copy_body(reader: TarReader, writer: TarWriter) -> None:
    """Copy piece by piece, so that what there is of a cut body is written, as the original does."""
    piece = bytearray(_PIECE_SIZE)
    while size := reader.readinto(piece):
        writer.write(memoryview(piece)[:size])
