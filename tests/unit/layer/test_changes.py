from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.builders import (
    OTHER_DESCRIPTOR,
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_symlink,
    a_view,
    a_whiteout,
    an_opaque_whiteout,
)
from winlayers.backends.memory import HeldEntry, HeldPart, MemoryTable
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import link_to
from winlayers.layer.changes import Change, ChangeKind, changes
from winlayers.layer.entry import STREAM_ATTRIBUTE_SPARSE
from winlayers.layer.merge import MergedView
from winlayers.layer.view import Node


def listed(*layers: Layer, parents: int = 1, **options: Any) -> list[str]:
    """The changes that the layers nearest first make over the last ``parents`` of them."""
    old, new = a_view(*layers[len(layers) - parents :]), a_view(*layers)
    return [str(change) for change in changes(old, new, **options)]


def between(old: Layer, new: Layer, **options: Any) -> list[Change]:
    """The changes between two layers that have nothing to do with each other."""
    empty: Layer = []
    return list(changes(a_view(old), a_view(new, empty), **options))


BASE = a_layer(
    a_file("Files/a", b"a"),
    a_file("Files/d/x", b"x"),
    a_file("Files/d/y", b"y"),
    a_file("Files/d/e/deep", b"z"),
    a_file("UtilityVM/Files/vm", b"v"),
)


def test_change_is_written_as_docker_writes_it() -> None:
    texts = [str(Change(kind, "Files/a")) for kind in ChangeKind]
    assert texts == ["C Files/a", "A Files/a", "D Files/a"]
    assert [int(kind) for kind in ChangeKind] == [0, 1, 2]


def test_everything_in_a_base_layer_is_added() -> None:
    found = list(changes(MergedView([]), a_view(BASE)))
    assert [str(change) for change in found] == [
        "A Files",
        "A Files/a",
        "A Files/d",
        "A Files/d/e",
        "A Files/d/e/deep",
        "A Files/d/x",
        "A Files/d/y",
        "A UtilityVM",
        "A UtilityVM/Files",
        "A UtilityVM/Files/vm",
    ]
    assert found[1] == Change(ChangeKind.ADDED, "Files/a", False, False, 1)
    assert found[2] == Change(ChangeKind.ADDED, "Files/d", False, True, 0)


def test_view_does_not_differ_from_itself() -> None:
    assert listed(BASE) == []


def test_directories_on_the_way_are_no_changes() -> None:
    child = a_layer(a_file("Files/d/e/new"), a_file("Hives/System_Delta", b"regf"))
    assert listed(child, BASE) == ["A Files/d/e/new", "A Hives", "A Hives/System_Delta"]


def test_deleted_directory_is_one_change() -> None:
    assert listed(a_layer(a_whiteout("Files/D")), BASE) == ["D Files/d"]
    (change,) = changes(a_view(BASE), a_view(a_layer(a_whiteout("Files/d")), BASE))
    assert change == Change(ChangeKind.DELETED, "Files/d", False, True, 0)


def test_names_only_in_the_old_view_come_in_order() -> None:
    child = a_layer(an_opaque_whiteout("Files/d"), a_file("Files/d/n"))
    assert listed(child, BASE) == ["D Files/d/e", "A Files/d/n", "D Files/d/x", "D Files/d/y"]
    assert listed(a_layer(an_opaque_whiteout("Files")), BASE) == ["D Files/a", "D Files/d"]


def test_modified_file_is_told_from_an_added_one() -> None:
    child = a_layer(a_file("Files/A", b"new", write_filetime=1), a_file("Files/b", b"new"))
    assert listed(child, BASE) == ["C Files/A", "A Files/b"]


def test_file_over_a_directory_is_one_modification() -> None:
    child = a_layer(a_file("Files/d", b"now a file"))
    assert listed(child, BASE) == ["C Files/d"]
    junction = a_layer(a_junction("Files/d", "C:\\a"))
    assert listed(junction, BASE) == ["C Files/d"]


def test_directory_over_a_file_is_a_modification_and_additions() -> None:
    child = a_layer(a_file("Files/a/b/c"))
    assert listed(child, BASE) == ["C Files/a", "A Files/a/b", "A Files/a/b/c"]


def test_replaced_directory_is_compared_by_what_is_in_it() -> None:
    removed = a_layer(a_whiteout("Files/d"))
    again = a_layer(a_file("Files/d/x", b"x"), a_file("Files/d/new"))
    assert listed(again, removed, BASE) == ["D Files/d/e", "A Files/d/new", "D Files/d/y"]


