"""Whiteouts, held against what the parents have.

Source: microsoft/hcsshim internal/wclayer/legacy.go (Remove, and what follows an import).
"""

from __future__ import annotations

from collections.abc import Iterator

from winlayers.layer.checks.subject import Subject
from winlayers.layer.findings import Finding
from winlayers.layer.laws import is_opaque_marker
from winlayers.layer.names import UTILITY_VM
from winlayers.layer.view import Node, View

_SHOWN = 5


def check_whiteout(subject: Subject, node: Node) -> Iterator[Finding]:
    """Look at a whiteout.

    Args:
        subject: the layer.
        node: the whiteout, with the path of what it hides.
    """
    if subject.below is None:
        return
    if is_opaque_marker(node.path):
        yield from _check_opaque(subject, subject.below, node.path.rpartition("/")[0])
    elif subject.below.lookup(node.path) is None:
        in_vm = node.path.startswith(f"{UTILITY_VM}/")
        code = "whiteout-utilityvm" if in_vm else "whiteout-nothing"
        yield subject.finding(code, node.path, "none of the parents has it")


def _check_opaque(subject: Subject, below: View, path: str) -> Iterator[Finding]:
    """The names that were to be hidden, and are not on Windows."""
    folder, own = below.lookup(path), subject.own.lookup(path)
    if folder is None or own is None:
        return
    named = {node.folded for node in subject.children(own)}
    shown = [node.name for node in below.list(folder) if node.folded not in named]
    if shown:
        names = ", ".join(map(repr, shown[:_SHOWN])) + (", …" if len(shown) > _SHOWN else "")
        yield subject.finding("opaque-ignored", path, f"on Windows these stay visible: {names}")
