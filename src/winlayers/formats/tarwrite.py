"""Writing tars, byte for byte as Go's archive/tar writes them.

The same headers and bodies must give the same digest as the tool that was used before, so the choice of
format, the order of records and each byte of each block follow that. What no format can say is refused.
This module knows no names and no files.

Source: golang/go src/archive/tar; checked against the vectors gotar_write.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol

from winlayers.errors import Malformed
from winlayers.formats.pax import RECORDS_LIMIT, build_records
from winlayers.formats.tarblock import (
    BLOCK_SIZE,
    BODILESS_TYPES,
    GNU,
    MAGIC_GNU,
    MAGIC_USTAR,
    NAME_SIZE,
    OWNER_NAME_SIZE,
    PREFIX_SIZE,
    STRUCTURE_TAR,
    TOO_LONG,
    TYPE_EXTENDED,
    TYPE_GLOBAL,
    TYPE_LONG_LINK,
    TYPE_LONG_NAME,
    USTAR,
    ZERO_BLOCK,
    TarFormat,
    TarHeader,
    build_number,
    build_octal,
    build_text,
    malformed,
    shown,
    sum_of,
)
from winlayers.formats.tarchoice import Choice, choose_format, split_name

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MAGIC_USTAR = MAGIC_USTAR + b"00"
_NON_ASCII_AND_NUL = bytes([0, *range(128, 256)])

_LONG_NAME_NAME = b"././@LongLink"
_GLOBAL_NAME = b"GlobalHead.0.0"
_EXTENDED_NAME = b"PaxHeaders.0"
_ZERO_ID = b"0000000\0"
_ZERO_TIME = b"00000000000\0"
_BLANK_CHECKSUM = b"        "
_AFTER_CHECKSUM = BLOCK_SIZE - 156

_TextField = Callable[[int, bytes], bytes]
_NumberField = Callable[[int, int], bytes]


class TarTarget(Protocol):
    """What a tar is written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``, any bytes-like object."""


class TarWriter:
    """Writes the entries of a tar one after another."""

    def __init__(self, target: BinaryIO | TarTarget) -> None:
        """Begin a tar at the present position of ``target``, which is never closed here."""
        self._target = target
        self._left = 0  # bytes of the present body still to come
        self._padding = 0  # after them
        self._name: bytes | None = None
        self._closed = False

    def add(self, header: TarHeader, *, format: TarFormat | None = None) -> None:  # noqa: A002
        """End the entry before, and write the header of the next one; its body comes by ``write``.

        Args:
            header: what to write; it is not changed.
            format: the one wanted, ``header.format`` if None. PAX gives a plain USTAR header where that
                says as much. With neither, the first of USTAR, PAX and GNU that can say it is taken,
                mtime is rounded to seconds, and atime and ctime are left out.
        Raises:
            Malformed: the wanted format, or any, cannot say it, or the body before is not complete.
                Nothing is written then but the padding of the entry before.
        """
        self.flush()
        choice = choose_format(header, header.format if format is None else format)
        self._target.write(_build_header(header, choice))
        self._name = header.name
        if choice.typeflag != TYPE_GLOBAL:
            self._left = 0 if choice.typeflag in BODILESS_TYPES else header.size
            self._padding = -self._left % BLOCK_SIZE

    def write(self, data: ReadableBuffer) -> int:
        """Write on in the body of the present entry.

        Args:
            data: its next bytes.
        Returns:
            How many bytes that were: all.
        Raises:
            Malformed: the body would be longer than its header says; what fits is written.
        """
        self._check_open()
        view = memoryview(data).cast("B")
        fitting = view[: self._left]
        if fitting:
            self._target.write(fitting)  # type: ignore[arg-type]  # a view is as good as bytes
            self._left -= len(fitting)
        if len(fitting) < len(view):
            raise Malformed(
                STRUCTURE_TAR, "body longer than its header says", entry=shown(self._name)
            )
        return len(view)

    def flush(self) -> None:
        """End the present entry: write its padding.

        Raises:
            Malformed: its body is shorter than its header says.
        """
        self._check_open()
        if self._left:
            reason = f"body {self._left} bytes shorter than its header says"
            raise Malformed(STRUCTURE_TAR, reason, entry=shown(self._name))
        if self._padding:
            self._target.write(bytes(self._padding))
            self._padding = 0

    def close(self) -> None:
        """End the present entry and the tar, with two zero blocks; once closed, do nothing.

        Raises:
            Malformed: the present body is shorter than its header says.
        """
        if not self._closed:
            self.flush()
            self._target.write(ZERO_BLOCK + ZERO_BLOCK)
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("write to a closed tar")


# Blocks of an entry


def _build_header(header: TarHeader, choice: Choice) -> bytes:
    """All blocks of an entry before its body; a global header with its records."""
    if choice.format == USTAR:
        return _build_ustar(header, choice)
    if choice.format == GNU:
        return _build_gnu(header, choice)
    return _build_pax(header, choice)


def _build_ustar(header: TarHeader, choice: Choice) -> bytes:
    prefix, name = split_name(header.name) or (b"", header.name)
    rest = build_text(PREFIX_SIZE, prefix)
    return _main_block(header, choice, name, _MAGIC_USTAR, rest, build_text, build_octal)


def _build_pax(header: TarHeader, choice: Choice) -> bytes:
    """An extended header, if there are records, and the main block with what of it is ASCII."""
    is_global = choice.typeflag == TYPE_GLOBAL
    extended = b""
    if choice.records or is_global:
        body = build_records(choice.records)
        if len(body) > RECORDS_LIMIT:
            raise malformed(TOO_LONG, entry=header.name)
        if is_global:
            return _extension(header.name or _GLOBAL_NAME, TYPE_GLOBAL, body, _MAGIC_USTAR)
        extended = _extension(_extended_name(header.name), TYPE_EXTENDED, body, _MAGIC_USTAR)
    main = _main_block(
        header, choice, header.name, _MAGIC_USTAR, b"", _build_ascii_text, build_octal
    )
    return extended + main


def _build_gnu(header: TarHeader, choice: Choice) -> bytes:
    """Blocks for long names, and the main block with names cut and numbers of any size."""
    blocks = []
    for text, typeflag in ((header.name, TYPE_LONG_NAME), (header.linkname, TYPE_LONG_LINK)):
        if len(text) > NAME_SIZE:
            blocks.append(_extension(_LONG_NAME_NAME, typeflag, text + b"\0", MAGIC_GNU))
    times = (choice.atime, choice.ctime)
    rest = b"".join([bytes(12) if time is None else build_number(12, time) for time in times])
    main = _main_block(header, choice, header.name, MAGIC_GNU, rest, build_text, build_number)
    return b"".join([*blocks, main])


def _main_block(
    header: TarHeader,
    choice: Choice,
    name: bytes,
    magic: bytes,
    rest: bytes,
    text: _TextField,
    number: _NumberField,
) -> bytes:
    """The block of the entry itself; ``rest`` is what comes after the devices."""
    return _sealed(
        [
            text(NAME_SIZE, name),
            number(8, header.mode),
            number(8, header.uid),
            number(8, header.gid),
            number(12, header.size),
            number(12, choice.mtime or 0),
        ],
        [
            choice.typeflag,
            text(NAME_SIZE, header.linkname),
            magic,
            text(OWNER_NAME_SIZE, header.uname),
            text(OWNER_NAME_SIZE, header.gname),
            number(8, header.devmajor),
            number(8, header.devminor),
            rest,
        ],
    )


def _extension(name: bytes, typeflag: bytes, body: bytes, magic: bytes) -> bytes:
    """Block, body and padding of an entry that says something of the next one; devices stay NUL."""
    name = _ascii_of(name)[:NAME_SIZE].rstrip(b"/")
    block = _sealed(
        [
            build_text(NAME_SIZE, name),
            _ZERO_ID * 3,
            build_octal(12, len(body)),
            _ZERO_TIME,
        ],
        [typeflag, bytes(NAME_SIZE), magic],
    )
    return b"".join([block, body, bytes(-len(body) % BLOCK_SIZE)])


def _sealed(before: list[bytes], after: list[bytes]) -> bytes:
    """A block made of its fields, with the checksum between."""
    head = b"".join(before)
    tail = b"".join(after).ljust(_AFTER_CHECKSUM, b"\0")
    return b"%b%06o\0 %b" % (head, sum_of(head + _BLANK_CHECKSUM + tail), tail)


def _extended_name(name: bytes) -> bytes:
    """The name of an extended header: a folder is put before the last part, and the path made clean."""
    folder, slash, last = name.rpartition(b"/")
    path = folder + slash + _EXTENDED_NAME + (b"/" + last if last else b"")
    clean = posixpath.normpath(path)
    return clean[1:] if clean.startswith(b"//") else clean


def _ascii_of(text: bytes) -> bytes:
    return (
        text if text.isascii() and b"\0" not in text else text.translate(None, _NON_ASCII_AND_NUL)
    )


def _build_ascii_text(size: int, text: bytes) -> bytes:
    return build_text(size, _ascii_of(text))
