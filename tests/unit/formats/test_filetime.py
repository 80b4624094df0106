from __future__ import annotations

import pytest

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.filetime import (
    GO_ZERO_TIME_FILETIME,
    MAX_FILETIME,
    UNIX_EPOCH_FILETIME,
    BasicInfo,
    build_basic_info,
    filetime_to_ns,
    filetime_to_ns_go,
    fits_filetime,
    format_filetime,
    ns_to_filetime,
    ns_to_filetime_go,
    parse_basic_info,
)

GO_ZERO_TIME_NS = -6795364578871345152


@pytest.mark.parametrize("ft", [0, 1, UNIX_EPOCH_FILETIME - 1, UNIX_EPOCH_FILETIME, MAX_FILETIME])
def test_every_filetime_survives_exactly(ft: int) -> None:
    assert ns_to_filetime(filetime_to_ns(ft)) == ft
    assert fits_filetime(filetime_to_ns(ft))


def test_filetime_zero_is_1601() -> None:
    assert filetime_to_ns(0) == -11644473600 * 10**9
    assert filetime_to_ns(1) == -11644473599_999999900


def test_finer_than_a_tick_is_cut_toward_1970() -> None:
    assert ns_to_filetime(199) == UNIX_EPOCH_FILETIME + 1
    assert ns_to_filetime(-199) == UNIX_EPOCH_FILETIME - 1
    assert ns_to_filetime(-99) == UNIX_EPOCH_FILETIME


def test_time_outside_the_range_is_set_to_the_nearer_end() -> None:
    first, last = filetime_to_ns(0), filetime_to_ns(MAX_FILETIME)
    assert ns_to_filetime(first - 100) == 0
    assert ns_to_filetime(last + 100) == MAX_FILETIME
    assert not fits_filetime(first - 100)
    assert not fits_filetime(last + 100)


def test_go_wraps_where_the_spec_says() -> None:
    assert filetime_to_ns_go(0) == 6802270473_709551616
    assert filetime_to_ns_go(1) == 6802270473_709551716
    assert ns_to_filetime_go(-11644473600 * 10**9) == 184467440737095516
    assert ns_to_filetime_go(GO_ZERO_TIME_NS) == GO_ZERO_TIME_FILETIME


def test_go_is_exact_inside_its_range() -> None:
    for ft in (UNIX_EPOCH_FILETIME - 1, 132642407734345264, UNIX_EPOCH_FILETIME + 2**63 // 100):
        assert filetime_to_ns_go(ft) == filetime_to_ns(ft)
        assert ns_to_filetime_go(filetime_to_ns(ft)) == ft


@pytest.mark.parametrize(
    ("ft", "text"),
    [
        (0, "1601-01-01T00:00:00.0000000Z"),
        (UNIX_EPOCH_FILETIME, "1970-01-01T00:00:00.0000000Z"),
        (UNIX_EPOCH_FILETIME - 1, "1969-12-31T23:59:59.9999999Z"),
        (132201745201234567, "2019-12-07T06:42:00.1234567Z"),
        (GO_ZERO_TIME_FILETIME, "1754-08-30T22:43:41.1286549Z"),
        (MAX_FILETIME, "+60056-05-28T05:36:10.9551615Z"),
    ],
)
def test_format_filetime(ft: int, text: str) -> None:
    assert format_filetime(ft) == text


@pytest.mark.parametrize(
    ("unix_seconds", "text"),
    [
        (951782400, "2000-02-29T00:00:00.0000000Z"),
        (951868800, "2000-03-01T00:00:00.0000000Z"),
        (978220800, "2000-12-31T00:00:00.0000000Z"),
        (4107456000, "2100-02-28T00:00:00.0000000Z"),
        (4107542400, "2100-03-01T00:00:00.0000000Z"),
        (1709164800, "2024-02-29T00:00:00.0000000Z"),
        (1735603200, "2024-12-31T00:00:00.0000000Z"),
        (253402300799, "9999-12-31T23:59:59.0000000Z"),
        (253402300800, "+10000-01-01T00:00:00.0000000Z"),
    ],
)
def test_format_knows_leap_years(unix_seconds: int, text: str) -> None:
    assert format_filetime(ns_to_filetime(unix_seconds * 10**9)) == text


def test_basic_info_is_forty_bytes_with_padding_zero() -> None:
    info = BasicInfo(1, 2, 3, 2**64 - 1, 0x80000020)
    data = build_basic_info(info)
    assert data.hex(" ", 8) == (
        "0100000000000000 0200000000000000 0300000000000000 ffffffffffffffff 2000008000000000"
    )
    assert parse_basic_info(data) == info
    assert parse_basic_info(data[:36] + b"junk") == info


@pytest.mark.parametrize("size", [0, 39, 41])
def test_basic_info_of_another_size_is_malformed(size: int) -> None:
    with pytest.raises(Malformed, match=f"{size} bytes, not 40"):
        parse_basic_info(bytes(size))


@pytest.mark.parametrize(
    "info", [BasicInfo(-1, 0, 0, 0, 0), BasicInfo(0, 0, 0, 2**64, 0), BasicInfo(0, 0, 0, 0, 2**32)]
)
def test_basic_info_that_does_not_fit_is_refused(info: BasicInfo) -> None:
    with pytest.raises(InvalidArgument, match="FILE_BASIC_INFO"):
        build_basic_info(info)
