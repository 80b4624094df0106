"""Base layers read from their folder, where the golden vectors say nothing: links, parts, closing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO

import pytest

from tests.support.builders import DESCRIPTOR, NEW_YEAR_FILETIME
from tests.unit.layer.test_backupcontents import Given, a_part, a_stream
from winlayers.errors import InvalidArgument
from winlayers.formats.backupstream import PartId
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.tar import TarReader, TarWriter
from winlayers.layer.baselayer import (
    BaseLayerReader,
    FoundFile,
    walk_base_layer,
    write_base_layer,
)
from winlayers.layer.entry import EntryKind, Part

DATA = a_part(PartId.DATA, b"abc")
STREAM = a_part(PartId.ALTERNATE, b"x", ":s:$DATA")


class Tree:
    """A folder in memory: path -> parts, None for a folder. Counts what is open."""

    def __init__(
        self, files: dict[str, list[Given] | None], links: dict[str, int] | None = None
    ) -> None:
        self._files = files
        self._links = links or {}
        self.opened: list[BinaryIO] = []

    def find(self, path: str) -> FoundFile | None:
        if path not in self._files:
            return None
        parts = self._files[path]
        info = BasicInfo(*[NEW_YEAR_FILETIME] * 4, 0x10 if parts is None else 0x20)
        size = sum(header.size for header, _ in parts or () if header.id == PartId.DATA)
        return FoundFile(path, info, size, parts is None, self._links.get(path))

    def list(self, path: str) -> Sequence[FoundFile]:
        found = [self.find(p) for p in self._files if p.rpartition("/")[0] == path]
        return [one for one in found if one is not None]

    def open_backup(self, path: str) -> BinaryIO:
        self.opened.append(a_stream(*(self._files[path] or [])))
        return self.opened[-1]


def paths_of(tree: Tree) -> list[str]:
    return [found.path for found in walk_base_layer(tree)]


def test_empty_folder_holds_nothing() -> None:
    assert paths_of(Tree({})) == []


def test_siblings_are_sorted_by_bytes() -> None:
    names = ["a", "B", "a b", "a.d", "\ue000", "😀"]
    tree = Tree({"Files": None, **{f"Files/{name}": [] for name in names}, "Files/a.d/x": []})
    wanted = sorted(names, key=lambda name: name.encode())
    assert paths_of(tree) == ["Files", *(f"Files/{name}" for name in wanted)]


def test_utility_vm_without_files_is_left_out() -> None:
    assert paths_of(Tree({"Files": None, "UtilityVM": None, "UtilityVM/x": []})) == ["Files"]
    tree = Tree({"UtilityVM": None, "UtilityVM/Files": None, "UtilityVM/x": []})
    assert paths_of(tree) == ["UtilityVM", "UtilityVM/Files"]


def test_recycle_bin_is_left_out_at_the_top_only() -> None:
    tree = Tree({"Files": None, "Files/$RECYCLE.BIN": None, "Files/$RECYCLE.BIN/x": []})
    assert paths_of(tree) == ["Files"]
    assert paths_of(Tree({"Files": None, "Files/$Recycle.Bin": []})) == [
        "Files",
        "Files/$Recycle.Bin",
    ]


LINKED = Tree(
    {"Files": None, "Files/a": [DATA, STREAM], "Files/b": [DATA, STREAM], "Files/c": [DATA]},
    {"Files/a": 7, "Files/b": 7, "Files/c": 8},
)


def test_later_names_of_a_file_are_links() -> None:
    entries = list(BaseLayerReader(LINKED))
    assert [(e.path, e.kind, e.target) for e in entries] == [
        ("Files", EntryKind.DIRECTORY, ""),
        ("Files/a", EntryKind.FILE, ""),
        ("Files/b", EntryKind.LINK, "Files/a"),
        ("Files/c", EntryKind.FILE, ""),
    ]


def test_original_writes_links_as_copies() -> None:
    target = io.BytesIO()
    writer = TarWriter(target)
    write_base_layer(writer, LINKED)
    writer.close()
    target.seek(0)
    assert [(header.name, header.size) for header in TarReader(target)] == [
        (b"Files", 0),
        (b"Files/a", 3),
        (b"Files/a:s", 1),
        (b"Files/b", 3),
        (b"Files/b:s", 1),
        (b"Files/c", 3),
    ]


def test_entries_have_all_of_their_stream() -> None:
    tree = Tree({"Files": None, "Files/a": [DATA, STREAM, a_part(PartId.SECURITY, DESCRIPTOR)]})
    reader = BaseLayerReader(tree)
    found = {}
    for entry in reader:
        parts = {part.name: reader.open_part(part).read() for part in reader.parts()}
        found[entry.path] = (entry.security, entry.size, parts)
    assert found["Files/a"] == (DESCRIPTOR, 3, {"": b"abc", "s": b"x"})
    assert all(stream.closed for stream in tree.opened)


def test_part_of_another_entry_is_refused() -> None:
    reader = BaseLayerReader(LINKED)
    next(iter(reader))
    with pytest.raises(InvalidArgument):
        reader.open_part(Part("", 3))
    reader.close()
    assert list(reader.parts()) == []
