from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from winlayers.errors import InvalidArgument, InvalidName, Malformed, Unsupported
from winlayers.formats.reparse import (
    MAX_REPARSE_SIZE,
    TAG_APPEXECLINK,
    TAG_LX_SYMLINK,
    TAG_MOUNT_POINT,
    TAG_NAMES,
    TAG_PROJFS,
    TAG_SYMLINK,
    TAG_WCI,
    TAG_WCI_1,
    TAG_WOF,
    AppExecLink,
    MountPoint,
    RawReparse,
    ReparsePoint,
    SymbolicLink,
    WciLink,
    build_reparse,
    check_reparse,
    encode_link,
    is_microsoft_tag,
    is_name_surrogate,
    link_to,
    parse_reparse,
    print_name_of,
    steers_filter_driver,
    tag_of,
)

DATA = Path(__file__).parents[2] / "data" / "reparse_vectors.json"
GUID = uuid.UUID("73c39589-192e-4c64-9acf-6c5d0aa18528")
FOREIGN_TAG = 0x0000BEEF
RELATIVE = SymbolicLink("..\\b", "..\\b", 1)
RELATIVE_BYTES = bytes.fromhex(
    "0c0000a020000000000008000a000800010000002e002e005c00620000002e002e005c0062000000"
)
# As Windows writes it: the print name first, and no NULs.
PRINT_FIRST_BYTES = bytes.fromhex(
    "0c0000a02400000008001000000008000100000061005c00620063005c003f003f005c0061005c0062006300"
)


def buffer(tag: int, data: bytes, *, size: int | None = None) -> bytes:
    length = len(data) if size is None else size
    return tag.to_bytes(4, "little") + length.to_bytes(2, "little") + b"\0\0" + data


@pytest.mark.parametrize("case", json.loads(DATA.read_bytes()), ids=lambda case: case["target"])
@pytest.mark.parametrize("exact", [True, False])
def test_link_has_the_bytes_of_the_original(case: dict[str, Any], exact: bool) -> None:
    data = bytes.fromhex(case["buffer"])
    target, junction = case["target"], case["junction"]
    assert encode_link(target, junction=junction, exact=exact) == data
    assert print_name_of(data, exact=exact) == target
    assert parse_reparse(data) == link_to(target, junction=junction)
    check_reparse(data)


@pytest.mark.parametrize(
    ("target", "substitute_name", "flags"),
    [
        ("C:\\a", "\\??\\C:\\a", 0),
        ("c:", "\\??\\c:", 0),
        ("\\\\?\\Volume{x}\\", "\\??\\Volume{x}\\", 0),
        ("\\\\server\\share", "\\??\\UNC\\server\\share", 0),
        ("\\rooted", "\\rooted", 1),
        ("\\??\\C:\\nt", "\\??\\C:\\nt", 1),
        ("é:\\a", "é:\\a", 1),
        ("", "", 1),
    ],
)
def test_target_leads_to_the_substitute_name(target: str, substitute_name: str, flags: int) -> None:
    assert link_to(target, junction=False) == SymbolicLink(substitute_name, target, flags)
    assert link_to(target, junction=True) == MountPoint(substitute_name, target)


def test_parse_takes_the_names_in_any_order() -> None:
    link = parse_reparse(PRINT_FIRST_BYTES)
    assert link == SymbolicLink("\\??\\a\\bc", "a\\bc", 1)
    assert parse_reparse(build_reparse(link)) == link


def test_lone_surrogates_are_kept_exactly_and_replaced_as_go_does() -> None:
    exact = encode_link("a\ud800", junction=False, exact=True)
    assert print_name_of(exact) == "a\ud800"
    assert print_name_of(exact, exact=False) == "a\ufffd"
    assert parse_reparse(exact) == SymbolicLink("a\ud800", "a\ud800", 1)
    go = encode_link("a\ud800", junction=False, exact=False)
    assert print_name_of(go) == "a\ufffd\ufffd\ufffd"


def test_nul_in_a_target_is_kept_only_as_go_does() -> None:
    assert print_name_of(encode_link("a\0b", junction=True, exact=False)) == "a\0b"
    with pytest.raises(InvalidName, match="NUL"):
        encode_link("a\0b", junction=True, exact=True)


def test_target_too_long_is_an_invalid_name() -> None:
    assert len(encode_link("a" * 8000, junction=False, exact=False)) > MAX_REPARSE_SIZE
    with pytest.raises(InvalidName, match="too long for Windows"):
        encode_link("a" * 8000, junction=False, exact=True)
    for junction in (True, False):
        with pytest.raises(InvalidName, match="too long"):
            encode_link("a" * 17_000, junction=junction, exact=False)


@pytest.mark.parametrize("end", range(40))
def test_cut_link_is_malformed(end: int) -> None:
    with pytest.raises(Malformed):
        parse_reparse(RELATIVE_BYTES[:end])
    with pytest.raises(Malformed):
        check_reparse(RELATIVE_BYTES[:end])


@pytest.mark.parametrize("end", range(38))
def test_print_name_past_the_end_is_malformed(end: int) -> None:
    with pytest.raises(Malformed):
        print_name_of(RELATIVE_BYTES[:end])


def test_print_name_needs_neither_the_data_size_nor_the_substitute_name() -> None:
    damaged = bytearray(RELATIVE_BYTES[:-2])
    damaged[4:6] = b"\xff\xff"
    damaged[8:12] = b"\xff\xff\xff\xff"
    assert print_name_of(bytes(damaged)) == "..\\b"
    with pytest.raises(Malformed):
        parse_reparse(bytes(damaged))


