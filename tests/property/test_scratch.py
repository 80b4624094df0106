"""Two scratches that were written apart do the same: what is in memory, and the portable one.

Random operations, many of which fail, are done to both. Each has to end in the same way, and to leave
the same tree and the same bytes held; in between both are closed and opened again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import OTHER_DESCRIPTOR, Layer, an_import, content_at, layer_tar
from tests.support.strategies import layer_stacks
from winlayers.backends.contract import Backend, ScratchAccess
from winlayers.backends.memory import MemoryBackend
from winlayers.backends.portable.backend import PortableBackend
from winlayers.errors import IllegalState, WinlayersError
from winlayers.formats.reparse import build_reparse, link_to
from winlayers.layer.chain import Chain
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.view import Content, Metadata, Node, Scratch, walk

_NAMES = ("a", "A", "b", "B", "win.ini", "WIN.INI", "ünï", "\ud800")
_LINK = build_reparse(link_to("C:\\a", junction=False))
_METADATA = (
    Metadata(attributes=0x421),
    Metadata(write_filetime=5, change_filetime=2**64 - 1),
    Metadata(security=b""),
    Metadata(security=OTHER_DESCRIPTOR, creation_filetime=7, access_filetime=8),
    Metadata(reparse=_LINK),
    Metadata(reparse=b""),
    Metadata(ea=b""),
)

Operation = tuple[Any, ...]
_places = st.integers(0, 60)
_names = st.sampled_from(_NAMES)
_streams = st.sampled_from(["", "", "s", "S", "Zone.Identifier"])
_operations = st.one_of(
    st.tuples(st.just("create"), _places, _names, st.sampled_from([EntryKind.FILE, EntryKind.DIRECTORY])),
    st.tuples(st.just("link"), _places, _places, _names),
    st.tuples(st.just("rename"), _places, _places, _names),
    st.tuples(st.just("delete"), _places),
    st.tuples(st.just("set_metadata"), _places, st.sampled_from(_METADATA)),
    st.tuples(st.just("write"), _places, _streams, st.integers(0, 9), st.binary(max_size=9)),
    st.tuples(st.just("truncate"), _places, _streams, st.sampled_from([0, 0, 3, 20])),
    st.tuples(st.just("create_stream"), _places, st.sampled_from(["s", "S", "t"])),
    st.tuples(st.just("delete_stream"), _places, _streams),
    st.tuples(st.just("open"), _places, _streams, st.booleans()),
    st.tuples(st.just("use"), st.integers(0, 5), st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("close"), st.integers(0, 5)),
    st.tuples(st.just("sync")),
    st.tuples(st.just("reopen")),
)  # fmt: skip


class Player:
    """One of the two, with what is open of it."""

    def __init__(self, backend: Backend, layers: list[Layer], quota: int) -> None:
        chain: tuple[str, ...] = ()
        for number, layer in enumerate(reversed(layers)):
            backend.import_tar(an_import(f"L{number}", layer_tar(layer), *chain))
            chain = (f"L{number}", *chain)
        backend.create_scratch("s", Chain(chain), quota, {})
        assert isinstance(backend, ScratchAccess)
        self._open: Callable[[], Scratch] = lambda: backend.scratch("s", Chain(chain))
        self.scratch = self._open()
        self._contents: list[Content] = []

    def play(self, operation: Operation) -> Any:
        """Do an operation: what it gave, or the name of the error that it ended in."""
        name, *args = operation
        try:
            found = getattr(self, name)(*args)
        except WinlayersError as error:
            # Where two things are wrong, either may be told.
            return type(error).__name__ if not self.scratch.quota else "refused"
        return found.path if isinstance(found, Node) else found

    def shown(self) -> list[Any]:
        """All that the scratch shows, and what it holds."""
        nodes = walk(self.scratch, self.scratch.root())
        return [self.scratch.held_size, *(self._shown(node) for node in nodes)]

    # -- operations -----------------------------------------------------------------------------------

    def create(self, place: int, name: str, kind: EntryKind) -> Node:
        entry = Entry("", kind, 0x10 if kind is EntryKind.DIRECTORY else 0x20, 1, 2, 3, 4)
        return self.scratch.create(self._node(place), name, entry)

    def link(self, place: int, other: int, name: str) -> Node:
        return self.scratch.link(self._node(place), self._node(other), name)

    def rename(self, place: int, other: int, name: str) -> Node:
        return self.scratch.rename(self._node(place), self._node(other), name)

    def delete(self, place: int) -> None:
        self.scratch.delete(self._node(place))

    def set_metadata(self, place: int, metadata: Metadata) -> Node | None:
        node = self._node(place)
        if not node.path or (metadata.reparse and self.scratch.list(node)):
            return None  # NTFS has no reparse points with anything in them
        return self.scratch.set_metadata(node, metadata)

    def write(self, place: int, stream: str, offset: int, data: bytes) -> None:
        content = self.scratch.open_content(self._node(place), stream, writable=True)
        with closing(content):
            content.write_at(offset, data)

    def truncate(self, place: int, stream: str, size: int) -> None:
        content = self.scratch.open_content(self._node(place), stream, writable=True)
        with closing(content):
            content.truncate(size)

    def create_stream(self, place: int, stream: str) -> None:
        self.scratch.create_stream(self._node(place), stream)

    def delete_stream(self, place: int, stream: str) -> None:
        if not self._contents:  # open ones are refused, each in a way of its own
            self.scratch.delete_stream(self._node(place), stream)

    def open(self, place: int, stream: str, writable: bool) -> int:
        node = self._node(place)
        self._contents.append(self.scratch.open_content(node, stream, writable=writable))
        return self._contents[-1].size

    def use(self, number: int, data: bytes) -> Any:
        """Read what is open, and write on, if it was opened for that."""
        if number >= len(self._contents):
            return None
        content = self._contents[number]
        before = content.read_at(0, 20_000), content.size
        with suppress(IllegalState):
            content.write_at(content.size + 1, data)
        return before, content.read_at(0, 20_000), content.node().size

    def close(self, number: int) -> None:
        if number < len(self._contents):
            self._contents.pop(number).close()

    def sync(self) -> None:
        self.scratch.sync()

    def reopen(self) -> None:
        while self._contents:
            self.close(0)
        self.scratch.close()
        self.scratch = self._open()

    def end(self) -> None:
        self.reopen()
        self.scratch.close()

    # -- inside ---------------------------------------------------------------------------------------

    def _node(self, place: int) -> Node:
        """One of those that show; places that are too large begin anew."""
        nodes = [self.scratch.root(), *walk(self.scratch, self.scratch.root())]
        return nodes[place % len(nodes)]

    def _shown(self, node: Node) -> Any:
        entry = self.scratch.entry(node)
        # Written now or before: the clocks are not the same.
        times = [min(time, 10**17) for time in (entry.write_filetime, entry.change_filetime)]
        parts = {part.name: part.size for part in self.scratch.parts(node)}
        return (
            node.path, node.name, node.folded, node.kind, node.size, node.layer_id, node.flags,
            node.is_directory, node.attributes, node.creation_filetime, entry.path, entry.kind,
            entry.size, entry.attributes, entry.creation_filetime, entry.access_filetime, times,
            entry.security, entry.ea, entry.reparse, entry.target, parts,
            {name: content_at(self.scratch, node.path, name) for name in parts},
            self.scratch.link_count(node),
        )  # fmt: skip


@settings(max_examples=10, derandomize=True, deadline=None)
@given(
    layer_stacks(max_children=2),
    st.lists(_operations, min_size=5, max_size=40),
    st.sampled_from([0, 0, 5000]),
)
def test_memory_and_portable_scratches_do_the_same(
    layers: list[Layer], operations: list[Operation], quota: int
) -> None:
    with TemporaryDirectory() as root:
        memory = Player(MemoryBackend(), layers, quota)
        portable = Player(PortableBackend(Path(root)), layers, quota)
        for number, operation in enumerate(operations):
            assert portable.play(operation) == memory.play(operation), (number, operation)
            assert portable.shown() == memory.shown(), (number, operation)
        for player in (memory, portable):
            player.reopen()
        assert portable.shown() == memory.shown()
        for player in (memory, portable):
            player.end()
