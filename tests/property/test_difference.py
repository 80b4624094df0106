"""The difference of two views, put on the old one, shows what the new one shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import (
    OTHER_DESCRIPTOR,
    Layer,
    a_table,
    a_view,
    an_import,
    layer_tar,
    tar_of,
)
from tests.support.strategies import layer_stacks
from winlayers.backends.memory import HeldEntry, HeldPart
from winlayers.backends.portable._scratch import PortableScratch
from winlayers.backends.portable.backend import PortableBackend
from winlayers.errors import InvalidName, Malformed, Unsupported, WinlayersError
from winlayers.formats.ea import parse_ea_list
from winlayers.formats.reparse import build_reparse, link_to
from winlayers.layer.backuptarwriter import BackupTarWriter
from winlayers.layer.chain import Chain
from winlayers.layer.copying import copy_entries
from winlayers.layer.difference import DifferenceReader
from winlayers.layer.entry import FILE_ATTRIBUTE_DIRECTORY, Entry, EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.laws import Laws
from winlayers.layer.losses import Form, losses_of
from winlayers.layer.merge import MergedView
from winlayers.layer.names import fold
from winlayers.layer.tarheaders import Dialect
from winlayers.layer.view import Metadata, Node, View, shown_attributes, walk

_NAMES = ("a", "A", "b", "B", "c", "win.ini", "WIN.INI", "ünï", "\ud800", "$Recycle.Bin")
_METADATA = (
    Metadata(attributes=0x421),
    Metadata(change_filetime=3),
    Metadata(write_filetime=5, change_filetime=2**64 - 1),
    Metadata(security=OTHER_DESCRIPTOR, creation_filetime=7, access_filetime=8),
    Metadata(reparse=build_reparse(link_to("C:\\a", junction=False))),
    Metadata(reparse=b""),
    Metadata(ea=b""),
)
_VOLUMES = ("Files", "UtilityVM/Files")
_BIN = fold("Files/$Recycle.Bin")

Operation = tuple[Any, ...]
Place = tuple[str, int]
_places = st.integers(0, 40)
_names = st.sampled_from(_NAMES)
_kinds = st.sampled_from([EntryKind.FILE, EntryKind.DIRECTORY])
_operations = st.one_of(
    st.tuples(st.just("create"), _places, _names, _kinds),
    st.tuples(st.just("link"), _places, _places, _names),
    st.tuples(st.just("link"), _places, _places, _names),
    st.tuples(st.just("rename"), _places, _places, _names),
    st.tuples(st.just("rename"), _places, _places, _names),
    st.tuples(st.just("delete"), _places),
    st.tuples(st.just("set_metadata"), _places, st.sampled_from(_METADATA)),
    st.tuples(st.just("write"), _places, st.sampled_from(["", "", "s"]), st.binary(max_size=9)),
    st.tuples(st.just("create_stream"), _places, st.sampled_from(["s", "S", "t"])),
)


class Player:
    """Does random operations to a scratch, of which some cannot be done."""

    def __init__(self, scratch: PortableScratch) -> None:
        self._scratch = scratch

    def play(self, operation: Operation) -> str:
        name, *args = operation
        try:
            getattr(self, name)(*args)
        except WinlayersError as error:
            return type(error).__name__
        return "done"

    def create(self, place: int, name: str, kind: EntryKind) -> None:
        entry = Entry("", kind, 0x10 if kind is EntryKind.DIRECTORY else 0x20, 1, 2, 3, 4)
        self._scratch.create(self._node(place), name, entry)

    def link(self, place: int, other: int, name: str) -> None:
        node = self._node(place)
        if node.kind is not EntryKind.DIRECTORY:
            self._scratch.link(node, self._node(other), name)

    def rename(self, place: int, other: int, name: str) -> None:
        node, directory = self._node(place), self._node(other)
        if node.path not in _VOLUMES and directory.is_directory:
            self._scratch.rename(node, directory, name)

    def delete(self, place: int) -> None:
        node = self._node(place)
        if node.path not in _VOLUMES:
            self._scratch.delete(node)

    def set_metadata(self, place: int, metadata: Metadata) -> None:
        node = self._node(place)
        if metadata.attributes and node.kind is EntryKind.DIRECTORY:
            metadata = replace(metadata, attributes=metadata.attributes | FILE_ATTRIBUTE_DIRECTORY)
        if not (metadata.reparse and (node.path in _VOLUMES or self._scratch.list(node))):
            self._scratch.set_metadata(node, metadata)

    def write(self, place: int, stream: str, data: bytes) -> None:
        content = self._scratch.open_content(self._node(place), stream, writable=True)
        with closing(content):
            content.write_at(0, data)

    def create_stream(self, place: int, stream: str) -> None:
        self._scratch.create_stream(self._node(place), stream)

    def _node(self, place: int) -> Node:
        """One of the volumes, or of what is in them."""
        nodes = list(volumes(self._scratch))
        return nodes[place % len(nodes)]


def volumes(view: View) -> Iterator[Node]:
    for path in _VOLUMES:
        if (root := view.lookup(path)) is not None:
            yield root
            yield from walk(view, root)


def compared(view: View, scratch: View) -> Iterator[Node]:
    """What a view shows, but for the recycle bin, if the scratch has one."""
    found = scratch.lookup(_BIN)
    hidden = _BIN + "/" if found is not None and found.is_directory else "\0"
    return (node for node in volumes(view) if not (fold(node.path) + "/").startswith(hidden))


def shown(nodes: Iterator[Node], view: View, told: set[str]) -> dict[str, Any]:
    """All that there is of nodes; of those that were not told not all times."""
    found = {}
    for node in nodes:
        resolved = view.resolve(node)
        entry = view.entry(resolved)
        times = [entry.creation_filetime, entry.write_filetime]
        if node.path in told:
            times += [entry.access_filetime, entry.change_filetime]
        parts = {"": b""} if entry.kind is EntryKind.FILE else {}
        for part in view.parts(node):
            with view.open(node, part.name) as file:
                parts[part.name] = file.read()
        ea = sorted((one.name, one.value, one.flags) for one in parse_ea_list(entry.ea))
        found[node.path] = (
            entry.kind, shown_attributes(resolved), times, entry.security, ea, entry.reparse,
            entry.size, parts, node.path in told,
        )  # fmt: skip
    return found


def place_at(view: View, path: str) -> Place:
    node = view.lookup(path)
    assert node is not None, path
    resolved = view.resolve(node)
    return resolved.layer_id, resolved.row


def check_links(entries: list[Entry], scratch: View, child: View) -> None:
    """Links lead to the file that they were; names of one node of the scratch are of one file again."""
    for entry in entries:
        if entry.kind is EntryKind.LINK:
            assert place_at(scratch, entry.path) == place_at(scratch, entry.target)
    groups: dict[Place, set[Place]] = {}
    for node in compared(scratch, scratch):
        place = place_at(scratch, node.path)
        if place[0] == "s":
            groups.setdefault(place, set()).add(place_at(child, node.path))
    assert all(len(group) == 1 for group in groups.values())


def check_laws(entries: list[Entry], old: View) -> None:
    laws = Laws(is_base=not old.layer_ids, find_below=old.lookup)
    for entry in entries:
        laws.admit(entry)
    laws.finish()


def check_order(entries: list[Entry]) -> None:
    """Depth first, siblings by the bytes of their names, whiteouts before them."""
    assert entries[0].path == "Files"

    def key(entry: Entry) -> list[tuple[bool, bytes]]:
        names = [name.encode("utf-8", "surrogatepass") for name in entry.path.split("/")]
        last = entry.kind is not EntryKind.WHITEOUT
        return [*((True, name) for name in names[:-1]), (last, names[-1])]

    keys = [key(entry) for entry in entries]
    assert keys == sorted(keys)


def check_original(old: View, scratch: View, told: list[Entry]) -> None:
    """The original's tar can be written, or it is told at which entry it cannot."""
    losses: list[Finding] = []
    target = io.BytesIO()
    try:
        copy_entries(
            DifferenceReader(old, scratch),
            BackupTarWriter(target, dialect=Dialect.GO, on_loss=losses.append),
        )
    except (InvalidName, Malformed, Unsupported):
        assert any(list(losses_of(entry, form=Form.GO_TAR)) for entry in told)
    else:
        assert target.getvalue().endswith(bytes(1024))
        assert {loss.entry for loss in losses} <= {entry.path for entry in told}


