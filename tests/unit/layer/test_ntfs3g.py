"""Names and packings of ntfs-3g, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import Malformed
from winlayers.formats.ea import ExtendedAttribute, build_ea_list, parse_ea_list
from winlayers.layer import ntfs3g


def test_known_names() -> None:
    assert all(ntfs3g.is_known(name) for name in (*ntfs3g.NAMES, "user.notes"))
    assert not ntfs3g.is_known("system.posix_acl_access")


def test_attributes_are_a_number_of_either_order() -> None:
    assert ntfs3g.pack_attributes(0x2021) == b"\x21\x20\0\0"
    assert ntfs3g.pack_attributes(0x2021, "big") == b"\0\0\x20\x21"
    assert ntfs3g.unpack_attributes(b"\x21\x20\0\0") == 0x2021
    assert ntfs3g.unpack_attributes(b"\0\0\x20\x21", "big") == 0x2021


@pytest.mark.parametrize("value", [b"", b"\0\0\0", b"\0\0\0\0\0"])
def test_attributes_of_another_size_are_none(value: bytes) -> None:
    with pytest.raises(Malformed, match="ntfs_attrib") as told:
        ntfs3g.unpack_attributes(value)
    assert str(len(value)) in told.value.reason


def test_times_may_be_fewer() -> None:
    assert ntfs3g.pack_times([1, 2]) == b"\1" + bytes(7) + b"\2" + bytes(7)
    assert ntfs3g.pack_times([1], "big") == bytes(7) + b"\1"
    for count in range(1, 5):
        times = tuple(range(2**63, 2**63 + count))
        assert ntfs3g.unpack_times(ntfs3g.pack_times(times)) == times
        assert ntfs3g.unpack_times(ntfs3g.pack_times(times, "big"), "big") == times


@pytest.mark.parametrize("size", [0, 7, 9, 40])
def test_times_of_another_size_are_none(size: int) -> None:
    with pytest.raises(Malformed, match="ntfs_times"):
        ntfs3g.unpack_times(bytes(size))


def test_last_of_a_list_tells_its_size_on_disk() -> None:
    windows = build_ea_list([ExtendedAttribute(b"A", b"1"), ExtendedAttribute(b"BCDE", b"", 0x80)])
    disk = ntfs3g.pack_ea(windows)
    assert windows == b"\x0c\0\0\0\0\1\1\0A\x001\0" + b"\0\0\0\0\x80\4\0\0BCDE\0\0\0\0"
    assert disk == b"\x0c\0\0\0\0\1\1\0A\x001\0" + b"\x10\0\0\0\x80\4\0\0BCDE\0\0\0\0"
    assert ntfs3g.unpack_ea(disk) == ntfs3g.unpack_ea(windows) == windows
    assert ntfs3g.pack_ea(b"") == ntfs3g.unpack_ea(b"") == b""


_LISTS = st.lists(
    st.builds(
        ExtendedAttribute, st.binary(max_size=20), st.binary(max_size=40), st.integers(0, 255)
    ),
    max_size=5,
)


@settings(derandomize=True)
@given(_LISTS)
def test_lists_go_both_ways(attributes: list[ExtendedAttribute]) -> None:
    windows = build_ea_list(attributes)
    disk = ntfs3g.pack_ea(windows)
    assert len(disk) == len(windows)
    assert ntfs3g.unpack_ea(disk) == windows
    assert parse_ea_list(disk) == attributes


@settings(derandomize=True)
@given(st.binary(max_size=100))
def test_other_bytes_are_malformed(value: bytes) -> None:
    try:
        windows = ntfs3g.unpack_ea(value)
    except Malformed:
        with pytest.raises(Malformed):
            ntfs3g.pack_ea(value)
    else:
        assert parse_ea_list(windows) == parse_ea_list(value)


def test_names_of_streams_are_separated_by_nuls() -> None:
    assert ntfs3g.unpack_stream_names(b"") == []
    assert ntfs3g.unpack_stream_names(b"a\0b \xed\xa0\x80") == ["a", "b \ud800"]
    with pytest.raises(Malformed, match=r"streams\.list"):
        ntfs3g.unpack_stream_names(b"a\0\xff")
