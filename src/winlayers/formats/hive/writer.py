"""A registry hive written from keys and values, with memory for one way from the root only.

    with open(path, "w+b") as file:
        write_hive(file, Hive.open(source, fold=fold).root, fold=fold)

Keys are written into depth. The cell of a key is taken before what belongs to it, and filled when all below it
is known:

    key, class, values each with its data, list of values, subkeys, list of subkeys

Cells stand one behind the other in bins of 4096 bytes, or more for a cell that needs more; what is left at the
end of a bin is one free cell. Lists of subkeys are ``lh`` of at most 507 entries, and an ``ri`` over them where
there are more. Equal descriptors are one cell, in a ring in the order of their first use. The version is 1.5, and
1.6 in a layered hive, as Windows has it; sequence numbers are equal, and there is no transaction manager.

The same keys give the same bytes: nothing comes from a clock. What the writer does not keep are the order of
subkeys, unknown flags of values, access bits, the unused bytes, and what is volatile. This module refuses to know
where keys come from.
Source: msuhanov/regf "Windows registry file format specification"; sizes of lists, flags of names and empty
values checked against tests/data/Software_Delta, which Windows wrote.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO

from winlayers.base.fileobj import write_all
from winlayers.base.progress import Cancel
from winlayers.errors import InvalidArgument, Malformed, TooLarge
from winlayers.formats.hive import cells
from winlayers.formats.hive.cells import (
    BASE_BLOCK_SIZE,
    BIN_ALIGNMENT,
    BIN_HEADER_SIZE,
    CELL_ALIGNMENT,
    INHERIT_CLASS,
    MAX_DEPTH,
    NONE,
    SEGMENT_SIZE,
    HiveFlags,
    KeyFlags,
    ValueFlags,
)
from winlayers.formats.hive.keys import Fold, SourceKey, SourceValue, same_name, sort_key
from winlayers.formats.text16 import utf16_encode, utf16_unit_count

#: How many bytes of bins a hive can have: the highest bit of an offset means something else to Windows.
MAX_BINS_SIZE = (1 << 31) - BIN_ALIGNMENT
#: How long names can be, in UTF-16 units.
MAX_KEY_NAME_UNITS = 255
MAX_VALUE_NAME_UNITS = 16383

_MINOR_VERSION = 5
_LAYERED_MINOR_VERSION = 6
# A list of as many fills a bin of 4096 bytes.
_LEAF_ENTRIES = 507
_INLINE = 0x80000000
_FILE_NAME_UNITS = 31
_BUFFER_SIZE = 1 << 20
_RING = struct.Struct("<3I")
_RING_AT = 4
# As a number: the inverse of a flag leaves out the bits that have no name.
_KEPT_FLAGS = 0xFFFF & ~int(KeyFlags.VOLATILE | KeyFlags.HIVE_ENTRY | KeyFlags.COMP_NAME)
_SEQUENCES = 1 << 32


def write_hive(
    target: BinaryIO,
    root: SourceKey,
    *,
    fold: Fold,
    is_layered: bool = False,
    file_name: str = "",
    last_written_filetime: int = 0,
    sequence: int = 1,
    limit: int = MAX_BINS_SIZE,
    cancel: Cancel | None = None,
) -> int:
    """Write a hive.

    Args:
        target: an empty file that can be sought in; it is written from its start.
        root: the key that all others are below.
        fold: the form of a name under which Windows compares it.
        is_layered: whether it is a difference to other hives; else no key and no value may mark a deletion.
        file_name: path of the hive, of which the end is kept.
        last_written_filetime: for the head.
        sequence: both sequence numbers, modulo 2**32.
        limit: how many bytes the bins may have.
        cancel: asked before each key.
    Returns:
        Bytes of the hive.
    Raises:
        InvalidArgument: a mark of a layered hive in one that is not.
        Malformed: two subkeys of one name, a name that is too long, keys more than 512 deep, or what the
            source finds when it is read.
        TooLarge: the hive would have more bytes than the limit.
    """
    bins = _Bins(target, last_written_filetime, min(limit, MAX_BINS_SIZE))
    writer = _KeyWriter(bins, fold, is_layered)
    root_offset = writer.write(root, cancel or Cancel())
    bins.finish()
    sequence %= _SEQUENCES
    block = bytearray(BASE_BLOCK_SIZE)
    cells.BASE_BLOCK.pack_into(
        block, 0, b"regf", sequence, sequence, last_written_filetime,
        cells.MAJOR_VERSION, _LAYERED_MINOR_VERSION if is_layered else _MINOR_VERSION, 0, 1,
        root_offset, bins.size, 1, utf16_encode(file_name)[-2 * _FILE_NAME_UNITS :], b"", b"",
        HiveFlags.LAYERED if is_layered else 0,
    )  # fmt: skip
    struct.pack_into("<I", block, cells.CHECKSUM_AT, cells.checksum(bytes(block)))
    target.seek(0)
    write_all(target, memoryview(block))
    return BASE_BLOCK_SIZE + bins.size


@dataclass(slots=True)
class _Level:
    """A key whose subkeys are being written.

    Attributes:
        key: the key.
        name: as its cell has it.
        flags: likewise.
        offset: of its cell.
        parent: offset of the parent's cell.
        security: of its descriptor's cell.
        class_name: of its class's cell.
        class_size: bytes of the class.
        values: what is known of its values.
        subkeys: those that are still to be written.
        listed: of those that are written what sorts them, the hash and the offset.
        longest_name: most bytes of a subkey's name in UTF-16.
        longest_class: most bytes of a subkey's class.
    """

    key: SourceKey
    name: bytes
    flags: KeyFlags
    offset: int
    parent: int
    security: int
    class_name: int
    class_size: int
    values: _Values
    subkeys: Iterator[SourceKey]
    listed: list[tuple[bytes, int, int]] = field(default_factory=list)
    longest_name: int = 0
    longest_class: int = 0


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of a key: offset of their list, how many, and the most bytes of a name and of data."""

    offset: int
    count: int
    longest_name: int
    most_data: int


