from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.builders import (
    OTHER_DESCRIPTOR,
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_table,
    a_view,
    a_whiteout,
    an_entry,
    an_import,
    an_opaque_whiteout,
    layer_tar,
    node_at,
    tar_of,
)
from winlayers.backends.memory import HeldEntry, MemoryReader
from winlayers.backends.portable._scratch import PortableScratch
from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.sealed.table import IndexTable
from winlayers.errors import Unsupported
from winlayers.layer.chain import Chain
from winlayers.layer.difference import DifferenceReader
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.merge import MergedView
from winlayers.layer.view import Metadata, View

BASE = a_layer(
    a_file("Files/a", b"a"),
    a_file("Files/d/x", b"x"),
    a_file("Files/d/y", b"y"),
    a_file("Files/d/e/deep", b"z"),
    a_directory("Hives", write_filetime=7),
    a_file("UtilityVM/Files/vm", b"v"),
)


def read(old: View, new: View) -> list[HeldEntry]:
    """The difference, with the parts of each entry."""
    held = []
    reader = DifferenceReader(old, new)
    for entry in reader:
        parts = []
        for part in reader.parts():
            with reader.open_part(part) as file:
                assert len(file.read()) == part.size
            parts.append(part)
        held.append(HeldEntry(entry, ()))
    reader.close()
    return held


def line_of(entry: Entry) -> str:
    match entry.kind:
        case EntryKind.WHITEOUT:
            return f"- {entry.path}"
        case EntryKind.LINK:
            return f"{entry.path} -> {entry.target}"
        case EntryKind.DIRECTORY:
            return f"{entry.path}/"
        case _:
            return entry.path


def told(old: View, new: View) -> list[str]:
    """The difference, one line an entry; all but the two that are always there."""
    lines = [line_of(held.entry) for held in read(old, new)]
    assert lines[0] == "Files/"
    if old.layer_ids:
        lines.remove("Hives/")
    return lines[1:]


def over(*layers: Layer, parents: int = 1) -> list[str]:
    """What the layers nearest first make over the last ``parents`` of them."""
    return told(a_view(*layers[len(layers) - parents :]), a_view(*layers))


def between(old: Layer, new: Layer) -> list[str]:
    """The difference of two layers that have nothing to do with each other."""
    return told(a_view(old), MergedView([a_table("new", new)]))


def test_nothing_changed_gives_the_two_directories_that_every_layer_has() -> None:
    files, hives = (held.entry for held in read(a_view(BASE), a_view([], BASE)))
    assert files == an_entry("Files", EntryKind.DIRECTORY)
    assert hives == an_entry("Hives", EntryKind.DIRECTORY, write_filetime=7)


def test_hives_take_the_times_of_files_where_the_chain_has_none() -> None:
    base = [a_directory("Files", write_filetime=9)]
    _, hives = (held.entry for held in read(a_view(base), a_view([], base)))
    times = an_entry(write_filetime=9)
    assert hives == replace(
        times, path="Hives", kind=EntryKind.DIRECTORY, attributes=0x10, security=b""
    )


def test_base_layer_has_no_hives() -> None:
    base = a_layer(a_file("Files/a"), a_directory("Files/d"))
    lines = [line_of(held.entry) for held in read(MergedView([]), a_view(base))]
    assert lines == ["Files/", "Files/a", "Files/d/"]


def test_directories_on_the_way_come_before_what_changed() -> None:
    child = a_layer(a_file("Files/d/e/deep", b"other"))
    assert over(child, BASE) == ["Files/d/", "Files/d/e/", "Files/d/e/deep"]


def test_siblings_come_in_the_order_of_the_bytes_of_their_names() -> None:
    names = ["B", "_", "a", "b2", "é", "\ud800", "\uffff", "😀"]
    child = a_layer(*(a_file(f"Files/{name}") for name in reversed(names)))
    assert over(child, [a_directory("Files")]) == [f"Files/{name}" for name in names]


def test_whiteouts_follow_their_directory_and_precede_its_children() -> None:
    child = a_layer(a_whiteout("Files/d/Y"), a_file("Files/d/b"), a_whiteout("Files/d/e"))
    assert over(child, BASE) == ["Files/d/", "- Files/d/e", "- Files/d/y", "Files/d/b"]


def test_whiteout_spells_its_directory_as_it_is_now() -> None:
    child = a_layer(a_directory("Files/D"), a_whiteout("Files/D/X"))
    assert over(child, BASE) == ["Files/D/", "- Files/D/x"]


