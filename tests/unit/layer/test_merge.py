from __future__ import annotations

import pytest

from tests.support.builders import (
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_symlink,
    a_table,
    a_view,
    a_whiteout,
    an_opaque_whiteout,
    content_at,
    node_at,
    paths_of,
)
from winlayers.backends.memory import HeldEntry, MemoryTable
from winlayers.errors import PathNotFound
from winlayers.layer.entry import EntryKind
from winlayers.layer.merge import MergedView
from winlayers.layer.view import (
    NODE_IMPLIED,
    NODE_OPAQUE,
    NODE_REPARSE,
    shown_attributes,
)


def test_view_without_layers_is_empty() -> None:
    view = MergedView([])
    assert paths_of(view) == []
    assert view.root().is_directory
    assert view.lookup("") is view.root()
    assert view.lookup("Files") is None
    assert view.layer_ids == ()


def test_root_is_a_directory_without_metadata() -> None:
    view = a_view(a_layer(a_file("Files/a")))
    entry = view.entry(view.root())
    assert (entry.path, entry.kind, entry.security) == ("", EntryKind.DIRECTORY, b"")
    assert view.parts(view.root()) == ()


def test_siblings_come_in_folded_order() -> None:
    names = ["b", "A", "_", "Z", "a1", "ß", "ÿ", "\ud800", "😀"]
    view = a_view(a_layer(*(a_file(f"Files/{name}") for name in names)))
    listed = [node.name for node in view.list(node_at(view, "Files"))]
    assert listed == ["A", "a1", "b", "Z", "_", "ß", "ÿ", "\ud800", "😀"]


def test_names_are_found_in_any_case() -> None:
    view = a_view(a_layer(a_file("Files/Windows/Ünï.txt", b"x")))
    node = node_at(view, "fILES/wINDOWS/üNÏ.TXT")
    assert node.path == "Files/Windows/Ünï.txt"


def test_upper_entry_hides_all_of_the_lower_one() -> None:
    base = a_layer(a_file("Files/a", b"old", {"s": b"stream"}, ea=b"", creation_filetime=1))
    view = a_view(a_layer(a_file("Files/A", b"new", creation_filetime=2)), base)
    node = node_at(view, "Files/a")
    assert (node.name, node.layer_id, node.creation_filetime) == ("A", "L1", 2)
    assert [part.name for part in view.parts(node)] == [""]
    with pytest.raises(PathNotFound, match="'s'"):
        view.open(node, "s")


def test_directories_merge_and_show_the_upper_metadata() -> None:
    base = a_layer(a_directory("Files/d", attributes=0x10), a_file("Files/d/low"))
    view = a_view(a_layer(a_directory("Files/d", attributes=0x12), a_file("Files/d/up")), base)
    assert paths_of(view) == ["Files", "Files/d", "Files/d/low", "Files/d/up"]
    node = node_at(view, "Files/d")
    assert (node.attributes, node.layer_id) == (0x12, "L1")


HIDING = {
    "file": a_file("Files/d"),
    "link": a_link("Files/d", "Files/x"),
    "junction": a_junction("Files/d", "C:\\x"),
    "symlink": a_symlink("Files/d", "x", is_directory=True),
}


@pytest.mark.parametrize("kind", HIDING)
def test_what_is_no_directory_hides_the_subtree_below(kind: str) -> None:
    base = a_layer(a_file("Files/d/low"), a_file("Files/x"))
    view = a_view(a_layer(HIDING[kind]), base)
    assert paths_of(view) == ["Files", "Files/d", "Files/x"]
    assert view.lookup("Files/d/low") is None
    node = node_at(view, "Files/d")
    assert not node.is_directory
    assert view.list(node) == []


@pytest.mark.parametrize("kind", HIDING)
def test_directory_over_something_else_starts_empty(kind: str) -> None:
    bottom = a_layer(a_file("Files/d/bottom"), a_file("Files/x"))
    middle = a_layer(HIDING[kind])
    view = a_view(a_layer(a_file("Files/d/new")), middle, bottom)
    assert paths_of(view) == ["Files", "Files/d", "Files/d/new", "Files/x"]


