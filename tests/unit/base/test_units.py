from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from winlayers.base.units import (
    bytes_size,
    from_human_size,
    human_size,
    human_size_with_precision,
    ram_in_bytes,
)
from winlayers.errors import InvalidArgument

DATA = Path(__file__).parents[2] / "data" / "ram_in_bytes.jsonl"
CASES = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
TOO_LARGE = -(2**63)


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["in"]))
def test_ram_in_bytes_answers_as_go_units(case: dict[str, Any]) -> None:
    if case["error"] is None:
        assert ram_in_bytes(case["in"]) == case["out"]
    else:
        with pytest.raises(InvalidArgument) as caught:
            ram_in_bytes(case["in"])
        assert str(caught.value) == case["error"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1e3", 1000),
        ("1_0e1_0", 10**11),
        ("5.e2", 500),
        ("-0", 0),
        ("0x1p4", 16),
        ("0x_A.8p1k", 21 * 1024),
        ("0x.8p1", 1),
        ("0X1P-4k", 64),
        ("inf g", TOO_LARGE),
        ("+Infinity ", TOO_LARGE),
        ("nan k", TOO_LARGE),
        ("0e99999999999", 0),
        ("1e-99999999999", 0),
        ("5\u212a", 5 * 1024),
        ("9223372036854775807", TOO_LARGE),
        ("9223372036854774784", 9223372036854774784),
    ],
)
def test_number_is_what_go_takes_for_one(text: str, size: int) -> None:
    assert ram_in_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-inf g", "invalid size: '-inf g'"),
        ("+nan g", 'strconv.ParseFloat: parsing "+nan": invalid syntax'),
        ("\u0131nf g", 'strconv.ParseFloat: parsing "\u0131nf": invalid syntax'),
        ("1__0", 'strconv.ParseFloat: parsing "1__0": invalid syntax'),
        ("_1", 'strconv.ParseFloat: parsing "_1": invalid syntax'),
        ("1_.5", 'strconv.ParseFloat: parsing "1_.5": invalid syntax'),
        ("1._5", 'strconv.ParseFloat: parsing "1._5": invalid syntax'),
        ("0x_.8p1", 'strconv.ParseFloat: parsing "0x_.8p1": invalid syntax'),
        ("0x1p_4", 'strconv.ParseFloat: parsing "0x1p_4": invalid syntax'),
        ("0x1p99999", 'strconv.ParseFloat: parsing "0x1p99999": value out of range'),
        ("a\tb\"\\\x01\x7f\u00e9\u2028\U000e0001 ", r'strconv.ParseFloat: parsing "a\tb\"\\\x01\x7fé\u2028\U000e0001": invalid syntax'),
        ("1\u00e9\u00e9", "invalid suffix: '\u00e9\u00e9'"),
        ("1\u00c9", "invalid suffix: '\u00e9'"),
        ("1k\u03a3", "invalid suffix: 'k\u03c3'"),
        ("1\u0130", "invalid suffix: 'i'"),
        ("1\ud800", "invalid suffix: '\ud800'"),
    ],
)  # fmt: skip
def test_errors_have_the_words_of_go(text: str, message: str) -> None:
    for parse in (ram_in_bytes, from_human_size):
        with pytest.raises(InvalidArgument) as caught:
            parse(text)
        assert str(caught.value) == message


def test_from_human_size_counts_in_thousands_whatever_the_unit_says() -> None:
    assert from_human_size("32k") == from_human_size("32KiB") == 32_000
    assert from_human_size("1.5 p") == 1_500_000_000_000_000


@pytest.mark.parametrize(
    ("size", "decimal", "short", "binary"),
    [
        (0, "0B", "0B", "0B"),
        (999, "999B", "999B", "999B"),
        (1000, "1kB", "1kB", "1000B"),
        (1024, "1.024kB", "1.02kB", "1KiB"),
        (2746000, "2.746MB", "2.75MB", "2.619MiB"),
        (999999, "1000kB", "1e+03kB", "976.6KiB"),
        (-5000, "-5000B", "-5e+03B", "-5000B"),
        (1e28, "1e+04YB", "1e+04YB", "8272YiB"),
    ],
)
def test_printing(size: float, decimal: str, short: str, binary: str) -> None:
    assert human_size(size) == decimal
    assert human_size_with_precision(size, 3) == short
    assert bytes_size(size) == binary
