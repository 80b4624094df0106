"""FILETIME, the time of Windows, and the 40-byte record that holds four of them.

A FILETIME counts 100 ns since 1601-01-01 UTC in an unsigned 64-bit number. A tar has nanoseconds since
1970. There are two ways between them: the exact one, and the one of the original driver, whose time
is a signed 64-bit count of nanoseconds that wraps outside 1677-09-21 to 2262-04-11 (the ``_go`` functions).

FILE_BASIC_INFO, 40 bytes, little-endian:

    0   u64  creation time          FILETIME; when setting, 0 = leave as it is
    8   u64  last access time
    16  u64  last write time
    24  u64  change time
    32  u32  file attributes        when setting, 0 = leave as they are
    36  u32  padding

This module knows nothing of tars; the decimal seconds of PAX records are in ``pax``.
Source: FILETIME and FILE_BASIC_INFO in the Win32 reference; Go's wrapping checked against vectors in
tests/vectors/data/times.json.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from winlayers.errors import InvalidArgument, Malformed

UNIX_EPOCH_FILETIME = 116444736000000000
"""1970-01-01 as a FILETIME."""

GO_ZERO_TIME_FILETIME = 48491090211286549
"""What the original writes for a time that a tar does not have: 1754-08-30T22:43:41.1286549Z."""

MAX_FILETIME = 2**64 - 1

BASIC_INFO_SIZE = 40

_BASIC_INFO = struct.Struct("<QQQQII")
_TICKS_PER_SECOND = 10**7
_SECONDS_PER_DAY = 86400
_DAYS_PER_400_YEARS = 146097
_DAYS_PER_100_YEARS = 36524
_DAYS_PER_4_YEARS = 1461
_MONTH_STARTS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)


def filetime_to_ns(ft: int) -> int:
    """A FILETIME as nanoseconds since 1970, exactly.

    Args:
        ft: 100 ns since 1601, 0 to 2**64 - 1.
    Returns:
        Nanoseconds, of any size; negative before 1970.
    """
    return (ft - UNIX_EPOCH_FILETIME) * 100


def ns_to_filetime(ns_total: int) -> int:
    """Nanoseconds since 1970 as a FILETIME, the nearer end where it cannot be one.

    Args:
        ns_total: nanoseconds, of any size; what is finer than 100 ns is cut off toward 1970.
    Returns:
        100 ns since 1601, 0 to 2**64 - 1. Ask ``fits_filetime`` whether it was set to an end.
    """
    return min(max(_trunc_ticks(ns_total) + UNIX_EPOCH_FILETIME, 0), MAX_FILETIME)


def fits_filetime(ns_total: int) -> bool:
    """Whether nanoseconds since 1970 lie in the range of a FILETIME, 1601 to 60056."""
    return 0 <= _trunc_ticks(ns_total) + UNIX_EPOCH_FILETIME <= MAX_FILETIME


def filetime_to_ns_go(ft: int) -> int:
    """A FILETIME as nanoseconds since 1970 in a signed 64-bit number that wraps, as in Go.

    Args:
        ft: 100 ns since 1601, 0 to 2**64 - 1.
    Returns:
        Nanoseconds, -2**63 to 2**63 - 1; right only from 1677-09-21 to 2262-04-11.
    """
    return _wrap_int64(filetime_to_ns(ft))


def ns_to_filetime_go(ns_total: int) -> int:
    """Nanoseconds since 1970 as a FILETIME, through a signed 64-bit number that wraps, as in Go.

    Args:
        ns_total: nanoseconds, of any size; wrapped first.
    Returns:
        100 ns since 1601, 0 to 2**64 - 1.
    """
    return (_trunc_ticks(_wrap_int64(ns_total)) + UNIX_EPOCH_FILETIME) % 2**64


def format_filetime(ft: int) -> str:
    """A FILETIME in the form of ISO 8601, to its last digit: ``2019-12-07T06:42:00.1234567Z``.

    Args:
        ft: 100 ns since 1601, 0 to 2**64 - 1.
    Returns:
        Text in UTC. A year past 9999 has a ``+`` before it, as ISO 8601 asks for more than four digits.
    """
    seconds, ticks = divmod(ft, _TICKS_PER_SECOND)
    days, second_of_day = divmod(seconds, _SECONDS_PER_DAY)
    year, month, day = _civil_date(days)
    hour, rest = divmod(second_of_day, 3600)
    minute, second = divmod(rest, 60)
    sign = "+" if year > 9999 else ""
    return f"{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ticks:07}Z"


@dataclass(frozen=True, slots=True)
class BasicInfo:
    """FILE_BASIC_INFO: the times and attributes of one file.

    Attributes:
        creation_filetime: 100 ns since 1601, unsigned, like the next three.
        access_filetime: last access.
        write_filetime: last write.
        change_filetime: last change of anything, metadata too.
        attributes: FILE_ATTRIBUTE_* bits as they came, known or not.
    """

    creation_filetime: int
    access_filetime: int
    write_filetime: int
    change_filetime: int
    attributes: int


def parse_basic_info(data: bytes) -> BasicInfo:
    """The record out of its 40 bytes.

    Args:
        data: exactly 40 bytes; the padding is not looked at.
    Raises:
        Malformed: any other size.
    """
    if len(data) != BASIC_INFO_SIZE:
        raise Malformed("FILE_BASIC_INFO", f"{len(data)} bytes, not {BASIC_INFO_SIZE}")
    creation, access, write, change, attributes, _ = _BASIC_INFO.unpack(data)
    return BasicInfo(creation, access, write, change, attributes)


def build_basic_info(info: BasicInfo) -> bytes:
    """The 40 bytes of the record, padding zero.

    Raises:
        InvalidArgument: a time outside 64 unsigned bits, or attributes outside 32.
    """
    times = (
        info.creation_filetime,
        info.access_filetime,
        info.write_filetime,
        info.change_filetime,
    )
    try:
        return _BASIC_INFO.pack(*times, info.attributes, 0)
    except struct.error as error:
        raise InvalidArgument(f"{info} does not fit into a FILE_BASIC_INFO: {error}") from error


def _trunc_ticks(ns: int) -> int:
    """Nanoseconds in units of 100 ns, rounded toward zero as Go divides."""
    return ns // 100 if ns >= 0 else -(-ns // 100)


def _wrap_int64(value: int) -> int:
    """A number as a signed 64-bit one would hold it."""
    return (value + 2**63) % 2**64 - 2**63


def _civil_date(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from 1601-01-01.

    1601 begins a cycle of 400 years, so the long periods are counted off one after another; only the last
    day of 400 and of 4 years would count one period too many.
    """
    cycles, days = divmod(days, _DAYS_PER_400_YEARS)
    centuries = min(days // _DAYS_PER_100_YEARS, 3)
    days -= centuries * _DAYS_PER_100_YEARS
    fours, days = divmod(days, _DAYS_PER_4_YEARS)
    years = min(days // 365, 3)
    days -= years * 365
    year = 1601 + cycles * 400 + centuries * 100 + fours * 4 + years
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    month = next(m for m in range(12, 0, -1) if days >= _MONTH_STARTS[m - 1] + (leap and m > 2))
    return year, month, days - _MONTH_STARTS[month - 1] - (leap and month > 2) + 1
