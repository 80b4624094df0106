"""Chain to view: which layer's entry shows, whiteouts, links, and names without case.

A path is walked from the root; in every directory the layers that show there are asked nearest first.
An entry decides type, metadata and all parts at once, never mixed with those of a lower layer. A directory
over a directory merges their children; anything else hides what is below it, as does a whiteout. An
opaque whiteout ends the directory's stack at its layer.

Each layer is seen through a ``LayerTable``, which a backend provides. This module refuses to know how
tables keep their rows.

Source: formats of microsoft/hcsshim pkg/ociwclayer (whiteouts, link search); OCI image-spec layer.md
(opaque whiteouts on reading).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import BinaryIO, Protocol, Self

from winlayers.errors import PathNotFound
from winlayers.layer.entry import Entry, EntryKind, Part
from winlayers.layer.names import fold
from winlayers.layer.view import NODE_IMPLIED, NODE_OPAQUE, Node

ROOT_ROW = 0

_Stack = tuple[tuple[int, int], ...]
# In the class below, ``list`` is a method.
_Nodes = list[Node]
_OwnNames = list[tuple[str, Node | None]]

# How many nodes that were looked up a view remembers; about 500 bytes each.
_REMEMBERED_NODES = 20_000


class LayerTable(Protocol):
    """The entries of one layer, as rows below rows. Row 0 is the root of the tar."""

    @property
    def layer_id(self) -> str: ...

    def child(self, parent: int, folded: str) -> Node | None:
        """The row with this folded name below a row, whiteouts included."""

    def children(self, parent: int) -> list[Node]:
        """All rows below a row in folded order, whiteouts included."""

    def entry(self, node: Node) -> Entry:
        """All metadata of a row; its path is ``node.path``."""

    def link_target(self, row: int) -> tuple[int, str]:
        """Of a hard link: the row of its target in this layer (0: not in it), and the target's path."""

    def node(self, row: int) -> Node:
        """The row itself."""

    def parts(self, row: int) -> tuple[Part, ...]: ...

    def open_part(self, part: Part) -> BinaryIO: ...

    def close(self) -> None: ...


def _root(tables: Sequence[LayerTable]) -> Node:
    stack = tuple((number, ROOT_ROW) for number in range(len(tables)))
    layer_id = tables[0].layer_id if tables else ""
    return Node(ROOT_ROW, "", "", EntryKind.DIRECTORY, 0x10, 0, 0, 0, 0, 0, 0, layer_id, "", stack)


