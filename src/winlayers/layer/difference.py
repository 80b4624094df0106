"""The difference of two views as a layer: what has to stand on the old one so that the new one shows.

The entries come in the order of the original:

    Files            always, with all below it that differs
    Hives            always but in a base layer, as an empty directory
    UtilityVM        where something below its ``Files`` differs
    UtilityVM/Files

The walk goes into depth, siblings in the order of the bytes of their names. A directory that something
below differs in has an entry too; the names that are gone from it follow as whiteouts, before what is in
it. Nothing is opaque: where a directory took the place of another, what it hides has whiteouts. What
differs decides ``layer.changes``, which does not count times of access and change alone. Names at the top
of a layer that cannot change, and the recycle bin, are left out.

The first name of a file in the order of the walk has its content, other ones are hard links to it. A hard
link of the chain that shows at another path leads to where its target is in this layer, or in the chain
where it shows unchanged; if it is nowhere, the link becomes a file.

This module refuses to know how views come about, and forms of layers.

Source: order, and what is left out: microsoft/hcsshim internal/wclayer/legacy.go and
pkg/ociwclayer/export.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from winlayers.errors import Unsupported
from winlayers.layer.changes import Comparison
from winlayers.layer.entry import FILE_ATTRIBUTE_DIRECTORY, Entry, EntryKind, Part
from winlayers.layer.names import FILES, HIVES, UTILITY_VM, encode_name, fold
from winlayers.layer.view import Node, View

_RECYCLE_BIN = fold(f"{FILES}/$Recycle.Bin")

_Place = tuple[str, int]  # a row of a layer: which file it is, whatever its names
_Told = tuple[Entry, Node | None]  # an entry, and the node that has its parts
_Pair = tuple[Node | None, Node]


@dataclass(slots=True)
class _Level:
    """A directory that the walk is in.

    Attributes:
        directory: its node.
        children: what is still to be looked at.
        is_told: whether its entry was given.
    """

    directory: Node
    children: Iterator[_Pair]
    is_told: bool = False


class DifferenceReader:
    """Reads the difference of two views; see ``layer.entry.EntryReader``.

    Once only; the views must not change meanwhile.

    Args:
        old: what the layer shall stand on; a view without layers makes it a base layer.
        new: what it shall make of that, usually a scratch over the same layers.
    """

    def __init__(self, old: View, new: View) -> None:
        self._old = old
        self._new = new
        self._comparison = Comparison(old, new, compare_change_time=False)
        self._node: Node | None = None
        self._file: BinaryIO | None = None
        # Files by what they are: the path that this layer has the content at; and the path that it leaves
        # as it was, because an equal file was there, with what that file was.
        self._told: dict[_Place, str] = {}
        self._left: dict[_Place, tuple[str, _Place]] = {}

    def __iter__(self) -> Iterator[Entry]:
        """The entries.

        Raises:
            Unsupported: what no layer can tell: ``Files`` or ``UtilityVM/Files`` is gone.
            PathNotFound: a hard link of either view has no target.
        """
        for entry, node in self._entries():
            self._node = node
            yield entry
            self._let_go()

    def parts(self) -> Iterator[Part]:
        if self._node is None:
            return iter(())
        return iter(sorted(self._new.parts(self._node), key=lambda part: bool(part.name)))

    def open_part(self, part: Part) -> BinaryIO:
        assert self._node is not None, "an entry without parts"
        self._let_go()
        self._file = self._new.open(self._node, part.name)
        return self._file

    def close(self) -> None:
        """Stop. The views stay open."""
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- the walk -----------------------------------------------------------------------------------

    def _entries(self) -> Iterator[_Told]:
        yield from self._volume(FILES, [])
        if self._old.layer_ids:
            yield self._hives()
        if (utility_vm := self._new.lookup(UTILITY_VM)) is not None:
            way = [_Level(utility_vm, iter(()))]
            yield from self._volume(f"{UTILITY_VM}/{FILES}", way)

    def _volume(self, path: str, levels: list[_Level]) -> Iterator[_Told]:
        """A volume; ``levels`` are the directories above it."""
        before, after = self._old.lookup(path), self._new.lookup(path)
        if after is None or not after.is_directory:
            if before is not None:
                raise Unsupported(f"{path} is gone, which a layer cannot tell")
            if path == FILES:
                yield replace(self._new.entry(self._new.root()), path=FILES), None
            return
        yield from self._enter(levels, before, after, always=path == FILES)
        while levels:
            for old, new in levels[-1].children:
                if new.is_directory:
                    yield from self._enter(levels, old, new)
                    break
                if (told := self._leaf(old, new)) is not None:
                    yield from self._way(levels)
                    yield told
            else:
                levels.pop()

    def _enter(
        self, levels: list[_Level], before: Node | None, after: Node, *, always: bool = False
    ) -> Iterator[_Told]:
        """Go into a directory: its entry where it differs by itself, and whiteouts of what is gone."""
        gone, children = self._children(before, after)
        levels.append(_Level(after, iter(children)))
        if always or gone or self._differs(before, after):
            yield from self._way(levels)
        for node in gone:
            yield Entry(f"{after.path}/{node.name}", EntryKind.WHITEOUT), None

    def _children(self, before: Node | None, after: Node) -> tuple[list[Node], list[_Pair]]:
        """What is gone from a directory, and what is in it, both in the order of the original."""
        gone: list[Node] = []
        children: list[_Pair] = []
        for old, new in self._comparison.pairs(before, after):
            if new is None:
                assert old is not None
                gone.append(old)
            elif not (new.is_directory and fold(new.path) == _RECYCLE_BIN):
                children.append((old, new))
        gone.sort(key=lambda node: encode_name(node.name))
        children.sort(key=lambda pair: encode_name(pair[1].name))
        return gone, children

    def _way(self, levels: list[_Level]) -> Iterator[_Told]:
        """The entries of the directories on the way, those that were not given yet."""
        for level in levels:
            if not level.is_told:
                level.is_told = True
                yield self._new.entry(level.directory), level.directory

    def _hives(self) -> _Told:
        node = self._new.lookup(HIVES)
        if node is not None and node.is_directory:
            return self._new.entry(node), node
        files = self._new.lookup(FILES) or self._new.root()
        return _with_times(Entry(HIVES, EntryKind.DIRECTORY, FILE_ATTRIBUTE_DIRECTORY), files), None

    def _differs(self, before: Node | None, after: Node) -> bool:
        return before is None or self._comparison.change(before, after) is not None

    # -- files and their names ----------------------------------------------------------------------

    def _leaf(self, before: Node | None, after: Node) -> _Told | None:
        """The entry of a file or reparse point, or None where it is as it was."""
        shared = self._new.resolve(after)
        place = _place(shared)
        was = None if before is None else _place(self._old.resolve(before))
        if before is not None and was == place and before.name == after.name:
            return None
        if place in self._told:
            return _link(after, shared, self._told[place])
        left_path, left_was = self._left.get(place, ("", None))
        if was is not None and not self._differs(before, after):
            if not left_path:
                self._left[place] = after.path, was
            if not left_path or left_was == was:
                return None
        if target := left_path or self._kept_target(after, place):
            return _link(after, shared, target)
        if shared.kind is EntryKind.FILE:
            self._told[place] = after.path
        return self._new.entry(shared), shared

    def _kept_target(self, node: Node, place: _Place) -> str:
        """The path of a hard link's target, if that is the same file in both views, else ``""``."""
        if node.kind is not EntryKind.LINK:
            return ""
        target = self._new.entry(node).target
        before, after = self._old.lookup(target), self._new.lookup(target)
        if before is None or after is None or before.name != after.name:
            return ""
        both = _place(self._old.resolve(before)), _place(self._new.resolve(after))
        return after.path if both == (place, place) else ""


def _place(node: Node) -> _Place:
    return node.layer_id, node.row


def _link(node: Node, shared: Node, target: str) -> _Told:
    link = Entry(node.path, EntryKind.LINK, shared.attributes, target=target)
    return _with_times(link, shared), None


def _with_times(entry: Entry, node: Node) -> Entry:
    return replace(
        entry,
        creation_filetime=node.creation_filetime,
        access_filetime=node.access_filetime,
        write_filetime=node.write_filetime,
        change_filetime=node.change_filetime,
    )
