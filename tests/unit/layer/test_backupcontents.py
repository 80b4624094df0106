"""Backup streams taken apart and put together."""

from __future__ import annotations

import io

import pytest

from tests.support.builders import DESCRIPTOR, an_entry
from winlayers.errors import InvalidName, Malformed, TooLarge
from winlayers.formats.backupstream import BackupWriter, PartHeader, PartId
from winlayers.formats.ea import ExtendedAttribute, build_ea_list, parse_ea_list
from winlayers.layer import backupcontents
from winlayers.layer.backupcontents import BackupContents, PartReader, collect_parts, write_backup
from winlayers.layer.entry import Extent, Part
from winlayers.layer.findings import Finding

Given = tuple[PartHeader, bytes]

SPARSE = 8


def a_part(
    part_id: int, body: bytes = b"", name: str = "", attributes: int = 0, offset: int = 0
) -> Given:
    return PartHeader(part_id, attributes, len(body), name, offset), body


def a_block(offset: int, body: bytes = b"") -> Given:
    return a_part(PartId.SPARSE_BLOCK, body, offset=offset)


def a_stream(*parts: Given) -> io.BytesIO:
    target = io.BytesIO()
    writer = BackupWriter(target)
    for header, body in parts:
        writer.header(header)
        writer.write(body)
    target.seek(0)
    return target


def collect(*parts: Given) -> tuple[BackupContents, dict[str, bytes]]:
    """What a stream holds, and the bytes of its parts."""
    stream = a_stream(*parts)
    contents = collect_parts(stream, "Files/a")
    return contents, {part.name: source.read() for part, source in contents.open_parts(stream)}


def test_parts_are_found_in_any_order() -> None:
    contents, bytes_of = collect(
        a_part(PartId.ALTERNATE, b"s", ":s:$DATA"),
        a_part(PartId.DATA, b"abc"),
        a_part(PartId.REPARSE, b"reparse"),
        a_part(PartId.SECURITY, DESCRIPTOR),
    )
    assert (contents.security, contents.reparse) == (DESCRIPTOR, b"reparse")
    assert [part.name for part in contents.parts] == ["", "s"]
    assert bytes_of == {"": b"abc", "s": b"s"}


def test_empty_stream_holds_nothing() -> None:
    contents, bytes_of = collect()
    assert contents == BackupContents()
    assert bytes_of == {}


def test_later_metadata_wins_and_attributes_add_up() -> None:
    one, two = (build_ea_list([ExtendedAttribute(name, b"1")]) for name in (b"A", b"B"))
    contents, _ = collect(
        a_part(PartId.SECURITY, b"old"),
        a_part(PartId.EA, one),
        a_part(PartId.SECURITY, b"new"),
        a_part(PartId.EA, two),
    )
    assert contents.security == b"new"
    assert [attribute.name for attribute in parse_ea_list(contents.ea)] == [b"A", b"B"]


def test_sparse_data_has_zeros_between_its_ranges() -> None:
    contents, bytes_of = collect(
        a_part(PartId.DATA, attributes=SPARSE),
        a_block(2, b"ab"),
        a_block(6, b"c"),
        a_block(9),
        a_part(PartId.ALTERNATE, b"s", ":s:$DATA"),
    )
    assert bytes_of == {"": b"\0\0ab\0\0c\0\0", "s": b"s"}
    assert contents.data is not None
    assert (contents.data.size, contents.data.attributes) == (9, SPARSE)
    assert [(e.offset, e.size) for e in contents.data.extents or ()] == [(2, 2), (6, 1)]


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([a_part(PartId.DATA, attributes=SPARSE)], b""),
        ([a_part(PartId.DATA, attributes=SPARSE), a_block(3)], b"\0\0\0"),
        ([a_part(PartId.DATA, b"abc", attributes=SPARSE)], b"abc"),
    ],
)
def test_other_forms_of_sparse_data(parts: list[Given], content: bytes) -> None:
    assert collect(*parts)[1] == {"": content}


def test_alternate_stream_may_be_sparse_too() -> None:
    parts = [a_part(PartId.ALTERNATE, b"", ":s:$DATA", SPARSE), a_block(1, b"x"), a_block(2)]
    assert collect(*parts)[1] == {"s": b"\0x"}


