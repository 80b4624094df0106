"""What a layer changes where its parents are not at hand, listed from its own entries.

Whether an entry is added or modified cannot be told then, so that all are MODIFIED, as the original on Windows
lists them; what a whiteout hides is DELETED. ``layer.changes`` tells the true difference of two views. This
module refuses to know where the entries are.

Source: moby/moby daemon/graphdriver/windows/windows.go (Changes).
"""

from __future__ import annotations

from collections.abc import Iterator

from winlayers.layer.changes import Change, ChangeKind
from winlayers.layer.entry import EntryKind
from winlayers.layer.merge import ROOT_ROW, LayerTable
from winlayers.layer.view import NODE_IMPLIED, Node


def listed_changes(table: LayerTable) -> Iterator[Change]:
    """What a layer changes, by its entries alone.

    Args:
        table: of the layer.
    Returns:
        The changes, each directory before what is in it, siblings in folded order. Directories that no
        entry is for are left out, what is in them is not.
    """
    pending = [("", iter(table.children(ROOT_ROW)))]
    while pending:
        prefix, nodes = pending[-1]
        for node in nodes:
            path = prefix + node.name
            if not node.flags & NODE_IMPLIED:
                yield _change(node, path)
            if node.is_directory:
                pending.append((f"{path}/", iter(table.children(node.row))))
                break
        else:
            pending.pop()


def _change(node: Node, path: str) -> Change:
    if node.kind is EntryKind.WHITEOUT:
        return Change(ChangeKind.DELETED, path)
    size = node.size if node.kind is EntryKind.FILE else 0
    return Change(ChangeKind.MODIFIED, path, is_directory=node.is_directory, size=size)
