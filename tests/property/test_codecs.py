"""Laws of the small codecs: what is built parses to the same, and rubbish gives only our own errors."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.base.units import from_human_size, ram_in_bytes
from winlayers.errors import InvalidName, WinlayersError
from winlayers.formats.backupstream import BackupReader, BackupWriter, PartHeader
from winlayers.formats.ea import ExtendedAttribute, build_ea_list, parse_ea_list
from winlayers.formats.filetime import (
    UNIX_EPOCH_FILETIME,
    BasicInfo,
    build_basic_info,
    filetime_to_ns,
    filetime_to_ns_go,
    format_filetime,
    ns_to_filetime,
    ns_to_filetime_go,
    parse_basic_info,
)
from winlayers.formats.guid import build_guid, format_guid, parse_guid, parse_guid_text
from winlayers.formats.reparse import (
    TAG_NAMES,
    AppExecLink,
    MountPoint,
    RawReparse,
    ReparsePoint,
    SymbolicLink,
    WciLink,
    build_reparse,
    check_reparse,
    encode_link,
    link_to,
    parse_reparse,
    print_name_of,
)
from winlayers.formats.text16 import (
    utf8_decode_go,
    utf16_decode,
    utf16_encode,
    utf16_unit_count,
    wtf8_decode,
    wtf8_encode,
)

law = settings(derandomize=True, max_examples=100, deadline=None)

u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
# Any run of 16-bit units, decoded: the names that Windows can hold.
names = st.lists(u16, max_size=30).map(
    lambda units: b"".join(unit.to_bytes(2, "little") for unit in units).decode(
        "utf-16-le", "surrogatepass"
    )
)
guids = st.binary(min_size=16, max_size=16).map(lambda data: uuid.UUID(bytes=data))


@law
@given(names)
def test_names_survive_both_encodings(name: str) -> None:
    assert utf16_decode(utf16_encode(name)) == name
    assert wtf8_decode(wtf8_encode(name)) == name
    assert utf16_unit_count(name) == len(utf16_encode(name)) // 2


@law
@given(st.binary(max_size=20))
def test_wtf8_has_one_spelling_a_name(raw: bytes) -> None:
    try:
        name = wtf8_decode(raw)
    except InvalidName:
        return
    assert wtf8_encode(name) == raw


@law
@given(names)
def test_go_encoding_is_that_of_its_decoded_bytes(name: str) -> None:
    assert utf16_encode(name, exact=False) == utf16_encode(utf8_decode_go(wtf8_encode(name)))


@law
@given(u64)
def test_filetimes_survive(ft: int) -> None:
    assert ns_to_filetime(filetime_to_ns(ft)) == ft
    assert len(format_filetime(ft)) in (28, 30)
    if abs(ft - UNIX_EPOCH_FILETIME) < 2**63 // 100:
        assert filetime_to_ns_go(ft) == filetime_to_ns(ft)
        assert ns_to_filetime_go(filetime_to_ns(ft)) == ft


@law
@given(st.integers(0, 2**64 - 2))
def test_printed_filetimes_sort_like_filetimes(ft: int) -> None:
    earlier, later = format_filetime(ft), format_filetime(ft + 1)
    assert earlier.rjust(30) < later.rjust(30)


@law
@given(st.integers(-(2**70), 2**70))
def test_go_times_stay_in_their_ranges(ns: int) -> None:
    assert 0 <= ns_to_filetime_go(ns) < 2**64
    assert -(2**63) <= filetime_to_ns_go(ns_to_filetime(ns)) < 2**63


@law
@given(st.builds(BasicInfo, u64, u64, u64, u64, u32))
def test_basic_info_survives(info: BasicInfo) -> None:
    assert parse_basic_info(build_basic_info(info)) == info


@law
@given(guids)
def test_guids_survive(guid: uuid.UUID) -> None:
    assert parse_guid(build_guid(guid)) == guid == parse_guid_text(format_guid(guid))


@law
@given(
    st.lists(
        st.builds(
            ExtendedAttribute, st.binary(max_size=255), st.binary(max_size=99), st.integers(0, 255)
        )
    )
)
def test_extended_attributes_survive(attributes: list[ExtendedAttribute]) -> None:
    data = build_ea_list(attributes)
    assert parse_ea_list(data) == attributes
    assert build_ea_list(parse_ea_list(data)) == data
    assert len(data) % 4 == 0


foreign_tags = st.integers(0, (1 << 31) - 1)
opaque_tags = st.sampled_from(
    sorted(tag for tag, name in TAG_NAMES.items() if name not in ("SYMLINK", "MOUNT_POINT"))
)
reparse_points = st.one_of(
    st.builds(SymbolicLink, names, names, u32),
    st.builds(MountPoint, names, names),
    st.builds(RawReparse, foreign_tags, st.binary(max_size=50), guids, u16),
    st.builds(AppExecLink, u32, st.lists(names.filter(lambda name: "\0" not in name)).map(tuple)),
    st.builds(WciLink, st.sampled_from([0x80000018, 0xA0001027]), u32, guids, names),
)


@law
@given(reparse_points)
def test_reparse_points_survive(value: ReparsePoint) -> None:
    data = build_reparse(value)
    check_reparse(data)
    assert parse_reparse(data) == value


@law
@given(opaque_tags, st.binary(max_size=60))
def test_opaque_buffers_come_back_byte_for_byte(tag: int, body: bytes) -> None:
    data = tag.to_bytes(4, "little") + len(body).to_bytes(2, "little") + b"\0\0" + body
    assert build_reparse(parse_reparse(data)) == data


@law
@given(names.filter(lambda name: "\0" not in name), st.booleans())
def test_links_are_rebuilt_from_their_print_name(target: str, junction: bool) -> None:
    data = encode_link(target, junction=junction, exact=True)
    assert print_name_of(data) == target
    assert parse_reparse(data) == link_to(target, junction=junction)


parts = st.tuples(
    st.integers(0, 12), u32, names.map(lambda name: name.partition("\0")[0]), st.binary(max_size=40)
)


@law
@given(st.lists(parts, max_size=5), st.integers(-(2**63), 2**63 - 1))
def test_backup_streams_survive(written: list[tuple[int, int, str, bytes]], offset: int) -> None:
    target = io.BytesIO()
    writer = BackupWriter(target)
    headers = []
    for part_id, attributes, name, body in written:
        at = offset if part_id == 9 else 0
        headers.append(PartHeader(part_id, attributes, len(body), name, at))
        writer.header(headers[-1])
        writer.write(body)
    writer.close()
    reader = BackupReader(io.BytesIO(target.getvalue()))
    assert [(header, reader.read()) for header in reader] == [
        (header, body) for header, (*_, body) in zip(headers, written, strict=True)
    ]


def drain(data: bytes, *, exact: bool) -> None:
    reader = BackupReader(io.BytesIO(data), exact=exact)
    for header in reader:
        if header.id % 2:
            reader.read(header.size)


DECODERS: dict[str, Callable[[bytes], object]] = {
    "text16": utf16_decode,
    "wtf8": wtf8_decode,
    "go": utf8_decode_go,
    "basic-info": parse_basic_info,
    "guid": parse_guid,
    "ea": parse_ea_list,
    "reparse": parse_reparse,
    "check-reparse": check_reparse,
    "print-name": print_name_of,
    "print-name-go": lambda data: print_name_of(data, exact=False),
    "backup": lambda data: drain(data, exact=True),
    "backup-go": lambda data: drain(data, exact=False),
    "size": lambda data: ram_in_bytes(data.decode("latin-1")),
    "human-size": lambda data: from_human_size(data.decode("latin-1")),
}
# Beginnings that get rubbish past the first check of each decoder.
STARTS = [
    b"",
    bytes.fromhex("0c0000a02000000000000800"),
    bytes.fromhex("030000a01c00000000000800"),
    bytes.fromhex("1b00008010000000"),
    bytes.fromhex("180000802000000001000000"),
    bytes.fromhex("00000000000101"),
    bytes.fromhex("0400000000000000040000000000000004000000"),
    bytes.fromhex("09000000000000000900000000000000"),
    b"1.5",
]


@pytest.mark.parametrize("name", DECODERS)
@settings(derandomize=True, max_examples=150, deadline=None)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=64))
def test_rubbish_gives_only_our_errors(name: str, start: bytes, rest: bytes) -> None:
    assert outcome(DECODERS[name], start + rest) in ("taken", "refused")


def outcome(decode: Callable[[bytes], object], data: bytes) -> str:
    """What a decoder did with bytes; errors that are not ours go through."""
    try:
        decode(data)
    except WinlayersError:
        return "refused"
    return "taken"
