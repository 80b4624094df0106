"""Runs times.json: FILETIME, nanoseconds and PAX text into each other, and FILE_BASIC_INFO."""

from __future__ import annotations

from typing import Any

import pytest

from winlayers.errors import WinlayersError
from winlayers.formats.filetime import (
    BasicInfo,
    build_basic_info,
    filetime_to_ns_go,
    ns_to_filetime_go,
    parse_basic_info,
)
from winlayers.formats.pax import format_pax_time, parse_pax_time

NS_PER_SECOND = 10**9


def run(case: dict[str, Any]) -> None:
    RUNNERS[case["op"]](case)


def total_ns(unix: list[int]) -> int:
    """Seconds and nanoseconds of the vectors as one number."""
    seconds, ns = unix
    return seconds * NS_PER_SECOND + ns


def nsec_to_filetime(case: dict[str, Any]) -> None:
    ft = ns_to_filetime_go(case["nsec"])
    assert ft == case["filetime"]
    assert (ft >> 32, ft & 0xFFFFFFFF) == (case["high"], case["low"])
    assert filetime_to_ns_go(ft) == case["back"]


def filetime_to_nsec(case: dict[str, Any]) -> None:
    ns = filetime_to_ns_go(case["filetime"])
    assert ns == case["nsec"] == total_ns(case["unix"])
    assert format_pax_time(ns) == case["pax"].encode()


def format_pax(case: dict[str, Any]) -> None:
    assert format_pax_time(total_ns(case["unix"])) == case["pax"].encode()


def parse_pax(case: dict[str, Any]) -> None:
    text = case["pax"].encode()
    if case["error"] is None:
        assert parse_pax_time(text) == total_ns(case["unix"])
    else:
        with pytest.raises(WinlayersError):
            parse_pax_time(text)


def basic_info(case: dict[str, Any]) -> None:
    info, data = info_of(case), bytes.fromhex(case["bytes"])
    assert build_basic_info(info) == data
    assert parse_basic_info(data) == info


def basic_info_header(case: dict[str, Any]) -> None:
    """The times of the header; its other fields are checked by backup_to_tar."""
    info, header = info_of(case), case["header"]
    assert filetime_to_ns_go(info.access_filetime) == total_ns(header["atime"])
    assert filetime_to_ns_go(info.write_filetime) == total_ns(header["mtime"])
    assert filetime_to_ns_go(info.change_filetime) == total_ns(header["ctime"])
    creation = format_pax_time(filetime_to_ns_go(info.creation_filetime))
    assert creation == header["pax"]["LIBARCHIVE.creationtime"].encode()
    assert str(info.attributes) == header["pax"]["MSWINDOWS.fileattr"]


def info_of(case: dict[str, Any]) -> BasicInfo:
    info = case["info"]
    return BasicInfo(
        info["creation"], info["access"], info["write"], info["change"], info["attributes"]
    )


RUNNERS = {
    "nsec_to_filetime": nsec_to_filetime,
    "filetime_to_nsec": filetime_to_nsec,
    "format_pax": format_pax,
    "parse_pax": parse_pax,
    "basic_info": basic_info,
    "basic_info_header": basic_info_header,
}
