from __future__ import annotations

import pytest

from winlayers.errors import Malformed
from winlayers.formats import pax
from winlayers.formats.pax import (
    build_records,
    format_pax_time,
    is_valid_record,
    parse_decimal,
    parse_pax_time,
    parse_plain_records,
    parse_records,
)


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"", {}),
        (b"5 k=\n", {b"k": b""}),
        (b"8 k=a=b\n", {b"k": b"a=b"}),
        (b"6 k=v\n6 k=w\n", {b"k": b"w"}),
        (b"6 K=v\n6 k=w\n", {b"K": b"v", b"k": b"w"}),
        (b"8 k=v\nw\n", {b"k": b"v\nw"}),
        (b"12 k=5 x=y\n\n", {b"k": b"5 x=y\n"}),
        (b"008 k=v\n", {b"k": b"v"}),
        (b"+7 k=v\n", {b"k": b"v"}),
        (b"6 \xff=\xfe\n", {b"\xff": b"\xfe"}),
        (b"7 k=v\0\n", {b"k": b"v\0"}),
        (b"8 a b=c\n", {b"a b": b"c"}),
    ],
)
def test_records_are_read(body: bytes, records: dict[bytes, bytes]) -> None:
    assert parse_records(body) == records


@pytest.mark.parametrize(
    "body",
    [
        b"k=v\n",
        b"6k=v\n",
        b"5 k=v\n",
        b"7 k=v\n",
        b"6 k=v",
        b"6 k=v\nx",
        b"\n",
        b"4 k\n",
        b"5 k:\n",
        b"5 =v\n",
        b"2 k=v\n",
        b"-6 k=v\n",
        b"0x6 k=v\n",
        b"6_0 k=v\n",
        b" 6 k=v\n",
        b"000000006 k=v\n",
        b"99999999999999999999 k=v\n",
        b"0" * 5000 + b"6 k=v\n",
        b"7 k\0=v\n",
        b"10 path=\0\n",
        b"14 linkpath=\0\n",
        b"11 uname=\0\n",
        b"11 gname=\0\n",
    ],
)
def test_bad_record_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="PAX header"):
        parse_records(body)


def test_sparse_pairs_become_one_map() -> None:
    body = build_pairs(
        (b"offset", b"0"), (b"numbytes", b"5"), (b"offset", b"9"), (b"numbytes", b"1")
    )
    assert parse_records(body) == {b"GNU.sparse.map": b"0,5,9,1"}


@pytest.mark.parametrize(
    "pairs",
    [
        [(b"numbytes", b"5")],
        [(b"offset", b"5"), (b"offset", b"5")],
        [(b"offset", b"5,6")],
    ],
)
def test_sparse_pairs_out_of_order_are_malformed(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Malformed, match="alternate"):
        parse_records(build_pairs(*pairs))


def build_pairs(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"".join(build_records({b"GNU.sparse." + key: value}) for key, value in pairs)


def test_records_are_written_in_order_of_their_bytes() -> None:
    records = {b"path": b"p", b"atime": b"1", b"MSWINDOWS.rawsd": b""}
    assert build_records(records) == b"20 MSWINDOWS.rawsd=\n11 atime=1\n9 path=p\n"


@pytest.mark.parametrize("size", [1, 5, 6, 93, 94, 95, 992, 993, 994, 99990])
def test_length_of_a_record_counts_itself(size: int) -> None:
    body = build_records({b"k": b"v" * size})
    assert int(body.split(b" ")[0]) == len(body)
    assert parse_records(body) == {b"k": b"v" * size}


def test_memory_of_heads_is_bounded() -> None:
    for number in range(3000):
        parse_records(build_records({b"key%d" % number: b"value"}))
    parse_records(build_records({b"k" * 500: b"v"}))
    assert len(pax._heads) <= 2048
    assert max(map(len, pax._heads)) <= 64


def test_plain_records_leave_the_rest_to_the_strict_loop() -> None:
    assert parse_plain_records(b"6 k=v\n") == {b"k": b"v"}
    assert parse_plain_records(b"8 k=v\nw\n") is None
    assert parse_plain_records(b"5 k:\n") is None


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        (b"k", b"", True),
        (b"k", b"\0=\n", True),
        (b"", b"v", False),
        (b"a=b", b"v", False),
        (b"k\0", b"v", False),
        (b"path", b"a\0", False),
        (b"size", b"a\0", True),
    ],
)
def test_valid_records(key: bytes, value: bytes, valid: bool) -> None:
    assert is_valid_record(key, value) is valid


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"0", 0),
        (b"+3", 3),
        (b"-3", -3),
        (b"-0", 0),
        (b"000000000000000000000000012", 12),
        (b"9223372036854775807", (1 << 63) - 1),
        (b"-9223372036854775808", -(1 << 63)),
    ],
)
def test_decimal_is_read(text: bytes, number: int) -> None:
    assert parse_decimal(text) == number


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"+",
        b"--1",
        b"1 ",
        b" 1",
        b"1_0",
        b"1.0",
        b"0x1",
        b"1\n",
        "\u0661".encode(),
        b"9223372036854775808",
        b"-9223372036854775809",
        b"1" * 5000,
    ],
)
def test_no_decimal_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed, match="decimal"):
        parse_decimal(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"0", 0),
        (b"1619767173.4345264", 1619767173434526400),
        (b"-11644473600", -11644473600000000000),
        (b"-11644473599.9999999", -11644473599999999900),
        (b"-1.5", -1500000000),
        (b"-0.5", -500000000),
        (b"+3", 3000000000),
        (b"+3.5", 3500000000),
        (b"0001.5", 1500000000),
        (b"12.", 12000000000),
        (b"1.1234567891", 1123456789),
        (b"1.0000000009", 1000000000),
        (b"-1.0000000009", -1000000000),
        (b"1." + b"9" * 5000, 1999999999),
        (b"9223372036854775807.999999999", 9223372036854775807999999999),
    ],
)
def test_time_is_read(text: bytes, ns: int) -> None:
    assert parse_pax_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b".5",
        b"-",
        b"1.-5",
        b"1.5.5",
        b"1_0.5",
        b"1. 5",
        b"1.5 ",
        b"1.5\n",
        b"9223372036854775808",
    ],
)
def test_no_time_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_pax_time(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, b"0"),
        (1, b"0.000000001"),
        (-1, b"-0.000000001"),
        (100_000_000, b"0.1"),
        (-1_500_000_000, b"-1.5"),
        (-2_000_000_000, b"-2"),
        (10_000_000_000, b"10"),
        (6802270473709551616, b"6802270473.709551616"),
    ],
)
def test_time_is_written(ns: int, text: bytes) -> None:
    assert format_pax_time(ns) == text