def test_whiteout_hides_lower_layers_only() -> None:
    base = a_layer(a_file("Files/d/x/deep"), a_file("Files/y"))
    removed = a_layer(a_whiteout("Files/D/X"), a_whiteout("Files/Y"))
    assert paths_of(a_view(removed, base)) == ["Files", "Files/D"]
    again = a_layer(a_file("Files/d/x/new"), a_file("Files/y"))
    assert paths_of(a_view(again, removed, base)) == [
        "Files", "Files/d", "Files/d/x", "Files/d/x/new", "Files/y",
    ]  # fmt: skip


def test_opaque_whiteout_ends_a_directory_at_its_layer() -> None:
    base = a_layer(a_file("Files/d/low"), a_file("Files/d/both", b"old"), a_file("Files/e"))
    middle = a_layer(an_opaque_whiteout("Files/d"), a_file("Files/d/both", b"new"))
    top = a_layer(a_file("Files/d/top"))
    view = a_view(top, middle, base)
    assert paths_of(view) == ["Files", "Files/d", "Files/d/both", "Files/d/top", "Files/e"]
    assert content_at(view, "Files/d/both") == b"new"
    alone = a_view(middle)
    directory = node_at(alone, "Files/d")
    assert directory.flags & NODE_OPAQUE


def test_whiteouts_never_show() -> None:
    view = a_view(a_layer(a_whiteout("Files/a"), an_opaque_whiteout("Files")))
    assert paths_of(view) == ["Files"]
    assert view.lookup("Files/a") is None
    assert view.lookup("Files/.wh..opq") is None


def test_implied_directory_shows_the_metadata_below_it() -> None:
    implied = [
        HeldEntry(a_directory("Files", creation_filetime=0).entry, flags=NODE_IMPLIED),
        HeldEntry(a_directory("Files/D", creation_filetime=0).entry, flags=NODE_IMPLIED),
        a_file("Files/D/new"),
    ]
    bottom = a_layer(a_directory("Files/d", creation_filetime=7), a_file("Files/d/old"))
    view = MergedView([MemoryTable("top", implied), MemoryTable("bottom", bottom)])
    node = node_at(view, "Files/D")
    assert (node.layer_id, node.name, node.creation_filetime) == ("bottom", "d", 7)
    assert paths_of(view) == ["Files", "Files/d", "Files/d/new", "Files/d/old"]
    assert paths_of(MergedView([MemoryTable("top", implied)])) == [
        "Files",
        "Files/D",
        "Files/D/new",
    ]


def test_implied_directory_over_a_file_still_hides_it() -> None:
    implied = [
        a_directory("Files"),
        HeldEntry(a_directory("Files/d").entry, flags=NODE_IMPLIED),
        a_file("Files/d/new"),
    ]
    view = a_view(implied, a_layer(a_file("Files/d")), a_layer(a_file("Files/d/deep")))
    assert paths_of(view) == ["Files", "Files/d", "Files/d/new"]


LINK_BASE = a_layer(
    a_file("Files/a", b"data", {"s": b"stream"}, attributes=0x21),
    a_link("Files/b", "files/A", attributes=0x20),
    a_link("Files/c", "Files/b"),
)


@pytest.mark.parametrize("path", ["Files/b", "Files/c"])
def test_link_shares_content_and_metadata_in_its_layer(path: str) -> None:
    view = a_view(LINK_BASE)
    node = node_at(view, path)
    assert node.kind is EntryKind.LINK
    found = view.resolve(node)
    assert (found.kind, found.path, found.name, found.attributes, found.size) == (
        EntryKind.FILE, path, path[-1], 0x21, 4,
    )  # fmt: skip
    assert view.resolve(found) is found
    assert [part.name for part in view.parts(node)] == ["", "s"]
    assert content_at(view, path) == b"data"
    assert content_at(view, path, "S") == b"stream"
    assert view.entry(node).target == ("files/A" if path == "Files/b" else "Files/b")


