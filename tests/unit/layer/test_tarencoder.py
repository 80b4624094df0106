"""Headers made of entries: what each dialect writes of what NTFS keeps."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.builders import DESCRIPTOR, an_entry
from winlayers.errors import InvalidName, Malformed, Unsupported, WinlayersError
from winlayers.formats.ea import ExtendedAttribute, build_ea_list, parse_ea_list
from winlayers.formats.reparse import (
    MountPoint,
    RawReparse,
    ReparsePoint,
    SymbolicLink,
    build_reparse,
    link_to,
)
from winlayers.formats.tar import TarFormat, TarHeader
from winlayers.layer.entry import Entry, EntryKind, Part
from winlayers.layer.findings import Finding
from winlayers.layer.tarencoder import HeaderEncoder
from winlayers.layer.tarheaders import Dialect, HeaderDecoder

GO, FULL = Dialect.GO, Dialect.FULL


def header_of(entry: Entry, dialect: Dialect = FULL, *, has_data: bool = True) -> TarHeader:
    return HeaderEncoder(dialect).file_header(entry, has_data=has_data)


def losses_of(entry: Entry) -> list[str]:
    """What the original loses of an entry."""
    found: list[Finding] = []
    HeaderEncoder(GO, found.append).file_header(entry, has_data=True)
    return [finding.code for finding in found]


def back(header: TarHeader) -> Entry:
    return HeaderDecoder(FULL).file_entry(header.name.decode("utf-8", "surrogatepass"), header)


def with_reparse(value: ReparsePoint, **fields: Any) -> Entry:
    return an_entry("Files/l", reparse=build_reparse(value), **fields)


@pytest.mark.parametrize(
    ("kind", "has_data", "mode", "typeflag"),
    [
        (EntryKind.FILE, True, 0o100000, b"0"),
        (EntryKind.FILE, False, 0, b"0"),
        (EntryKind.DIRECTORY, False, 0o040000, b"5"),
        (EntryKind.DIRECTORY, True, 0o140000, b"5"),
    ],
)
@pytest.mark.parametrize("dialect", Dialect)
def test_mode_tells_the_kind_alone(
    dialect: Dialect, kind: EntryKind, has_data: bool, mode: int, typeflag: bytes
) -> None:
    header = header_of(an_entry("Files/x", kind), dialect, has_data=has_data)
    assert (header.mode, header.typeflag, header.format) == (mode, typeflag, TarFormat.PAX)


def test_attributes_are_not_filtered() -> None:
    header = header_of(an_entry(attributes=0x4E20))
    assert header.pax[b"MSWINDOWS.fileattr"] == b"20000"


def test_directory_attribute_follows_the_kind() -> None:
    directory = header_of(an_entry("Files/d", EntryKind.DIRECTORY, attributes=0x20))
    assert directory.pax[b"MSWINDOWS.fileattr"] == b"48"
    assert header_of(an_entry(attributes=0x30)).pax[b"MSWINDOWS.fileattr"] == b"32"


def test_descriptor_is_base64() -> None:
    header = header_of(an_entry())
    assert base64.b64decode(header.pax[b"MSWINDOWS.rawsd"]) == DESCRIPTOR
    assert b"MSWINDOWS.rawsd" not in header_of(an_entry(security=b"")).pax


@pytest.mark.parametrize("dialect", Dialect)
def test_link_is_type_2_with_its_print_name(dialect: Dialect) -> None:
    header = header_of(with_reparse(link_to("..\\x", junction=False)), dialect)
    assert (header.typeflag, header.linkname, header.mode) == (b"2", b"..\\x", 0o120000)
    assert not {b"MSWINDOWS.mountpoint", b"WINLAYERS.reparse"} & set(header.pax)


@pytest.mark.parametrize("dialect", Dialect)
def test_junction_is_marked(dialect: Dialect) -> None:
    header = header_of(with_reparse(link_to("C:\\x", junction=True)), dialect)
    assert (header.typeflag, header.pax[b"MSWINDOWS.mountpoint"]) == (b"2", b"1")


def test_layout_of_a_link_does_not_count() -> None:
    # Windows puts the print name first.
    names = ["x".encode("utf-16-le"), "\\??\\x".encode("utf-16-le")]
    fields = b"".join(n.to_bytes(2, "little") for n in (2, 10, 0, 2))
    data = fields + bytes(4) + names[0] + names[1]
    buffer = bytes.fromhex("0c0000a0") + len(data).to_bytes(2, "little") + bytes(2) + data
    assert b"WINLAYERS.reparse" in header_of(an_entry(reparse=buffer)).pax
    rebuilt = SymbolicLink("x", "x", 1)
    relative = bytes.fromhex("01000000")
    fields = b"".join(n.to_bytes(2, "little") for n in (0, 2, 0, 2))
    data = fields + relative + names[0]
    buffer = bytes.fromhex("0c0000a0") + len(data).to_bytes(2, "little") + bytes(2) + data
    header = header_of(an_entry(reparse=buffer))
    assert b"WINLAYERS.reparse" not in header.pax
    assert back(header).reparse == build_reparse(rebuilt)


@pytest.mark.parametrize(
    "value",
    [
        SymbolicLink("\\??\\C:\\x", "other", 0),
        SymbolicLink("x", "x", 0),
        SymbolicLink("a/b", "a/b", 1),
        SymbolicLink("\ud800", "\ud800", 3),
        MountPoint("\\??\\Volume{0}\\", ""),
        MountPoint("x", "x\0y"),
    ],
)
def test_full_keeps_a_link_that_cannot_be_rebuilt(value: ReparsePoint) -> None:
    entry = with_reparse(value)
    header = header_of(entry)
    assert b"WINLAYERS.reparse" in header.pax
    assert back(header).reparse == entry.reparse
    assert losses_of(entry) == ["reparse-rebuilt"]


@pytest.mark.parametrize(
    ("kind", "typeflag"), [(EntryKind.FILE, b"0"), (EntryKind.DIRECTORY, b"5")]
)
def test_full_keeps_other_tags_beside_the_content(kind: EntryKind, typeflag: bytes) -> None:
    entry = an_entry("Files/x", kind, reparse=build_reparse(RawReparse(0x8000001D, b"data")))
    header = header_of(entry, has_data=kind is EntryKind.FILE)
    assert header.typeflag == typeflag
    assert header.mode & 0o120000 != 0o120000
    assert back(header).reparse == entry.reparse
    with pytest.raises(Unsupported, match="unsupported reparse point 8000001d"):
        header_of(entry, GO)


def test_reparse_data_that_windows_would_not_take_is_malformed() -> None:
    for buffer in (b"", b"\x0c", build_reparse(SymbolicLink("a", "a", 1)) + b"x"):
        if buffer:
            with pytest.raises(Malformed) as caught:
                header_of(an_entry(reparse=buffer))
            assert caught.value.finding == "reparse-invalid"
    assert header_of(an_entry(reparse=b"")).typeflag == b"0"


def test_attributes_are_one_record_each() -> None:
    eas = [ExtendedAttribute(b"B", b"2"), ExtendedAttribute(b"A", b"1")]
    header = header_of(an_entry(ea=build_ea_list(eas)))
    assert header.pax[b"MSWINDOWS.xattr.A"] == b"MQ=="
    assert header.pax[b"MSWINDOWS.xattr.B"] == b"Mg=="
    assert b"WINLAYERS.ea" not in header.pax
    assert losses_of(an_entry(ea=build_ea_list(eas))) == []


@pytest.mark.parametrize(
    "eas",
    [
        [ExtendedAttribute(b"A", b"1", 0x80)],
        [ExtendedAttribute(b"A", b"1"), ExtendedAttribute(b"A", b"2")],
    ],
)
def test_full_keeps_the_whole_list_where_records_say_too_little(
    eas: list[ExtendedAttribute],
) -> None:
    entry = an_entry(ea=build_ea_list(eas))
    header = header_of(entry)
    assert back(header).ea == entry.ea
    assert header.pax[b"MSWINDOWS.xattr.A"] == base64.b64encode(eas[-1].value)
    assert losses_of(entry) == ["ea-lost"]


def test_name_that_no_record_can_have_is_full_only() -> None:
    eas = [ExtendedAttribute(b"a=b", b"1"), ExtendedAttribute(b"C", b"2")]
    entry = an_entry(ea=build_ea_list(eas))
    header = header_of(entry)
    assert parse_ea_list(back(header).ea) == eas
    assert b"MSWINDOWS.xattr.C" in header.pax
    with pytest.raises(InvalidName, match="a=b"):
        header_of(entry, GO)


def test_attributes_that_do_not_parse_are_malformed() -> None:
    with pytest.raises(Malformed) as caught:
        header_of(an_entry(ea=b"\1"))
    assert (caught.value.finding, caught.value.entry) == ("ea-invalid", "Files/a.txt")


def test_times_are_exact_or_wrap() -> None:
    entry = an_entry(creation_filetime=0)
    assert header_of(entry).pax[b"LIBARCHIVE.creationtime"] == b"-11644473600"
    assert header_of(entry, GO).pax[b"LIBARCHIVE.creationtime"] == b"6802270473.709551616"
    assert losses_of(entry) == ["time-wrapped"]


def test_stream_takes_times_and_mode_of_its_owner() -> None:
    encoder = HeaderEncoder(FULL)
    owner = encoder.file_header(an_entry("Files/a"), has_data=True)
    header = encoder.stream_header(owner, Part("s", 7, 8))
    assert (header.name, header.size, header.mode) == (b"Files/a:s", 7, owner.mode)
    assert (header.mtime_ns, header.atime_ns, header.ctime_ns) == (
        owner.mtime_ns,
        owner.atime_ns,
        owner.ctime_ns,
    )
    assert header.pax == {b"WINLAYERS.streamattr": b"8"}
    assert HeaderEncoder(GO).stream_header(owner, Part("s", 7, 8)).pax == {}


def test_nothing_but_our_errors_comes_of_any_reparse_data() -> None:
    outcomes = set()
    for size in range(1, 40):
        for tag in (0xA000000C, 0xA0000003, 0x1234):
            buffer = (tag.to_bytes(4, "little") + bytes([size]) * size)[:size]
            for dialect in Dialect:
                try:
                    outcomes.add(header_of(an_entry(reparse=buffer), dialect).typeflag)
                except WinlayersError as error:
                    outcomes.add(type(error).__name__.encode())
    assert outcomes <= {b"0", b"2", b"Malformed", b"Unsupported"}
