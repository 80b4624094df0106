from __future__ import annotations

import pytest

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.cursor import Builder, Cursor


def test_fields_are_read_little_endian_one_after_another() -> None:
    cursor = Cursor(bytes(range(1, 18)), "thing")
    assert cursor.u8() == 0x01
    assert cursor.u16() == 0x0302
    assert cursor.u32() == 0x07060504
    assert cursor.u64() == 0x0F0E0D0C0B0A0908
    assert cursor.at == 15
    assert cursor.remaining == 2
    assert cursor.take(2) == b"\x10\x11"
    assert cursor.remaining == 0


def test_field_past_the_end_is_malformed_with_its_offset() -> None:
    cursor = Cursor(b"abcde", "thing", at=3)
    with pytest.raises(Malformed, match="version of 4 bytes, but 2 are left") as caught:
        cursor.u32("version")
    assert caught.value.structure == "thing"
    assert caught.value.offset == 3
    assert cursor.take(2) == b"de"


def test_negative_size_is_malformed() -> None:
    cursor = Cursor(b"abcde", "thing", at=3)
    with pytest.raises(Malformed, match="list of -1 bytes"):
        cursor.take(-1, "list")
    assert cursor.at == 3


def test_seek_to_the_end_is_fine_and_past_it_malformed() -> None:
    cursor = Cursor(b"abc", "thing")
    cursor.seek(3)
    assert cursor.take(0) == b""
    for at in (4, -1):
        with pytest.raises(Malformed, match="outside"):
            cursor.seek(at)
    assert cursor.at == 3


def test_cursor_cannot_start_outside_the_buffer() -> None:
    with pytest.raises(Malformed):
        Cursor(b"abc", "thing", at=4)


def test_malformed_tells_here_or_elsewhere() -> None:
    cursor = Cursor(b"abc", "thing", at=2)
    assert cursor.malformed("odd").offset == 2
    assert cursor.malformed("odd", at=1).offset == 1


def test_builder_is_the_way_back() -> None:
    builder = Builder("thing")
    builder.u8(1)
    builder.u16(0x0302)
    builder.u32(0x07060504)
    builder.u64(0x0F0E0D0C0B0A0908)
    builder.put(b"\x10\x11")
    assert len(builder) == 17
    builder.pad(4)
    assert builder.build() == bytes(range(1, 18)) + b"\0\0\0"
    builder.pad(4)
    assert len(builder) == 20


@pytest.mark.parametrize("value", [-1, 256])
def test_number_too_large_for_its_field_is_refused(value: int) -> None:
    builder = Builder("thing")
    with pytest.raises(InvalidArgument, match=f"thing: flags {value} does not fit in 8"):
        builder.u8(value, "flags")
    assert builder.build() == b""
