"""A scratch: the merged view of a chain that takes writes, and keeps what differs.

    <id>/scratch/scratch.db   names and nodes (see ``_scratch_nodes``)
    <id>/scratch/data/        written contents (see ``_scratch_data``)
    <id>/scratch/lock         held by the process that writes

A node of a layer below gets a node here when something of it changes, and so do the directories on the way
to it; its contents stay where they are until they are written. One process writes; others may look at the
same time. Any number of threads may call. This module refuses to know rules of Windows: ``layer.tree`` does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import BinaryIO, cast

from winlayers.backends.portable._scratch_contents import (
    NAME_COST,
    OpenNode,
    OpenStream,
    Positional,
    Quota,
    Shared,
    StreamContent,
)
from winlayers.backends.portable._scratch_data import DataFiles, copy_extents
from winlayers.backends.portable._scratch_nodes import ROOT, NodeStore, StoredPart, make_database
from winlayers.backends.sealed.packed import SealedTable
from winlayers.backends.sealed.space import full_disk_told
from winlayers.base.atomic import sync_directory, sync_file
from winlayers.base.delayed import DelayedCall
from winlayers.base.fileobj import SizedReader
from winlayers.base.locking import FileLock
from winlayers.errors import (
    AlreadyExists,
    IllegalState,
    InUse,
    InvalidArgument,
    LayerMounted,
    PathNotFound,
    StoreCorrupt,
    StoreLocked,
)
from winlayers.formats.filetime import filetime_to_ns, ns_to_filetime
from winlayers.layer.entry import Entry, EntryKind, Part
from winlayers.layer.merge import MergedView
from winlayers.layer.names import fold
from winlayers.layer.view import NODE_LINKED, Content, Metadata, Node

DATABASE = "scratch.db"
DATA = "data"
LOCK = "lock"

_OwnNames = list[tuple[str, Node | None]]  # in a class below, ``list`` is a method

# How many directories are remembered; about 600 bytes each.
_REMEMBERED_WAYS = 10_000

_COLUMNS = {
    "attributes": "attributes",
    "creation_filetime": "creation",
    "access_filetime": "access",
    "write_filetime": "write",
    "change_filetime": "change",
}


@dataclass(frozen=True, slots=True)
class _OwnPart(Part):
    """A part of a node of the scratch, which is opened by the node."""

    row: int = -1


class ScratchTable:
    """The own nodes of a scratch, as ``layer.merge.LayerTable``; what is open is shown as it is."""

    def __init__(self, store: NodeStore, opened: dict[int, OpenNode]) -> None:
        self._store = store
        self._opened = opened

    @property
    def layer_id(self) -> str:
        return self._store.layer_id

    def child(self, parent: int, folded: str) -> Node | None:
        node = self._store.child(parent, folded)
        return None if node is None else self._patched(node)

    def children(self, parent: int) -> list[Node]:
        return [self._patched(node) for node in self._store.children(parent)]

    def node(self, row: int) -> Node:
        return self._patched(self._store.node(row))

    def entry(self, node: Node) -> Entry:
        return self._store.entry(node)

    def link_target(self, row: int) -> tuple[int, str]:
        raise IllegalState("names of a scratch share a node, so none is a link to another")

    def parts(self, row: int) -> tuple[Part, ...]:
        opened = self._opened.get(row)
        streams = {} if opened is None else opened.streams
        return tuple(
            _OwnPart(
                part.name,
                streams[part.folded].size if part.folded in streams else part.size,
                part.attributes,
                None,
                row,
            )
            for part in self._store.stored_parts(row)
        )

    def open_part(self, part: Part) -> BinaryIO:
        raise IllegalState("the parts of a scratch are opened by their nodes")

    def close(self) -> None:
        self._store.close()

    def _patched(self, node: Node) -> Node:
        opened = self._opened.get(node.row)
        if opened is not None:
            opened.patch(node)
        return node


class PortableScratch(MergedView):
    """See ``layer.view.Scratch`` for what the methods do.

    Args:
        folder: the ``scratch`` folder of the layer.
        layer_id: the layer.
        chain: the tables of the layers below, nearest first; they are closed with the scratch.
        read_only: only look; somebody else may be writing.
        clock_ns: nanoseconds since 1970, for times of writing.
    Raises:
        LayerMounted: another process writes it.
        StoreCorrupt: it cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        layer_id: str,
        chain: Sequence[SealedTable],
        *,
        read_only: bool = False,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK)
        self._read_only = read_only
        self._is_closed = False
        with full_disk_told(folder), ExitStack() as undo:
            if not read_only:
                _acquire(self._lock, layer_id)
                undo.callback(self._lock.release)
            store = undo.enter_context(NodeStore(folder / DATABASE, layer_id, read_only=read_only))
            # By row of the scratch, and by (layer, row) of a layer below.
            self._own_open: dict[int, OpenNode] = {}
            self._lower_open: dict[tuple[int, int], OpenNode] = {}
            super().__init__((ScratchTable(store, self._own_open), *chain))
            self._store = store
            self._chain = tuple(chain)
            # Directories by folded path; a change of where any of them leads takes out all.
            self._ways: dict[str, Node] = {}
            # What an operation must undo if it fails, and what it leaves to be removed if not.
            self._rebound: list[tuple[tuple[int, int], OpenNode]] = []
            self._gone: list[int] = []
            # What operations left that are not committed yet.
            self._to_leave: list[int] = []
            self._committer: DelayedCall | None = None
            self._held_before = 0
            # Whether something failed half way, so that there may be files to be removed.
            self._is_torn = False
            data = DataFiles(folder / DATA)
            if not read_only:
                _recover(store, data)
            size, names = store.held()
            quota = Quota(int(store.facts.get("quota", "0")), size + names * NAME_COST)
            self._shared = Shared(store, data, self, quota, clock_ns, RLock())
            undo.pop_all()

    # -- looking -----------------------------------------------------------------------------------

    def lookup(self, path: str) -> Node | None:
        with self._shared.lock:
            above, _, name = path.rpartition("/")
            directory = self._way(above)
            if directory is None or not name:
                return directory
            return self._child(directory, fold(name)) if directory.stack else None

    def list(self, directory: Node) -> list[Node]:
        with self._shared.lock:
            return super().list(directory)

    def list_own(self, directory: Node) -> _OwnNames:
        with self._shared.lock:
            if not directory.stack or directory.stack[0][0] != 0:
                return super().list_own(directory)
            nodes = self._tables[0].children(directory.stack[0][1])
            for node in nodes:
                node.path = _join(directory.path, node.name)
            return [
                (node.name, None if node.kind is EntryKind.WHITEOUT else node) for node in nodes
            ]

    def resolve(self, node: Node) -> Node:
        with self._shared.lock:
            return super().resolve(node)

    def entry(self, node: Node) -> Entry:
        with self._shared.lock:
            if node.layer_id == self._store.layer_id:
                return self._store.entry(node)
            return super().entry(node)

    def parts(self, node: Node) -> tuple[Part, ...]:
        with self._shared.lock:
            if node.layer_id == self._store.layer_id:
                return self._tables[0].parts(node.row)
            return super().parts(node)

    def open(self, node: Node, stream: str = "") -> BinaryIO:
        return cast(BinaryIO, _ContentReader(self.open_content(node, stream)))

    def _child(self, directory: Node, folded: str) -> Node | None:
        """One name of a directory. What the chain shows is remembered, what the scratch has is asked."""
        if directory.stack[0][0] != 0:
            return self._seen_below(directory, directory.stack, folded)
        row = directory.stack[0][1]
        node = self._tables[0].child(row, folded)
        if node is None:
            lower = directory.stack[1:]
            return self._seen_below(directory, lower, folded) if lower else None
        if node.kind is EntryKind.WHITEOUT:
            return None
        node.path = _join(directory.path, node.name)
        return node

    def _seen_below(
        self, directory: Node, stack: tuple[tuple[int, int], ...], folded: str
    ) -> Node | None:
        """One name in the layers below, under the path that the directory has now."""
        found = super()._child(replace(directory, stack=stack), folded)
        if found is None:
            return None
        path = _join(directory.path, found.name)
        return found if found.path == path else replace(found, path=path)

    # -- changing ----------------------------------------------------------------------------------

    def together(self) -> AbstractContextManager[None]:
        return self._change()

    def create(self, directory: Node, name: str, entry: Entry) -> Node:
        with self._change():
            self._check_free(directory, name)
            self._shared.quota.take(NAME_COST)
            parent = self._own(directory)
            row = self._store.add_node(entry)
            if entry.kind is EntryKind.FILE:
                self._store.set_part(row, StoredPart("", "", 0, 0, None))
            folded = fold(name)
            self._store.set_name(parent, name, folded, row)
            return self._store.new_node(row, name, folded, entry, _join(directory.path, name))

    def link(self, node: Node, directory: Node, name: str) -> Node:
        with self._change():
            if node.kind is EntryKind.DIRECTORY:
                raise InvalidArgument(f"{node.path!r} is a directory, and has one name only")
            self._check_free(directory, name)
            self._shared.quota.take(NAME_COST)
            row = self._own(node)
            self._store.set_flag(row, NODE_LINKED)
            self._store.set_name(self._own(directory), name, fold(name), row)
            return self._named(row, directory, name)

    def rename(self, node: Node, directory: Node, name: str) -> Node:
        with self._change():
            folded = fold(name)
            _check_directory(directory)
            old_directory = self._directory_of(node)
            is_same = old_directory.stack == directory.stack and node.folded == folded
            if not is_same:
                if self._is_in(directory, node):
                    raise InvalidArgument(f"{node.path!r} cannot be moved into itself")
                replaced = self._child(directory, folded)
                if replaced is not None:
                    self._remove_name(replaced, directory)
            row = self._own(node)
            parent = self._own(directory)
            if not is_same:
                self._take_name(self._own(old_directory), old_directory, node.folded)
            self._store.set_name(parent, name, folded, row)
            if node.stack:
                self._ways.clear()
            return self._named(row, directory, name)

    def delete(self, node: Node) -> None:
        with self._change():
            self._remove_name(node, self._directory_of(node))

    def set_metadata(self, node: Node, metadata: Metadata) -> Node:
        with self._change():
            row = self._own(node)
            if (opened := self._own_open.get(row)) is not None:
                for stream in opened.streams.values():
                    stream.flush()  # or a later flush would undo the times that are set now
            columns = {
                column: value
                for name, column in _COLUMNS.items()
                if (value := getattr(metadata, name)) is not None
            }
            if columns:
                self._store.change_node(row, **columns)
            if metadata.security is not None:
                self._store.set_security(row, metadata.security)
            if metadata.ea is not None or metadata.reparse is not None:
                self._store.set_details(row, ea=metadata.ea, reparse=metadata.reparse)
                if metadata.reparse is not None:
                    self._ways.clear()
            if metadata.attributes is not None or metadata.reparse is not None:
                self._store.follow_kind(row)
            changed = self._tables[0].node(row)
            changed.name, changed.folded, changed.path = node.name, node.folded, node.path
            return changed

    def open_content(self, node: Node, stream: str = "", *, writable: bool = False) -> Content:
        with self._shared.lock:
            try:
                is_own = node.layer_id == self._store.layer_id
                if writable:
                    self._check_writable()
                with self._change() if writable and not is_own else nullcontext():
                    if writable:
                        self._own(node)
                    opened = self._opened(node)
                    found = self._opened_stream(opened, node, stream)
            except BaseException:
                self._drop_unused()
                raise
            opened.handles += 1
            found.handles += 1
            return StreamContent(self._shared, opened, found, self._let_go, writable=writable)

    def create_stream(self, node: Node, stream: str) -> None:
        folded = fold(stream)
        with self._change():
            row = self._own(node)
            if any(part.folded == folded for part in self._store.stored_parts(row)):
                raise AlreadyExists(f"{node.path!r} has an alternate stream {stream!r} already")
            self._shared.quota.take(NAME_COST)
            self._store.set_part(row, StoredPart(stream, folded, 0, 0, None))

    def delete_stream(self, node: Node, stream: str) -> None:
        folded = fold(stream)
        with self._change():
            row = self._own(node)
            parts = [one for one in self._store.stored_parts(row) if one.folded == folded]
            if not folded or not parts:
                raise PathNotFound(f"{node.path!r} has no alternate stream {stream!r}")
            opened = self._own_open.get(row)
            if opened is not None and folded in opened.streams:
                raise InUse(f"alternate stream {stream!r} of {node.path!r} is open")
            self._store.drop_part(row, folded)
            self._give_back(parts)

    def link_count(self, node: Node) -> int:
        with self._shared.lock:
            if node.layer_id != self._store.layer_id:
                return 1
            return self._store.name_count(node.row)

    def sync(self) -> None:
        with self._shared.lock, full_disk_told(self._folder):
            if self._read_only:
                return
            self._flush()
            self._bring_data()
            self._shared.settle()

    def freeze(self) -> None:
        """Show from now on what is there now, whatever another process goes on to change.

        Contents that are written in place are not held fast.
        """
        self._store.freeze()

    def gather(self, delay_seconds: float | None) -> None:
        """Commit changes that come soon after each other together, and make files of data in advance.

        It is quicker, and others see changes later.

        Args:
            delay_seconds: how long a change may wait for others; None until there are many, or ``sync``.
        """
        if delay_seconds is None:
            self._store.commits.gather(lambda: None)
        else:
            self._shared.data.keep_spares()
            self._committer = DelayedCall(self.publish, delay_seconds)
            self._store.commits.gather(self._committer.ask)

    def publish(self) -> None:
        """Commit what was gathered, for others to see.

        Raises:
            NoSpace: the disk is full, and it is lost: after this the scratch can only be closed.
        """
        with self._shared.lock, full_disk_told(self._folder):
            if not self._is_closed:
                self._store.commits.commit()
                self._leave()

    @property
    def own_count(self) -> int:
        """How many files and directories it has nodes of its own for."""
        return self._store.node_count()

    @property
    def created_ns(self) -> int:
        """When it was made, nanoseconds since 1970."""
        return int(self._store.facts.get("created_ns", "0"))

    @property
    def quota(self) -> int:
        return self._shared.quota.limit

    @property
    def held_size(self) -> int:
        return self._shared.quota.held

    def close(self) -> None:
        if self._committer is not None:
            self._committer.stop()
        with self._shared.lock, full_disk_told(self._folder):
            if self._is_closed:
                return
            self._is_closed = True
            try:
                if not self._read_only:
                    self._finish()
            finally:
                self._shared.data.drop_spares()
                super().close()
                self._lock.release()

    def _finish(self) -> None:
        """Leave nothing for the next one to recover."""
        self._flush()
        self._bring_data()
        self._store.commits.commit()
        self._leave()
        self._shared.settle()
        self._shared.data.drop_spares()  # before it is said that nothing is left over
        self._shared.data.sync_folder()
        if not self._is_torn:
            with self._store.transaction():
                self._store.set_fact("clean", "1")
            self._store.commits.commit()

    # -- the layers below, for open contents ---------------------------------------------------------

    def open_lower(self, part: StoredPart) -> Positional:
        table, found = self._lower_part(part)
        return cast(Positional, table.open_part(found))

    def copy_lower(self, part: StoredPart, descriptor: int) -> None:
        table, found = self._lower_part(part)
        runs = [(run.offset, run.source_offset, run.size) for run in found.extents or ()]
        copy_extents(table.pack_descriptor, runs, descriptor, found.size)

    def _lower_part(self, part: StoredPart) -> tuple[SealedTable, Part]:
        assert part.layer is not None
        assert part.row is not None
        table = self._chain[part.layer - 1]
        for found in table.parts(part.row):
            if fold(found.name) == part.folded:
                return table, found
        raise PathNotFound(f"layer {table.layer_id} has lost {part.name or 'data'!r} of {part.row}")

    # -- inside; the lock is held ---------------------------------------------------------------------

    def _change(self) -> AbstractContextManager[None]:
        """One operation: whole or absent."""
        self._check_writable()
        return _Change(self._shared, self._begin, self._end)

    def _check_writable(self) -> None:
        if self._read_only:
            raise IllegalState(f"scratch {self._store.layer_id} was opened to be looked at only")

    def _begin(self) -> None:
        self._held_before = self._shared.quota.held
        with full_disk_told(self._folder):
            self._store.commits.begin()

    def _end(self, error: BaseException | None) -> None:
        with full_disk_told(self._folder):
            try:
                self._store.commits.end(error)
                self._to_leave += self._gone
            except BaseException:
                self._take_back()
                raise
            finally:
                self._rebound.clear()
                self._gone.clear()
                self._shared.flushed.clear()
            if not self._store.commits.is_waiting:
                self._leave()

    def _take_back(self) -> None:
        """Have what is in memory be as before the operation."""
        self._is_torn = True
        self._ways.clear()
        self._shared.quota.held = self._held_before
        for stream in self._shared.flushed:
            stream.is_dirty = True
        for key, opened in self._rebound:
            self._own_open.pop(opened.row, None)
            self._lower_open[key] = opened
            opened.row = -1

    def _leave(self) -> None:
        """Give up files that nothing leads to, as is committed now."""
        gone, self._to_leave = self._to_leave, []
        if self._shared.data.leave(gone):
            self._shared.settle()

    def _own(self, node: Node) -> int:
        """The number of a node in the scratch, which it gets now if it has none."""
        if node.layer_id == self._store.layer_id:
            return node.row
        directory = self._directory_of(node)
        parent = self._own(directory)
        known = self._store.child(parent, node.folded)
        if known is not None and known.kind is not EntryKind.WHITEOUT:
            return known.row  # made meanwhile, as the way to something else
        resolved = self.resolve(node)
        entry = MergedView.entry(self, resolved)
        if entry.kind is not EntryKind.DIRECTORY:
            entry.kind = EntryKind.FILE
        parts = MergedView.parts(self, resolved)
        self._shared.quota.take(NAME_COST * (1 + sum(1 for part in parts if part.name)))
        row = self._store.add_node(entry, flags=resolved.flags, lowers=node.stack)
        layer = self.layer_ids.index(resolved.layer_id)
        for part in parts:
            self._store.set_part(
                row,
                StoredPart(
                    part.name,
                    fold(part.name),
                    part.size,
                    part.attributes,
                    None,
                    layer,
                    resolved.row,
                ),
            )
        self._store.set_name(parent, node.name, node.folded, row)
        if node.stack:
            self._ways.clear()
        key = self._key(node)
        if (opened := self._lower_open.pop(key, None)) is not None:
            opened.row = row
            self._own_open[row] = opened
            self._rebound.append((key, opened))
        return row

    def _key(self, node: Node) -> tuple[int, int]:
        return self.layer_ids.index(node.layer_id), node.row

    def _opened(self, node: Node) -> OpenNode:
        """What is shared by all that have a node open."""
        if node.layer_id != self._store.layer_id:
            known = self._store_row(node)
            if known is None:
                key = self._key(node)
                return self._lower_open.setdefault(key, OpenNode(node, -1))
        else:
            known = node.row
        return self._own_open.setdefault(known, OpenNode(node, known))

    def _store_row(self, node: Node) -> int | None:
        """The number that a node of a layer below got since it was looked up, or None."""
        fresh = self.lookup(node.path)
        if fresh is not None and fresh.layer_id == self._store.layer_id:
            return fresh.row
        return None

    def _opened_stream(self, opened: OpenNode, node: Node, stream: str) -> OpenStream:
        """What is shared by all that have one stream of a node open."""
        folded = fold(stream)
        found = opened.streams.get(folded)
        if found is None:
            part = self._stored_part(node, opened, folded, stream)
            found = opened.streams[folded] = OpenStream(self._shared, opened, part)
        return found

    def _drop_unused(self) -> None:
        """Forget of what is open that which nobody came to have open."""
        for opened in (*self._own_open.values(), *self._lower_open.values()):
            for folded, stream in list(opened.streams.items()):
                if not stream.handles:
                    stream.close()
                    del opened.streams[folded]
        for row in [row for row, opened in self._own_open.items() if not opened.handles]:
            del self._own_open[row]
        for key in [key for key, opened in self._lower_open.items() if not opened.handles]:
            del self._lower_open[key]

    def _stored_part(self, node: Node, opened: OpenNode, folded: str, stream: str) -> StoredPart:
        if opened.row >= 0:
            for part in self._store.stored_parts(opened.row):
                if part.folded == folded:
                    return part
        else:
            resolved = self.resolve(node)
            layer = self.layer_ids.index(resolved.layer_id)
            for found in MergedView.parts(self, resolved):
                if fold(found.name) == folded:
                    return StoredPart(
                        found.name, folded, found.size, found.attributes, None, layer, resolved.row
                    )
        what = f"alternate stream {stream!r}" if stream else "data"
        raise PathNotFound(f"{node.path!r} has no {what}")

    def _let_go(self, opened: OpenNode, stream: OpenStream) -> None:
        with self._shared.lock:
            opened.handles -= 1
            stream.handles -= 1
            stream.flush()
            if not stream.handles:
                stream.close()
                del opened.streams[stream.folded]
            if opened.handles:
                return
            if opened.row < 0:
                self._lower_open.pop(self._key(opened.node), None)
                return
            self._own_open.pop(opened.row, None)
            is_gone = opened.row != ROOT and not self._store.name_count(opened.row)
            if is_gone and not self._read_only:
                with self._change():
                    self._forget(opened.row)

    def _remove_name(self, node: Node, directory: Node) -> None:
        if node.is_directory and super().list(node):
            raise InUse(f"{node.path!r} is a directory that is not empty")
        if node.stack:
            self._ways.clear()
        parent = self._own(directory)
        self._take_name(parent, directory, node.folded)
        if node.layer_id == self._store.layer_id:
            self._shared.quota.take(-NAME_COST)
            if not self._store.name_count(node.row) and node.row not in self._own_open:
                self._forget(node.row)

    def _take_name(self, parent: int, directory: Node, folded: str) -> None:
        """Have a directory not show a name: a tombstone where the chain has it."""
        lower = tuple(place for place in directory.stack if place[0])
        if lower and (below := self._seen_below(directory, lower, folded)) is not None:
            self._store.set_name(parent, below.name, folded, None)
        else:
            self._store.drop_name(parent, folded)

    def _forget(self, row: int) -> None:
        """Take a node without names away."""
        self._give_back(self._store.stored_parts(row))
        self._store.remove_node(row)

    def _give_back(self, parts: Sequence[StoredPart]) -> None:
        """Count what parts held no more, and have files of data removed when that is committed."""
        for part in parts:
            if part.folded:
                self._shared.quota.take(-NAME_COST)
            if part.data is not None:
                self._shared.quota.take(-part.size)
                self._gone.append(part.data)

    def _way(self, path: str) -> Node | None:
        """A directory on the way to something, remembered: what leads on is right, its times may be old."""
        if not path or self._read_only:
            return super().lookup(path)
        key = fold(path)
        found = self._ways.get(key)
        if found is None:
            found = super().lookup(path)
            if found is not None and found.stack:
                if len(self._ways) >= _REMEMBERED_WAYS:
                    self._ways.clear()
                self._ways[key] = found
        return found

    def _directory_of(self, node: Node) -> Node:
        if not node.path:
            raise InvalidArgument("the root has no name that could change")
        directory = self._way(node.path.rpartition("/")[0])
        if directory is None:
            raise PathNotFound(f"the directory of {node.path!r} is gone")
        return directory

    def _is_in(self, directory: Node, node: Node) -> bool:
        """Whether a directory is a node, or lies below it."""
        return (fold(directory.path) + "/").startswith(fold(node.path) + "/")

    def _check_free(self, directory: Node, name: str) -> None:
        _check_directory(directory)
        if self._child(directory, fold(name)) is not None:
            raise AlreadyExists(f"{_join(directory.path, name)!r} exists already")

    def _named(self, row: int, directory: Node, name: str) -> Node:
        """A node of the scratch under one of its names."""
        node = self._tables[0].node(row)
        node.name, node.folded, node.path = name, fold(name), _join(directory.path, name)
        return node

    def _bring_data(self) -> None:
        """Bring all files of data to the disk that were written."""
        # What is written meanwhile is there to be brought the next time.
        numbers = list(self._shared.unsynced)
        self._shared.unsynced.difference_update(numbers)
        self._shared.data.sync(numbers)

    def _flush(self) -> None:
        for opened in self._own_open.values():
            for stream in opened.streams.values():
                stream.flush()


