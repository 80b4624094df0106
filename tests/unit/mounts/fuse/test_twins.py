"""Paths of one file are known together, follow renames, and are forgotten when there are too many."""

from __future__ import annotations

import pytest

from winlayers.mounts.fuse import _twins
from winlayers.mounts.fuse._operations import RENAME_EXCHANGE, Operations
from winlayers.mounts.fuse._twins import Twins


@pytest.fixture
def twins() -> Twins:
    return Twins()


@pytest.fixture
def stale(operations: Operations) -> list[set[str]]:
    """What the kernel is told to forget, call by call."""
    told: list[set[str]] = []
    operations.known.on_stale = lambda paths, wait: told.append(paths)
    return told


def test_paths_of_one_file_are_others_to_each_other(twins: Twins) -> None:
    assert not twins
    twins.note(1, "/a", "/A")
    twins.note(1, "/b")
    twins.note(2, "/c")
    assert twins
    assert twins.others("/a") == {"/A", "/b"}
    assert twins.others("/c") == set()
    assert twins.others("/none") == set()


def test_path_that_leads_to_another_file_now_leaves_the_first(twins: Twins) -> None:
    twins.note(1, "/a", "/b")
    twins.note(2, "/b", "/c")
    assert twins.others("/a") == set()
    assert twins.others("/b") == {"/c"}
    twins.remove("/b")
    twins.remove("/b")
    assert twins.others("/c") == set()


def test_paths_follow_a_rename_of_a_folder(twins: Twins) -> None:
    twins.note(1, "/dir/a", "/dir/b", "/DIR/a", "/dir2/a")
    twins.move("/dir", "/moved")
    assert twins.others("/dir2/a") == {"/moved/a", "/moved/b", "/DIR/a"}


def test_what_lies_below_is_found_in_every_spelling(twins: Twins) -> None:
    twins.note(1, "/dir/a", "/DIR/a", "/Dir", "/dir", "/dir2")
    assert twins.below("/dir") == {"/dir/a", "/DIR/a", "/Dir"}


def test_too_many_paths_are_forgotten(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_twins, "MAX_PATHS", 4)
    twins.note(1, "/a", "/b")
    twins.note(2, "/c", "/d")
    assert twins.others("/a") == {"/b"}
    twins.note(3, "/e", "/f")
    assert twins.others("/a") == set()
    assert twins.others("/e") == {"/f"}


def test_files_of_one_path_are_not_kept(operations: Operations, stale: list[set[str]]) -> None:
    operations.getattr("/a.txt")
    list(operations.readdir(operations.opendir("/"), 0))
    operations.unlink("/a.txt")
    operations.rename("/dir", "/moved")
    assert stale == []


def test_change_by_one_link_is_told_of_the_other(
    operations: Operations, stale: list[set[str]]
) -> None:
    operations.link("/again", "/a.txt")
    operations.chmod("/again", 0o444)
    operations.utimens("/a.txt", 0, 0)
    operations.unlink("/dir/b.txt")
    assert stale == [{"/a.txt"}, {"/a.txt"}, {"/again"}]


def test_change_by_one_spelling_is_told_of_the_other(
    operations: Operations, stale: list[set[str]]
) -> None:
    operations.getattr("/DIR")
    operations.getattr("/DIR/B.txt")
    operations.truncate("/dir/b.txt", 0)
    operations.mkdir("/dir/new", 0o755)
    operations.rename("/dir", "/moved")
    assert stale == [{"/DIR/B.txt"}, {"/DIR"}, {"/DIR", "/DIR/B.txt"}]


def test_names_that_swap_their_places_are_followed(
    operations: Operations, stale: list[set[str]]
) -> None:
    operations.link("/again", "/a.txt")
    operations.rename("/a.txt", "/locked.txt", RENAME_EXCHANGE)
    stale.clear()
    operations.utimens("/locked.txt", 0, 0)
    assert stale == [{"/again"}]


def test_listing_by_another_spelling_is_noted(
    operations: Operations, stale: list[set[str]]
) -> None:
    list(operations.readdir(operations.opendir("/DIR"), 0))
    operations.utimens("/dir/b.txt", 0, 0)
    assert stale == [{"/DIR/b.txt"}]
