"""What differs between two views: added, modified and deleted names.

Both views are walked once, in folded order, and merged. What both show from the
same row of the same layer is equal and is not read, and neither is a directory that the same rows make
up in both. Where a directory of the new view only puts names on one of the old view, only those names are
looked at. This module refuses to know how views come about.

The difference is a true one, as Docker's own is on Linux. The original on Windows lists what stands in
the layer: it never tells an add from a modify, and names every directory on the way to a change.

* A directory that went is one change; what was in it is not listed. One that came is listed with all
  that is in it.
* Where a directory became something else, one MODIFIED tells it, and what was in it is not listed.
* A directory is MODIFIED when its own metadata is other than before, not because of what is in it.
* Bytes are compared only where all else is equal: sizes, times and all other metadata.

Source: kinds, letters and order of moby/moby pkg/archive changes.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

from winlayers.formats.ea import ExtendedAttribute, parse_ea_list
from winlayers.formats.reparse import parse_reparse
from winlayers.layer.entry import EntryKind, Part
from winlayers.layer.names import fold
from winlayers.layer.view import (
    NODE_EA,
    NODE_REPARSE,
    NODE_STREAMS,
    ListsOwn,
    Node,
    View,
    shown_attributes,
    walk,
)

_BLOCK_SIZE = 1 << 20


class ChangeKind(IntEnum):
    """How a name differs. The numbers are those of Docker's API."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2

    @property
    def letter(self) -> str:
        """``C``, ``A`` or ``D``."""
        return "CAD"[self]


@dataclass(frozen=True, slots=True)
class Change:
    """One name that differs.

    Attributes:
        kind: how.
        path: in the form of the tar (``Files/…``); as the new view spells it, for DELETED as the old.
        metadata_only: MODIFIED, and nothing says that content changed: the same type, link, size and
            streams, and for a file the same write time. Its bytes were not compared then.
        is_directory: whether it is a directory; for DELETED, whether it was one.
        size: bytes of the data it has now; 0 for DELETED and for all but files.
    """

    kind: ChangeKind
    path: str
    metadata_only: bool = False
    is_directory: bool = False
    size: int = 0

    def __str__(self) -> str:
        return f"{self.kind.letter} {self.path}"


def changes(
    old: View, new: View, *, compare_access_time: bool = False, compare_change_time: bool = True
) -> Iterator[Change]:
    """The changes that make the old view the new one.

    Args:
        old: the view before, often the parent of the new one.
        new: the view after.
        compare_access_time: whether another time of last access alone is a change.
        compare_change_time: whether another time of change alone is one; in a scratch it is also what
            remains of a change that was taken back.
    Returns:
        The changes, each directory before what is in it, siblings in folded order.
    Raises:
        PathNotFound: a hard link of either view has no target.
    """
    comparison = Comparison(
        old, new, compare_access_time=compare_access_time, compare_change_time=compare_change_time
    )
    pending = [iter(comparison.pairs(old.root(), new.root()))]
    while pending:
        for before, after in pending[-1]:
            if after is None:
                assert before is not None
                yield Change(ChangeKind.DELETED, before.path, False, before.is_directory)
            elif before is None:
                yield _added(after)
                yield from _added_below(new, after)
            else:
                if change := comparison.change(before, after):
                    yield change
                if before.stack and after.stack:
                    pending.append(iter(comparison.pairs(before, after)))
                    break
                if after.stack:
                    yield from _added_below(new, after)
        else:
            pending.pop()


def _added(node: Node) -> Change:
    return Change(ChangeKind.ADDED, node.path, False, node.is_directory, node.size)


def _added_below(view: View, directory: Node) -> Iterator[Change]:
    # The whole of a base layer goes through here: made in place, not through _added.
    kind = ChangeKind.ADDED
    for node in walk(view, directory) if directory.stack else ():
        yield Change(kind, node.path, False, bool(node.stack), node.size)


def _paired(old: list[Node], new: list[Node]) -> Iterator[tuple[Node | None, Node | None]]:
    """The nodes of two directories side by side, in folded order; None where one lacks the name."""
    rest = iter(old)
    before = next(rest, None)
    for after in new:
        folded = after.folded
        while before is not None and before.folded < folded:
            yield before, None
            before = next(rest, None)
        if before is not None and before.folded == folded:
            yield before, after
            before = next(rest, None)
        else:
            yield None, after
    while before is not None:
        yield before, None
        before = next(rest, None)


