"""Small registry hives for tests, each in one short call.

    hive = a_hive(a_key("ROOT", a_key("Microsoft", values=[dword("UBR", 2113)])))

All cells stand in one bin. Keys may be placed by hand into a ``HiveBuilder`` where a test needs what no
registry would hold. This is no writer of hives: nothing is sorted or shared.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.support.builders import DESCRIPTOR
from winlayers.formats.hive import cells
from winlayers.formats.hive.cells import NONE, Semantics, ValueKind
from winlayers.layer.names import fold

TOMBSTONE = Semantics.TOMBSTONE
LOCAL = Semantics.SUPERSEDE_LOCAL
TREE = Semantics.SUPERSEDE_TREE


@dataclass(frozen=True)
class BuiltValue:
    """A value to be written."""

    name: str
    kind: int
    data: bytes
    flags: int = 1


@dataclass(frozen=True)
class BuiltKey:
    """A key to be written, with all that is below it."""

    name: str
    subkeys: tuple[BuiltKey, ...]
    values: tuple[BuiltValue, ...]
    layer_byte: int
    class_name: str
    lists: str


def a_key(
    name: str,
    *subkeys: BuiltKey,
    values: Sequence[BuiltValue] = (),
    layer_byte: int = 0,
    class_name: str = "",
    lists: str = "lh",
) -> BuiltKey:
    """A key; ``lists`` is the signature of its subkey list, or ``ri`` for a list of lists of one each."""
    return BuiltKey(name, subkeys, tuple(values), layer_byte, class_name, lists)


def a_path(path: str, *, values: Sequence[BuiltValue] = (), layer_byte: int = 0) -> BuiltKey:
    """A root with one key at a path, which has the values and the layer byte."""
    names = path.split("\\")
    key = a_key(names[-1], values=values, layer_byte=layer_byte)
    for name in reversed(names[:-1]):
        key = a_key(name, key)
    return a_key("ROOT", key)


def text(name: str, content: str, kind: int = ValueKind.SZ) -> BuiltValue:
    """A value of kind SZ."""
    return BuiltValue(name, kind, (content + "\0").encode("utf-16-le"))


def dword(name: str, number: int) -> BuiltValue:
    """A value of kind DWORD."""
    return BuiltValue(name, ValueKind.DWORD, struct.pack("<I", number))


def no_value(name: str) -> BuiltValue:
    """The mark of a deleted value."""
    return BuiltValue(name, ValueKind.NONE, b"", 3)


class HiveBuilder:
    """Puts cells one behind the other."""

    def __init__(self, *, minor: int = 5) -> None:
        self.minor = minor
        self._cells = bytearray()

    def put(self, content: bytes, *, is_used: bool = True) -> int:
        """One more cell; its offset."""
        offset = cells.BIN_HEADER_SIZE + len(self._cells)
        size = -(-(4 + len(content)) // 8) * 8
        self._cells += struct.pack("<i", -size if is_used else size)
        self._cells += content.ljust(size - 4, b"\0")
        return offset

    def change(self, offset: int, at: int, data: bytes) -> None:
        """Write over the content of a cell from ``at``."""
        start = offset - cells.BIN_HEADER_SIZE + 4 + at
        self._cells[start : start + len(data)] = data

    def key(self, key: BuiltKey, *, is_root: bool = False, security: int = NONE) -> int:
        """A key with all that is below it; its offset."""
        if is_root:
            security = self.put(
                cells.SECURITY.pack(b"sk", 0, 0, 0, 1, len(DESCRIPTOR)) + DESCRIPTOR
            )
        class_data = key.class_name.encode("utf-16-le")
        flags, name = _encoded(key.name)
        subkeys = [self.key(subkey, security=security) for subkey in key.subkeys]
        values = [self.value(value) for value in key.values]
        content = cells.KEY.pack(
            b"nk", flags | (0xC if is_root else 0), 7, 0, key.layer_byte, 0, NONE,
            len(subkeys), 0, self.subkey_list(key, subkeys) if subkeys else NONE, NONE,
            len(values), self.offsets(values) if values else NONE, security,
            self.put(class_data) if class_data else NONE,
            0, 0, 0, 0, 0, 0, 0, len(name), len(class_data),
        )  # fmt: skip
        offset = self.put(content + name)
        for subkey in subkeys:
            self.change(subkey, 16, struct.pack("<I", offset))
        return offset

    def subkey_list(self, key: BuiltKey, subkeys: Sequence[int]) -> int:
        """The list of a key's subkeys; its offset."""
        if key.lists == "ri":
            leaves = [
                self.subkey_list(replace(key, lists="lh", subkeys=(subkey,)), (offset,))
                for subkey, offset in zip(key.subkeys, subkeys, strict=True)
            ]
            return self.put(cells.LIST.pack(b"ri", len(leaves)) + _numbers(leaves))
        entries = b""
        for subkey, offset in zip(key.subkeys, subkeys, strict=True):
            entries += _numbers([offset])
            if key.lists == "lh":
                entries += _numbers([cells.name_hash(fold(subkey.name))])
            elif key.lists == "lf":
                entries += subkey.name.encode("latin-1")[:4].ljust(4, b"\0")
        return self.put(cells.LIST.pack(key.lists.encode(), len(subkeys)) + entries)

    def offsets(self, numbers: Sequence[int]) -> int:
        """A list of cells; its offset."""
        return self.put(_numbers(numbers))

    def value(self, value: BuiltValue) -> int:
        """A value with its data; its offset."""
        flags, name = _encoded(value.name)
        flags = flags and 1
        size = len(value.data)
        if 0 < size <= 4:
            data = struct.unpack("<I", value.data.ljust(4, b"\0"))[0]
            stored = size | 0x80000000
        else:
            data, stored = (self.data(value.data) if size else NONE), size
        content = cells.VALUE.pack(
            b"vk", len(name), stored, data, value.kind, flags | value.flags & 2, 0
        )
        return self.put(content + name)

    def data(self, data: bytes) -> int:
        """Data of a value, in segments where it has to be; its offset."""
        if len(data) <= cells.SEGMENT_SIZE or self.minor < 4:
            return self.put(data)
        parts = [
            self.put(data[at : at + cells.SEGMENT_SIZE])
            for at in range(0, len(data), cells.SEGMENT_SIZE)
        ]
        return self.put(cells.BIG_DATA.pack(b"db", len(parts), self.offsets(parts)))

    def build(
        self, root: int, *, sequences: tuple[int, int] = (1, 1), is_layered: bool = False
    ) -> bytes:
        """The hive."""
        size = -(-(cells.BIN_HEADER_SIZE + len(self._cells)) // 4096) * 4096
        free = size - cells.BIN_HEADER_SIZE - len(self._cells)
        rest = struct.pack("<i", free).ljust(free, b"\0") if free else b""
        block = bytearray(cells.BASE_BLOCK_SIZE)
        cells.BASE_BLOCK.pack_into(
            block, 0, b"regf", *sequences, 0, 1, self.minor, 0, 1, root, size, 1,
            "made\\SOFTWARE".encode("utf-16-le"), b"", b"", 2 if is_layered else 0,
        )  # fmt: skip
        struct.pack_into("<I", block, 508, cells.checksum(bytes(block)))
        return bytes(block) + cells.BIN_HEADER.pack(b"hbin", 0, size, 0, 0) + self._cells + rest


def a_hive(
    root: BuiltKey,
    *,
    minor: int = 5,
    sequences: tuple[int, int] = (1, 1),
    is_layered: bool = False,
) -> bytes:
    """A hive with these keys."""
    builder = HiveBuilder(minor=minor)
    return builder.build(
        builder.key(root, is_root=True), sequences=sequences, is_layered=is_layered
    )


def a_delta(root: BuiltKey) -> bytes:
    """A layered hive, as a layer has it for its difference to the hives below."""
    return a_hive(root, minor=6, is_layered=True)


def _encoded(name: str) -> tuple[int, bytes]:
    """The flag of a key's name in one byte a character, and the name."""
    try:
        return 0x20, name.encode("latin-1")
    except UnicodeEncodeError:
        return 0, name.encode("utf-16-le", "surrogatepass")


def _numbers(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)
