"""Layers in a dict: the smallest backend, and the contract as code that runs.

It stands in for the others in tests, and serves tars that are only looked into. A layer is the list of
its entries in order, each with its content as bytes. It keeps no tar: ``export_tar`` writes the entries
again, which gives equal content but not always equal bytes.

Source: ``backends.contract``; the laws of layers stand in ``layer.laws``, the merging in ``layer.merge``.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Self

from winlayers.backends import tarcopy
from winlayers.backends.contract import ImportPolicy, ImportRequest, TarFacts, Usage
from winlayers.backends.memoryscratch import MemoryScratch, ScratchState
from winlayers.errors import (
    IllegalState,
    InvalidArgument,
    LayerExists,
    LayerNotFound,
    Malformed,
    ParentMissing,
)
from winlayers.formats.filetime import ns_to_filetime
from winlayers.layer.chain import Chain
from winlayers.layer.difference import DifferenceReader
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_DIRECTORY,
    Entry,
    EntryKind,
    EntryReader,
    EntryWriter,
    LayerSummary,
    Part,
)
from winlayers.layer.laws import Laws, is_opaque_marker
from winlayers.layer.merge import ROOT_ROW, MergedView
from winlayers.layer.names import FILES, fold
from winlayers.layer.view import (
    NODE_EA,
    NODE_OPAQUE,
    NODE_REPARSE,
    NODE_STREAMS,
    Node,
    View,
)


@dataclass(frozen=True, slots=True)
class HeldPart(Part):
    """A part together with its bytes."""

    content: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class HeldEntry:
    """An entry together with its parts.

    Attributes:
        entry: the entry.
        parts: its parts; for a file the data comes first and is never missing.
        flags: ``NODE_*`` bits that the entry and its parts do not tell.
    """

    entry: Entry
    parts: tuple[HeldPart, ...] = ()
    flags: int = 0


class MemoryTable:
    """The entries of one layer as rows. See ``layer.merge.LayerTable`` for what the methods do.

    Args:
        layer_id: the layer's id.
        held: its entries in order; they keep the laws, row ``n`` is the entry ``n - 1``.
    """

    def __init__(self, layer_id: str, held: Sequence[HeldEntry]) -> None:
        self._layer_id = layer_id
        self.held = held
        self._names: list[tuple[str, str]] = [("", "")]
        self._flags = [0]
        self._children: dict[int, dict[str, int]] = {ROOT_ROW: {}}
        self._targets: dict[int, tuple[int, str]] = {}
        rows = {"": ROOT_ROW}
        for row, one in enumerate(held, 1):
            self._add(row, one, rows)
        for parent, children in self._children.items():
            self._children[parent] = dict(sorted(children.items()))

    def _add(self, row: int, held: HeldEntry, rows: dict[str, int]) -> None:
        """One more row; ``rows`` are those before it by folded path, without the whiteouts."""
        entry = held.entry
        folded = fold(entry.path)
        head, _, last = folded.rpartition("/")
        parent = rows[head]
        self._names.append((entry.path.rpartition("/")[2], last))
        self._flags.append(held.flags | _flags(held))
        self._children.setdefault(parent, {})[last] = row
        if entry.kind is EntryKind.LINK:
            target_row = rows.get(fold(entry.target), 0)
            # A link to a link shares what that one shares.
            self._targets[row] = self._targets.get(target_row, (target_row, entry.target))
        if entry.kind is not EntryKind.WHITEOUT:
            rows[folded] = row
        elif is_opaque_marker(entry.path):
            self._flags[parent] |= NODE_OPAQUE

    @property
    def layer_id(self) -> str:
        return self._layer_id

    def child(self, parent: int, folded: str) -> Node | None:
        row = self._children.get(parent, {}).get(folded)
        return None if row is None else self.node(row)

    def children(self, parent: int) -> list[Node]:
        return [self.node(row) for row in self._children.get(parent, {}).values()]

    def node(self, row: int) -> Node:
        entry = self.held[row - 1].entry
        name, folded = self._names[row]
        return Node(
            row, name, folded, entry.kind, entry.attributes, entry.creation_filetime,
            entry.access_filetime, entry.write_filetime, entry.change_filetime, entry.size,
            self._flags[row],
        )  # fmt: skip

    def entry(self, node: Node) -> Entry:
        entry = self.held[node.row - 1].entry
        return entry if entry.path == node.path else replace(entry, path=node.path)

    def link_target(self, row: int) -> tuple[int, str]:
        return self._targets[row]

    def parts(self, row: int) -> tuple[Part, ...]:
        return self.held[row - 1].parts

    def open_part(self, part: Part) -> BinaryIO:
        return _open(part)

    def close(self) -> None:
        """Nothing is held open."""


def _flags(held: HeldEntry) -> int:
    return (
        (NODE_REPARSE if held.entry.reparse else 0)
        | (NODE_EA if held.entry.ea else 0)
        | (NODE_STREAMS if any(part.name for part in held.parts) else 0)
    )


def _open(part: Part) -> BinaryIO:
    assert isinstance(part, HeldPart), "a part that this backend did not give out"
    return io.BytesIO(part.content)


class MemoryReader:
    """Reads a layer's own entries. See ``layer.entry.EntryReader`` for what the methods do."""

    def __init__(self, held: Sequence[HeldEntry]) -> None:
        self._held = held
        self._parts: tuple[HeldPart, ...] = ()

    def __iter__(self) -> Iterator[Entry]:
        for one in self._held:
            self._parts = one.parts
            yield one.entry

    def parts(self) -> Iterator[Part]:
        return iter(self._parts)

    def open_part(self, part: Part) -> BinaryIO:
        return _open(part)

    def close(self) -> None:
        """Nothing is held open."""