def test_replaced_directory_lists_what_it_hides() -> None:
    removed = a_layer(a_whiteout("Files/d"))
    again = a_layer(a_file("Files/d/x", b"x"), a_file("Files/d/n"))
    assert over(again, removed, BASE) == [
        "Files/d/",
        "- Files/d/e",
        "- Files/d/y",
        "Files/d/n",
    ]


def test_opaque_layer_becomes_whiteouts() -> None:
    child = a_layer(a_directory("Files/d"), an_opaque_whiteout("Files/d"), a_file("Files/d/n"))
    assert over(child, BASE) == [
        "Files/d/",
        "- Files/d/e",
        "- Files/d/x",
        "- Files/d/y",
        "Files/d/n",
    ]


def test_file_for_a_directory_has_no_whiteout() -> None:
    assert over(a_layer(a_file("Files/d")), BASE) == ["Files/d"]
    assert over(a_layer(a_junction("Files/d", "C:\\a")), BASE) == ["Files/d/"]


def test_directory_for_a_file_has_no_whiteout() -> None:
    child = a_layer(a_file("Files/a/b/c"))
    assert over(child, BASE) == ["Files/a/", "Files/a/b/", "Files/a/b/c"]


def test_directory_for_a_junction_lists_all_that_is_in_it() -> None:
    base = a_layer(a_junction("Files/j", "C:\\d"))
    assert over(a_layer(a_file("Files/j/x")), base) == ["Files/j/", "Files/j/x"]


def test_times_of_access_and_change_alone_are_no_change() -> None:
    again = a_layer(a_file("Files/a", b"a", access_filetime=1, change_filetime=2))
    assert over(again, BASE) == []


@pytest.mark.parametrize(
    "again",
    [
        a_file("Files/a", b"a", write_filetime=1),
        a_file("Files/a", b"a", creation_filetime=1),
        a_file("Files/a", b"a", security=OTHER_DESCRIPTOR),
        a_file("Files/a", b"a", attributes=0x21),
        a_file("Files/a", b"b"),
        a_file("Files/A", b"a"),
        a_file("Files/a", b"a", {"s": b""}),
    ],
)
def test_anything_else_is_a_change(again: HeldEntry) -> None:
    assert over(a_layer(again), BASE) == [again.entry.path]


def test_directory_that_differs_by_itself_comes_alone() -> None:
    child = a_layer(a_directory("Files/d", security=OTHER_DESCRIPTOR))
    assert over(child, BASE) == ["Files/d/"]


@pytest.mark.parametrize("name", ["$Recycle.Bin", "$RECYCLE.BIN"])
def test_recycle_bin_is_left_out(name: str) -> None:
    child = a_layer(a_file(f"Files/{name}/S-1-5-18/x"), a_file(f"Files/d/{name}/y"))
    lines = ["Files/d/", f"Files/d/{name}/", f"Files/d/{name}/y"]
    assert over(child, BASE) == lines


def test_utility_vm_comes_where_something_in_it_differs() -> None:
    child = a_layer(a_file("UtilityVM/Files/vm", b"w"), a_whiteout("UtilityVM/Files/none"))
    assert over(child, BASE) == ["UtilityVM/", "UtilityVM/Files/", "UtilityVM/Files/vm"]
    child = a_layer(a_whiteout("UtilityVM/Files/vm"))
    assert over(child, BASE) == ["UtilityVM/", "UtilityVM/Files/", "- UtilityVM/Files/vm"]


def test_utility_vm_without_files_is_left_out() -> None:
    assert over(a_layer(a_directory("UtilityVM")), a_layer(a_file("Files/a"))) == []


def test_volume_that_went_is_told_by_no_layer() -> None:
    without = a_layer(a_directory("Files"), a_directory("UtilityVM"))
    with pytest.raises(Unsupported, match="UtilityVM/Files is gone"):
        between(BASE, without)
    with pytest.raises(Unsupported, match="Files is gone"):
        between(BASE, [a_directory("UtilityVM")])


def test_view_without_files_gets_them() -> None:
    (files,) = (held.entry for held in read(MergedView([]), MergedView([])))
    assert files == Entry("Files", EntryKind.DIRECTORY, 0x10)


