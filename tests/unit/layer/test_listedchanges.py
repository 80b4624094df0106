"""What a layer changes, by its own entries."""

from __future__ import annotations

from tests.support.builders import (
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_view,
    a_whiteout,
)
from winlayers.layer.changes import Change, ChangeKind
from winlayers.layer.listedchanges import listed_changes


def test_everything_is_modified_or_deleted_in_folded_order() -> None:
    view = a_view(
        a_layer(
            a_directory("Files/b"),
            a_file("Files/b/two", b"22"),
            a_file("Files/A", b"1"),
            a_link("Files/c", "Files/A"),
            a_whiteout("Files/b/one"),
            a_junction("Files/j", "C:\\b"),
        )
    )
    (table,) = view.tables
    assert list(listed_changes(table)) == [
        Change(ChangeKind.MODIFIED, "Files", is_directory=True),
        Change(ChangeKind.MODIFIED, "Files/A", size=1),
        Change(ChangeKind.MODIFIED, "Files/b", is_directory=True),
        Change(ChangeKind.DELETED, "Files/b/one"),
        Change(ChangeKind.MODIFIED, "Files/b/two", size=2),
        Change(ChangeKind.MODIFIED, "Files/c"),
        Change(ChangeKind.MODIFIED, "Files/j"),
    ]


def test_layer_without_entries_changes_nothing() -> None:
    view = a_view(a_layer())
    assert [change for table in view.tables for change in listed_changes(table)] == []
