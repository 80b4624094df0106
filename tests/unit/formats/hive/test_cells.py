from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest

from winlayers.errors import Malformed
from winlayers.formats.hive import cells
from winlayers.formats.hive.cells import (
    BASE_BLOCK_SIZE,
    HiveFlags,
    KeyFlags,
    SubkeyList,
    ValueFlags,
    ValueKind,
    checksum,
    name_hash,
    parse_base_block,
    parse_bin_header,
    parse_cell_size,
    parse_key,
    parse_offsets,
    parse_security,
    parse_subkey_list,
    parse_value,
)
from winlayers.formats.hive.reader import Hive
from winlayers.layer.names import fold

DATA = Path(__file__).parents[3] / "data"
DELTA = (DATA / "Software_Delta").read_bytes()
PLAIN = (DATA / "Software_plain_small").read_bytes()


def used(hive: bytes) -> dict[int, bytes]:
    """Content of every used cell by its offset."""
    bins = hive[BASE_BLOCK_SIZE:]
    return {
        cell.offset: bins[cell.offset + 4 : cell.offset + cell.size]
        for cell in Hive.open(hive, fold=fold).cells()
        if cell.is_used
    }


CELLS = used(DELTA)


def of_kind(signature: bytes) -> dict[int, bytes]:
    return {at: content for at, content in CELLS.items() if content[:2] == signature}


# -- base block -------------------------------------------------------------------------------------------


def test_base_block_of_a_real_difference() -> None:
    block = parse_base_block(DELTA[:BASE_BLOCK_SIZE])
    assert (block.primary_sequence, block.secondary_sequence) == (2, 2)
    assert (block.last_written_filetime, block.minor_version) == (0, 6)
    assert (block.root, block.bins_size) == (32, len(DELTA) - BASE_BLOCK_SIZE)
    assert block.file_name == "ndboxState\\Hives\\software_Delta"
    assert block.flags == HiveFlags.LAYERED


def with_number(block: bytes, at: int, number: int) -> bytes:
    """A base block with another number in it, and a right checksum."""
    changed = bytearray(block[:BASE_BLOCK_SIZE])
    struct.pack_into("<I", changed, at, number)
    struct.pack_into("<I", changed, 508, checksum(bytes(changed)))
    return bytes(changed)


@pytest.mark.parametrize(
    ("block", "at", "reason"),
    [
        (b"", 0, "begins with b''"),
        (b"REGF" + DELTA[4:4096], 0, "begins with b'REGF', not with b'regf'"),
        (DELTA[:4095], 4095, "has 4095 bytes"),
        (with_number(DELTA, 20, 2), 20, "version 2.6"),
        (with_number(DELTA, 24, 1), 20, "version 1.1"),
        (with_number(DELTA, 24, 7), 20, "version 1.7"),
        (DELTA[:100] + b"x" + DELTA[101:4096], 508, "checksum"),
    ],
)
def test_what_is_no_base_block_is_malformed(block: bytes, at: int, reason: str) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        parse_base_block(block)
    assert caught.value.offset == at


def test_checksum_is_never_zero_or_all_ones() -> None:
    assert checksum(bytes(BASE_BLOCK_SIZE)) == 1
    assert checksum(b"\xff" * 4 + bytes(504)) == 0xFFFFFFFE
    assert checksum(b"\x01\x02\x03\x04" + bytes(504)) == 0x04030201


# -- bins and cells ---------------------------------------------------------------------------------------


def test_bin_header_tells_the_size() -> None:
    assert parse_bin_header(DELTA[4096:4128], 0, len(DELTA)) == 4096


@pytest.mark.parametrize(
    ("header", "at", "limit"),
    [
        (b"hbin" + bytes(27), 0, 8192),
        (b"HBIN" + struct.pack("<II", 0, 4096) + bytes(20), 0, 8192),
        (b"hbin" + struct.pack("<II", 4096, 4096) + bytes(20), 0, 8192),
        (b"hbin" + struct.pack("<II", 0, 0) + bytes(20), 0, 8192),
        (b"hbin" + struct.pack("<II", 0, 4104) + bytes(20), 0, 8192),
        (b"hbin" + struct.pack("<II", 0, 8192) + bytes(20), 0, 4096),
    ],
)
def test_what_is_no_bin_is_malformed(header: bytes, at: int, limit: int) -> None:
    with pytest.raises(Malformed) as caught:
        parse_bin_header(header, at, limit)
    assert caught.value.offset == BASE_BLOCK_SIZE + at