class _KeyWriter:
    """Writes keys and all that belongs to them as cells."""

    def __init__(self, bins: _Bins, fold: Fold, is_layered: bool) -> None:
        self._bins = bins
        self._fold = fold
        self._is_layered = is_layered
        self._descriptors = _Descriptors(bins)

    def write(self, root: SourceKey, cancel: Cancel) -> int:
        """A key with all below it; its offset."""
        levels = [self._begin(root, None)]
        offset = levels[0].offset
        while levels:
            level = levels[-1]
            key = next(level.subkeys, None)
            if key is None:
                self._finish(level)
                levels.pop()
                continue
            cancel.check()
            if len(levels) > MAX_DEPTH:
                raise Malformed("registry hive", f"keys lie more than {MAX_DEPTH} deep")
            below = self._begin(key, level)
            levels.append(below)
            folded = self._fold(key.name)
            level.listed.append((sort_key(folded), cells.name_hash(folded), below.offset))
            level.longest_name = max(level.longest_name, 2 * utf16_unit_count(key.name))
            level.longest_class = max(level.longest_class, below.class_size)
        self._descriptors.finish()
        return offset

    def _begin(self, key: SourceKey, above: _Level | None) -> _Level:
        """All of a key that can be written before its subkeys."""
        is_compressed, name = _encoded(key.name, MAX_KEY_NAME_UNITS)
        flags = key.flags & _KEPT_FLAGS
        if is_compressed:
            flags |= KeyFlags.COMP_NAME
        if above is None:
            flags |= KeyFlags.HIVE_ENTRY | KeyFlags.NO_DELETE
        offset = self._bins.take(cells.KEY.size + len(name))
        class_name = utf16_encode(key.class_name)
        return _Level(
            key=key,
            name=name,
            flags=flags,
            offset=offset,
            parent=NONE if above is None else above.offset,
            security=self._descriptors.put(key.security),
            class_name=self._bins.put(class_name) if class_name else NONE,
            class_size=len(class_name),
            values=self._values(key),
            subkeys=key.subkeys(),
        )

    def _finish(self, level: _Level) -> None:
        """The list of the subkeys, and the key itself."""
        values = level.values
        content = cells.KEY.pack(
            b"nk", level.flags, level.key.last_written_filetime, 0, self._layer_byte(level.key), 0,
            level.parent, len(level.listed), 0, self._subkey_list(level), NONE,
            values.count, values.offset, level.security, level.class_name,
            level.longest_name, level.key.control_flags, 0,
            level.longest_class, values.longest_name, values.most_data, 0,
            len(level.name), level.class_size,
        )  # fmt: skip
        self._bins.fill(level.offset, content + level.name)

    def _layer_byte(self, key: SourceKey) -> int:
        mark = key.semantics | (INHERIT_CLASS if key.inherits_class else 0)
        if mark and not self._is_layered:
            raise InvalidArgument(f"the key {key.name!r} is one of a layered hive")
        return mark

    def _subkey_list(self, level: _Level) -> int:
        listed = sorted(level.listed)
        for one, next_one in pairwise(listed):
            if one[0] == next_one[0]:
                raise same_name(level.key, one[0].decode("utf-16-be", "surrogatepass"))
        leaves = [
            self._leaf(listed[at : at + _LEAF_ENTRIES])
            for at in range(0, len(listed), _LEAF_ENTRIES)
        ]
        if len(leaves) > 1:
            return self._bins.put(cells.LIST.pack(b"ri", len(leaves)) + _numbers(leaves))
        return leaves[0] if leaves else NONE

    def _leaf(self, listed: Sequence[tuple[bytes, int, int]]) -> int:
        numbers = [number for _, name_hash, offset in listed for number in (offset, name_hash)]
        return self._bins.put(cells.LIST.pack(b"lh", len(listed)) + _numbers(numbers))

    def _values(self, key: SourceKey) -> _Values:
        offsets: list[int] = []
        longest_name = most_data = 0
        for value in key.values():
            data = value.data
            offsets.append(self._value(value, data))
            longest_name = max(longest_name, 2 * utf16_unit_count(value.name))
            most_data = max(most_data, len(data))
        listed = self._bins.put(_numbers(offsets)) if offsets else NONE
        return _Values(listed, len(offsets), longest_name, most_data)

    def _value(self, value: SourceValue, data: bytes) -> int:
        is_compressed, name = _encoded(value.name, MAX_VALUE_NAME_UNITS)
        # The name of the default value is marked as neither.
        flags = ValueFlags.COMP_NAME if is_compressed and name else ValueFlags(0)
        size = len(data)
        if value.is_tombstone:
            if not self._is_layered:
                raise InvalidArgument(f"the value {value.name!r} is one of a layered hive")
            flags |= ValueFlags.TOMBSTONE
            size, place = 0, NONE
        elif size <= struct.calcsize("<I"):
            (place,) = struct.unpack("<I", data.ljust(4, b"\0"))
            size |= _INLINE
        else:
            place = self._data(data)
        content = cells.VALUE.pack(b"vk", len(name), size, place, value.kind, flags, 0)
        return self._bins.put(content + name)

    def _data(self, data: bytes) -> int:
        if len(data) <= SEGMENT_SIZE:
            return self._bins.put(data)
        segments = [
            self._bins.put(data[at : at + SEGMENT_SIZE]) for at in range(0, len(data), SEGMENT_SIZE)
        ]
        listed = self._bins.put(_numbers(segments))
        return self._bins.put(cells.BIG_DATA.pack(b"db", len(segments), listed))