# A class, as a generator takes three times as long, and a small file is written by several changes.
class _Change:
    """One operation of a scratch, or a part of one."""

    __slots__ = ("_begin", "_end", "_is_part", "_shared")

    def __init__(
        self,
        shared: Shared,
        begin: Callable[[], None],
        end: Callable[[BaseException | None], None],
    ) -> None:
        self._shared = shared
        self._begin = begin
        self._end = end

    def __enter__(self) -> None:
        self._shared.lock.acquire()
        try:
            self._is_part = self._shared.store.commits.is_within
            if not self._is_part:
                self._begin()
        except BaseException:
            self._shared.lock.release()
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if not self._is_part:
                self._end(error)
        finally:
            self._shared.lock.release()


class _ContentReader(SizedReader):
    """A content as a file object to read."""

    def __init__(self, content: Content) -> None:
        super().__init__(content.size)
        self._content = content

    def read_at(self, position: int, size: int) -> bytes:
        return self._content.read_at(position, size)

    def close(self) -> None:
        if not self.closed:
            self._content.close()
        super().close()


def make_scratch(folder: Path, chain: Sequence[str], quota: int, root: Entry) -> None:
    """Make the files of a new scratch, and bring them to the disk.

    Args:
        folder: the ``scratch`` folder, which is not there.
        chain: ids of the layers below, nearest first.
        quota: bytes that it may hold, 0 for no limit.
        root: metadata of its root.
    """
    folder.mkdir()
    (folder / DATA).mkdir()
    facts = {"quota": str(quota), "chain": json.dumps(list(chain)), "clean": "1"}
    facts["created_ns"] = str(filetime_to_ns(root.creation_filetime))
    make_database(folder / DATABASE, facts, root, len(chain))
    with open(folder / DATABASE, "rb+") as file:
        sync_file(file.fileno())
    sync_directory(folder)