def test_cell_size_is_negative_while_the_cell_is_used() -> None:
    assert parse_cell_size(struct.pack("<i", -16), 32, 16) == (16, True)
    assert parse_cell_size(struct.pack("<i", 16), 32, 16) == (16, False)


@pytest.mark.parametrize("size", [0, 4, -4, 12, -12, 24, -24, -(2**31), 2**31 - 8])
def test_odd_or_too_large_cells_are_malformed(size: int) -> None:
    with pytest.raises(Malformed, match=r"registry hive at byte 4128: a cell of"):
        parse_cell_size(struct.pack("<i", size), 32, 16)


# -- keys -------------------------------------------------------------------------------------------------


def test_layer_bytes_of_a_real_difference() -> None:
    keys = [parse_key(content, at) for at, content in of_kind(b"nk").items()]
    assert Counter(key.layer_byte for key in keys) == {
        0x00: 2731,
        0x80: 111,
        0x02: 74,
        0x01: 17,
        0x03: 12,
        0x83: 1,
    }


def test_deleted_keys_of_a_real_difference_are_empty() -> None:
    keys = [parse_key(content, at) for at, content in of_kind(b"nk").items()]
    deleted = [key for key in keys if key.layer_byte == 0x01]
    assert {
        (key.last_written_filetime, key.subkey_count, key.value_count, key.class_size)
        for key in deleted
    } == {(0, 0, 0, 0)}


def test_root_of_a_real_difference() -> None:
    root = parse_key(CELLS[32], 32)
    assert root.name == "ROOT"
    assert root.flags == KeyFlags.HIVE_ENTRY | KeyFlags.NO_DELETE | KeyFlags.COMP_NAME
    assert root.parent == 2488


def a_key_cell(flags: int, name_size: int, name: bytes) -> bytes:
    numbers = [0] * 4
    return (
        cells.KEY.pack(b"nk", flags, 0, 0, 0, 0, *[0] * 9, 0, 0, 0, *numbers, name_size, 0) + name
    )


def test_key_name_is_latin_or_utf16() -> None:
    assert parse_key(a_key_cell(0x20, 2, b"\xe4b"), 32).name == "äb"
    assert parse_key(a_key_cell(0, 4, b"\xe4\0\0\xd8"), 32).name == "ä\ud800"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nk",
        b"kn" + bytes(80),
        a_key_cell(0, 0, b"")[:-1],
        a_key_cell(0x20, 3, b"ab"),
        a_key_cell(0, 3, b"abc"),
    ],
)
def test_what_is_no_key_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_key(content, 32)
    assert caught.value.offset == BASE_BLOCK_SIZE + 32


# -- values -----------------------------------------------------------------------------------------------


def test_values_of_a_real_difference() -> None:
    values = [parse_value(content, at) for at, content in of_kind(b"vk").items()]
    deleted = [value for value in values if value.flags & ValueFlags.TOMBSTONE]
    assert [(v.kind, v.size, v.inline, v.data) for v in deleted] == [(0, 0, b"", 0xFFFFFFFF)] * 2
    assert Counter(value.kind for value in values) == {
        ValueKind.SZ: 3254,
        ValueKind.DWORD: 477,
        ValueKind.QWORD: 70,
        ValueKind.EXPAND_SZ: 48,
        ValueKind.BINARY: 12,
        ValueKind.MULTI_SZ: 8,
        ValueKind.NONE: 2,
    }


def a_value_cell(size: int, name_size: int = 0, flags: int = 1, name: bytes = b"") -> bytes:
    return cells.VALUE.pack(b"vk", name_size, size, 0x64636261, 1, flags, 0xFFFF) + name


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4])
def test_small_data_stands_where_its_offset_would(size: int) -> None:
    value = parse_value(a_value_cell(size | 0x80000000), 32)
    assert (value.inline, value.size) == (b"abcd"[:size], size)