def test_streams_follow_the_data_and_directories_have_theirs() -> None:
    child = a_layer(
        a_directory("Files/d", {"of d": b"1"}), a_file("Files/f", b"data", {"s": b"22", "t": b""})
    )
    reader = DifferenceReader(a_view(BASE), a_view(child, BASE))
    found = {}
    for entry in reader:
        found[entry.path] = [(part.name, reader.open_part(part).read()) for part in reader.parts()]
    assert found == {
        "Files": [],
        "Files/d": [("of d", b"1")],
        "Files/f": [("", b"data"), ("s", b"22"), ("t", b"")],
        "Hives": [],
    }


def test_opened_parts_are_closed_by_what_follows() -> None:
    child = a_layer(a_file("Files/a", b"1", {"s": b"2"}), a_file("Files/b", b"3"))
    reader = DifferenceReader(a_view(BASE), a_view(child, BASE))
    files = []
    for entry in reader:
        for part in reader.parts():
            files.append(reader.open_part(part))
            assert [file.closed for file in files] == [True] * (len(files) - 1) + [False]
        if entry.path == "Hives":
            assert [file.closed for file in files] == [True, True, True]


def test_closing_closes_the_open_part() -> None:
    reader = DifferenceReader(a_view(BASE), a_view(a_layer(a_file("Files/a", b"1")), BASE))
    entries = iter(reader)
    while next(entries).path != "Files/a":
        pass
    file = reader.open_part(next(reader.parts()))
    reader.close()
    assert file.closed


# -- hard links -------------------------------------------------------------------------------------

LINKED = a_layer(
    a_file("Files/d/m", b"m"),
    a_link("Files/d/a", "Files/d/m"),
    a_link("Files/d/z", "Files/d/m"),
    a_file("Files/t", b"t"),
    a_link("Files/d/t", "Files/t"),
)


def test_first_name_in_the_order_of_the_walk_has_the_content() -> None:
    assert told(MergedView([]), a_view(LINKED)) == [
        "Files/d/",
        "Files/d/a",
        "Files/d/m -> Files/d/a",
        "Files/d/t",
        "Files/d/z -> Files/d/a",
        "Files/t -> Files/d/t",
    ]


def test_link_has_the_metadata_of_the_file() -> None:
    view = a_view(a_layer(a_file("Files/a", b"12", write_filetime=5), a_link("Files/b", "Files/a")))
    first, link = (held.entry for held in read(MergedView([]), view)[1:])
    assert first == an_entry("Files/a", size=2, write_filetime=5)
    fields = {"attributes": 0x20, "write_filetime": 5, "target": "Files/a"}
    assert link == an_entry("Files/b", EntryKind.LINK, **fields)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[tuple[View, PortableScratch]]:
    """A view of ``LINKED``, and a scratch on it."""
    backend = PortableBackend(tmp_path)
    backend.import_tar(an_import("base", layer_tar(LINKED)))
    backend.create_scratch("s", Chain(("base",)), 0, {})
    with (
        closing(backend.view("base", Chain())) as old,
        closing(backend.scratch("s", Chain(("base",)))) as new,
    ):
        yield old, new


def move(scratch: PortableScratch, path: str, new: str) -> None:
    directory, _, name = new.rpartition("/")
    scratch.rename(node_at(scratch, path), node_at(scratch, directory), name)


def link(scratch: PortableScratch, path: str, new: str) -> None:
    directory, _, name = new.rpartition("/")
    scratch.link(node_at(scratch, path), node_at(scratch, directory), name)


def write(scratch: PortableScratch, path: str, data: bytes) -> None:
    with closing(scratch.open_content(node_at(scratch, path), writable=True)) as content:
        content.write_at(0, data)


def test_links_in_a_renamed_directory_stay_links(scratch: tuple[View, PortableScratch]) -> None:
    old, new = scratch
    move(new, "Files/d", "Files/n")
    assert told(old, new) == [
        "- Files/d",
        "Files/n/",
        "Files/n/a",
        "Files/n/m -> Files/n/a",
        "Files/n/t -> Files/t",
        "Files/n/z -> Files/n/a",
    ]


def test_link_whose_target_changed_becomes_a_file(scratch: tuple[View, PortableScratch]) -> None:
    old, new = scratch
    move(new, "Files/d", "Files/n")
    write(new, "Files/t", b"T")
    assert told(old, new)[-3:] == ["Files/n/t", "Files/n/z -> Files/n/a", "Files/t"]