class _Descriptors:
    """The security descriptors, each different one once."""

    def __init__(self, bins: _Bins) -> None:
        self._bins = bins
        # Digest of a descriptor -> its number; a hostile hive has very many.
        self._numbers: dict[bytes, int] = {}
        self._offsets: list[int] = []
        self._use_counts: list[int] = []

    def put(self, descriptor: bytes) -> int:
        """The offset of a descriptor's cell; it is used once more."""
        if not descriptor:
            return NONE
        digest = hashlib.sha256(descriptor).digest()
        number = self._numbers.setdefault(digest, len(self._offsets))
        if number == len(self._offsets):
            head = cells.SECURITY.pack(b"sk", 0, NONE, NONE, 0, len(descriptor))
            self._offsets.append(self._bins.put(head + descriptor))
            self._use_counts.append(0)
        self._use_counts[number] += 1
        return self._offsets[number]

    def finish(self) -> None:
        """Make a ring of them, and write how often each is used."""
        offsets = self._offsets
        for number, offset in enumerate(offsets):
            following = offsets[(number + 1) % len(offsets)]
            ring = _RING.pack(following, offsets[number - 1], self._use_counts[number])
            self._bins.fill(offset, ring, _RING_AT)


class _Bins:
    """Cells one behind the other; the newest bytes are held until there is enough of them.

    Attributes:
        size: bytes of all bins so far.
    """

    def __init__(self, target: BinaryIO, filetime: int, limit: int) -> None:
        self.size = 0
        self._target = target
        self._filetime = filetime
        self._limit = limit
        # The bytes from an offset on, to the end of the last bin.
        self._held = bytearray()
        self._held_from = 0
        # Where the next cell of the last bin begins.
        self._next = 0

    def take(self, size: int) -> int:
        """Take a cell.

        Args:
            size: bytes of its content.
        Returns:
            Its offset.
        Raises:
            TooLarge: the bins would be larger than the limit.
        """
        wanted = _aligned(4 + size, CELL_ALIGNMENT)
        if wanted > self.size - self._next:
            self._open_bin(_aligned(BIN_HEADER_SIZE + wanted, BIN_ALIGNMENT))
        offset = self._next
        self._next += wanted
        cells.SIZE.pack_into(self._held, offset - self._held_from, -wanted)
        return offset

    def fill(self, offset: int, content: bytes, at: int = 0) -> None:
        """Write into a cell, from a place in its content on."""
        start = offset + 4 + at
        if start >= self._held_from:
            start -= self._held_from
            self._held[start : start + len(content)] = content
        else:
            self._target.seek(BASE_BLOCK_SIZE + start)
            write_all(self._target, memoryview(content))

    def put(self, content: bytes) -> int:
        """A cell with a content; its offset."""
        offset = self.take(len(content))
        self.fill(offset, content)
        return offset

    def finish(self) -> None:
        """Write what is held."""
        self._close_bin()
        self._let_go()

    def _open_bin(self, size: int) -> None:
        if self.size + size > self._limit:
            raise TooLarge(f"a registry hive would have more than {self._limit:,} bytes")
        self._close_bin()
        if len(self._held) >= _BUFFER_SIZE:
            self._let_go()
        filetime = 0 if self.size else self._filetime
        self._held += cells.BIN_HEADER.pack(b"hbin", self.size, size, filetime, 0)
        self._held += bytes(size - BIN_HEADER_SIZE)
        self._next = self.size + BIN_HEADER_SIZE
        self.size += size

    def _close_bin(self) -> None:
        """Make what is left of the last bin a free cell."""
        if left := self.size - self._next:
            cells.SIZE.pack_into(self._held, self._next - self._held_from, left)

    def _let_go(self) -> None:
        self._target.seek(BASE_BLOCK_SIZE + self._held_from)
        write_all(self._target, memoryview(self._held))
        self._held_from += len(self._held)
        self._held = bytearray()


def _encoded(name: str, limit: int) -> tuple[bool, bytes]:
    """A name as a cell has it, and whether it has one byte a character."""
    if utf16_unit_count(name) > limit:
        raise Malformed("registry hive", f"the name {name[:80]!r}... is longer than {limit}")
    try:
        return True, name.encode("latin-1")
    except UnicodeEncodeError:
        return False, utf16_encode(name)


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _numbers(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)
