from __future__ import annotations

import pytest

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.ea import NEED_EA, ExtendedAttribute, build_ea_list, parse_ea_list

TWO = [ExtendedAttribute(b"foo", b"bar"), ExtendedAttribute(b"fizz", b"buzz")]
TWO_BYTES = bytes.fromhex(
    "1000000000030300666f6f0062617200000000000004040066697a7a0062757a7a000000"
)


def entry(next_offset: int, name: bytes = b"", value: bytes = b"", flags: int = 0) -> bytes:
    header = next_offset.to_bytes(4, "little") + bytes((flags, len(name)))
    return header + len(value).to_bytes(2, "little") + name + b"\0" + value


def test_two_attributes_have_the_bytes_of_the_original() -> None:
    assert build_ea_list(TWO) == TWO_BYTES
    assert parse_ea_list(TWO_BYTES) == TWO


def test_empty_list_is_empty() -> None:
    assert build_ea_list([]) == b""
    assert parse_ea_list(b"") == []


def test_flags_doubles_and_odd_names_survive() -> None:
    attributes = [
        ExtendedAttribute(b"A=B", b"", NEED_EA),
        ExtendedAttribute(b"A=B", b"\0" * 65535, 0xFF),
        ExtendedAttribute(b"\xff\0" + b"n" * 253, b"v"),
        ExtendedAttribute(b"", b""),
    ]
    assert parse_ea_list(build_ea_list(attributes)) == attributes


def test_what_follows_the_last_entry_is_ignored() -> None:
    assert parse_ea_list(TWO_BYTES + b"\xff" * 7) == TWO


def test_offset_to_the_very_end_ends_the_list() -> None:
    data = entry(12, b"n", b"v")
    assert parse_ea_list(data + b"\0") == [ExtendedAttribute(b"n", b"v")]


def test_last_entry_need_not_be_padded_nor_the_name_be_followed_by_nul() -> None:
    data = entry(0, b"n", b"v").replace(b"n\0v", b"nXv")
    assert parse_ea_list(data) == [ExtendedAttribute(b"n", b"v")]


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 7,
        entry(0, b"name", b"value")[:-1],
        entry(0)[:-1],
        entry(13, b"n", b"v") + b"\0",
        entry(0xFFFFFFFF, b"n", b"v"),
        entry(11, b"n", b"v") + b"\0" * 7,
    ],
    ids=["header", "value", "nul", "offset", "offset-huge", "second-header"],
)
def test_entry_past_the_end_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed, match="invalid extended attribute buffer"):
        parse_ea_list(data)


def test_second_bad_entry_is_named_by_its_offset() -> None:
    with pytest.raises(Malformed) as caught:
        parse_ea_list(TWO_BYTES[:-6])
    assert caught.value.offset == 16


def test_slight_overlap_is_taken_as_the_original_does() -> None:
    overlapping = bytearray(TWO_BYTES)
    overlapping[6] = 5
    assert parse_ea_list(bytes(overlapping)) == [ExtendedAttribute(b"foo", b"bar\0\0"), TWO[1]]


def test_list_that_would_swell_is_malformed() -> None:
    # Every 8 bytes are an entry with a value of 32 KiB that lies over all the others.
    data = entry(8, b"", b"")[:6] + b"\x00\x80"
    with pytest.raises(Malformed, match="over each other"):
        parse_ea_list(data * 10_000)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (ExtendedAttribute(b"n" * 256, b""), "extended attribute name too large"),
        (ExtendedAttribute(b"n", bytes(65536)), "extended attribute value too large"),
        (ExtendedAttribute(b"n", b"", 256), "flags 256 does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(attribute: ExtendedAttribute, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        build_ea_list([TWO[0], attribute])