class MemoryWriter:
    """Collects a layer. See ``layer.entry.EntryWriter`` for what the methods do.

    Args:
        laws: what each entry has to pass.
        publish: called once with all entries and what is known of their tar.
    """

    def __init__(
        self,
        laws: Laws,
        publish: Callable[[Sequence[HeldEntry], TarFacts | None], LayerSummary],
    ) -> None:
        self._laws = laws
        self._publish = publish
        self._held: list[HeldEntry] = []
        self._ended = False

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        self._admit(entry)
        self._held.append(HeldEntry(entry, self._taken(entry, parts)))

    def link(self, entry: Entry) -> None:
        self._admit(entry)
        self._held.append(HeldEntry(entry))

    def remove(self, path: str) -> None:
        entry = Entry(path, EntryKind.WHITEOUT)
        self._admit(entry)
        self._held.append(HeldEntry(entry))

    def commit(self, facts: TarFacts | None = None) -> LayerSummary:
        """Check what is left to check and publish the layer.

        Args:
            facts: of the tar that the entries come from, to be kept with the layer.
        """
        self._check_open()
        self._laws.finish()
        summary = self._publish(self._held, facts)
        self._ended = True
        return summary

    def abort(self) -> None:
        self._ended = True
        self._held = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._ended:
            self.abort()

    def _admit(self, entry: Entry) -> None:
        self._check_open()
        self._laws.admit(entry)

    def _check_open(self) -> None:
        if self._ended:
            raise IllegalState("this layer was committed or aborted; open a new writer")

    def _taken(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> tuple[HeldPart, ...]:
        """The parts with their bytes, the data first."""
        data = [] if entry.kind is EntryKind.DIRECTORY else [HeldPart("", 0)]
        streams = []
        for part, source in parts:
            self._laws.admit_part(entry, part)
            content = source.read()
            if len(content) != part.size:
                what = f"part {part.name!r} has {len(content)} bytes, not {part.size}"
                raise Malformed("layer", what, entry=entry.path)
            held = HeldPart(part.name, part.size, part.attributes, content=content)
            if part.name:
                streams.append(held)
            else:
                data = [held]
        if data and data[0].size != entry.size:
            raise InvalidArgument(f"{entry.path!r} has {entry.size} bytes, its data {data[0].size}")
        return (*data, *streams)


@dataclass(slots=True)
class _Layer:
    """A layer; one that has neither a table nor a scratch was created and never filled."""

    files: dict[str, bytes]
    created_ns: int
    table: MemoryTable | None = None
    summary: LayerSummary = field(default_factory=lambda: LayerSummary(0, 0))
    scratch: ScratchState | None = None


class MemoryBackend:
    """See ``backends.contract.Backend`` for what the methods do.

    Args:
        clock: nanoseconds since 1970.
    """

    def __init__(self, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._layers: dict[str, _Layer] = {}

    def import_tar(self, request: ImportRequest) -> LayerSummary:
        writer = self._writer(request.layer_id, request.chain, request.files, request.policy)
        return tarcopy.import_tar(request, writer)

    def export_tar(self, layer_id: str, chain: Chain) -> BinaryIO:
        return tarcopy.export_tar(self.reader(layer_id, chain))

    def create(self, layer_id: str, chain: Chain, files: Mapping[str, bytes]) -> None:
        self._check_chain(chain)
        self._check_new(layer_id)
        self._layers[layer_id] = _Layer(dict(files), self._clock())

    def create_scratch(
        self, layer_id: str, chain: Chain, size: int, files: Mapping[str, bytes]
    ) -> None:
        self._check_chain(chain)
        self._check_new(layer_id)
        now = ns_to_filetime(self._clock())
        root = Entry("", EntryKind.DIRECTORY, FILE_ATTRIBUTE_DIRECTORY, now, now, now, now)
        below = self._view(chain.layer_ids)
        state = ScratchState(layer_id, below, size, root, self._clock)
        if not below.layer_ids:
            with MemoryScratch(state) as scratch:
                scratch.create(scratch.root(), FILES, root)
        self._layers[layer_id] = _Layer(dict(files), self._clock(), scratch=state)

    def exists(self, layer_id: str) -> bool:
        return layer_id in self._layers

    def destroy(self, layer_id: str) -> None:
        self._layers.pop(layer_id, None)

    def rename(self, layer_id: str, new_id: str) -> None:
        self._layer(layer_id)
        self._layers[new_id] = self._layers.pop(layer_id)

    def usage(self, layer_id: str) -> Usage:
        layer = self._layer(layer_id)
        disk_size = sum(len(content) for content in layer.files.values())
        if layer.scratch is not None:
            summary = LayerSummary(layer.scratch.held, layer.scratch.own_count)
            return Usage("scratch", disk_size + summary.size, summary, layer.created_ns)
        if layer.table is None:
            return Usage("created", disk_size, layer.summary, layer.created_ns)
        disk_size += sum(part.size for one in layer.table.held for part in one.parts)
        return Usage("sealed", disk_size, layer.summary, layer.created_ns)

    def reader(self, layer_id: str, chain: Chain) -> EntryReader:
        layer = self._layer(layer_id)
        if layer.scratch is not None:
            new = self.scratch(layer_id, chain, read_only=True)
            return DifferenceReader(layer.scratch.chain, new)
        if layer.table is None:
            raise LayerNotFound(f"layer {layer_id} was created but holds nothing yet")
        return MemoryReader(layer.table.held)

    def writer(self, layer_id: str, chain: Chain, files: Mapping[str, bytes]) -> EntryWriter:
        return self._writer(layer_id, chain, files, ImportPolicy())

    def view(self, layer_id: str, chain: Chain) -> View:
        if self._layer(layer_id).scratch is not None:
            return self.scratch(layer_id, chain, read_only=True)
        return self._view((layer_id, *chain))

    def scratch(self, layer_id: str, chain: Chain, *, read_only: bool = False) -> MemoryScratch:
        """See ``backends.contract.ScratchAccess``."""
        state = self._layer(layer_id).scratch
        if state is None:
            raise LayerNotFound(f"layer {layer_id} is no scratch, so it takes no writes")
        return MemoryScratch(state, read_only=read_only)

    def check_unused(self, layer_id: str) -> None:
        """See ``backends.contract.ScratchAccess``."""
        layer = self._layers.get(layer_id)
        if layer is not None and layer.scratch is not None:
            layer.scratch.check_unused()

    def _writer(
        self,
        layer_id: str,
        chain: Chain,
        files: Mapping[str, bytes],
        policy: ImportPolicy,
    ) -> MemoryWriter:
        self._check_absent(layer_id)
        self._check_chain(chain)
        laws = Laws(
            is_base=not len(chain),
            find_below=self._view(chain.layer_ids).lookup,
            lenient_names=policy.lenient_names,
        )

        def publish(held: Sequence[HeldEntry], facts: TarFacts | None) -> LayerSummary:
            self._check_absent(layer_id)
            self._check_chain(chain)
            created = self._layers.get(layer_id)
            layer = _Layer(
                {**(created.files if created else {}), **files},
                self._clock(),
                MemoryTable(layer_id, held),
                _summary(held, facts),
            )
            self._layers[layer_id] = layer
            return layer.summary

        return MemoryWriter(laws, publish)

    def _layer(self, layer_id: str) -> _Layer:
        try:
            return self._layers[layer_id]
        except KeyError:
            raise LayerNotFound(f"there is no layer {layer_id}") from None

    def _view(self, layer_ids: Sequence[str]) -> View:
        tables = [self._layer(layer_id).table for layer_id in layer_ids]
        # A layer that was created and never filled shows nothing of its own.
        return MergedView([table for table in tables if table is not None])

    def _check_absent(self, layer_id: str) -> None:
        layer = self._layers.get(layer_id)
        if layer is not None and (layer.table is not None or layer.scratch is not None):
            raise LayerExists(f"layer {layer_id} exists already")

    def _check_new(self, layer_id: str) -> None:
        if layer_id in self._layers:
            raise LayerExists(f"layer {layer_id} exists already")

    def _check_chain(self, chain: Chain) -> None:
        for layer_id in chain:
            if layer_id not in self._layers:
                raise ParentMissing(f"layer {layer_id}, a parent, is not there")


def _summary(held: Sequence[HeldEntry], facts: TarFacts | None) -> LayerSummary:
    size = sum(one.entry.size for one in held if one.entry.kind is EntryKind.FILE)
    if facts is None:
        return LayerSummary(size, len(held))
    return LayerSummary(size, len(held), facts.diff_id, facts.digest, facts.size)
