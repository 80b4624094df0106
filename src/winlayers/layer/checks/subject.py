"""The layer that is checked: its own entries, and what it stands on where that is at hand.

This module knows how to look, and refuses to know what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from winlayers.errors import PathNotFound
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.merge import ROOT_ROW, LayerTable, MergedView
from winlayers.layer.names import FILES, UTILITY_VM, fold
from winlayers.layer.view import Node, View


@dataclass(frozen=True, slots=True)
class Subject:
    """A layer under examination.

    Attributes:
        table: the layer's own rows, whiteouts included.
        is_base: it has no parents.
        own: the layer alone.
        merged: the layer over its parents; the layer alone where they are not at hand.
        below: the parents merged; None for a base layer, and where they are not at hand.
    """

    table: LayerTable
    is_base: bool
    own: View
    merged: View
    below: View | None

    @classmethod
    def of(cls, table: LayerTable, *, is_base: bool, parents: Sequence[LayerTable]) -> Subject:
        """The layer of a table.

        Args:
            table: the layer; it is not closed, and neither are those of the parents.
            is_base: it has no parents.
            parents: what it stands on, nearest first; empty where that is not at hand.
        """
        below = MergedView(parents) if parents and not is_base else None
        merged = MergedView([table, *parents]) if below else MergedView([table])
        return cls(table, is_base, MergedView([table]), merged, below)

    @property
    def is_complete(self) -> bool:
        """Whether all that shows in a container is at hand."""
        return self.is_base or self.below is not None

    def finding(self, code: str, entry: str, detail: str) -> Finding:
        """A finding of this layer."""
        return Finding(code, entry, detail, self.table.layer_id)

    def walk(self) -> Iterator[Node]:
        """All rows, whiteouts too, each folder before what is in it, siblings in folded order."""
        pending = [iter(self.children(None))]
        while pending:
            for node in pending[-1]:
                yield node
                if node.is_directory:
                    pending.append(iter(self.children(node)))
                    break
            else:
                pending.pop()

    def children(self, parent: Node | None) -> list[Node]:
        """The rows in a folder of the layer (None: the root), whiteouts too, with their paths."""
        prefix = f"{parent.path}/" if parent else ""
        nodes = self.table.children(parent.row if parent else ROOT_ROW)
        for node in nodes:
            node.layer_id = self.table.layer_id
            node.path = prefix + node.name
        return nodes

    def top(self, name: str) -> Node | None:
        """The folder with this very name at the top, if the layer has an entry for it."""
        return self.directory(None, name)

    def directory(self, parent: Node | None, name: str) -> Node | None:
        """A folder in a folder by its name, case regarded, as Windows looks for a few of them."""
        node = self.child(parent, name)
        return node if node and node.is_directory and node.name == name else None

    def child(self, parent: Node | None, name: str) -> Node | None:
        """What a folder of the layer has under a name, case not regarded; no whiteouts."""
        node = self.table.child(parent.row if parent else ROOT_ROW, fold(name))
        if node is None or node.kind is EntryKind.WHITEOUT:
            return None
        node.layer_id = self.table.layer_id
        node.path = f"{parent.path}/{node.name}" if parent else node.name
        return node

    def entry(self, node: Node) -> Entry:
        """All metadata of a row of the layer."""
        return self.table.entry(node)

    def open_data(self, node: Node) -> tuple[int, BinaryIO] | None:
        """Size and bytes of the data of a file or hard link, None if it has none or leads to nothing."""
        try:
            found = self.merged.resolve(node)
            return found.size, self.merged.open(found)
        except PathNotFound:
            return None


def volume_of(folded_path: str) -> str | None:
    """The root of the volume of Windows that a path is in: Files, UtilityVM/Files, or None.

    Args:
        folded_path: a path from the root of the tar, folded.
    """
    for volume, folded in _VOLUMES:
        if folded_path == folded or folded_path.startswith(folded + "/"):
            return volume
    return None


_VOLUMES = tuple((volume, fold(volume)) for volume in (FILES, f"{UTILITY_VM}/{FILES}"))