def chain_of(folder: Path) -> list[str]:
    """The layers that a scratch was made on, nearest first.

    Args:
        folder: its ``scratch`` folder.
    Raises:
        StoreCorrupt: it does not tell.
    """
    with NodeStore(folder / DATABASE, "", read_only=True) as store:
        try:
            return [str(layer_id) for layer_id in json.loads(store.facts["chain"])]
        except (KeyError, ValueError, TypeError) as error:
            raise StoreCorrupt(f"the scratch {folder} does not tell its chain") from error


def check_unwritten(folder: Path, layer_id: str) -> None:
    """See that no process has a scratch open for writing.

    Raises:
        LayerMounted: one has; the message says which.
    """
    lock = FileLock(folder / LOCK)
    _acquire(lock, layer_id)
    lock.release()


def _acquire(lock: FileLock, layer_id: str) -> None:
    try:
        lock.acquire(timeout_seconds=0)
    except StoreLocked as error:
        raise LayerMounted(f"scratch {layer_id} is written by another process: {error}") from error


def _recover(store: NodeStore, data: DataFiles) -> None:
    """Make a scratch whose process died fit together again: the files of data tell what was written."""
    if store.facts.get("clean") == "1":
        # On the disk before anything else is, or a loss of power would pass for a good end.
        store.set_fact("clean", "0")
        store.commits.sync()
        return
    with store.transaction():
        for row in store.nameless():
            store.remove_node(row)
        kept = set()
        for row, part, was_open in store.data_parts():
            assert part.data is not None
            kept.add(part.data)
            _mend(store, data, row, part, was_open=was_open)
    store.commits.sync()
    data.remove(set(data.numbers()) - kept)


def _mend(store: NodeStore, data: DataFiles, row: int, part: StoredPart, *, was_open: bool) -> None:
    assert part.data is not None
    size = data.size(part.data)
    if size is None:
        # Made and never brought to the disk, nor was what was written to it.
        store.set_part(row, replace(part, size=0, data=None))
        return
    if was_open:
        store.mark_written(row, ns_to_filetime(data.write_time_ns(part.data)))
    if was_open or size != part.size:
        store.set_part(row, replace(part, size=size))


def _check_directory(node: Node) -> None:
    if not node.is_directory:
        raise InvalidArgument(f"{node.path!r} is no directory")


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