def test_link_reaches_its_target_through_the_layers_below_it() -> None:
    middle = a_layer(a_file("Files/a", b"middle"))
    upper = a_layer(
        a_link("Files/d", "FILES/c"), a_link("Files/e", "Files/a"), a_whiteout("Files/a")
    )
    view = a_view(upper, middle, LINK_BASE)
    assert content_at(view, "Files/d") == b"data"  # of the base, whose link was made there
    assert content_at(view, "Files/e") == b"middle"
    assert view.lookup("Files/a") is None


def test_link_in_the_middle_does_not_see_what_is_above_it() -> None:
    middle = a_layer(a_link("Files/l", "Files/a"))
    top = a_layer(a_file("Files/a", b"top"))
    view = a_view(top, middle, LINK_BASE)
    assert content_at(view, "Files/a") == b"top"
    assert content_at(view, "Files/l") == b"data"


def test_link_to_nothing_says_so() -> None:
    view = a_view(a_layer(a_link("Files/l", "Files/gone")), a_layer(a_directory("Files")))
    node = node_at(view, "Files/l")
    for broken in (view.resolve, view.parts, view.open):
        with pytest.raises(PathNotFound, match="gone"):
            broken(node)


def test_missing_stream_or_data_is_not_found() -> None:
    view = a_view(a_layer(a_directory("Files/d", {"s": b"x"})))
    node = node_at(view, "Files/d")
    assert content_at(view, "Files/d", "s") == b"x"
    with pytest.raises(PathNotFound, match="no data"):
        view.open(node)
    with pytest.raises(PathNotFound, match="'t'"):
        view.open(node, "t")


def test_node_of_another_view_is_refused() -> None:
    view = MergedView([a_table("one", a_layer(a_file("Files/a")))])
    other = MergedView([a_table("two", a_layer(a_file("Files/a")))])
    node = node_at(other, "Files/a")
    with pytest.raises(PathNotFound, match="two"):
        view.entry(node)


def test_path_below_a_file_is_not_there() -> None:
    view = a_view(a_layer(a_file("Files/a"), a_symlink("Files/s", "a")))
    assert view.lookup("Files/a/b") is None
    assert view.lookup("Files/s/b") is None
    assert view.lookup("Files//a") is None


def test_shown_attributes_follow_the_reparse_data() -> None:
    layer = a_layer(a_symlink("Files/s", "x", attributes=0x20), a_file("Files/f", attributes=0x420))
    view = a_view(layer)
    link, file = node_at(view, "Files/s"), node_at(view, "Files/f")
    assert (link.flags & NODE_REPARSE, shown_attributes(link)) == (NODE_REPARSE, 0x420)
    assert (file.is_reparse_point, shown_attributes(file)) == (False, 0x20)


def test_listing_twice_gives_the_same_and_outlives_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("winlayers.layer.merge._REMEMBERED_NODES", 2)
    layer: Layer = a_layer(*(a_file(f"Files/{d}/{n}") for d in "abc" for n in "xyz"))
    view = a_view(layer)
    before = paths_of(view)
    for d in "abcabc":
        assert view.lookup(f"Files/{d}/y") is not None
        directory = node_at(view, f"Files/{d}")
        assert [node.path for node in view.list(directory)] == [f"Files/{d}/{n}" for n in "xyz"]
    assert paths_of(view) == before
    view.close()


def test_own_names_are_those_of_the_nearest_layer() -> None:
    child = a_layer(a_file("Files/b/own"), a_whiteout("Files/A"), a_whiteout("Files/never"))
    base = a_layer(a_file("Files/a"), a_file("Files/b/low"), a_file("Files/c/low"))
    view = a_view(child, base)
    own = view.list_own(node_at(view, "Files"))
    assert [(name, node and node.path) for name, node in own] == [
        ("A", None),
        ("b", "Files/b"),
        ("never", None),
    ]
    assert own[1][1] is node_at(view, "Files/b")
    assert [name for name, _ in view.list_own(node_at(view, "Files/c"))] == ["low"]
    assert view.list_own(node_at(view, "Files/b/own")) == []