class MergedView:
    """The View over tables, nearest layer first. See ``layer.view.View`` for what the methods do."""

    def __init__(self, tables: Sequence[LayerTable]) -> None:
        self._tables = tuple(tables)
        self._root = _root(self._tables)
        # Number of a layer -> the view of what it stands on, for links that lead there.
        self._below: dict[int, MergedView] = {}
        # (stack, folded name) -> node or None; a warm lookup never reaches a table.
        self._found: OrderedDict[tuple[_Stack, str], Node | None] = OrderedDict()

    @property
    def layer_ids(self) -> tuple[str, ...]:
        return tuple(table.layer_id for table in self._tables)

    @property
    def tables(self) -> tuple[LayerTable, ...]:
        """The tables that the view merges, nearest first."""
        return self._tables

    def root(self) -> Node:
        return self._root

    def lookup(self, path: str) -> Node | None:
        node = self._root
        for component in path.split("/") if path else ():
            if not node.stack:
                return None
            child = self._child(node, fold(component))
            if child is None:
                return None
            node = child
        return node

    def list(self, directory: Node) -> _Nodes:
        return self._merged(directory) if directory.stack else []

    def list_own(self, directory: Node) -> _OwnNames:
        """See ``layer.view.ListsOwn``."""
        if not directory.stack:
            return []
        number, row = directory.stack[0]
        return [
            (node.name, self._child(directory, node.folded))
            for node in self._tables[number].children(row)
        ]

    def resolve(self, node: Node) -> Node:
        if node.kind is not EntryKind.LINK:
            return node
        found = self._link_target(node)
        return Node(
            found.row, node.name, node.folded, found.kind, found.attributes,
            found.creation_filetime, found.access_filetime, found.write_filetime,
            found.change_filetime, found.size, found.flags, found.layer_id, node.path,
        )  # fmt: skip

    def entry(self, node: Node) -> Entry:
        if node.row == ROOT_ROW:
            return Entry(node.path, EntryKind.DIRECTORY, 0x10)
        return self._table_of(node).entry(node)

    def parts(self, node: Node) -> tuple[Part, ...]:
        found = self.resolve(node)
        return () if found.row == ROOT_ROW else self._table_of(found).parts(found.row)

    def open(self, node: Node, stream: str = "") -> BinaryIO:
        found = self.resolve(node)
        wanted = fold(stream)
        for part in self.parts(found):
            if fold(part.name) == wanted:
                return self._table_of(found).open_part(part)
        what = f"alternate stream {stream!r}" if stream else "data"
        raise PathNotFound(f"{node.path!r} of layer {node.layer_id} has no {what}")

    def close(self) -> None:
        self._found.clear()
        for table in self._tables:
            table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _table_of(self, node: Node) -> LayerTable:
        for table in self._tables:
            if table.layer_id == node.layer_id:
                return table
        raise PathNotFound(f"layer {node.layer_id} is not part of this view")

    def _link_target(self, node: Node) -> Node:
        """In the link's own layer by row, else by path through the layers that it stands on."""
        number = self.layer_ids.index(node.layer_id)
        row, path = self._tables[number].link_target(node.row)
        if row:
            found = self._tables[number].node(row)
            found.layer_id = node.layer_id
            return found
        below = self._below.get(number)
        if below is None:
            below = self._below[number] = MergedView(self._tables[number + 1 :])
        target = below.lookup(path)
        if target is None:
            raise PathNotFound(
                f"{node.path!r} of layer {node.layer_id} is a hard link to {path!r}, "
                "which neither the layer nor its parents have"
            )
        return below.resolve(target)

    def _child(self, directory: Node, folded: str) -> Node | None:
        """One name of a directory, remembered."""
        key = (directory.stack, folded)
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key]
        node = self._merged_child(directory, folded)
        self._found[key] = node
        if len(self._found) > _REMEMBERED_NODES:
            self._found.popitem(last=False)
        return node

    def _merged_child(self, directory: Node, folded: str) -> Node | None:
        """What ``_merged`` has under one name, by one query a layer."""
        prefix = directory.path + "/" if directory.path else ""
        merged: dict[str, Node] = {}
        for number, row in directory.stack:
            node = self._tables[number].child(row, folded)
            if node is not None and self._merge_one(merged, number, node, prefix):
                break
        return merged.get(folded)

    def _merged(self, directory: Node) -> _Nodes:
        prefix = directory.path + "/" if directory.path else ""
        if len(directory.stack) == 1:
            return self._single(directory.stack[0], prefix)
        merged: dict[str, Node] = {}
        closed: set[str] = set()
        for number, row in directory.stack:
            for node in self._tables[number].children(row):
                if node.folded not in closed and self._merge_one(merged, number, node, prefix):
                    closed.add(node.folded)
        return [merged[folded] for folded in sorted(merged)]

    def _merge_one(self, merged: dict[str, Node], number: int, node: Node, prefix: str) -> bool:
        """Add a layer's node to those of the layers above; whether it hides what is below."""
        folded = node.folded
        upper = merged.get(folded)
        # A directory that brings its stack along tells itself what shows through.
        is_open = node.is_directory and not node.stack
        if upper is None:
            if node.kind is not EntryKind.WHITEOUT:
                self._place(merged, number, node, prefix)
        elif is_open:
            stack = (*upper.stack, (number, node.row))
            if upper.flags & NODE_IMPLIED and not node.flags & NODE_IMPLIED:
                self._place(merged, number, node, prefix)  # the upper one has no metadata to show
            merged[folded].stack = stack
        return not is_open or bool(node.flags & NODE_OPAQUE)

    def _place(self, merged: dict[str, Node], number: int, node: Node, prefix: str) -> None:
        node.layer_id = self._tables[number].layer_id
        node.path = prefix + node.name
        if node.is_directory and not node.stack:
            node.stack = ((number, node.row),)
        merged[node.folded] = node

    def _single(self, place: tuple[int, int], prefix: str) -> _Nodes:
        """The quick way for a directory that only one layer has."""
        number, row = place
        table = self._tables[number]
        layer_id = table.layer_id
        nodes = []
        for node in table.children(row):
            if node.kind is EntryKind.WHITEOUT:
                continue
            node.layer_id = layer_id
            node.path = prefix + node.name
            if node.is_directory and not node.stack:
                node.stack = ((number, node.row),)
            nodes.append(node)
        return nodes
