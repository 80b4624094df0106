"""Open contents of a scratch: what all that have one node open share.

A stream is read from the layer below until it is first written; then its bytes become a file of the
scratch, and whoever had it open reads that. Size and times reach the database when a content is flushed,
which closing does. This module refuses to know names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import RLock
from typing import Protocol

from winlayers.backends.portable._scratch_data import DataFiles
from winlayers.backends.portable._scratch_nodes import NodeStore, StoredPart
from winlayers.backends.sealed.space import full_disk_told
from winlayers.base.fileobj import read_at, write_all_at
from winlayers.errors import IllegalState, NoSpace, PathNotFound
from winlayers.formats.filetime import ns_to_filetime
from winlayers.layer.entry import FILE_ATTRIBUTE_ARCHIVE
from winlayers.layer.view import Node

#: What an own name counts for in the quota, in bytes.
NAME_COST = 1024


class Positional(Protocol):
    """Bytes that are read by position; see ``base.fileobj``."""

    size: int

    def read_at(self, position: int, size: int) -> bytes: ...


class Lowers(Protocol):
    """The contents of the layers below."""

    def open_lower(self, part: StoredPart) -> Positional:
        """The bytes that a part shares with a layer below."""

    def copy_lower(self, part: StoredPart, descriptor: int) -> None:
        """Have an open empty file hold them."""


class Quota:
    """What a scratch may hold, and holds.

    Args:
        limit: bytes, 0 for no limit.
        held: bytes that it holds already.
    """

    def __init__(self, limit: int, held: int) -> None:
        self.limit = limit
        self.held = held

    def take(self, size: int) -> None:
        """Count bytes more, or less where it is negative.

        Raises:
            NoSpace: they are too many; nothing is counted then.
        """
        if size > 0 and self.limit and self.held + size > self.limit:
            raise NoSpace(
                f"the scratch holds {self.held} of {self.limit} bytes, and {size} more do not fit; "
                "make it anew with a larger size=, or remove something"
            )
        self.held += size


@dataclass
class Shared:
    """What all contents of one scratch have to do with.

    Attributes:
        lock: held while anything but bytes is looked at or changed.
        unsynced: numbers of the files of data that were written since they were last on the disk.
        flushed: streams that the operation at work has told the database of.
    """

    store: NodeStore
    data: DataFiles
    lowers: Lowers
    quota: Quota
    clock_ns: Callable[[], int]
    lock: RLock
    unsynced: set[int] = field(default_factory=set)
    flushed: list[OpenStream] = field(default_factory=list)

    def full_disk_told(self) -> AbstractContextManager[None]:
        """See ``_space.full_disk_told``."""
        return full_disk_told(self.store.folder, "--root")

    def settle(self) -> None:
        """Bring all that was done to the disk; what nothing leads to any more may go then."""
        self.store.commits.sync()
        self.data.remove_left()


class OpenNode:
    """A node that somebody has open.

    Attributes:
        row: its number in the scratch, or -1 while it is a node of a layer below.
        node: as it was looked up when it was opened.
        handles: how many contents there are.
        streams: what is open of it, by folded name.
        write_filetime: when any of them was last written; 0 for never.
    """

    def __init__(self, node: Node, row: int) -> None:
        self.node = node
        self.row = row
        self.handles = 0
        self.streams: dict[str, OpenStream] = {}
        self.write_filetime = 0

    def patch(self, node: Node) -> None:
        """Have a node that was just read tell what is not flushed yet."""
        for folded, stream in self.streams.items():
            if not stream.is_dirty:
                continue
            if not folded:
                node.size = stream.size
            node.attributes |= FILE_ATTRIBUTE_ARCHIVE
            node.write_filetime = node.change_filetime = self.write_filetime


class OpenStream:
    """The bytes of one stream of an open node.

    Attributes:
        folded: its name, folded.
        size: bytes now.
        is_dirty: whether it was written since the database was told.
        handles: how many contents there are of it.
    """

    def __init__(self, shared: Shared, owner: OpenNode, part: StoredPart) -> None:
        self._shared = shared
        self._owner = owner
        self._part = part
        self._descriptor = -1
        self._lower: Positional | None = None
        self.size = part.size
        self.folded = part.folded
        self.is_dirty = False
        self.handles = 0
        if part.data is not None:
            try:
                writable = not shared.store.is_read_only
                self._descriptor = shared.data.open(part.data, writable=writable)
            except FileNotFoundError as error:
                raise PathNotFound(f"{owner.node.path!r} was removed meanwhile") from error
        elif part.layer is not None:
            self._lower = shared.lowers.open_lower(part)

    def read_at(self, offset: int, size: int) -> bytes:
        descriptor = self._descriptor
        if descriptor >= 0:
            return read_at(descriptor, offset, size)
        lower = self._lower
        wanted = min(size, self.size - offset)
        return b"" if lower is None or wanted <= 0 else lower.read_at(offset, wanted)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        shared = self._shared
        with shared.lock, shared.full_disk_told():
            number = self._make_own(self.size)
            end = offset + len(data)
            if end > self.size:
                shared.quota.take(end - self.size)
                self.size = end
            self._touch()
        try:
            with shared.full_disk_told():
                write_all_at(self._descriptor, offset, data)
        except BaseException:
            self._take_actual_size()
            raise
        finally:
            # Somebody else may have brought the file to the disk between the two.
            shared.unsynced.add(number)

    def truncate(self, size: int) -> None:
        shared = self._shared
        with shared.lock, shared.full_disk_told():
            # What is cut off need not be copied up first.
            if self._part.data is None and size == 0 and not self.size:
                self._touch_empty()
                return
            self._make_own(min(size, self.size))
            shared.quota.take(size - self.size)
            self.size = size
            self._touch()
            try:
                os.ftruncate(self._descriptor, size)
            except BaseException:
                self._take_actual_size()
                raise

    def flush(self) -> None:
        """Have the database know size and times."""
        shared = self._shared
        with shared.lock, shared.full_disk_told():
            if not self.is_dirty or self._owner.row < 0:
                return
            with shared.store.transaction():
                self._part = self._part.resized(self.size)
                shared.store.set_written_part(
                    self._owner.row, self._part, self._owner.write_filetime
                )
            self.is_dirty = False
            if shared.store.commits.is_within:
                shared.flushed.append(self)

    def sync(self) -> None:
        """Bring the bytes to the disk."""
        shared = self._shared
        self.flush()
        if (number := self._part.data) is not None and not shared.store.is_read_only:
            shared.unsynced.discard(number)
            with shared.full_disk_told():
                shared.data.sync_open(number, self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # -- inside; the lock is held ----------------------------------------------------------------

    def _make_own(self, kept: int) -> int:
        """Have a file of data, which begins with ``kept`` bytes of what the stream has now; its number."""
        shared = self._shared
        if self._owner.row < 0:
            raise IllegalState("the content was not opened for writing")
        if self._part.data is not None:
            if not self.is_dirty:
                with shared.store.transaction():
                    shared.store.mark_open(self._owner.row, self._part.folded)
                # Before the bytes change, as a crash must not leave them changed and not marked.
                shared.store.commits.commit()
            return self._part.data
        shared.quota.take(kept)
        try:
            number, descriptor = shared.data.create()
            try:
                self._fill(number, descriptor, kept)
            except BaseException:
                os.close(descriptor)
                shared.data.remove([number])
                raise
        except BaseException:
            shared.quota.take(-kept)
            raise
        self._descriptor, self._lower = descriptor, None
        self.size = kept
        return number

    def _fill(self, number: int, descriptor: int, kept: int) -> None:
        """Make a new file of data the one of this stream."""
        shared = self._shared
        if kept and self._part.layer is not None:
            shared.lowers.copy_lower(self._part, descriptor)
            os.ftruncate(descriptor, kept)
            # On the disk before the old content is given up, as the name may be there already.
            shared.data.sync_open(number, descriptor)
        part = self._part.written(kept, number)
        with shared.store.transaction():
            shared.store.set_part(self._owner.row, part, is_open=True)
        self._part = part

    def _touch(self) -> None:
        self.is_dirty = True
        self._owner.write_filetime = ns_to_filetime(self._shared.clock_ns())

    def _touch_empty(self) -> None:
        """Nothing was there and nothing is: only the time of writing changes."""
        if self._owner.row < 0:
            raise IllegalState("the content was not opened for writing")
        self._touch()

    def _take_actual_size(self) -> None:
        with self._shared.lock:
            actual = os.fstat(self._descriptor).st_size
            self._shared.quota.take(actual - self.size)
            self.size = actual


class StreamContent:
    """One opening of a stream; see ``layer.view.Content``."""

    def __init__(
        self,
        shared: Shared,
        owner: OpenNode,
        stream: OpenStream,
        close: Callable[[OpenNode, OpenStream], None],
        *,
        writable: bool,
    ) -> None:
        self._shared = shared
        self._owner = owner
        self._stream = stream
        self._close = close
        self._writable = writable
        self._is_open = True

    @property
    def size(self) -> int:
        return self._stream.size

    def node(self) -> Node:
        with self._shared.lock:
            owner = self._owner
            if owner.row < 0:
                return owner.node
            node = self._shared.store.node(owner.row)
            node.name, node.folded, node.path = owner.node.name, owner.node.folded, owner.node.path
            owner.patch(node)
            return node

    def read_at(self, offset: int, size: int) -> bytes:
        return self._stream.read_at(offset, size)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        self._check_writable()
        if len(data):
            self._stream.write_at(offset, data)

    def truncate(self, size: int) -> None:
        self._check_writable()
        self._stream.truncate(size)

    def flush(self) -> None:
        self._stream.flush()

    def sync(self) -> None:
        self._stream.sync()
        if not self._shared.store.is_read_only:
            with self._shared.lock, self._shared.full_disk_told():
                self._shared.settle()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._close(self._owner, self._stream)

    def _check_writable(self) -> None:
        if not self._writable:
            raise IllegalState("the content was not opened for writing")

    def __enter__(self) -> StreamContent:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
