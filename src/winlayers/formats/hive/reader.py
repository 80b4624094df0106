"""A registry hive as keys and values, read where they stand when they are asked for.

    hive = Hive.open(file, fold=fold)
    key = hive.root.find("Microsoft\\Windows NT\\CurrentVersion")
    build = key.value("CurrentBuild").text

A hive of a layer may be hostile. Each offset is checked before it is followed, each size before anything is
read; a key has to name the parent that it was reached from and stands once in one list, so that keys form a
tree; no list names a cell twice; no key lies deeper than Windows allows; ``MAX_COUNT`` and ``MAX_DATA_SIZE``
bound what one call holds in memory. Cells that hold values or data may be shared by any number of keys, so
whoever reads all values of a whole hive has to set a limit himself.

A hive that was not closed (``Hive.is_dirty``) is read as it stands: some of the newest changes may be in its
transaction logs, and what is read may not fit together. This module refuses to know which hives are
laid over each other: keys and values of a layered hive that mark a deletion are told as such.
Source: msuhanov/regf "Windows registry file format specification".
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from winlayers.errors import Malformed, TooLarge
from winlayers.formats.hive import cells
from winlayers.formats.hive.cells import (
    BASE_BLOCK_SIZE,
    BIN_HEADER_SIZE,
    CELL_ALIGNMENT,
    INHERIT_CLASS,
    NONE,
    SEGMENT_SIZE,
    SEMANTICS_MASK,
    BaseBlock,
    HiveFlags,
    KeyCell,
    KeyFlags,
    Semantics,
    SubkeyList,
    ValueCell,
    ValueFlags,
    ValueKind,
    malformed_at,
)
from winlayers.formats.hive.keys import Fold
from winlayers.formats.text16 import utf16_decode

#: How many subkeys, and how many values, one key may have here; Windows has no such limit.
MAX_COUNT = 1 << 20
#: How many bytes of data one value may have here.
MAX_DATA_SIZE = 64 << 20

_BLOCK_SIZE = 4096
# Where the offset of the root stands, from the first bin.
_ROOT_AT = 36 - BASE_BLOCK_SIZE
_KEPT_BLOCKS = 256
_TEXT_KINDS = frozenset({ValueKind.SZ, ValueKind.EXPAND_SZ, ValueKind.LINK})
_INTEGERS = {
    ValueKind.DWORD: 4,
    ValueKind.DWORD_BIG_ENDIAN: 4,
    ValueKind.QWORD: 8,
}


class Cell(NamedTuple):
    """Where a cell stands.

    Attributes:
        offset: from the first bin, in bytes.
        size: bytes with those of the size itself.
        is_used: whether something is in it.
    """

    offset: int
    size: int
    is_used: bool


class Hive:
    """A registry hive.

    Attributes:
        base_block: its head.
        root: the key that all others are below.
    """

    __slots__ = ("_bins", "_fold", "base_block", "root")

    def __init__(self, base_block: BaseBlock, bins: _Bins, fold: Fold) -> None:
        """Use ``Hive.open``."""
        self.base_block = base_block
        self._bins = bins
        self._fold = fold
        self.root = Key(self, base_block.root, self._key_cell(base_block.root, _ROOT_AT), 0)

    @classmethod
    def open(cls, source: bytes | BinaryIO, *, fold: Fold) -> Hive:
        """Look at the head and the root of a hive.

        Args:
            source: the hive, or a seekable file object that stays open and holds it from its start.
            fold: the form of a name under which Windows compares it.
        Returns:
            The hive; it does not close the file object.
        Raises:
            Malformed: the head is not that of a hive, the file is shorter than the head says, or there
                is no key where the root should be.
        """
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        file_size = file.seek(0, io.SEEK_END)
        base_block = cells.parse_base_block(_read_at(file, 0, BASE_BLOCK_SIZE))
        if base_block.bins_size > file_size - BASE_BLOCK_SIZE:
            raise Malformed(
                "registry hive",
                f"{base_block.bins_size} bytes of bins, but "
                f"{file_size - BASE_BLOCK_SIZE} follow the base block",
                offset=40,
            )
        return cls(base_block, _Bins(file, base_block.bins_size), fold)

    @property
    def is_dirty(self) -> bool:
        """Whether it was not closed, so that its transaction logs may be needed."""
        return self.base_block.is_dirty

    @property
    def is_layered(self) -> bool:
        """Whether it is a difference to other hives, so that keys and values may mark deletions."""
        return bool(self.base_block.flags & HiveFlags.LAYERED)

    def cells(self) -> Iterator[Cell]:
        """All cells, free ones too, as they stand; their content is not looked at.

        Raises:
            Malformed: the bins or the cells in one of them do not fill their space exactly.
        """
        at, end = 0, self._bins.size
        while at < end:
            header = self._bins.read(at, BIN_HEADER_SIZE)
            bin_end = at + cells.parse_bin_header(header, at, end - at)
            at += BIN_HEADER_SIZE
            while at < bin_end:
                size, is_used = cells.parse_cell_size(self._bins.read(at, 4), at, bin_end - at)
                yield Cell(at, size, is_used)
                at += size

    def _key_cell(self, offset: int, at: int) -> KeyCell:
        """The key in a cell; ``at`` is where its offset stands."""
        return cells.parse_key(self._bins.cell(offset, cells.KEY_LIMIT, at), offset)


class Key:
    """A key of a hive.

    Attributes:
        offset: of its cell, from the first bin.
    """

    __slots__ = ("_cell", "_depth", "_hive", "offset")

    def __init__(self, hive: Hive, offset: int, cell: KeyCell, depth: int) -> None:
        """Keys are made by a hive."""
        self._hive = hive
        self.offset = offset
        self._cell = cell
        self._depth = depth

    def __repr__(self) -> str:
        return f"<Key {self.name!r} at {self.offset}>"

    @property
    def name(self) -> str:
        """Its name; that of a root means nothing."""
        return self._cell.name

    @property
    def last_written_filetime(self) -> int:
        """When it was changed, in 100 ns since 1601-01-01 UTC; 0 where a key marks a deletion."""
        return self._cell.last_written_filetime

    @property
    def flags(self) -> KeyFlags:
        """What is special about it."""
        return self._cell.flags

    @property
    def control_flags(self) -> int:
        """What Windows keeps of virtualisation and of 32-bit views, one byte; not looked into."""
        return self._cell.control_flags

    @property
    def semantics(self) -> Semantics:
        """What it makes of the same key in hives below; MERGE in a hive that is not layered."""
        if not self._hive.is_layered:
            return Semantics.MERGE
        return Semantics(self._cell.layer_byte & SEMANTICS_MASK)

    @property
    def inherits_class(self) -> bool:
        """Whether its class is that of the same key in the hives below."""
        return self._hive.is_layered and bool(self._cell.layer_byte & INHERIT_CLASS)

    @property
    def class_name(self) -> str:
        """The class that stands with it, mostly ``""``.

        Raises:
            Malformed: it is longer than its cell, or of an odd size.
        """
        size, offset = self._cell.class_size, self._cell.class_name
        if not size or offset == NONE:
            return ""
        content = self._hive._bins.cell(offset, cells.CLASS_LIMIT, self.offset)
        if size > len(content):
            raise malformed_at(offset, f"a class of {size} bytes in a cell of {len(content)}")
        return utf16_decode(
            content[:size], structure="registry hive", offset=BASE_BLOCK_SIZE + offset
        )

    @property
    def security(self) -> bytes:
        """Its security descriptor, self-relative; empty where it has none.

        Raises:
            Malformed: there is no descriptor where it should be.
        """
        offset = self._cell.security
        if offset == NONE:
            return b""
        content = self._hive._bins.cell(offset, cells.SECURITY_LIMIT, self.offset)
        return cells.parse_security(content, offset).descriptor

    def subkeys(self) -> Iterator[Key]:
        """The keys right below, in the order of their folded names.

        Raises:
            Malformed: the lists do not hold as many keys as there should be, a cell twice or no key, or
                a key that belongs to another one.
            TooLarge: there are more than ``MAX_COUNT``.
        """
        for offset, _ in self._entries():
            yield self._subkey_at(offset)

    def subkey(self, name: str) -> Key | None:
        """The key right below that has a name, case not regarded, or None.

        Raises:
            Malformed: as for ``subkeys``, as far as is looked.
        """
        folded = self._hive._fold(name)
        wanted = cells.name_hash(folded)
        for offset, kept in self._entries():
            if kept in (None, wanted):
                key = self._subkey_at(offset)
                if self._hive._fold(key.name) == folded:
                    return key
        return None

    def find(self, path: str) -> Key | None:
        """The key at a path below this one, case not regarded, or None.

        Args:
            path: names with ``\\`` between them; ``""`` for this key itself.
        Raises:
            Malformed: as for ``subkeys``, as far as is looked.
        """
        key: Key | None = self
        for name in path.split("\\") if path else ():
            key = key.subkey(name) if key else None
        return key

    def values(self) -> Iterator[Value]:
        """The values, in the order in which they stand; those that mark a deletion too.

        Raises:
            Malformed: the list does not hold as many as there should be, a cell twice, or no value.
            TooLarge: there are more than ``MAX_COUNT``.
        """
        count, offset = self._cell.value_count, self._cell.value_list
        if not count:
            return
        self._check_count(count, "values")
        bins = self._hive._bins
        listed = cells.parse_offsets(bins.cell(offset, 4 * count, self.offset), offset, count)
        bins.check_offsets(listed, offset)
        if len(set(listed)) != count:
            raise malformed_at(offset, "a list of values names a cell twice")
        for at in listed:
            cell = cells.parse_value(bins.cell(at, cells.VALUE_LIMIT, offset), at)
            yield Value(self._hive, at, cell)

    def value(self, name: str) -> Value | None:
        """The value that has a name, case not regarded, or None; ``""`` for the default value.

        Raises:
            Malformed: as for ``values``, as far as is looked.
        """
        fold = self._hive._fold
        folded = fold(name)
        return next((value for value in self.values() if fold(value.name) == folded), None)

    def _entries(self) -> Iterator[tuple[int, int | None]]:
        """Offset and hash, where there is one, of each subkey."""
        count, offset = self._cell.subkey_count, self._cell.subkey_list
        if not count:
            return
        self._check_count(count, "subkeys")
        top = self._list_at(offset, self.offset)
        leaves = self._leaves(top, offset) if top.is_index else iter((top,))
        seen: set[int] = set()
        listed = 0
        for leaf in leaves:
            seen.update(leaf.offsets)
            listed += len(leaf.offsets)
            if len(seen) != listed:
                raise malformed_at(offset, f"the lists of {self.name!r} name a subkey twice")
            if listed > count:
                raise malformed_at(offset, f"{self.name!r} lists more than its {count} subkeys")
            yield from zip(leaf.offsets, leaf.hashes or (None,) * len(leaf.offsets), strict=True)
        if listed != count:
            raise malformed_at(offset, f"{self.name!r} lists {listed} subkeys, not {count}")

    def _leaves(self, top: SubkeyList, offset: int) -> Iterator[SubkeyList]:
        """The lists of a list of lists."""
        if len(set(top.offsets)) != len(top.offsets):
            raise malformed_at(offset, "a list of lists names one twice")
        for at in top.offsets:
            leaf = self._list_at(at, offset)
            if leaf.is_index:
                raise malformed_at(at, "a list of lists stands in a list of lists")
            yield leaf

    def _check_count(self, count: int, what: str) -> None:
        if count > MAX_COUNT:
            raise TooLarge(
                f"registry key {self.name!r} has {count:,} {what}, more than {MAX_COUNT:,}"
            )

    def _list_at(self, offset: int, at: int) -> SubkeyList:
        bins = self._hive._bins
        found = cells.parse_subkey_list(bins.cell(offset, cells.LIST_LIMIT, at), offset)
        # Offsets that can be none keep hostile lists from lying in each other.
        bins.check_offsets(found.offsets, offset)
        return found

    def _subkey_at(self, offset: int) -> Key:
        if self._depth >= cells.MAX_DEPTH:
            raise malformed_at(offset, f"keys lie more than {cells.MAX_DEPTH} deep")
        cell = self._hive._key_cell(offset, self.offset)
        if offset == self._hive.base_block.root or cell.parent != self.offset:
            raise malformed_at(
                offset, f"the key {cell.name!r} is no subkey of {self.name!r}, which lists it"
            )
        return Key(self._hive, offset, cell, self._depth + 1)


class Value:
    """A value of a key.

    Attributes:
        offset: of its cell, from the first bin.
    """

    __slots__ = ("_cell", "_hive", "offset")

    def __init__(self, hive: Hive, offset: int, cell: ValueCell) -> None:
        """Values are made by a key."""
        self._hive = hive
        self.offset = offset
        self._cell = cell

    def __repr__(self) -> str:
        return f"<Value {self.name!r} of kind {self.kind}, {self.size} bytes>"

    @property
    def name(self) -> str:
        """Its name; ``""`` for the default value."""
        return self._cell.name

    @property
    def kind(self) -> int:
        """A ``ValueKind``, or any other number."""
        return self._cell.kind

    @property
    def size(self) -> int:
        """Bytes of its data, as the hive says; nothing was read yet."""
        return self._cell.size

    @property
    def is_tombstone(self) -> bool:
        """Whether it says that the hives below have no such value; never in a hive that is not layered."""
        return self._hive.is_layered and bool(self._cell.flags & ValueFlags.TOMBSTONE)

    @property
    def data(self) -> bytes:
        """The bytes of the value.

        Raises:
            Malformed: they are not all there.
            TooLarge: there are more than ``MAX_DATA_SIZE``.
        """
        size, offset = self._cell.size, self._cell.data
        if self._cell.inline is not None:
            return self._cell.inline
        bins = self._hive._bins
        if size > bins.size:
            raise malformed_at(self.offset, f"a value of {size} bytes, more than all bins have")
        if size > MAX_DATA_SIZE:
            raise TooLarge(f"{self!r} in a registry hive has more than {MAX_DATA_SIZE:,}")
        minor_version = self._hive.base_block.minor_version
        if size > SEGMENT_SIZE and minor_version >= cells.BIG_DATA_MINOR_VERSION:
            return self._segments(offset, size)
        return self._piece(offset, size, self.offset)

    @property
    def text(self) -> str | None:
        """The text of a value of kind SZ, EXPAND_SZ or LINK up to its first NUL; None of other kinds.

        An odd byte at the end is passed over, as Windows does.

        Raises:
            Malformed: the data is not all there.
        """
        return self._whole_text().partition("\0")[0] if self.kind in _TEXT_KINDS else None

    @property
    def texts(self) -> list[str] | None:
        """The texts of a value of kind MULTI_SZ, up to the first that is empty; None of other kinds.

        Raises:
            Malformed: the data is not all there.
        """
        if self.kind != ValueKind.MULTI_SZ:
            return None
        texts = self._whole_text().split("\0")
        return texts[: texts.index("")] if "" in texts else texts

    @property
    def integer(self) -> int | None:
        """The number of a value of kind DWORD, DWORD_BIG_ENDIAN or QWORD; None of other kinds.

        Raises:
            Malformed: the data is not there, or has another size than the number.
        """
        if self.kind not in _INTEGERS:
            return None
        wanted = _INTEGERS[ValueKind(self.kind)]
        if self.size != wanted:
            raise malformed_at(self.offset, f"{self!r} is a number of {wanted} bytes")
        is_big = self.kind == ValueKind.DWORD_BIG_ENDIAN
        return int.from_bytes(self.data, "big" if is_big else "little")

    def _whole_text(self) -> str:
        data = self.data
        return utf16_decode(data[: len(data) & ~1])

    def _segments(self, offset: int, size: int) -> bytes:
        """Data that is cut into segments, all of one size but for the last."""
        bins = self._hive._bins
        head = bins.cell(offset, cells.BIG_DATA.size, self.offset)
        count, list_offset = cells.parse_big_data(head, offset)
        if count != -(-size // SEGMENT_SIZE):
            raise malformed_at(offset, f"{size} bytes of a value in {count} segments")
        listed = cells.parse_offsets(bins.cell(list_offset, 4 * count, offset), list_offset, count)
        if len(set(listed)) != count:
            raise malformed_at(list_offset, "a value has a segment twice")
        sizes = [SEGMENT_SIZE] * (count - 1) + [size - (count - 1) * SEGMENT_SIZE]
        return b"".join(
            self._piece(at, wanted, list_offset) for at, wanted in zip(listed, sizes, strict=True)
        )

    def _piece(self, offset: int, size: int, at: int) -> bytes:
        """Data that stands in a cell; ``at`` is where the offset of the cell stands."""
        content = self._hive._bins.cell(offset, size, at)
        if size > len(content):
            raise malformed_at(offset, f"{size} bytes of a value in a cell of {len(content)}")
        return content


class _Bins:
    """The bins of a hive: bytes by their offset from the first bin, never past the end of the last.

    The blocks read last are remembered, since what belongs together mostly stands together.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._block = lru_cache(_KEPT_BLOCKS)(self._read_block)

    def cell(self, offset: int, limit: int, at: int) -> bytes:
        """The content of a cell that has to be in use.

        Args:
            offset: of the cell.
            limit: how many bytes are wanted at most; a cell may say that it has very many more.
            at: where the offset stands, for errors.
        Raises:
            Malformed: there can be no cell, or there is a free one.
        """
        self.check_offsets((offset,), at)
        size, is_used = cells.parse_cell_size(self.read(offset, 4), offset, self.size - offset)
        if not is_used:
            raise malformed_at(offset, "a cell is used, but marked as free")
        return self.read(offset + 4, min(size - 4, limit))

    def check_offsets(self, offsets: Iterable[int], at: int) -> None:
        """Refuse what can be no cell.

        Args:
            offsets: of cells.
            at: where they stand, for errors.
        Raises:
            Malformed: one of them is outside the bins, or no multiple of 8.
        """
        last = self.size - CELL_ALIGNMENT
        for offset in offsets:
            if offset % CELL_ALIGNMENT or not BIN_HEADER_SIZE <= offset <= last:
                raise malformed_at(at, f"{offset} is no offset of a cell in {self.size} bytes")

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that the caller knows to be within the bins."""
        number, start = divmod(offset, _BLOCK_SIZE)
        if start + size <= _BLOCK_SIZE:
            return self._block(number)[start : start + size]
        return _read_at(self._file, BASE_BLOCK_SIZE + offset, size)

    def _read_block(self, number: int) -> bytes:
        start = number * _BLOCK_SIZE
        size = min(_BLOCK_SIZE, self.size - start)
        return _read_at(self._file, BASE_BLOCK_SIZE + start, size)


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Bytes of a file, fewer only at its end."""
    file.seek(offset)
    data = b""
    while (left := size - len(data)) and (more := file.read(left)):
        data += more
    return data