def test_link_whose_target_changed_its_spelling_becomes_a_file(
    scratch: tuple[View, PortableScratch],
) -> None:
    old, new = scratch
    move(new, "Files/d", "Files/n")
    move(new, "Files/t", "Files/T")
    assert told(old, new)[1:3] == ["Files/T", "Files/n/"]
    assert "Files/n/t" in told(old, new)


def test_names_of_a_new_file_are_links(scratch: tuple[View, PortableScratch]) -> None:
    old, new = scratch
    new.create(node_at(new, "Files"), "new", an_entry("Files/new"))
    write(new, "Files/new", b"12345")
    link(new, "Files/new", "Files/d/b")
    assert told(old, new) == ["Files/d/", "Files/d/b", "Files/new -> Files/d/b"]


def test_new_name_of_a_file_that_did_not_change_leads_to_the_chain(
    scratch: tuple[View, PortableScratch],
) -> None:
    old, new = scratch
    link(new, "Files/t", "Files/u")
    assert told(old, new) == ["Files/u -> Files/t"]


def test_link_that_went_again_leaves_nothing(scratch: tuple[View, PortableScratch]) -> None:
    old, new = scratch
    link(new, "Files/t", "Files/u")
    new.delete(node_at(new, "Files/u"))
    assert told(old, new) == []


def test_equal_files_that_became_one_are_links(tmp_path: Path) -> None:
    backend = PortableBackend(tmp_path)
    base = a_layer(a_file("Files/a", b"1"), a_file("Files/b", b"1"), a_file("Files/c", b"1"))
    backend.import_tar(an_import("base", layer_tar(base)))
    backend.create_scratch("s", Chain(("base",)), 0, {})
    with (
        closing(backend.view("base", Chain())) as old,
        closing(backend.scratch("s", Chain(("base",)))) as new,
    ):
        new.delete(node_at(new, "Files/b"))
        link(new, "Files/a", "Files/b")
        assert told(old, new) == ["Files/b -> Files/a"]
        new.delete(node_at(new, "Files/a"))
        assert told(old, new) == ["- Files/a"]


def test_scratch_changed_and_changed_back_differs_in_nothing(
    scratch: tuple[View, PortableScratch],
) -> None:
    old, new = scratch
    before = node_at(new, "Files/t")
    security = new.entry(before).security
    new.set_metadata(before, Metadata(security=OTHER_DESCRIPTOR, change_filetime=1))
    assert told(old, new) == ["Files/t"]
    new.set_metadata(node_at(new, "Files/t"), Metadata(security=security, change_filetime=2))
    move(new, "Files/d", "Files/n")
    move(new, "Files/n", "Files/d")
    assert told(old, new) == []


def test_renamed_over_what_it_linked_to_is_not_its_own_link(tmp_path: Path) -> None:
    backend = PortableBackend(tmp_path)
    base = a_layer(a_file("Files/x/l", b"1"), a_link("Files/d/l", "Files/x/l"))
    backend.import_tar(an_import("base", layer_tar(base)))
    backend.create_scratch("s", Chain(("base",)), 0, {})
    with (
        closing(backend.view("base", Chain())) as old,
        closing(backend.scratch("s", Chain(("base",)))) as new,
    ):
        new.delete(node_at(new, "Files/x/l"))
        move(new, "Files/d", "Files/x")
        assert told(old, new) == ["- Files/d"]


def test_directories_of_the_chain_are_not_listed(
    scratch: tuple[View, PortableScratch], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = scratch
    write(new, "Files/d/m", b"M")
    link(new, "Files/d/a", "Files/d/new")
    new.delete(node_at(new, "Files/d/z"))
    monkeypatch.delattr(IndexTable, "children")
    assert told(old, new) == [
        "Files/d/",
        "- Files/d/z",
        "Files/d/a",
        "Files/d/m",
        "Files/d/new -> Files/d/a",
    ]


def test_same_difference_gives_the_same_tar(scratch: tuple[View, PortableScratch]) -> None:
    old, new = scratch
    move(new, "Files/d", "Files/n")
    assert tar_of(DifferenceReader(old, new)) == tar_of(DifferenceReader(old, new))


def test_difference_of_a_sealed_layer_is_the_layer() -> None:
    child = a_layer(
        a_whiteout("Files/a"), a_file("Files/d/new", b"n"), a_directory("Hives", write_filetime=7)
    )
    files, whiteout, *rest = child
    assert files.entry.path == "Files"
    tar = tar_of(DifferenceReader(a_view(BASE), a_view(child, BASE)))
    assert tar == tar_of(MemoryReader([files, whiteout, *rest]))
