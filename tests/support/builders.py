"""Entries, layers, tars, tables and views for tests, each in one short call.

    layer = a_layer(a_file("Files/Windows/win.ini", b"text"), a_directory("Files/Users"))
    view = a_view(layer)            # nearest first
    tar = layer_tar(layer)

``a_layer`` adds the directories on the way, so that a test names only what it is about.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from winlayers.backends.contract import ImportRequest, TarFacts
from winlayers.backends.memory import HeldEntry, HeldPart, MemoryReader, MemoryTable
from winlayers.formats.reparse import RawReparse, build_reparse, link_to
from winlayers.formats.sddl import parse_sddl
from winlayers.formats.security import build_descriptor
from winlayers.formats.tar import TarHeader, TarWriter
from winlayers.layer.backuptar import BackupTarWriter
from winlayers.layer.chain import Chain
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryKind, EntryReader
from winlayers.layer.laws import OPAQUE_TARGET
from winlayers.layer.merge import MergedView
from winlayers.layer.view import Node, View, walk

#: 2020-01-01 00:00 UTC.
NEW_YEAR_FILETIME = 132_223_104_000_000_000
#: A descriptor as files of Windows have it.
DESCRIPTOR = build_descriptor(parse_sddl("O:BAG:SYD:(A;;FA;;;SY)(A;;0x1200a9;;;AU)"))
#: Another one.
OTHER_DESCRIPTOR = build_descriptor(parse_sddl("O:SYG:SYD:P(A;OICI;FA;;;BA)"))

Layer = list[HeldEntry]


def an_entry(path: str = "Files/a.txt", kind: EntryKind = EntryKind.FILE, **fields: Any) -> Entry:
    """An entry with times, attributes and, for files and directories, a descriptor."""
    is_directory = kind is EntryKind.DIRECTORY
    entry = Entry(
        path,
        kind,
        0x10 if is_directory else 0x20,
        NEW_YEAR_FILETIME,
        NEW_YEAR_FILETIME + 1,
        NEW_YEAR_FILETIME + 2,
        NEW_YEAR_FILETIME + 3,
        security=DESCRIPTOR if kind in (EntryKind.FILE, EntryKind.DIRECTORY) else b"",
    )
    return replace(entry, **fields)


def a_file(
    path: str, content: bytes = b"", streams: Mapping[str, bytes] | None = None, **fields: Any
) -> HeldEntry:
    """A file with its data and alternate streams."""
    data = HeldPart("", len(content), content=content)
    return HeldEntry(an_entry(path, size=len(content), **fields), (data, *_streams(streams)))


def a_directory(path: str, streams: Mapping[str, bytes] | None = None, **fields: Any) -> HeldEntry:
    """A directory."""
    return HeldEntry(an_entry(path, EntryKind.DIRECTORY, **fields), _streams(streams))


def a_link(path: str, target: str, **fields: Any) -> HeldEntry:
    """A hard link."""
    return HeldEntry(an_entry(path, EntryKind.LINK, target=target, **fields))


def a_symlink(path: str, target: str, *, is_directory: bool = False, **fields: Any) -> HeldEntry:
    """A symbolic link to ``target``, a path of Windows."""
    return _reparse(path, build_reparse(link_to(target, junction=False)), is_directory, fields)


def a_junction(path: str, target: str, **fields: Any) -> HeldEntry:
    """A junction to ``target``, an absolute path of Windows."""
    return _reparse(path, build_reparse(link_to(target, junction=True)), True, fields)


def a_reparse_point(path: str, tag: int = 0x8000001C, **fields: Any) -> HeldEntry:
    """A file with a reparse tag that is no link."""
    return _reparse(path, build_reparse(RawReparse(tag, b"data")), False, fields)


def a_whiteout(path: str) -> HeldEntry:
    """A whiteout of ``path``."""
    return HeldEntry(Entry(path, EntryKind.WHITEOUT))


def an_opaque_whiteout(directory: str) -> HeldEntry:
    """A marker that hides all that the parents have in a directory."""
    return a_whiteout(f"{directory}/{OPAQUE_TARGET}")


def a_layer(*held: HeldEntry) -> Layer:
    """A layer of these entries, with entries for the directories on their way where they lack one."""
    layer: Layer = []
    seen = set()
    for one in held:
        components = one.entry.path.split("/")
        for depth in range(1, len(components)):
            above = "/".join(components[:depth])
            if above not in seen:
                seen.add(above)
                layer.append(a_directory(above))
        seen.add(one.entry.path)
        layer.append(one)
    return layer


def layer_tar(layer: Sequence[HeldEntry]) -> bytes:
    """The tar of a layer."""
    return tar_of(MemoryReader(layer))


def tar_of(reader: EntryReader) -> bytes:
    """The tar of what a reader gives."""
    target = io.BytesIO()
    copy_entries(reader, BackupTarWriter(target))
    return target.getvalue()


def raw_tar(*headers: TarHeader) -> bytes:
    """A tar of headers as they are, without bodies, for what no writer of layers would write."""
    target = io.BytesIO()
    writer = TarWriter(target)
    for header in headers:
        writer.add(header)
    writer.close()
    return target.getvalue()


def a_table(layer_id: str, layer: Sequence[HeldEntry]) -> MemoryTable:
    """A layer as the merged view takes it."""
    return MemoryTable(layer_id, layer)


def a_view(*layers: Sequence[HeldEntry]) -> MergedView:
    """A view over layers, nearest first; the base is ``L0``, what stands on it ``L1`` and so on."""
    top = len(layers) - 1
    return MergedView([a_table(f"L{top - n}", layer) for n, layer in enumerate(layers)])


def an_import(
    layer_id: str, tar: bytes, /, *parents: str, verified: bool = True, **fields: Any
) -> ImportRequest:
    """A request to import a tar on parents, nearest first; ``fields`` replace those of the request."""
    diff_id = "sha256:" + hashlib.sha256(tar).hexdigest()

    def confirm(size: int) -> TarFacts:
        assert size == len(tar)
        return TarFacts(size, diff_id, diff_id, verified)

    given: dict[str, Any] = {"tar": io.BytesIO(tar), "confirm": confirm, **fields}
    return ImportRequest(layer_id, Chain(parents), **given)


def _streams(streams: Mapping[str, bytes] | None) -> tuple[HeldPart, ...]:
    return tuple(
        HeldPart(name, len(content), content=content) for name, content in (streams or {}).items()
    )


def _reparse(path: str, buffer: bytes, is_directory: bool, fields: dict[str, Any]) -> HeldEntry:
    attributes = 0x410 if is_directory else 0x420
    given = {"attributes": attributes, "reparse": buffer, **fields}
    return a_directory(path, **given) if is_directory else a_file(path, **given)


def node_at(view: View, path: str) -> Node:
    """The node at a path, which has to be there."""
    node = view.lookup(path)
    assert node is not None, f"{path!r} is not in the view"
    return node


def content_at(view: View, path: str, stream: str = "") -> bytes:
    """The bytes of a node's data or of one of its alternate streams."""
    with view.open(node_at(view, path), stream) as file:
        return file.read()


def paths_of(view: View) -> list[str]:
    """All paths of a view, in its order."""
    return [node.path for node in walk(view, view.root())]
