"""Nodes of a view as lines of text and as JSON rows: what ``ls``, ``find`` and ``tree`` print of each.

This module refuses to know which nodes are printed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from winlayers.cli.paths import shown_path
from winlayers.errors import Malformed, PathNotFound
from winlayers.formats.filetime import format_filetime
from winlayers.formats.reparse import TAG_NAMES, MountPoint, SymbolicLink, parse_reparse, tag_of
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_HIDDEN,
    FILE_ATTRIBUTE_READONLY,
    FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_ATTRIBUTE_SPARSE_FILE,
    FILE_ATTRIBUTE_SYSTEM,
    EntryKind,
    attribute_names,
)
from winlayers.layer.view import NODE_IMPLIED, NODE_REPARSE, Node, View, shown_attributes

# Letter and bit of FILE_ATTRIBUTE_*, as PowerShell and attrib show them.
_LETTERS = (
    ("d", FILE_ATTRIBUTE_DIRECTORY),
    ("a", FILE_ATTRIBUTE_ARCHIVE),
    ("r", FILE_ATTRIBUTE_READONLY),
    ("h", FILE_ATTRIBUTE_HIDDEN),
    ("s", FILE_ATTRIBUTE_SYSTEM),
    ("l", FILE_ATTRIBUTE_REPARSE_POINT),
    ("c", 0x800),
    ("p", FILE_ATTRIBUTE_SPARSE_FILE),
)

format_time = functools.lru_cache(maxsize=4096)(format_filetime)


def kind_name(kind: EntryKind) -> str:
    """``file``, ``directory``, ``link`` or ``whiteout``."""
    return kind.name.lower()


@functools.lru_cache(maxsize=512)
def attribute_letters(attributes: int) -> str:
    """Attributes as letters in fixed places: d a r h s, l for a reparse point, c compressed, p sparse."""
    return "".join(letter if attributes & bit else "-" for letter, bit in _LETTERS)


@functools.lru_cache(maxsize=512)
def _names_of(attributes: int) -> tuple[str, ...]:
    return tuple(attribute_names(attributes))


def link_text(view: View, node: Node, *, raw: bool) -> str:
    """What a link leads to, for the end of a line: ``-> target``, ``= path`` for a hard link, else ``""``."""
    if node.kind is EntryKind.LINK:
        return f" = {shown_path(view.entry(node).target, raw=raw)}"
    if node.flags & NODE_REPARSE:
        return f" -> {reparse_target(view.entry(node).reparse)}"
    return ""


def reparse_target(data: bytes) -> str:
    """Where a link leads, by its print name, or the tag of what is no link."""
    try:
        point = parse_reparse(data)
        if isinstance(point, (SymbolicLink, MountPoint)):
            return point.print_name or point.substitute_name
        return f"[{tag_name(tag_of(data))}]"
    except Malformed as error:
        return f"[{error.reason}]"


def tag_name(tag: int) -> str:
    """The name of a reparse tag, or its number."""
    return TAG_NAMES.get(tag, f"0x{tag:08X}")


def resolved(view: View, node: Node) -> Node:
    """What a hard link shares; the link itself where that is missing, as it can be in a bare tar."""
    if node.kind is not EntryKind.LINK:
        return node
    try:
        return view.resolve(node)
    except PathNotFound:
        return node


def long_lines(
    view: View, nodes: Iterable[Node], name_of: Callable[[Node], str], *, raw: bool
) -> Iterator[str]:
    """Lines of ``ls -l``: attributes, size, write time, name and where a link leads.

    Args:
        view: where the nodes come from.
        nodes: what to print.
        name_of: the name or path to print of each.
        raw: whether targets of hard links are paths of the tar.
    """
    for node in nodes:
        shown = resolved(view, node) if node.kind is EntryKind.LINK else node
        tail = link_text(view, node, raw=raw) if node is not shown or node.flags else ""
        time = format_time(shown.write_filetime)[:19].replace("T", " ")
        if shown.flags & NODE_IMPLIED:
            time = f"{'-':<19}"  # no entry tells it
        letters = attribute_letters(shown_attributes(shown))
        size = "" if shown.kind is EntryKind.DIRECTORY else str(shown.size)
        yield f"{letters} {size:>12} {time} {name_of(node)}{tail}"


def json_rows(view: View, nodes: Iterable[Node], *, raw: bool) -> Iterator[dict[str, Any]]:
    """JSON objects of ``ls`` and ``find``.

    Args:
        view: where the nodes come from.
        nodes: what to print.
        raw: whether paths are those of the tar.
    """
    for node in nodes:
        shown = resolved(view, node) if node.kind is EntryKind.LINK else node
        row: dict[str, Any] = {
            "path": shown_path(node.path, raw=raw),
            "kind": kind_name(node.kind),
            "attributes": _names_of(shown_attributes(shown)),
            "size": shown.size,
            "write": format_time(shown.write_filetime),
            "layer": node.layer_id,
        }
        if node.kind is EntryKind.LINK:
            row["target"] = shown_path(view.entry(node).target, raw=raw)
        elif node.flags & NODE_REPARSE:
            row["target"] = reparse_target(view.entry(node).reparse)
        yield row


def path_of(*, raw: bool) -> Callable[[Node], str]:
    """How the path of a node is shown."""
    if raw:
        return lambda node: node.path
    return lambda node: (
        node.path[5:] if node.path.startswith("Files/") else shown_path(node.path, raw=False)
    )
