from __future__ import annotations

import pytest

from winlayers.errors import Malformed, UnknownFeature
from winlayers.formats.sddl_claims import format_claim, parse_claim
from winlayers.formats.sddl_tokens import Scanner


def parse(claim: str) -> bytes:
    scanner = Scanner(claim, None)
    data = parse_claim(scanner)
    assert scanner.at_end()
    return data


def claim(
    code: int, *values: str, flags: int = 0, name: str = "61000000", count: int | None = None
) -> bytes:
    """A claim laid out as Windows does; values in hexadecimal."""
    numbers = [16 + 4 * len(values), code, flags, len(values) if count is None else count]
    offset = numbers[0] + len(name) // 2
    for value in values:
        numbers.append(offset)
        offset += len(value) // 2
    data = b"".join(number.to_bytes(4, "little") for number in numbers)
    data += bytes.fromhex(name + "".join(values))
    return data + bytes(-len(data) % 4)


def test_claim_as_windows_wrote_it() -> None:
    data = bytes.fromhex(
        "1400000002000000" "0e00000001000000" "22000000"
        "63006f006c004f00490072000000" "e574000000000000" "0000"
    )  # fmt: skip
    text = '("colOIr",TU,0xe,29925)'
    assert parse(text) == data
    assert format_claim(data) == text


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('("a",TI,0x0,1,-1)', claim(1, "0100000000000000", "ffffffffffffffff")),
        ('("a",TI,0x0)', claim(1)),
        ('("a",TU,0x10000001,18446744073709551615)', claim(2, "ff" * 8, flags=0x10000001)),
        ('("a",TS,0x2,"b","")', claim(3, "62000000", "0000", flags=2)),
        ('("a",TD,0x0,BU)', claim(5, "1000000001020000000000052000000021020000")),
        ('("a",TB,0x0,0,1)', claim(6, "00" * 8, "01" + "00" * 7)),
        ('("a",TX,0x0,0077,#)', claim(16, "020000000077", "00000000")),
        ('("a%0016%0020b",TI,0x0)', claim(1, name="61001600200062000000")),
    ],
)
def test_text_and_bytes_stand_for_each_other(text: str, data: bytes) -> None:
    assert parse(text) == data
    assert format_claim(data) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (' ( "a" , TI , 0 , 0x10 , 010 , +5 ) ', '("a",TI,0x0,16,8,5)'),
        ('("a",TD,0X1,SID(SY),S-1-5-18)', '("a",TD,0x1,SY,SY)'),
        ('("a",TX,0,#1#2,f)', '("a",TX,0x0,0102,0f)'),
        ('("\u00e4",TI,0)', '("%00e4",TI,0x0)'),
    ],
)
def test_other_spellings_mean_the_same(text: str, same: str) -> None:
    assert format_claim(parse(text)) == same


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"'\(' expected"),
        ("(a,TI,0)", "name of a resource attribute"),
        ('("",TI,0)', "name of a resource attribute"),
        ('("a b",TI,0)', "name of a resource attribute"),
        ('("a%1",TI,0)', "four hexadecimal"),
        ('("a")', "',' expected"),
        ('("a",TZ,0)', "type of a resource attribute"),
        ('("a",XX,0)', "type of a resource attribute"),
        ('("a",TI)', "',' expected"),
        ('("a",TI,x)', "flags"),
        ('("a",TI,5)', "flags"),
        ('("a",TI,0x123456789)', "expected"),
        ('("a",TI,0,)', "number expected"),
        ('("a",TI,0,9223372036854775808)', "is not"),
        ('("a",TU,0,-1)', "is not 0 to"),
        ('("a",TU,0,18446744073709551616)', "is not 0 to"),
        ('("a",TB,0,2)', "0 or 1 expected"),
        ('("a",TS,0,b)', "text in quotes expected"),
        ('("a",TS,0,"b)', "text in quotes expected"),
        ('("a",TD,0,ZZ)', "unknown alias"),
        ('("a",TD,0,SID(SY)', "expected"),
        ('("a",TX,0,0g)', "expected"),
        ('("a",TI,0,1', "expected, not the end"),
    ],
)
def test_text_that_is_no_claim_is_malformed(text: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        parse(text)
    assert caught.value.structure == "SDDL"
    assert caught.value.offset is not None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "name offset"),
        (claim(1)[:15], "value count"),
        (claim(1, count=0xFFFFFFFF), "4294967295 values do not fit"),
        (claim(1, name="6100620063006400"), "text of 2 bytes"),
        (bytes.fromhex("ffffffff") + claim(1)[4:], "offset 4294967295 is outside"),
        (claim(1, "01000000"), "number of 8 bytes"),
        (claim(16, "ffffffff"), "bytes of 4294967295 bytes"),
        (claim(5, "0c000000020100000000000512000000"), "SID revision 2"),
        (claim(5, "0d00000001010000000000051200000000"), "after the end"),
    ],
)
def test_damaged_claim_is_malformed(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        format_claim(data)


def test_values_that_point_at_one_text_again_and_again_are_malformed() -> None:
    text = "6200" * 30000 + "0000"
    count = 8000
    head = (16 + 4 * count, 3, 0, count)
    name_at = 16 + 4 * count
    data = b"".join(number.to_bytes(4, "little") for number in head)
    data += (name_at + 4).to_bytes(4, "little") * count + bytes.fromhex("61000000" + text)
    with pytest.raises(Malformed, match="share their bytes"):
        format_claim(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (claim(4, "00" * 8), "type 0x4"),
        (claim(6, "02" + "00" * 7), "boolean of 2"),
        (claim(1, name="0000"), "without a name"),
        (claim(3, "22000000"), "quote"),
        (claim(5, "080000000100000000000005"), "no sub-authorities"),
    ],
)
def test_claim_without_sddl_form_is_refused_precisely(data: bytes, reason: str) -> None:
    with pytest.raises(UnknownFeature, match=reason):
        format_claim(data)


def test_parts_in_another_order_are_found() -> None:
    data = bytes.fromhex("1c000000" "0100" "ffff" "00000000" "01000000" "14000000" "0500000000000000" "61000000")  # fmt: skip
    assert format_claim(data) == '("a",TI,0x0,5)'
