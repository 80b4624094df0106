"""Symbolic links, junctions and other reparse points: where they lead, and what becomes of them.

Source: [MS-FSA] 2.1.5.10.37 (what can be set); microsoft/go-winio reparse.go and issue 340, moby/moby
issues 37026, 41058 and 52819 (what is lost, and where an export stops).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from winlayers.errors import InvalidName, Malformed, PathNotFound
from winlayers.formats.reparse import (
    SYMLINK_FLAG_RELATIVE,
    TAG_LX_SYMLINK,
    TAG_NAMES,
    MountPoint,
    SymbolicLink,
    parse_reparse,
    steers_filter_driver,
    tag_of,
)
from winlayers.layer.checks.subject import Subject
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.names import FILES, fold
from winlayers.layer.resolving import resolve_path
from winlayers.layer.view import Node

_NT_PREFIX = re.compile(r"\\(?:\?\?|\\[?.])\\")
_ON_DRIVE_C = re.compile(r"[Cc]:(\\|$)")


def check_reparse_point(subject: Subject, node: Node, entry: Entry) -> Iterator[Finding]:
    """Look at an entry with reparse data.

    Args:
        subject: the layer.
        node: its row.
        entry: its metadata.
    """
    try:
        value = parse_reparse(entry.reparse)
    except Malformed as error:
        yield subject.finding("reparse-invalid", entry.path, error.reason)
        return
    if not isinstance(value, (SymbolicLink, MountPoint)):
        yield _other(subject, entry, tag_of(entry.reparse))
        return
    if entry.size:
        yield subject.finding("link-with-data", entry.path, f"has {entry.size:,} bytes")
    if isinstance(value, MountPoint):
        yield from _check_junction(subject, entry, value)
        if not value.substitute_name:
            return
    yield from _check_target(subject, node, value)


def _other(subject: Subject, entry: Entry, tag: int) -> Finding:
    detail = f"tag 0x{tag:08x}" + (f" ({name})" if (name := TAG_NAMES.get(tag)) else "")
    if tag == TAG_LX_SYMLINK:
        return subject.finding("reparse-wsl", entry.path, detail)
    code = "reparse-dropped" if steers_filter_driver(tag) else "reparse-unsupported"
    return subject.finding(code, entry.path, detail)


def _check_junction(subject: Subject, entry: Entry, value: MountPoint) -> Iterator[Finding]:
    if entry.kind is not EntryKind.DIRECTORY:
        yield subject.finding("junction-on-file", entry.path, "is a file")
    if not value.substitute_name:
        yield subject.finding("junction-empty", entry.path, "has no target")
    elif not value.print_name:
        detail = f"leads to {value.substitute_name!r}, and has no print name"
        yield subject.finding("junction-print-name", entry.path, detail)


def _check_target(
    subject: Subject, node: Node, value: SymbolicLink | MountPoint
) -> Iterator[Finding]:
    """Where a link leads, seen in all that is at hand."""
    target = value.substitute_name or value.print_name
    if _leads_out(value, target):
        yield subject.finding("link-elsewhere", node.path, f"leads to {target!r}")
        return
    try:
        found = resolve_path(subject.merged, node.path, start="")
    except (PathNotFound, InvalidName, Malformed) as error:
        if _has_prefix(subject, node, target):
            yield subject.finding("link-files-prefix", node.path, f"leads to {target!r}")
        elif subject.is_complete:
            yield subject.finding("link-dangling", node.path, f"leads to {target!r}: {error}")
        return
    wanted = EntryKind.DIRECTORY if node.kind is EntryKind.DIRECTORY else EntryKind.FILE
    if found.kind is not wanted:
        words = ("a folder", "a file") if wanted is EntryKind.DIRECTORY else ("a file", "a folder")
        detail = f"is a link to {words[0]}, {found.path!r} is {words[1]}"
        yield subject.finding("link-kind", node.path, detail)


def _leads_out(value: SymbolicLink | MountPoint, target: str) -> bool:
    """Whether a target is on another disk than the container's C:."""
    target = target.replace("/", "\\")
    if isinstance(value, SymbolicLink) and value.flags & SYMLINK_FLAG_RELATIVE:
        return False
    if prefix := _NT_PREFIX.match(target):
        return _ON_DRIVE_C.match(target, prefix.end()) is None
    if isinstance(value, MountPoint):
        return target.startswith("\\\\")
    return _ON_DRIVE_C.match(target) is None and not re.match(r"\\(?!\\)", target)


def _has_prefix(subject: Subject, node: Node, target: str) -> bool:
    """Whether a target begins with Files, and no folder of that name is beside the link."""
    first, *rest = target.replace("/", "\\").lstrip("\\").split("\\")
    beside = f"{node.path.rpartition('/')[0]}/{FILES}"
    return fold(first) == fold(FILES) and bool(rest) and subject.merged.lookup(beside) is None