class Comparison:
    """Decides whether one name is the same in two views, and which names have to be asked about.

    Args:
        old: the view before.
        new: the view after.
        compare_access_time: whether another time of last access alone is a change.
        compare_change_time: whether another time of change alone is one.
    """

    def __init__(
        self,
        old: View,
        new: View,
        *,
        compare_access_time: bool = False,
        compare_change_time: bool = True,
    ) -> None:
        self._old = old
        self._new = new
        self._old_ids = old.layer_ids
        self._new_ids = new.layer_ids
        self._compare_access_time = compare_access_time
        self._compare_change_time = compare_change_time

    def pairs(self, before: Node | None, after: Node) -> Iterable[tuple[Node | None, Node | None]]:
        """The names in a directory, as they were and as they are.

        Args:
            before: the node of the old view; None, or anything but a directory, where nothing was in it.
            after: the directory of the new view.
        Returns:
            The nodes side by side, in folded order, None where one view lacks the name. Names that are
            the same rows in both views may be left out.
        """
        if before is None or not before.stack:
            return ((None, node) for node in self._new.list(after))
        old_places = [(self._old_ids[number], row) for number, row in before.stack]
        new_places = [(self._new_ids[number], row) for number, row in after.stack]
        if new_places == old_places:
            return ()
        if new_places[1:] == old_places and isinstance(self._new, ListsOwn):
            return self._own_pairs(self._new, before, after)
        return _paired(self._old.list(before), self._new.list(after))

    def _own_pairs(
        self, new: ListsOwn, before: Node, after: Node
    ) -> Iterator[tuple[Node | None, Node | None]]:
        prefix = before.path + "/" if before.path else ""
        for name, node in new.list_own(after):
            found = self._old.lookup(prefix + name)
            if found is not None or node is not None:
                yield found, node

    def change(self, before: Node, after: Node) -> Change | None:
        """The change of a name that both views have, or None."""
        if before.row == after.row and before.layer_id == after.layer_id:
            return None
        metadata_differs = before.name != after.name
        if before.kind is EntryKind.LINK or after.kind is EntryKind.LINK:
            metadata_differs |= self._in_other_group(before, after)
            before, after = self._old.resolve(before), self._new.resolve(after)
            if before.row == after.row and before.layer_id == after.layer_id:
                return _modified(after, metadata_only=True) if metadata_differs else None
        if self._other_content(before, after):
            return _modified(after, metadata_only=False)
        if metadata_differs or self._other_metadata(before, after):
            return _modified(after, metadata_only=True)
        return None if self._same_bytes(before, after) else _modified(after, metadata_only=False)

    def _in_other_group(self, before: Node, after: Node) -> bool:
        """Whether names, one of them a hard link at least, stand for other files than each other."""
        if before.kind is not after.kind:
            return True
        return fold(self._old.entry(before).target) != fold(self._new.entry(after).target)

    def _other_content(self, before: Node, after: Node) -> bool:
        """Whether what listings show says that the content is another."""
        if (
            before.kind is not after.kind
            or before.size != after.size
            or (before.flags ^ after.flags) & (NODE_REPARSE | NODE_STREAMS)
        ):
            return True
        if before.kind is EntryKind.FILE and before.write_filetime != after.write_filetime:
            return True
        if before.flags & NODE_STREAMS and (
            _stream_sizes(self._old.parts(before)) != _stream_sizes(self._new.parts(after))
        ):
            return True
        return bool(before.flags & NODE_REPARSE) and not _mean_the_same(
            self._old.entry(before).reparse, self._new.entry(after).reparse, parse_reparse
        )

    def _other_metadata(self, before: Node, after: Node) -> bool:
        """Whether anything but bytes differs: the columns first, then what has to be read for it."""
        if (
            before.creation_filetime != after.creation_filetime
            or before.write_filetime != after.write_filetime
            or (self._compare_change_time and before.change_filetime != after.change_filetime)
            or (self._compare_access_time and before.access_filetime != after.access_filetime)
            or shown_attributes(before) != shown_attributes(after)
            or (before.flags ^ after.flags) & NODE_EA
        ):
            return True
        old_entry, new_entry = self._old.entry(before), self._new.entry(after)
        return old_entry.security != new_entry.security or not _mean_the_same(
            old_entry.ea, new_entry.ea, _ea_set
        )

    def _same_bytes(self, before: Node, after: Node) -> bool:
        """Whether the data and all streams, known to have the same sizes, are equal."""
        if not before.size and not before.flags & NODE_STREAMS:
            return True
        return all(
            _same_stream(self._old, before, self._new, after, part.name)
            for part in self._new.parts(after)
            if part.size
        )


def _modified(node: Node, *, metadata_only: bool) -> Change:
    return Change(
        ChangeKind.MODIFIED,
        node.path,
        metadata_only,
        node.is_directory,
        node.size,
    )


def _stream_sizes(parts: tuple[Part, ...]) -> dict[str, int]:
    return {fold(part.name): part.size for part in parts if part.name}


def _mean_the_same(before: bytes, after: bytes, parse: Callable[[bytes], object]) -> bool:
    """Whether two buffers say the same, in whatever order they lay it out."""
    return before == after or parse(before) == parse(after)


def _ea_set(data: bytes) -> list[ExtendedAttribute]:
    return sorted(parse_ea_list(data), key=lambda attribute: (attribute.name, attribute.value))


def _same_stream(old: View, before: Node, new: View, after: Node, name: str) -> bool:
    with old.open(before, name) as old_bytes, new.open(after, name) as new_bytes:
        while block := old_bytes.read(_BLOCK_SIZE):
            if block != _read_all(new_bytes, len(block)):
                return False
        return not new_bytes.read(1)


def _read_all(source: BinaryIO, size: int) -> bytes:
    """``size`` bytes, fewer only at the end, of a file object that may give less at a time."""
    blocks = []
    while size and (block := source.read(size)):
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)