def test_odd_name_size_is_halved_as_go_does_or_malformed() -> None:
    odd = bytearray(RELATIVE_BYTES)
    odd[14] = 7
    assert print_name_of(bytes(odd)) == "..\\"
    with pytest.raises(Malformed, match="odd"):
        parse_reparse(bytes(odd))


def test_substitute_name_past_the_end_is_malformed() -> None:
    damaged = bytearray(RELATIVE_BYTES)
    damaged[10:12] = b"\x00\x10"
    with pytest.raises(Malformed, match="name of 4096 bytes"):
        parse_reparse(bytes(damaged))


def test_print_name_of_another_tag_is_unsupported_in_the_words_of_the_original() -> None:
    with pytest.raises(Unsupported, match=r"^unsupported reparse point 80000017$"):
        print_name_of(buffer(TAG_WOF, b""))
    with pytest.raises(Malformed):
        print_name_of(b"\x0c\0\0")


@pytest.mark.parametrize(
    "data",
    [
        buffer(TAG_WOF, bytes(16)),
        buffer(TAG_LX_SYMLINK, b"\2\0\0\0/bin/sh"),
        buffer(TAG_WOF, b"")[:6] + b"\x34\x12",
        buffer(FOREIGN_TAG, GUID.bytes_le + b"payload", size=7),
        buffer(TAG_APPEXECLINK, b"\3\0\0\0a\0\0\0b\0"),
        buffer(TAG_APPEXECLINK, b"\3\0\0\0a"),
        buffer(TAG_APPEXECLINK, b"\3\0"),
        buffer(TAG_WCI_1, bytes(28)),
        buffer(TAG_WCI, b"\1\0\0\0\0\0\0\0" + GUID.bytes_le + b"\xff\0"),
    ],
    ids=[
        "wof",
        "lx",
        "reserved",
        "foreign",
        "app-cut",
        "app-odd",
        "app-short",
        "wci-padded",
        "wci-cut",
    ],
)
def test_any_other_buffer_stays_raw_and_comes_back(data: bytes) -> None:
    value = parse_reparse(data)
    assert isinstance(value, RawReparse)
    assert value.tag == tag_of(data)
    assert build_reparse(value) == data


def test_foreign_tag_has_a_guid_that_its_size_does_not_count() -> None:
    data = buffer(FOREIGN_TAG, GUID.bytes_le + b"payload", size=7)
    assert parse_reparse(data) == RawReparse(FOREIGN_TAG, b"payload", GUID)
    with pytest.raises(Malformed, match="23 bytes, but its header says 39"):
        check_reparse(buffer(FOREIGN_TAG, b"payload" + bytes(8)))


@pytest.mark.parametrize(
    "value",
    [
        AppExecLink(3, ("Package_1", "Package_1!App", "C:\\app.exe", "0")),
        AppExecLink(3, ()),
        WciLink(TAG_WCI_1, 1, GUID, "Windows\\System32\\a.dll"),
        WciLink(TAG_WCI, 1, GUID, "\ud800"),
    ],
)
def test_known_layouts_are_shown_and_come_back(value: ReparsePoint) -> None:
    data = build_reparse(value)
    check_reparse(data)
    assert parse_reparse(data) == value


def test_check_wants_exactly_what_the_header_says() -> None:
    check_reparse(RELATIVE_BYTES)
    with pytest.raises(Malformed, match="41 bytes, but its header says 40"):
        check_reparse(RELATIVE_BYTES + b"\0")
    check_reparse(buffer(TAG_WOF, bytes(MAX_REPARSE_SIZE - 8)))
    with pytest.raises(Malformed, match="16385 bytes, more than 16384"):
        check_reparse(buffer(TAG_WOF, bytes(MAX_REPARSE_SIZE - 7)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (RawReparse(FOREIGN_TAG, b""), "0000beef asks for a GUID"),
        (RawReparse(TAG_WOF, b"", GUID), "80000017 asks for no GUID"),
        (RawReparse(TAG_WOF, bytes(0x10000)), "data size"),
        (RawReparse(1 << 32, b""), "tag"),
        (RawReparse(TAG_WOF, b"", None, -1), "reserved"),
        (SymbolicLink("a", "a", 1 << 32), "flags"),
        (AppExecLink(-1, ()), "version"),
        (WciLink(TAG_WCI, 1, GUID, "a" * 40_000), "name size"),
    ],
)
def test_what_does_not_fit_is_refused(value: ReparsePoint, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        build_reparse(value)


def test_tags_tell_their_owner_and_kind() -> None:
    assert is_microsoft_tag(TAG_SYMLINK)
    assert not is_microsoft_tag(FOREIGN_TAG)
    assert is_name_surrogate(TAG_MOUNT_POINT)
    assert not is_name_surrogate(TAG_WOF)
    assert TAG_NAMES[TAG_PROJFS] == "PROJFS"
    assert TAG_NAMES[0x9000A01A] == "CLOUD_A"
    assert len(set(TAG_NAMES.values())) == len(TAG_NAMES)


@pytest.mark.parametrize("name", ["WCI_LINK_1", "CLOUD", "CLOUD_F", "WOF", "DEDUP", "PROJFS"])
def test_tags_that_steer_filter_drivers(name: str) -> None:
    assert steers_filter_driver(tag_named(name))


@pytest.mark.parametrize("name", ["SYMLINK", "MOUNT_POINT", "APPEXECLINK", "LX_SYMLINK", "AF_UNIX"])
def test_tags_that_steer_no_filter_driver(name: str) -> None:
    assert not steers_filter_driver(tag_named(name))


def tag_named(name: str) -> int:
    (tag,) = (tag for tag, known in TAG_NAMES.items() if known == name)
    return tag
