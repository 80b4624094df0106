"""A scratch in memory: a tree of plain objects, written to be read beside the contract.

A directory takes its children from the chain when it is first looked into; from then on what it shows is
one dict, so removing a name is removing a key and nothing has to hide anything. An item stays the chain's
until something of it changes: then it, and the directories on the way to it, become the scratch's own. Nodes
are found again by their paths. Nothing is made fast, and nothing outlives the process.

Source: ``layer.view.Scratch``; that own items are counted, and for what, is said there too.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import BinaryIO, Self

from winlayers.errors import (
    AlreadyExists,
    IllegalState,
    InUse,
    InvalidArgument,
    LayerMounted,
    NoSpace,
    PathNotFound,
)
from winlayers.formats.filetime import ns_to_filetime
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_REPARSE_POINT,
    Entry,
    EntryKind,
    Part,
)
from winlayers.layer.names import fold
from winlayers.layer.view import (
    NODE_EA,
    NODE_LINKED,
    NODE_REPARSE,
    NODE_STREAMS,
    Content,
    Metadata,
    Node,
    View,
)

#: What the name of a file, a directory or an alternate stream counts for in the quota, in bytes.
NAME_COST = 1024

_Nodes = list[Node]  # in the class below, ``list`` is a method


@dataclass(slots=True, eq=False)
class _Stream:
    """The data or an alternate stream of an item.

    Attributes:
        name: ``""`` for the data.
        attributes: of the backup stream.
        content: its bytes.
        is_written: whether they count as the scratch's; until then they are as in the chain.
        handles: how many have it open.
    """

    name: str
    attributes: int
    content: bytearray
    is_written: bool = False
    handles: int = 0


@dataclass(slots=True, eq=False)
class _Item:
    """A file or a directory, whatever names lead to it.

    Attributes:
        below: the node of the chain that it shows or came from; None for what was made here.
        entry: the metadata of an own item, of which path and size are not looked at; None while the item
            is the chain's.
        number: of an own item: which one it is, as ``Node.row``.
        names: how many names lead to it.
        is_linked: whether there were ever more than one.
        handles: how many have it open.
        streams: data and alternate streams by folded name; None until somebody asked.
        children: by folded name the name and the item; None until somebody asked.
    """

    below: Node | None = None
    entry: Entry | None = None
    number: int = -1
    names: int = 1
    is_linked: bool = False
    handles: int = 0
    streams: dict[str, _Stream] | None = None
    children: dict[str, tuple[str, _Item]] | None = None


@dataclass(eq=False)
class ScratchState:
    """What a scratch holds while nobody, or somebody, has it open.

    Attributes:
        layer_id: the scratch.
        chain: the view of the layers that it stands on.
        quota: bytes that it may hold, 0 for no limit.
        root_entry: metadata of the root.
        clock_ns: nanoseconds since 1970, for times of writing.
        held: bytes that it holds.
        own_count: how many own items there are, the root not among them.
        has_writer: whether somebody has it open for writing.
    """

    layer_id: str
    chain: View
    quota: int
    root_entry: Entry
    clock_ns: Callable[[], int] = time.time_ns
    held: int = 0
    own_count: int = 0
    has_writer: bool = False
    lock: RLock = field(default_factory=RLock)

    def __post_init__(self) -> None:
        self.root = _Item(self.chain.root(), self.root_entry, 0, streams={})
        self.last_number = 0

    def check_unused(self) -> None:
        """See that nobody writes it.

        Raises:
            LayerMounted: somebody does.
        """
        if self.has_writer:
            raise LayerMounted(f"scratch {self.layer_id} is written by process {os.getpid()}")

    def take(self, size: int) -> None:
        """Count bytes more, or less where it is negative.

        Raises:
            NoSpace: they are too many; nothing is counted then.
        """
        if size > 0 and self.quota and self.held + size > self.quota:
            raise NoSpace(
                f"the scratch holds {self.held} of {self.quota} bytes, and {size} more do not fit"
            )
        self.held += size

    def picture(self) -> Callable[[], None]:
        """What it holds now, but for the bytes: a function that brings all back to that."""
        counts = self.held, self.own_count
        items, pending = [], [self.root]
        while pending:
            item = pending.pop()
            children = None if item.children is None else dict(item.children)
            kept = item.entry, item.number, item.names, item.is_linked
            streams = None if item.streams is None else dict(item.streams)
            items.append((item, kept, streams, children))
            pending.extend(child for _, child in (children or {}).values())

        def restore() -> None:
            self.held, self.own_count = counts
            for item, kept, streams, children in items:
                item.entry, item.number, item.names, item.is_linked = kept
                item.streams, item.children = streams, children

        return restore

    def new_number(self) -> int:
        """The number of one more own item."""
        self.last_number += 1
        self.own_count += 1
        return self.last_number

    # -- items --------------------------------------------------------------------------------------

    def children(self, item: _Item) -> dict[str, tuple[str, _Item]]:
        """By folded name the names and items in a directory; nothing in anything else."""
        if not self.is_directory(item):
            return {}
        if item.children is None:
            nodes = self.chain.list(item.below) if item.below is not None else []
            item.children = {node.folded: (node.name, _Item(node)) for node in nodes}
        return item.children

    def is_directory(self, item: _Item) -> bool:
        """Whether it may have children."""
        if item.entry is not None:
            return item.entry.kind is EntryKind.DIRECTORY and not item.entry.reparse
        return item.below is not None and item.below.is_directory

    def streams(self, item: _Item) -> dict[str, _Stream]:
        """By folded name the data and the alternate streams of an item."""
        if item.streams is None:
            assert item.below is not None
            parts = self.chain.parts(item.below)
            item.streams = {fold(part.name): self._stream(item.below, part) for part in parts}
        return item.streams

    def _stream(self, node: Node, part: Part) -> _Stream:
        with self.chain.open(node, part.name) as file:
            return _Stream(part.name, part.attributes, bytearray(file.read()))

    def way(self, path: str) -> Iterator[_Item]:
        """The items from the root to a path, both included.

        Raises:
            PathNotFound: the way ends before.
        """
        item = self.root
        yield item
        for component in path.split("/") if path else ():
            found = self.children(item).get(fold(component))
            if found is None:
                raise PathNotFound(f"{path!r} is not there any more")
            item = found[1]
            yield item

    def at(self, path: str) -> _Item:
        """The item at a path."""
        *_, item = self.way(path)
        return item

    def own(self, *paths: str, names: int = 0) -> None:
        """Make all items on the ways to these paths the scratch's own, and count names to come.

        Raises:
            NoSpace: the quota is used up; nothing was changed.
        """
        items = dict.fromkeys(item for path in paths for item in self.way(path))
        found = [(item, self._entry_below(item)) for item in items if item.entry is None]
        self.take(NAME_COST * (names + sum(1 + self.stream_count(item) for item, _ in found)))
        for item, entry in found:
            item.entry, item.number = entry, self.new_number()

    def _entry_below(self, item: _Item) -> Entry:
        """The metadata that an item has in the chain; of a hard link those of what it shares."""
        assert item.below is not None
        entry = self.chain.entry(self.chain.resolve(item.below))
        kind = EntryKind.DIRECTORY if entry.kind is EntryKind.DIRECTORY else EntryKind.FILE
        return replace(entry, kind=kind)

    def stream_count(self, item: _Item) -> int:
        """How many alternate streams an item has."""
        return sum(1 for folded in self.streams(item) if folded)

    def forget_if_unused(self, item: _Item) -> None:
        """Give back what an own item holds when it has neither a name nor anybody who has it open."""
        if item.entry is None or item.names or item.handles:
            return
        written = sum(len(one.content) for one in self.streams(item).values() if one.is_written)
        self.take(-written - NAME_COST * self.stream_count(item))
        self.own_count -= 1


class MemoryScratch:
    """See ``layer.view.Scratch`` for what the methods do.

    Args:
        state: what the scratch holds.
        read_only: only look; somebody else may be writing.
    Raises:
        LayerMounted: somebody else writes it.
    """

    def __init__(self, state: ScratchState, *, read_only: bool = False) -> None:
        if not read_only:
            state.check_unused()
            state.has_writer = True
        self._state = state
        self._read_only = read_only

    # -- looking ------------------------------------------------------------------------------------

    @property
    def layer_ids(self) -> tuple[str, ...]:
        return (self._state.layer_id, *self._state.chain.layer_ids)

    def root(self) -> Node:
        return self._node(self._state.root, "")

    def lookup(self, path: str) -> Node | None:
        spelled, item = "", self._state.root
        for component in path.split("/") if path else ():
            found = self._state.children(item).get(fold(component))
            if found is None:
                return None
            spelled, item = _join(spelled, found[0]), found[1]
        return self._node(item, spelled)

    def list(self, directory: Node) -> _Nodes:
        if not directory.is_directory:
            return []
        children = self._state.children(self._state.at(directory.path))
        return [
            self._node(item, _join(directory.path, name))
            for _, (name, item) in sorted(children.items())
        ]

    def resolve(self, node: Node) -> Node:
        below = self._state.at(node.path).below
        if node.kind is not EntryKind.LINK or below is None:
            return node
        found = self._state.chain.resolve(below)
        return replace(found, name=node.name, folded=node.folded, path=node.path)

    def entry(self, node: Node) -> Entry:
        item = self._state.at(node.path)
        if item.entry is not None:
            return replace(item.entry, path=node.path, size=node.size)
        assert item.below is not None
        # A hard link that was resolved tells what it shares.
        below = (
            item.below if node.kind is item.below.kind else self._state.chain.resolve(item.below)
        )
        return replace(self._state.chain.entry(below), path=node.path)

    def parts(self, node: Node) -> tuple[Part, ...]:
        streams = self._state.streams(self._state.at(node.path))
        return tuple(
            Part(one.name, len(one.content), one.attributes) for _, one in sorted(streams.items())
        )

    def open(self, node: Node, stream: str = "") -> BinaryIO:
        return io.BytesIO(self._stream(node, stream).content)

    def link_count(self, node: Node) -> int:
        item = self._state.at(node.path)
        return 1 if item.entry is None else item.names

    @property
    def quota(self) -> int:
        return self._state.quota

    @property
    def held_size(self) -> int:
        return self._state.held

    # -- changing -----------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[None]:
        self._check_writable()
        picture = self._state.picture()
        try:
            yield
        except BaseException:
            picture()
            raise

    def create(self, directory: Node, name: str, entry: Entry) -> Node:
        children = self._free(directory, name)
        self._state.own(directory.path, names=1)
        is_file = entry.kind is EntryKind.FILE
        streams = {"": _Stream("", 0, bytearray())} if is_file else {}
        item = _Item(None, entry, self._state.new_number(), streams=streams)
        children[fold(name)] = name, item
        return self._node(item, _join(directory.path, name))

    def link(self, node: Node, directory: Node, name: str) -> Node:
        if node.kind is EntryKind.DIRECTORY:
            raise InvalidArgument(f"{node.path!r} is a directory, and has one name only")
        children = self._free(directory, name)
        self._state.own(node.path, directory.path, names=1)
        item = self._state.at(node.path)
        item.names += 1
        item.is_linked = True
        children[fold(name)] = name, item
        return self._node(item, _join(directory.path, name))

    def rename(self, node: Node, directory: Node, name: str) -> Node:
        old, new = self._siblings(node), self._children(directory)
        if self._state.at(node.path) in self._state.way(directory.path):
            raise InvalidArgument(f"{node.path!r} cannot be moved into itself")
        folded = fold(name)
        is_replacing = folded in new and not (new is old and folded == node.folded)
        if is_replacing:
            self._check_empty(new[folded][1], _join(directory.path, name))
        with self.together():
            if is_replacing:
                self._remove(new, folded)
            self._state.own(node.path, directory.path)
        item = old.pop(node.folded)[1]
        new[folded] = name, item
        return self._node(item, _join(directory.path, name))

    def delete(self, node: Node) -> None:
        siblings = self._siblings(node)
        self._check_empty(self._state.at(node.path), node.path)
        self._state.own(_parent(node.path))
        self._remove(siblings, node.folded)

    def set_metadata(self, node: Node, metadata: Metadata) -> Node:
        item = self._owned(node)
        assert item.entry is not None
        changes = {name: getattr(metadata, name) for name in metadata.__dataclass_fields__}
        entry = replace(
            item.entry, **{name: value for name, value in changes.items() if value is not None}
        )
        if metadata.attributes is not None or metadata.reparse is not None:
            followed = FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT
            entry.attributes &= ~followed
            if entry.kind is EntryKind.DIRECTORY:
                entry.attributes |= FILE_ATTRIBUTE_DIRECTORY
            if entry.reparse:
                entry.attributes |= FILE_ATTRIBUTE_REPARSE_POINT
        item.entry = entry
        return self._node(item, node.path)

    def open_content(self, node: Node, stream: str = "", *, writable: bool = False) -> Content:
        found = self._stream(node, stream)
        item = self._owned(node) if writable else self._state.at(node.path)
        return _MemoryContent(self, self._state, item, found, node.path, writable=writable)

    def create_stream(self, node: Node, stream: str) -> None:
        self._check_writable()
        streams = self._state.streams(self._state.at(node.path))
        if fold(stream) in streams:
            raise AlreadyExists(f"{node.path!r} has an alternate stream {stream!r} already")
        self._state.own(node.path, names=1)
        streams[fold(stream)] = _Stream(stream, 0, bytearray())

    def delete_stream(self, node: Node, stream: str) -> None:
        self._check_writable()
        found = self._stream(node, stream)
        if not found.name:
            raise PathNotFound(f"{node.path!r} has no alternate stream {stream!r}")
        if found.handles:
            raise InUse(f"alternate stream {stream!r} of {node.path!r} is open")
        item = self._owned(node)
        del self._state.streams(item)[fold(stream)]
        self._state.take(-NAME_COST - len(found.content) * found.is_written)

    def publish(self) -> None:
        """What is done is seen at once."""

    def sync(self) -> None:
        """Nothing is kept anywhere else."""

    def close(self) -> None:
        if not self._read_only:
            self._state.has_writer = False
            self._read_only = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- inside -------------------------------------------------------------------------------------

    def _node(self, item: _Item, path: str) -> Node:
        """An item as it is now, under one of its names."""
        name = path.rpartition("/")[2]
        entry = item.entry
        if entry is None:
            assert item.below is not None
            # The scratch is the first layer of this view.
            stack = tuple((number + 1, row) for number, row in item.below.stack)
            return replace(item.below, path=path, stack=stack)
        streams = self._state.streams(item)
        flags = (
            (NODE_REPARSE if entry.reparse else 0)
            | (NODE_EA if entry.ea else 0)
            | (NODE_STREAMS if any(streams) else 0)
            | (NODE_LINKED if item.is_linked else 0)
        )
        size = len(streams[""].content) if "" in streams else 0
        return Node(
            item.number, name, fold(name), entry.kind, entry.attributes, entry.creation_filetime,
            entry.access_filetime, entry.write_filetime, entry.change_filetime, size, flags,
            self._state.layer_id, path,
            ((0, item.number),) if self._state.is_directory(item) else (),
        )  # fmt: skip

    def _check_writable(self) -> None:
        if self._read_only:
            raise IllegalState(f"scratch {self._state.layer_id} was opened to be looked at only")

    def _owned(self, node: Node) -> _Item:
        self._check_writable()
        self._state.own(node.path)
        return self._state.at(node.path)

    def _children(self, directory: Node) -> dict[str, tuple[str, _Item]]:
        self._check_writable()
        if not directory.is_directory:
            raise InvalidArgument(f"{directory.path!r} is no directory")
        return self._state.children(self._state.at(directory.path))

    def _siblings(self, node: Node) -> dict[str, tuple[str, _Item]]:
        """The children of the directory that a node is in."""
        self._check_writable()
        if not node.path:
            raise InvalidArgument("the root has no name that could change")
        return self._state.children(self._state.at(_parent(node.path)))

    def _free(self, directory: Node, name: str) -> dict[str, tuple[str, _Item]]:
        """The children of a directory that does not have a name yet."""
        children = self._children(directory)
        if fold(name) in children:
            raise AlreadyExists(f"{_join(directory.path, name)!r} exists already")
        return children

    def _check_empty(self, item: _Item, path: str) -> None:
        if self._state.children(item):
            raise InUse(f"{path!r} is a directory that is not empty")

    def _remove(self, children: dict[str, tuple[str, _Item]], folded: str) -> None:
        _, item = children.pop(folded)
        item.names -= 1
        if item.entry is not None:
            self._state.take(-NAME_COST)
            self._state.forget_if_unused(item)

    def _stream(self, node: Node, stream: str) -> _Stream:
        found = self._state.streams(self._state.at(node.path)).get(fold(stream))
        if found is None:
            what = f"alternate stream {stream!r}" if stream else "data"
            raise PathNotFound(f"{node.path!r} has no {what}")
        return found


class _MemoryContent:
    """One opening of a stream; see ``layer.view.Content``."""

    def __init__(
        self,
        scratch: MemoryScratch,
        state: ScratchState,
        item: _Item,
        stream: _Stream,
        path: str,
        *,
        writable: bool,
    ) -> None:
        self._scratch = scratch
        self._state = state
        self._item = item
        self._stream = stream
        self._path = path
        self._writable = writable
        self._is_open = True
        item.handles += 1
        stream.handles += 1

    @property
    def size(self) -> int:
        return len(self._stream.content)

    def node(self) -> Node:
        with self._state.lock:
            return self._scratch._node(self._item, self._path)

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._stream.content[offset : offset + size])

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        self._check_writable()
        if not len(data):
            return
        with self._state.lock:
            end = offset + len(data)
            self._resize(max(self.size, end), kept=self.size)
            self._stream.content[offset:end] = data

    def truncate(self, size: int) -> None:
        self._check_writable()
        with self._state.lock:
            self._resize(size, kept=min(size, self.size))

    def flush(self) -> None:
        """What is written is seen at once."""

    def sync(self) -> None:
        """Nothing is kept anywhere else."""

    def close(self) -> None:
        with self._state.lock:
            if self._is_open:
                self._is_open = False
                self._stream.handles -= 1
                self._item.handles -= 1
                self._state.forget_if_unused(self._item)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _resize(self, size: int, *, kept: int) -> None:
        """Have a size of which the first bytes are kept, as a write does."""
        content = self._stream.content
        if not self._stream.is_written:
            self._state.take(kept)
            self._stream.is_written = True
            del content[kept:]
        added = size - len(content)
        self._state.take(added)
        try:
            content.extend(bytes(max(added, 0)))
        except (MemoryError, OverflowError) as error:
            self._state.take(-added)
            raise NoSpace(f"there is no memory for {added} bytes more") from error
        del content[size:]
        now = ns_to_filetime(self._state.clock_ns())
        assert self._item.entry is not None
        self._item.entry = replace(
            self._item.entry,
            attributes=self._item.entry.attributes | FILE_ATTRIBUTE_ARCHIVE,
            write_filetime=now,
            change_filetime=now,
        )

    def _check_writable(self) -> None:
        if not self._writable:
            raise IllegalState("the content was not opened for writing")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