def test_data_of_a_cell_is_not_inline() -> None:
    assert parse_value(a_value_cell(4), 32).inline is None


def test_value_name_is_latin_or_utf16() -> None:
    assert parse_value(a_value_cell(0, 2, 1, b"\xe4b"), 32).name == "äb"
    assert parse_value(a_value_cell(0, 2, 0, b"\x2c\x67"), 32).name == "本"


@pytest.mark.parametrize(
    "content",
    [
        b"vk",
        b"kv" + bytes(30),
        a_value_cell(0)[:-1],
        a_value_cell(0, 3, 1, b"ab"),
        a_value_cell(0, 3, 0, b"abc"),
        a_value_cell(5 | 0x80000000),
        a_value_cell(0xFFFFFFFF),
    ],
)
def test_what_is_no_value_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse_value(content, 32)


# -- security ---------------------------------------------------------------------------------------------


def test_descriptors_of_a_real_difference_form_a_ring_with_right_counts() -> None:
    found = {at: parse_security(content, at) for at, content in of_kind(b"sk").items()}
    uses = Counter(parse_key(content, at).security for at, content in of_kind(b"nk").items())
    assert {at: cell.use_count for at, cell in found.items()} == dict(uses)
    ring, at = [], min(found)
    while at not in ring:
        ring.append(at)
        assert found[found[at].next].previous == at
        at = found[at].next
    assert (len(ring), at) == (50, min(found))


@pytest.mark.parametrize("content", [b"sk", b"ks" + bytes(40), b"sk" + bytes(14) + b"\x01\0\0\0"])
def test_what_is_no_descriptor_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse_security(content, 32)


# -- lists ------------------------------------------------------------------------------------------------


def test_hashes_of_a_real_difference_are_those_of_the_names() -> None:
    checked = 0
    for at, content in of_kind(b"lh").items():
        found = parse_subkey_list(content, at)
        assert found.hashes is not None
        for offset, kept in zip(found.offsets, found.hashes, strict=True):
            assert kept == name_hash(fold(parse_key(CELLS[offset], offset).name))
            checked += 1
    assert checked == 2945


def test_hash_goes_over_units() -> None:
    assert name_hash("") == 0
    assert name_hash("AB") == 65 * 37 + 66
    assert name_hash("\U00010000") == 0xD800 * 37 + 0xDC00
    assert name_hash("Z" * 300) < 2**32


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"lh" + struct.pack("<H4I", 2, 32, 1, 40, 2), SubkeyList(False, (32, 40), (1, 2))),
        (b"lf" + struct.pack("<H4I", 2, 32, 1, 40, 2), SubkeyList(False, (32, 40), None)),
        (b"li" + struct.pack("<H2I", 2, 32, 40), SubkeyList(False, (32, 40), None)),
        (b"ri" + struct.pack("<H2I", 2, 32, 40), SubkeyList(True, (32, 40), None)),
        (b"li" + struct.pack("<HI", 0, 7), SubkeyList(False, (), None)),
    ],
)
def test_subkey_lists_by_signature(content: bytes, expected: SubkeyList) -> None:
    assert parse_subkey_list(content, 32) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"lh\0",
        b"lx" + struct.pack("<HI", 1, 32),
        b"lh" + struct.pack("<HI", 1, 32),
        b"lf" + struct.pack("<HI", 1, 32),
        b"li" + struct.pack("<HI", 2, 32),
        b"ri" + struct.pack("<HI", 65535, 32),
    ],
)
def test_what_is_no_subkey_list_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse_subkey_list(content, 32)


def test_offsets_have_to_be_there() -> None:
    assert parse_offsets(struct.pack("<3I", 1, 2, 3), 32, 2) == (1, 2)
    with pytest.raises(Malformed):
        parse_offsets(struct.pack("<3I", 1, 2, 3), 32, 4)


def test_plain_hive_of_minor_version_three_has_lists_with_hints() -> None:
    plain = used(PLAIN)
    lists = [content for content in plain.values() if content[:2] == b"lf"]
    assert len(lists) == 10
    assert all(parse_subkey_list(content, 0).hashes is None for content in lists)
