"""The blocks of a tar: what an entry's header says, and the layout of the 512 bytes that say it.

A header block has these fields, the rest NUL; the lower ones depend on the kind, which ``magic`` tells:

      0  100  name                      257  6   magic, then 2 of version
    100    8  mode                      265  32  user name
    108    8  uid                       297  32  group name
    116    8  gid                       329  8   device major
    124   12  size of the body          337  8   device minor
    136   12  mtime, seconds            345  155 prefix of the name (ustar; star: 131)
    148    8  checksum                  345  12  atime, then 12 of ctime (GNU)
    156    1  type                      476  12  atime, then 12 of ctime (star)
    157  100  link name                 508  4   ``tar`` NUL (star)

Numbers are octal text or, with the first bit set, big-endian two's complement ("base-256"). This module
knows single blocks, not which of them belong together, and does not read or write files.

Source: POSIX.1-2024, pax "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"; what is taken
and refused as Go's archive/tar does, checked against the vectors gotar_read and gotar_write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias
from zlib import adler32

from winlayers.errors import Malformed

BLOCK_SIZE = 512
ZERO_BLOCK = bytes(BLOCK_SIZE)

NAME_SIZE = 100
PREFIX_SIZE = 155
OWNER_NAME_SIZE = 32

TYPE_REGULAR = b"0"
TYPE_DIRECTORY = b"5"
TYPE_OLD_REGULAR = b"\0"
TYPE_GNU_SPARSE = b"S"
TYPE_EXTENDED = b"x"
TYPE_GLOBAL = b"g"
TYPE_LONG_NAME = b"L"
TYPE_LONG_LINK = b"K"
#: Types that have no body whatever their size says.
BODILESS_TYPES = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})

MAGIC_USTAR = b"ustar\0"
MAGIC_GNU = b"ustar  \0"  # with the version
TRAILER_STAR = b"tar\0"

# A name may have a MiB; no message needs more of it than the longest path of Windows, more or less.
_SHOWN_SIZE = 1024

STRUCTURE_BLOCK = "tar header"
STRUCTURE_TAR = "tar"
#: Code of the finding for all that makes a tar unreadable from some place on.
DAMAGED = "tar-damaged"

ENDS_EARLY = "ends in the middle"
TOO_LONG = "extension longer than 1 MiB"


class TarFormat(IntEnum):
    """The ways to write a header; each is one bit, so that a set of them is an int."""

    USTAR = 1
    PAX = 2
    GNU = 4


USTAR, PAX, GNU = TarFormat.USTAR, TarFormat.PAX, TarFormat.GNU
#: Sets of formats, as plain ints.
ANY_FORMAT = 7
USTAR_OR_PAX = 3


@dataclass(slots=True, eq=False)
class TarHeader:
    """What a tar says of one entry. Not frozen: a reader makes hundreds of thousands of these.

    Attributes:
        name: path, ``/`` between names; prefix, long names and records are applied already.
        typeflag: one byte; ``0`` file, ``1`` hard link, ``2`` symbolic link, ``5`` directory, and so on.
        linkname: target of a link.
        size: bytes of the body as a reader gets it (a sparse one expanded); types ``1`` to ``6`` have no
            body whatever this says.
        mode, uid, gid, uname, gname, devmajor, devminor: as POSIX has them.
        mtime_ns, atime_ns, ctime_ns: nanoseconds since 1970, exact and of any size; None if not set.
        pax: all records of the entry's extended header, as they stand there.
        format: how the entry is written, as far as its blocks tell, or shall be; None if not known or
            left to the writer.
        offset: where the entry's first block is in the tar, that of an extension included.
        body_offset: where the body starts in the tar (after the map that some sparse bodies begin with).
        stored_size: bytes of the body in the tar, without padding.
        sparse: (offset, size) of the runs of data in a sparse body, or None if it is not sparse.
    The last four are set by the reader and not looked at by the writer.
    """

    name: bytes
    typeflag: bytes
    linkname: bytes = b""
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    uname: bytes = b""
    gname: bytes = b""
    devmajor: int = 0
    devminor: int = 0
    mtime_ns: int | None = None
    atime_ns: int | None = None
    ctime_ns: int | None = None
    pax: dict[bytes, bytes] = field(default_factory=dict)
    format: TarFormat | None = None
    offset: int = 0
    body_offset: int = 0
    stored_size: int = 0
    sparse: tuple[tuple[int, int], ...] | None = None


#: (mode, uid, gid)
Ids: TypeAlias = tuple[int, int, int]
#: (user name, group name, device major, device minor)
Owner: TypeAlias = tuple[bytes, bytes, int, int]
#: (atime, ctime) in seconds
Times: TypeAlias = tuple[int | None, int | None]
#: (name, link name, type, size, mtime in seconds, ids, owner, times, set of formats)
Block: TypeAlias = tuple[bytes, bytes, bytes, int, int, Ids, Owner, Times, int]

_NO_OWNER: Owner = (b"", b"", 0, 0)
NO_TIMES: Times = (None, None)


def malformed(reason: str, offset: int | None = None, entry: bytes | None = None) -> Malformed:
    """An error about a header, to be raised by the caller.

    Args:
        reason: what is wrong.
        offset: bytes from the start of the tar, if known.
        entry: name of the entry, if known.
    """
    return Malformed(STRUCTURE_BLOCK, reason, offset=offset, entry=shown(entry))


def shown(name: bytes | None) -> str | None:
    """A name for a message, whatever its bytes and length."""
    if name is None:
        return None
    text = name[:_SHOWN_SIZE].decode("utf-8", "backslashreplace")
    return text if len(name) <= _SHOWN_SIZE else text + "..."


def text_of(field: bytes) -> bytes:
    """The text in a field: up to the first NUL."""
    return field.partition(b"\0")[0]


def build_text(size: int, text: bytes) -> bytes:
    """A field of text, with NULs behind where there is room.

    Where a longer text is cut at a slash, the first byte of the run of slashes there becomes NUL, as Go
    has it: readers that know no records would take the entry for a directory.
    """
    if len(text) <= size:
        return text.ljust(size, b"\0")
    field = text[:size]
    if field.endswith(b"/"):
        kept = field.rstrip(b"/")
        field = kept + b"\0" + field[len(kept) + 1 :]
    return field


# Numbers

_OCTAL = re.compile(rb"[0-7]+")


def parse_octal(field: bytes) -> int:
    """Read an octal field; blanks and NULs around it do not count, and none at all is 0.

    Raises:
        Malformed: anything but octal digits; carries no offset.
    """
    text = text_of(field.strip(b" \0"))
    if not text:
        return 0
    if not _OCTAL.fullmatch(text):
        raise malformed(f"not an octal number: {field!r}")
    return int(text, 8)


def parse_number(field: bytes) -> int:
    """Read an octal or base-256 field.

    Raises:
        Malformed: neither, or more than 64 signed bits; carries no offset.
    """
    if not field[0] & 0x80:
        return parse_octal(field)
    bits = len(field) * 8 - 1
    number = int.from_bytes(field, "big") & ((1 << bits) - 1)
    if field[0] & 0x40:
        number -= 1 << bits
    if not -(1 << 63) <= number < 1 << 63:
        raise malformed(f"number of more than 64 bits: {field!r}")
    return number


def fits_octal(size: int, number: int) -> bool:
    """Whether a field of ``size`` bytes holds ``number`` as octal text and a NUL."""
    return 0 <= number < 1 << 3 * (size - 1)


def fits_base256(size: int, number: int) -> bool:
    """Whether a field of ``size`` bytes holds ``number`` in base-256, and 64 signed bits do."""
    bits = min(8 * (size - 1), 63)
    return -(1 << bits) <= number < 1 << bits


def build_octal(size: int, number: int) -> bytes:
    """A field of octal text, zeros before and one NUL after; that of 0 where ``number`` does not fit."""
    return b"%0*o\0" % (size - 1, number if fits_octal(size, number) else 0)


def build_number(size: int, number: int) -> bytes:
    """A field of octal text, or else base-256; that of 0 where neither fits."""
    if fits_octal(size, number) or not fits_base256(size, number):
        return build_octal(size, number)
    raw = number.to_bytes(size, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


# Checksums

_CHECKSUM = slice(148, 156)
_ASCII = bytes(range(128))


def sum_of(block: bytes) -> int:
    """The sum of a block's bytes.

    The low half of an Adler-32 is 1 plus the sum modulo 65521, and half a block sums up to 65280 at the
    most; so two of them give the sum exactly, ten times faster than ``sum``.
    """
    return (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2


def has_right_checksum(block: bytes) -> bool:
    """Whether a block's checksum is that of its bytes, taken as unsigned or as signed ones.

    Raises:
        Malformed: the checksum is not an octal number; carries no offset.
    """
    stated = parse_octal(block[_CHECKSUM])
    blanked = block[:148] + b"        " + block[156:]
    actual = sum_of(blanked)
    return stated in (actual, actual - 256 * len(blanked.translate(None, _ASCII)))


# Blocks


def parse_block(block: bytes) -> Block:
    """Read a header block of any kind.

    Args:
        block: 512 bytes, not all of them zero.
    Raises:
        Malformed: wrong checksum, or a bad number in a field that this kind has; carries no offset.
    Source: golang/go src/archive/tar.
    """
    if not has_right_checksum(block):
        raise malformed("wrong checksum")
    name, link = text_of(block[:100]), text_of(block[157:257])
    ids = (parse_number(block[100:108]), parse_number(block[108:116]), parse_number(block[116:124]))
    size, mtime = parse_number(block[124:136]), parse_number(block[136:148])
    owner, prefix, times, formats = _NO_OWNER, b"", NO_TIMES, 0
    magic = block[257:265]
    if magic.startswith(MAGIC_USTAR) or magic == MAGIC_GNU:
        device = parse_number(block[329:337]), parse_number(block[337:345])
        owner = (text_of(block[265:297]), text_of(block[297:329]), *device)
        prefix, times, formats = _parse_rest(block, magic)
    if prefix:
        name = prefix + b"/" + name
    return name, link, block[156:157], size, mtime, ids, owner, times, formats


def _parse_rest(block: bytes, magic: bytes) -> tuple[bytes, Times, int]:
    """Prefix, times and set of formats of a block that is not of the oldest kind."""
    if magic == MAGIC_GNU:
        return _parse_gnu_rest(block)
    if block[508:512] == TRAILER_STAR:
        times = (parse_number(block[476:488]), parse_number(block[488:500]))
        return text_of(block[345:476]), times, 0
    return text_of(block[345:500]), NO_TIMES, USTAR_OR_PAX if _is_strict(block) else 0


def _parse_gnu_rest(block: bytes) -> tuple[bytes, Times, int]:
    """Times, or the prefix that writers of bygone days put in their place."""
    try:
        atime = parse_number(block[345:357]) if block[345] else None
        ctime = parse_number(block[357:369]) if block[357] else None
    except Malformed:
        prefix = text_of(block[345:500])
        return prefix if prefix.isascii() else b"", NO_TIMES, 0
    return b"", (atime, ctime), GNU


def _is_strict(block: bytes) -> bool:
    """Whether a ustar block keeps to the letter: ASCII, and a NUL at the end of each number."""
    ends = (block[107], block[115], block[123], block[135], block[147], block[336], block[344])
    return block.isascii() and not any(ends)
