"""Handles follow renames, and files without a name are found by the one that libfuse made up."""

from __future__ import annotations

import errno
from contextlib import closing

import pytest

from winlayers.layer.tree import Tree
from winlayers.mounts.fuse._handles import FileHandle, FolderHandle, HandleTable

HIDDEN = "/dir/.fuse_hidden0000000500000001"


@pytest.fixture
def table() -> HandleTable:
    return HandleTable()


def opened(tree: Tree, path: str, *, writable: bool = False) -> FileHandle:
    return FileHandle(path, tree.open("/a.txt", writable=writable), writable)


def test_number_finds_its_handle(table: HandleTable, tree: Tree) -> None:
    handle = opened(tree, "/a.txt")
    number = table.add(handle)
    assert number
    assert table.file(number) is handle
    assert table.path(None, number) == "/a.txt"
    assert table.path("/given", number) == "/given"
    assert table.remove(number) is handle
    assert table.remove(number) is None


def test_number_of_nobody_is_a_bad_one(table: HandleTable, tree: Tree) -> None:
    number = table.add(FolderHandle("/dir"))
    for ask in (
        lambda: table.file(number),
        lambda: table.folder(number + 1),
        lambda: table.path(None, number + 1),
        lambda: table.path(None, None),
    ):
        with pytest.raises(OSError) as told:
            ask()
        assert told.value.errno == errno.EBADF


def test_handles_follow_a_rename_of_what_is_above(table: HandleTable) -> None:
    inner = FolderHandle("/DIR/inner")
    beside = FolderHandle("/dir2/inner")
    itself = FolderHandle("/dir")
    for handle in (inner, beside, itself):
        table.add(handle)
    table.move("/dir", "/moved/there")
    assert inner.path == "/moved/there/inner"
    assert beside.path == "/dir2/inner"
    assert itself.path == "/moved/there"


def test_open_file_is_hidden_and_found(table: HandleTable, tree: Tree) -> None:
    reading, writing = opened(tree, "/a.txt"), opened(tree, "/a.txt", writable=True)
    numbers = [table.add(reading), table.add(writing)]
    assert table.is_hiding("/a.txt", HIDDEN)
    assert table.hidden(HIDDEN) is None
    table.hide("/a.txt", HIDDEN)
    assert table.hidden(HIDDEN) is writing
    assert table.hidden("/a.txt") is None
    assert not table.is_hiding("/a.txt", HIDDEN)
    for number in numbers:
        table.remove(number)
    assert table.hidden(HIDDEN) is None
    assert not table.is_hiding("/a.txt", HIDDEN)
    for handle in (reading, writing):
        handle.content.close()


def test_file_that_was_just_closed_may_be_open_to_libfuse(table: HandleTable, tree: Tree) -> None:
    handle = opened(tree, "/a.txt")
    table.remove(table.add(handle))
    handle.content.close()
    assert table.is_hiding("/a.txt", HIDDEN)
    assert not table.is_hiding("/a.txt", "/other")
    assert not table.is_hiding("/b.txt", HIDDEN)


def test_made_up_name_is_no_other_name(table: HandleTable, tree: Tree) -> None:
    handle = opened(tree, "/a.txt")
    with closing(handle.content):
        table.add(handle)
        assert not table.is_hiding("/a.txt", "/dir/.fuse_hidden1")
        assert not table.is_hiding("/b.txt", HIDDEN)


def test_all_files_are_given_back_at_the_end(table: HandleTable, tree: Tree) -> None:
    handle = opened(tree, "/a.txt")
    table.add(handle)
    table.add(FolderHandle("/dir"))
    table.hide("/a.txt", HIDDEN)
    assert table.remove_all() == [handle]
    assert table.hidden(HIDDEN) is None
    handle.content.close()
