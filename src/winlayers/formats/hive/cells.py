"""The structures of a registry hive, one at a time: base block, bins, cells and what cells hold.

A hive is a base block of 4096 bytes, then bins of a multiple of 4096 bytes each. A bin is a header and cells
back to back. A cell is an i32 with its size, negative while the cell is in use, and the content; all sizes
are multiples of 8 and count the i32. Structures name each other by the offset of a cell from the first bin.
Little-endian:

    base block   0 "regf"  4 u32 u32 sequence numbers  12 u64 last written  20 u32 u32 version (1, 3 to 6)
                 28 u32 type  32 u32 format  36 u32 root cell  40 u32 size of the bins  44 u32 cluster
                 48 64 bytes file name  112, 128 GUIDs  144 u32 flags  148 GUID  508 u32 checksum
    bin          0 "hbin"  4 u32 its offset  8 u32 its size  20 u64 time (first bin)  32 cells
    key          0 "nk"  2 u16 flags  4 u64 last written  12 u8 access bits  13 u8 layer byte  16 u32 parent
                 20 u32 subkeys  28 u32 subkey list  36 u32 values  40 u32 value list  44 u32 security
                 48 u32 class  52 u16 longest name below  54 u8 control flags  56 u32 longest class below
                 60 u32 longest value name  64 u32 most data  72 u16 name size  74 u16 class size  76 name
    value        0 "vk"  2 u16 name size  4 u32 data size  8 u32 data  12 u32 kind  16 u16 flags  20 name
    security     0 "sk"  4 u32 next  8 u32 previous  12 u32 uses  16 u32 size  20 descriptor
    subkey list  0 "lf", "lh", "li" or "ri"  2 u16 count  4 entries: u32 cell, in lf and lh u32 hint or hash
    value list   u32 cell of each value
    big data     0 "db"  2 u16 segments  4 u32 list of their cells

The tables and constants here serve reading and writing alike. This module sees one structure at a time and
refuses to follow offsets.
Source: msuhanov/regf "Windows registry file format specification"; the layer byte, the values' tombstone flag
and the descriptor's size checked against tests/data/Software_Delta, which Windows wrote.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import reduce
from operator import xor

from winlayers.errors import Malformed
from winlayers.formats.text16 import utf16_decode, utf16_encode

BASE_BLOCK_SIZE = 4096
BIN_HEADER_SIZE = 32
#: Sizes of bins are multiples of it.
BIN_ALIGNMENT = 4096
#: Offsets and sizes of cells are multiples of it.
CELL_ALIGNMENT = 8
#: Stands for the offset of a cell where there is none.
NONE = 0xFFFFFFFF
#: The most bytes of a value's data in one cell from minor version 4 on; more is cut into segments of this.
SEGMENT_SIZE = 16344
BIG_DATA_MINOR_VERSION = 4
#: How deep keys go below the root.
MAX_DEPTH = 512

#: Where the checksum of the base block stands.
CHECKSUM_AT = 508

MAJOR_VERSION = 1
MINOR_VERSIONS = range(2, 7)

SIZE = struct.Struct("<i")
OFFSET = struct.Struct("<I")
BASE_BLOCK = struct.Struct("<4sIIQ7I64s16s16sI")
BIN_HEADER = struct.Struct("<4sII8xQI")
KEY = struct.Struct("<2sHQBBH9IHBB4IHH")
VALUE = struct.Struct("<2sHIIIHH")
SECURITY = struct.Struct("<2sHIIII")
LIST = struct.Struct("<2sH")
BIG_DATA = struct.Struct("<2sHI")

#: The most bytes that each of them can fill: sizes of names are u16, and so are counts in lists. A descriptor
#: has two lists of at most 64 KiB.
KEY_LIMIT = KEY.size + 0xFFFF
VALUE_LIMIT = VALUE.size + 0xFFFF
LIST_LIMIT = LIST.size + 8 * 0xFFFF
SECURITY_LIMIT = SECURITY.size + (1 << 18)
CLASS_LIMIT = 0xFFFF

_STRUCTURE = "registry hive"
_INLINE = 0x80000000
_INLINE_AT = 8
_INLINE_LIMIT = 4


class HiveFlags(IntFlag):
    """Flags of a base block."""

    TRANSACTION = 1
    LAYERED = 2


class KeyFlags(IntFlag):
    """Flags of a key."""

    VOLATILE = 0x1
    HIVE_EXIT = 0x2
    HIVE_ENTRY = 0x4
    NO_DELETE = 0x8
    SYM_LINK = 0x10
    COMP_NAME = 0x20
    PREDEF_HANDLE = 0x40


class ValueFlags(IntFlag):
    """Flags of a value."""

    COMP_NAME = 0x1
    TOMBSTONE = 0x2


class ValueKind(IntEnum):
    """The kinds of values that have a name; any other number may stand in a hive too."""

    NONE = 0
    SZ = 1
    EXPAND_SZ = 2
    BINARY = 3
    DWORD = 4
    DWORD_BIG_ENDIAN = 5
    LINK = 6
    MULTI_SZ = 7
    RESOURCE_LIST = 8
    FULL_RESOURCE_DESCRIPTOR = 9
    RESOURCE_REQUIREMENTS_LIST = 10
    QWORD = 11


class Semantics(IntEnum):
    """What a key of a layered hive makes of the same key in the hives below: bits 0 and 1 of the layer byte.

    ``MERGE``: values and subkeys of both show, the upper ones first. ``TOMBSTONE``: there is no such key.
    ``SUPERSEDE_LOCAL``: the values, class and security below are hidden, the subkeys show.
    ``SUPERSEDE_TREE``: all below is hidden.
    """

    MERGE = 0
    TOMBSTONE = 1
    SUPERSEDE_LOCAL = 2
    SUPERSEDE_TREE = 3


SEMANTICS_MASK = 0x03
#: Bit of the layer byte: the class of the key is that of the key below.
INHERIT_CLASS = 0x80


@dataclass(frozen=True, slots=True)
class BaseBlock:
    """The head of a hive.

    Attributes:
        primary_sequence: counted up before a change is written.
        secondary_sequence: set to the same after it; differs in a hive that was not closed.
        last_written_filetime: 0 in the differences that Windows exports.
        minor_version: 2 to 6.
        root: offset of the root's cell.
        bins_size: bytes of all bins.
        file_name: end of the path that the hive was written to, as kept for debugging.
        flags: ``HiveFlags``; unknown bits are kept.
    """

    primary_sequence: int
    secondary_sequence: int
    last_written_filetime: int
    minor_version: int
    root: int
    bins_size: int
    file_name: str
    flags: HiveFlags

    @property
    def is_dirty(self) -> bool:
        """Whether the hive was not closed, so that its transaction logs may be needed."""
        return self.primary_sequence != self.secondary_sequence


@dataclass(frozen=True, slots=True)
class KeyCell:
    """A key as its cell has it.

    Attributes:
        name: the name, without a path.
        flags: ``KeyFlags``; unknown bits are kept.
        last_written_filetime: when it was changed.
        layer_byte: ``Semantics`` and ``INHERIT_CLASS``; means something in layered hives only.
        parent: offset of the parent's cell; anything in a root.
        subkey_count: how many subkeys it has on disk.
        subkey_list: offset of their list.
        value_count: how many values it has.
        value_list: offset of their list.
        security: offset of its descriptor's cell.
        class_name: offset of its class's cell.
        class_size: bytes of the class.
        control_flags: what Windows keeps of virtualisation and of 32-bit views; not looked into.
    """

    name: str
    flags: KeyFlags
    last_written_filetime: int
    layer_byte: int
    parent: int
    subkey_count: int
    subkey_list: int
    value_count: int
    value_list: int
    security: int
    class_name: int
    class_size: int
    control_flags: int


@dataclass(frozen=True, slots=True)
class ValueCell:
    """A value as its cell has it.

    Attributes:
        name: the name, ``""`` for the default value.
        kind: a ``ValueKind`` or any other number.
        flags: ``ValueFlags``; unknown bits are kept.
        size: bytes of the data.
        inline: the data, where it stands in the cell itself; else None.
        data: offset of the data's cell; means something without ``inline`` and with a size.
    """

    name: str
    kind: int
    flags: ValueFlags
    size: int
    inline: bytes | None
    data: int


@dataclass(frozen=True, slots=True)
class SecurityCell:
    """A security descriptor and its place in the ring of all descriptors of a hive.

    Attributes:
        next: offset of the next cell in the ring.
        previous: offset of the one before.
        use_count: how many keys have it.
        descriptor: a self-relative security descriptor.
    """

    next: int
    previous: int
    use_count: int
    descriptor: bytes


@dataclass(frozen=True, slots=True)
class SubkeyList:
    """A list of subkeys, or a list of such lists.

    Attributes:
        is_index: it is an ``ri``, whose offsets lead to lists.
        offsets: the cells, in the order of the folded names.
        hashes: ``name_hash`` of each name in an ``lh``; None in others.
    """

    is_index: bool
    offsets: tuple[int, ...]
    hashes: tuple[int, ...] | None


def parse_base_block(block: bytes) -> BaseBlock:
    """The head of a hive.

    Args:
        block: the first 4096 bytes of the file, or all if there are fewer.
    Returns:
        Its fields. They are not compared with each other or with the size of the file.
    Raises:
        Malformed: another signature, a short block, a version that Windows does not load, or a checksum
            that is not that of the block.
    """
    if block[:4] != b"regf":
        raise _malformed(0, f"begins with {block[:4]!r}, not with b'regf'")
    if len(block) < BASE_BLOCK_SIZE:
        raise _malformed(len(block), f"has {len(block)} bytes, less than the base block of a hive")
    fields = BASE_BLOCK.unpack_from(block)
    major, minor = fields[4:6]
    if major != MAJOR_VERSION or minor not in MINOR_VERSIONS:
        raise _malformed(20, f"is a hive of version {major}.{minor}, which Windows does not load")
    (kept,) = OFFSET.unpack_from(block, CHECKSUM_AT)
    if kept != (computed := checksum(block)):
        raise _malformed(
            CHECKSUM_AT, f"has the checksum {kept:08x} in its base block, not {computed:08x}"
        )
    return BaseBlock(
        primary_sequence=fields[1],
        secondary_sequence=fields[2],
        last_written_filetime=fields[3],
        minor_version=minor,
        root=fields[8],
        bins_size=fields[9],
        file_name=utf16_decode(fields[11]).partition("\0")[0],
        flags=HiveFlags(fields[14]),
    )


def checksum(block: bytes) -> int:
    """The checksum of a base block, which stands behind the 508 bytes that it is of."""
    total: int = reduce(xor, struct.unpack_from("<127I", block))
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(total, total)


def parse_bin_header(data: bytes, at: int, limit: int) -> int:
    """The size of a bin.

    Args:
        data: the bin's header.
        at: offset of the bin, from the first bin.
        limit: bytes of all bins from there on.
    Raises:
        Malformed: no bin, one that belongs elsewhere, or a size that is no multiple of 4096 bytes or
            more than is there.
    """
    if len(data) < BIN_HEADER_SIZE or data[:4] != b"hbin":
        raise malformed_at(at, "no bin begins here")
    offset: int
    size: int
    _, offset, size, _, _ = BIN_HEADER.unpack_from(data)
    if offset != at:
        raise malformed_at(at, f"the bin says that it stands at {offset}")
    if not 0 < size <= limit or size % BIN_ALIGNMENT:
        raise malformed_at(at, f"a bin of {size} bytes, but {limit} are left")
    return size


def parse_cell_size(data: bytes, at: int, limit: int) -> tuple[int, bool]:
    """The size of a cell and whether it is in use.

    Args:
        data: the first four bytes of the cell.
        at: its offset, from the first bin.
        limit: the most bytes that it can have there.
    Returns:
        Bytes of the cell together with the four, and whether something is in it.
    Raises:
        Malformed: no multiple of 8, or more than the limit.
    """
    (signed,) = SIZE.unpack_from(data)
    size = abs(signed)
    if not CELL_ALIGNMENT <= size <= limit or size % CELL_ALIGNMENT:
        raise malformed_at(at, f"a cell of {size} bytes, but {limit} are left")
    return size, signed < 0


def parse_key(content: bytes, at: int) -> KeyCell:
    """A key.

    Args:
        content: of its cell.
        at: offset of the cell, for errors.
    Raises:
        Malformed: no key, or a name that is longer than the cell or of an odd size.
    """
    _expect(content, at, b"nk", KEY.size)
    fields = KEY.unpack_from(content)
    flags = KeyFlags(fields[1])
    name = _tail(content, at, KEY.size, fields[22], "the name of a key")
    return KeyCell(
        name=_decode_name(name, at, is_compressed=bool(flags & KeyFlags.COMP_NAME)),
        flags=flags,
        last_written_filetime=fields[2],
        layer_byte=fields[4],
        parent=fields[6],
        subkey_count=fields[7],
        subkey_list=fields[9],
        value_count=fields[11],
        value_list=fields[12],
        security=fields[13],
        class_name=fields[14],
        class_size=fields[23],
        control_flags=fields[16],
    )


def parse_value(content: bytes, at: int) -> ValueCell:
    """A value.

    Args:
        content: of its cell.
        at: offset of the cell, for errors.
    Raises:
        Malformed: no value, a name that is longer than the cell or of an odd size, or more data in the
            field of the offset than it holds.
    """
    _expect(content, at, b"vk", VALUE.size)
    _, name_size, size, data, kind, flags, _ = VALUE.unpack_from(content)
    name = _tail(content, at, VALUE.size, name_size, "the name of a value")
    inline = None
    if size & _INLINE:
        size &= ~_INLINE
        if size > _INLINE_LIMIT:
            raise malformed_at(at, f"{size} bytes of data in a field of {_INLINE_LIMIT}")
        inline = content[_INLINE_AT : _INLINE_AT + size]
    elif not size:
        inline = b""
    return ValueCell(
        name=_decode_name(name, at, is_compressed=bool(flags & ValueFlags.COMP_NAME)),
        kind=kind,
        flags=ValueFlags(flags),
        size=size,
        inline=inline,
        data=data,
    )


def parse_security(content: bytes, at: int) -> SecurityCell:
    """A security descriptor with its place in the ring; the descriptor itself is not looked into.

    Args:
        content: of its cell.
        at: offset of the cell, for errors.
    Raises:
        Malformed: no security descriptor, or one that is longer than the cell.
    """
    _expect(content, at, b"sk", SECURITY.size)
    _, _, following, previous, use_count, size = SECURITY.unpack_from(content)
    descriptor = _tail(content, at, SECURITY.size, size, "a security descriptor")
    return SecurityCell(following, previous, use_count, descriptor)


def parse_subkey_list(content: bytes, at: int) -> SubkeyList:
    """A list of subkeys.

    Args:
        content: of its cell.
        at: offset of the cell, for errors.
    Raises:
        Malformed: no such list, or more entries than the cell holds.
    """
    if len(content) < LIST.size:
        raise malformed_at(at, f"a list of subkeys in a cell of {len(content)} bytes")
    signature, count = LIST.unpack_from(content)
    if signature in (b"lf", b"lh"):
        numbers = _numbers(content, at, LIST.size, 2 * count)
        hashes = numbers[1::2] if signature == b"lh" else None
        return SubkeyList(False, numbers[::2], hashes)
    if signature in (b"li", b"ri"):
        return SubkeyList(signature == b"ri", _numbers(content, at, LIST.size, count), None)
    raise malformed_at(at, f"a list of subkeys begins with {signature!r}")


def parse_offsets(content: bytes, at: int, count: int) -> tuple[int, ...]:
    """A list of cells without a head: of the values of a key, or of the segments of big data.

    Args:
        content: of its cell.
        at: offset of the cell, for errors.
        count: how many there have to be.
    Raises:
        Malformed: the cell holds fewer.
    """
    return _numbers(content, at, 0, count)


def parse_big_data(content: bytes, at: int) -> tuple[int, int]:
    """The head of data in segments: how many there are, and the offset of their list.

    Args:
        content: of its cell.
        at: offset of the cell, for errors.
    Raises:
        Malformed: no such head.
    """
    _expect(content, at, b"db", BIG_DATA.size)
    _, count, segment_list = BIG_DATA.unpack_from(content)
    return count, segment_list


def name_hash(folded: str) -> int:
    """The hash of a key's name in an ``lh``.

    Args:
        folded: the name in Windows' upper case.
    """
    total = 0
    encoded = utf16_encode(folded)
    for (unit,) in struct.iter_unpack("<H", encoded):
        total = (total * 37 + unit) & 0xFFFFFFFF
    return total


def malformed_at(at: int, reason: str) -> Malformed:
    """An error about what stands at an offset from the first bin."""
    return _malformed(BASE_BLOCK_SIZE + at, reason)


def _malformed(at: int, reason: str) -> Malformed:
    return Malformed(_STRUCTURE, reason, offset=at)


def _expect(content: bytes, at: int, signature: bytes, size: int) -> None:
    if content[:2] != signature:
        raise malformed_at(at, f"a cell begins with {content[:2]!r}, not with {signature!r}")
    if len(content) < size:
        raise malformed_at(at, f"{signature!r} in a cell of {len(content)} bytes, not {size}")


def _tail(content: bytes, at: int, start: int, size: int, what: str) -> bytes:
    """What stands behind the fixed part of a structure."""
    if size > len(content) - start:
        raise malformed_at(at, f"{what} has {size} bytes, but {len(content) - start} are left")
    return content[start : start + size]


def _numbers(content: bytes, at: int, start: int, count: int) -> tuple[int, ...]:
    if 4 * count > len(content) - start:
        raise malformed_at(at, f"a list of {4 * count} bytes, but {len(content) - start} are left")
    return struct.unpack_from(f"<{count}I", content, start)


def _decode_name(name: bytes, at: int, *, is_compressed: bool) -> str:
    if is_compressed:
        return name.decode("latin-1")
    return utf16_decode(name, structure=_STRUCTURE, offset=BASE_BLOCK_SIZE + at)