def test_whole_rows_in_both_views_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = a_view(BASE), a_view(a_layer(a_file("Files/b")), BASE)
    seen = []
    listing = MergedView.list

    def list_and_note(view: MergedView, directory: Node) -> list[Node]:
        seen.append(directory.path)
        return listing(view, directory)

    monkeypatch.setattr(MergedView, "list", list_and_note)
    assert [str(change) for change in changes(old, new)] == ["A Files/b"]
    assert seen == []
    stranger = a_view(a_layer(a_file("Files/b")), [], BASE)
    assert [str(change) for change in changes(old, stranger)] == ["A Files/b"]
    assert seen == ["", ""]


def test_only_own_names_of_a_directory_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    base = a_layer(*(a_file(f"Files/big/{number}") for number in range(20_000)))
    child = a_layer(
        a_file("Files/big/7", b"other"), a_whiteout("Files/big/8"), a_file("Files/big/new")
    )
    old, new = a_view(base), a_view(child, base)
    asked = []
    node = MemoryTable.node

    def node_and_note(table: MemoryTable, row: int) -> Node:
        asked.append(row)
        return node(table, row)

    monkeypatch.setattr(MemoryTable, "node", node_and_note)
    found = [str(change) for change in changes(old, new)]
    assert found == ["C Files/big/7", "D Files/big/8", "A Files/big/new"]
    assert len(asked) < 40


def test_whiteout_of_what_was_never_there_is_no_change() -> None:
    assert listed(a_layer(a_whiteout("Files/d/never")), BASE) == []


FILE = a_file("Files/f", b"data", {"s": b"stream"})
EA = build_ea_list([ExtendedAttribute(b"A", b"1"), ExtendedAttribute(b"B", b"2")])
EA_ANOTHER_WAY = build_ea_list([ExtendedAttribute(b"B", b"2"), ExtendedAttribute(b"A", b"1")])


def with_entry(held: HeldEntry, **fields: Any) -> HeldEntry:
    return HeldEntry(replace(held.entry, **fields), held.parts)


@pytest.mark.parametrize(
    ("fields", "metadata_only"),
    [
        ({"path": "Files/F"}, True),
        ({"attributes": 0x21}, True),
        ({"creation_filetime": 1}, True),
        ({"change_filetime": 1}, True),
        ({"write_filetime": 1}, False),
        ({"security": OTHER_DESCRIPTOR}, True),
        ({"security": b""}, True),
        ({"ea": EA}, True),
    ],
)
def test_other_metadata_is_a_modification(fields: dict[str, Any], metadata_only: bool) -> None:
    (change,) = between(a_layer(FILE), a_layer(with_entry(FILE, **fields)))
    path = fields.get("path", "Files/f")
    assert change == Change(ChangeKind.MODIFIED, path, metadata_only, False, 4)


def test_access_time_is_compared_only_when_asked() -> None:
    old, new = a_layer(FILE), a_layer(with_entry(FILE, access_filetime=9))
    assert between(old, new) == []
    (change,) = between(old, new, compare_access_time=True)
    assert change.metadata_only


def test_change_time_is_compared_unless_told_otherwise() -> None:
    old, new = a_layer(FILE), a_layer(with_entry(FILE, change_filetime=9))
    (change,) = between(old, new)
    assert change.metadata_only
    assert between(old, new, compare_change_time=False) == []


def test_directory_is_modified_by_its_own_metadata_only() -> None:
    old = a_layer(a_directory("Files/d"), a_file("Files/d/x"))
    new = a_layer(a_directory("Files/d", write_filetime=9), a_file("Files/d/x"))
    (change,) = between(old, new)
    assert change == Change(ChangeKind.MODIFIED, "Files/d", True, True, 0)


def test_reparse_bit_without_reparse_data_does_not_count() -> None:
    assert between(a_layer(FILE), a_layer(with_entry(FILE, attributes=0x420))) == []


def test_order_of_extended_attributes_means_nothing() -> None:
    assert EA != EA_ANOTHER_WAY
    old = a_layer(with_entry(FILE, ea=EA))
    assert between(old, a_layer(with_entry(FILE, ea=EA_ANOTHER_WAY))) == []
    other = build_ea_list([ExtendedAttribute(b"A", b"1"), ExtendedAttribute(b"B", b"3")])
    (change,) = between(old, a_layer(with_entry(FILE, ea=other)))
    assert change.metadata_only