def test_holes_are_read_in_pieces() -> None:
    hole = 200_000
    stream = a_stream(
        a_part(PartId.DATA, attributes=SPARSE), a_block(hole, b"x"), a_block(hole + 1)
    )
    contents = collect_parts(stream, "Files/a")
    ((_, source),) = contents.open_parts(stream)
    pieces = []
    while piece := source.read(hole):
        pieces.append(piece)
    assert b"".join(pieces) == bytes(hole) + b"x"
    assert len(pieces) > 2


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([a_part(PartId.DATA), a_part(PartId.DATA)], "twice"),
        ([a_part(PartId.ALTERNATE, name=":s:$DATA")] * 2, "twice"),
        ([a_part(11)], "unknown stream ID 11"),
        ([a_part(0)], "unknown stream ID 0"),
        ([a_block(0)], "unknown stream ID 9"),
        ([a_part(PartId.DATA, b"x"), a_block(0)], "unknown stream ID 9"),
        ([a_part(PartId.DATA, attributes=SPARSE), a_block(2, b"x")], "ends them"),
        ([a_part(PartId.DATA, attributes=SPARSE), a_block(2, b"x"), a_block(1)], "cannot seek"),
        ([a_part(PartId.DATA, attributes=SPARSE), a_block(-1)], "cannot seek"),
        ([a_part(PartId.ALTERNATE, name="s")], "colon"),
        ([a_part(PartId.EA, b"x")], "invalid extended attribute"),
    ],
)
def test_stream_that_cannot_be_is_malformed(parts: list[Given], reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        collect(*parts)


def test_stream_name_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidName):
        collect(a_part(PartId.ALTERNATE, name=":a/b:$DATA"))


def test_metadata_is_bounded() -> None:
    with pytest.raises(TooLarge):
        collect(a_part(PartId.SECURITY, bytes((1 << 20) + 1)))


def test_ranges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backupcontents, "_MAX_BLOCK_COUNT", 2)
    with pytest.raises(TooLarge):
        collect(a_part(PartId.DATA, attributes=SPARSE), *(a_block(2 * n, b"x") for n in range(3)))


def test_parts_of_a_volume_are_dropped_and_reported() -> None:
    found: list[Finding] = []
    parts = [a_part(part_id, b"x") for part_id in (PartId.LINK, 6, 7, PartId.TXFS)]
    contents = collect_parts(a_stream(*parts), "Files/a", found.append)
    assert contents == BackupContents()
    assert [finding.code for finding in found] == ["part-dropped"] * 4
    assert found[2].detail == "object_id of 1 bytes"


def test_source_that_ends_within_a_part_is_malformed() -> None:
    part = Part("", 4, 0, (Extent(0, 1, 4),))
    with pytest.raises(Malformed):
        PartReader(io.BytesIO(b"abc"), part).readall()


def test_buffer_is_filled_from_a_part() -> None:
    reader = PartReader(io.BytesIO(b"abc"), Part("", 2, 0, (Extent(0, 1, 2),)))
    buffer = bytearray(5)
    assert (reader.readinto(buffer), bytes(buffer[:2])) == (2, b"bc")


def test_written_parts_are_in_the_order_of_the_original() -> None:
    ea = build_ea_list([ExtendedAttribute(b"A", b"1")])
    entry = an_entry(size=3, ea=ea, reparse=b"reparse")
    parts = [(Part("", 3), io.BytesIO(b"abc")), (Part("s", 1, 8), io.BytesIO(b"x"))]
    target = io.BytesIO()
    write_backup(target, entry, parts)
    wanted = a_stream(
        a_part(PartId.SECURITY, DESCRIPTOR),
        a_part(PartId.EA, ea),
        a_part(PartId.REPARSE, b"reparse"),
        a_part(PartId.DATA, b"abc"),
        a_part(PartId.ALTERNATE, b"x", ":s:$DATA", SPARSE),
    )
    assert target.getvalue() == wanted.getvalue()


@pytest.mark.parametrize("content", [b"ab", b"abcd"])
def test_part_of_another_size_is_malformed(content: bytes) -> None:
    parts = [(Part("", 3), io.BytesIO(content))]
    with pytest.raises(Malformed):
        write_backup(io.BytesIO(), an_entry(size=3), parts)