@settings(max_examples=30, derandomize=True, deadline=None)
@given(layer_stacks(max_children=2), st.lists(_operations, min_size=3, max_size=25))
def test_difference_makes_the_chain_show_what_the_scratch_shows(
    layers: list[Layer], operations: list[Operation]
) -> None:
    with TemporaryDirectory() as root:
        backend = PortableBackend(Path(root))
        chain: tuple[str, ...] = ()
        for number, layer in enumerate(reversed(layers)):
            backend.import_tar(an_import(f"L{number}", layer_tar(layer), *chain))
            chain = (f"L{number}", *chain)
        backend.create_scratch("s", Chain(chain), 0, {})
        with (
            closing(backend.view(chain[0], Chain(chain[1:]))) as old,
            closing(backend.scratch("s", Chain(chain))) as scratch,
        ):
            player = Player(scratch)
            for operation in operations:
                player.play(operation)
            entries = list(DifferenceReader(old, scratch))
            check_laws(entries, old)
            check_order(entries)
            tar = tar_of(DifferenceReader(old, scratch))
            assert tar_of(DifferenceReader(old, scratch)) == tar
            backend.import_tar(an_import("child", tar, *chain))
            with closing(backend.view("child", Chain(chain))) as child:
                # A link to a file of the chain has the times that the chain tells.
                told = {one.path for one in entries if one.kind is not EntryKind.LINK}
                after = shown(compared(child, scratch), child, told)
                assert after == shown(compared(scratch, scratch), scratch, told)
                check_links(entries, scratch, child)
            check_original(old, scratch, entries)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(layer_stacks(), st.integers(0, 4))
def test_difference_of_layers_puts_them_together(layers: list[Layer], number: int) -> None:
    below = layers[min(number, len(layers)) :]
    old, new = a_view(*below), a_view(*layers)
    reader = DifferenceReader(old, new)
    held = []
    for entry in reader:
        contents = [(part, reader.open_part(part).read()) for part in reader.parts()]
        parts = [HeldPart(part.name, part.size, content=content) for part, content in contents]
        held.append(HeldEntry(entry, tuple(parts)))
    entries = [one.entry for one in held]
    check_laws(entries, old)
    check_order(entries)
    together = MergedView([a_table("together", held), *old.tables])
    told = {one.path for one in entries if one.kind is not EntryKind.LINK}
    assert shown(volumes(together), together, told) == shown(volumes(new), new, told)