def test_order_of_names_in_reparse_data_means_nothing() -> None:
    made = a_symlink("Files/s", "target").entry.reparse
    swapped = _print_name_first("target")
    old = a_layer(a_symlink("Files/s", "target"))
    assert made != swapped
    assert between(old, a_layer(a_symlink("Files/s", "target", reparse=swapped))) == []
    (change,) = between(old, a_layer(a_symlink("Files/s", "other!")))
    assert not change.metadata_only


def _print_name_first(target: str) -> bytes:
    """A relative symbolic link as Windows itself lays it out."""
    name = target.encode("utf-16-le")
    size = len(name).to_bytes(2, "little")
    fields = size + size + b"\0\0" + size + (1).to_bytes(4, "little")
    body = fields + name + name
    assert link_to(target, junction=False).substitute_name == target
    return 0xA000000C.to_bytes(4, "little") + len(body).to_bytes(2, "little") + b"\0\0" + body


@pytest.mark.parametrize(
    "new",
    [
        a_file("Files/f", b"dota", {"s": b"stream"}),
        a_file("Files/f", b"data", {"s": b"scream"}),
        a_file("Files/f", b"data", {"S2": b"stream"}),
        a_file("Files/f", b"data", {"s": b"streams"}),
        a_file("Files/f", b"data"),
        a_file("Files/f", b"data!", {"s": b"stream"}),
        a_symlink("Files/f", "x"),
    ],
    ids=["data", "stream", "stream-name", "stream-size", "no-stream", "size", "type"],
)
def test_other_content_is_a_modification(new: HeldEntry) -> None:
    (change,) = between(a_layer(FILE), a_layer(new))
    assert (change.kind, change.metadata_only) == (ChangeKind.MODIFIED, False)


def test_equal_content_in_another_layer_is_no_change() -> None:
    assert between(a_layer(FILE), a_layer(a_file("Files/f", b"data", {"S": b"stream"}))) == []
    assert between(a_layer(a_directory("Files/d", {"s": b""})), a_layer(
        a_directory("Files/d", {"s": b""}))) == []  # fmt: skip


def test_how_content_is_stored_is_no_change() -> None:
    sparse = HeldEntry(
        FILE.entry, tuple(replace(part, attributes=STREAM_ATTRIBUTE_SPARSE) for part in FILE.parts)
    )
    assert between(a_layer(FILE), a_layer(sparse)) == []


def test_bytes_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("winlayers.layer.changes._BLOCK_SIZE", 3)
    for old, new, count in [(b"0123456", b"0123456", 0), (b"0123456", b"012345x", 1)]:
        assert (
            len(between(a_layer(a_file("Files/a", old)), a_layer(a_file("Files/a", new)))) == count
        )


LINKED = a_layer(a_file("Files/a", b"same"), a_link("Files/b", "Files/a"))


def test_links_of_one_group_are_equal_whatever_their_own_metadata() -> None:
    again = a_layer(a_file("Files/a", b"same"), a_link("Files/b", "FILES/A", write_filetime=7))
    assert between(LINKED, again) == []


def test_link_that_became_a_file_is_a_modification_of_metadata() -> None:
    broken = a_layer(a_file("Files/a", b"same"), a_file("Files/b", b"same"))
    assert between(LINKED, broken) == [Change(ChangeKind.MODIFIED, "Files/b", True, False, 4)]
    assert between(broken, LINKED) == [Change(ChangeKind.MODIFIED, "Files/b", True, False, 4)]


def test_link_written_again_in_a_child_is_no_change() -> None:
    assert listed(a_layer(a_link("Files/b", "Files/a")), LINKED) == []
    renamed = a_layer(a_link("Files/B", "Files/a"))
    assert listed(renamed, LINKED) == ["C Files/B"]


def test_link_to_other_content_is_a_modification() -> None:
    child = a_layer(a_file("Files/c", b"else"), a_link("Files/b", "Files/c"))
    assert listed(child, LINKED) == ["C Files/b", "A Files/c"]


def test_part_without_bytes_is_not_opened() -> None:
    empty = HeldEntry(FILE.entry, (*FILE.parts, HeldPart("empty", 0)))
    assert between(a_layer(empty), a_layer(empty)) == []
