"""What a chain of layers looks like merged: the contract of a View, read only.

A view is a tree of *nodes*. A node is one name as the nearest layer that has it tells it, with the
columns that listings need; ``View.entry`` gives the rest of its metadata. The root of a view is the
root of the tar, so that the container's ``C:`` is ``Files`` below it.

Sets of nodes come in folded order (``layer.names.fold``), which is what lets two views be compared by
one ordered walk. This module refuses to know how layers are merged and where they are kept.

Source: the merging rules are those of Windows as microsoft/hcsshim's readers and writers show them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol, Self, runtime_checkable

from winlayers.layer.entry import FILE_ATTRIBUTE_REPARSE_POINT, Entry, EntryKind, Part


# Not frozen, and made from tuples: a listing of a big layer makes hundreds of thousands.
@dataclass(slots=True, eq=False)
class Node:
    """One name of a view. Nobody changes one after it was handed out.

    Attributes:
        row: number of the entry in its layer, in the order of the tar, from 1; 0 for the root.
        name: as spelled in the layer; ``""`` for the root.
        folded: ``fold(name)``.
        kind: FILE, DIRECTORY or LINK; WHITEOUT only inside one layer, never in a view.
        attributes: FILE_ATTRIBUTE_*.
        creation_filetime: this and the next three in 100 ns since 1601-01-01 UTC.
        size: bytes of the unnamed data.
        flags: ``NODE_*`` bits.
        layer_id: the layer that the node comes from.
        path: from the root of the view, with ``/``; filled in by the view.
        stack: for a directory, the (layer number in the view, row) pairs whose children show through,
            nearest first.
    """

    row: int
    name: str
    folded: str
    kind: EntryKind
    attributes: int
    creation_filetime: int
    access_filetime: int
    write_filetime: int
    change_filetime: int
    size: int
    flags: int
    layer_id: str = ""
    path: str = ""
    stack: tuple[tuple[int, int], ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether it has children: a directory that is no reparse point."""
        return self.kind is EntryKind.DIRECTORY and not self.flags & NODE_REPARSE

    @property
    def is_reparse_point(self) -> bool:
        """Whether it has reparse data (symbolic link, junction or any other tag)."""
        return bool(self.flags & NODE_REPARSE)


#: The node has reparse data, whatever FILE_ATTRIBUTE_REPARSE_POINT says.
NODE_REPARSE = 1
#: The node has alternate streams.
NODE_STREAMS = 2
#: The node has extended attributes.
NODE_EA = 4
#: Directory: nothing of the layers below shows through.
NODE_OPAQUE = 8
#: Directory that the layer has children of, but no entry for.
NODE_IMPLIED = 16
#: File of a scratch that has, or had, more than one name there.
NODE_LINKED = 32


def shown_attributes(node: Node) -> int:
    """The attributes of a node as Windows would show them: REPARSE_POINT follows the reparse data."""
    if node.flags & NODE_REPARSE:
        return node.attributes | FILE_ATTRIBUTE_REPARSE_POINT
    return node.attributes & ~FILE_ATTRIBUTE_REPARSE_POINT


class View(Protocol):
    """A merged, read-only tree over a chain of layers.

    Life: opened by a backend, asked by any number of callers in one thread, closed. Reads by offset are
    independent of each other. A view goes on working while its layers are removed; where open files cannot be,
    as on Windows, their removal is refused with InUse meanwhile.
    """

    @property
    def layer_ids(self) -> tuple[str, ...]:
        """The layers that the view merges, nearest first."""

    def root(self) -> Node:
        """The node of the root, whose path is ``""``."""

    def lookup(self, path: str) -> Node | None:
        """The node at a path, case not regarded, or None.

        No reparse point on the way is followed (``layer.resolving`` does that); what lies below one, or
        below a file, is not there.
        """

    def list(self, directory: Node) -> list[Node]:
        """The children of a directory of this view, in folded order; none of anything else."""

    def resolve(self, node: Node) -> Node:
        """The node that a hard link shares its content with, under the link's name and path.

        Other nodes are returned as they are.

        Raises:
            PathNotFound: the target is in none of the layers that the link's own layer stands on.
        """

    def entry(self, node: Node) -> Entry:
        """All metadata of a node. A hard link is shown raw: kind LINK and ``target``."""

    def parts(self, node: Node) -> tuple[Part, ...]:
        """The data and the alternate streams of a node; those of a hard link's target for a link."""

    def open(self, node: Node, stream: str = "") -> BinaryIO:
        """The bytes of a node's data, or of one alternate stream; seekable, read by offset.

        Raises:
            PathNotFound: there is no such stream.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@runtime_checkable
class ListsOwn(Protocol):
    """A view that can tell what the nearest layer of a directory has in it, without listing it all."""

    def list_own(self, directory: Node) -> list[tuple[str, Node | None]]:
        """The names that the first layer of a directory's stack has an entry or a whiteout for.

        Returns:
            In folded order, each with the node that the view shows; None where it shows none.
        """


@dataclass(frozen=True, slots=True)
class Metadata:
    """What ``Scratch.set_metadata`` shall change; None leaves a thing as it is.

    Attributes:
        attributes: FILE_ATTRIBUTE_*; DIRECTORY and REPARSE_POINT are not looked at, they follow what the
            node is.
        creation_filetime: this and the next three in 100 ns since 1601-01-01 UTC.
        security: self-relative security descriptor, ``b""`` for none.
        ea: list of FILE_FULL_EA_INFORMATION, ``b""`` for none.
        reparse: whole reparse buffer, ``b""`` for none.
    """

    attributes: int | None = None
    creation_filetime: int | None = None
    access_filetime: int | None = None
    write_filetime: int | None = None
    change_filetime: int | None = None
    security: bytes | None = None
    ea: bytes | None = None
    reparse: bytes | None = None


class Content(Protocol):
    """The bytes of one stream of a node, open; they stay when the name changes, moves or goes.

    All that have the same node open see the same bytes at once. Any thread may call.
    """

    @property
    def size(self) -> int:
        """Bytes now."""

    def node(self) -> Node:
        """The node as it is now; its path is the one that it was opened by."""

    def read_at(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes; fewer only at the end."""

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of ``data``; a gap before it reads as zeros.

        Raises:
            NoSpace: the scratch would hold more than its quota, or the disk is full; nothing of it, or
                a part, was written.
            IllegalState: it was not opened for writing.
        """

    def truncate(self, size: int) -> None:
        """Have ``size`` bytes; what is new is zeros. Raises as ``write_at``."""

    def flush(self) -> None:
        """Have the scratch know size and times; other processes see them then."""

    def sync(self) -> None:
        """Bring content and metadata to the disk."""

    def close(self) -> None:
        """Flush, and let go."""


class Scratch(View, Protocol):
    """A view that takes writes; its own entries are the difference to the chain.

    These are the primitives: each is whole or absent after a crash, changes no times by itself, and
    knows no rules of Windows but that names are compared without case. The rules are ``layer.tree``'s.
    Nodes that are handed in were looked up since the last change; those handed out are as after it.
    One thread at a time calls; a ``Content`` takes calls of any.
    """

    def together(self) -> AbstractContextManager[None]:
        """Have what is done in the ``with`` block count as one operation: whole, or absent if it raises.

        Bytes that are written in the block do not come back.
        """

    def create(self, directory: Node, name: str, entry: Entry) -> Node:
        """A new empty file or directory with the metadata of ``entry`` (its path is not looked at).

        Raises:
            AlreadyExists: the directory has the name.
            NoSpace: the quota is used up.
        """

    def link(self, node: Node, directory: Node, name: str) -> Node:
        """One more name for a file. Raises AlreadyExists."""

    def rename(self, node: Node, directory: Node, name: str) -> Node:
        """Move a node, with all below it, to a name of its own or of another directory.

        A file or an empty directory that has the name goes, in the same step. Nothing is copied.
        """

    def delete(self, node: Node) -> None:
        """Take a name away. Raises InUse where it is a directory with anything in it."""

    def set_metadata(self, node: Node, metadata: Metadata) -> Node:
        """Change what ``metadata`` tells."""

    def open_content(self, node: Node, stream: str = "", *, writable: bool = False) -> Content:
        """Open the data or an alternate stream. Raises PathNotFound where there is no such stream."""

    def create_stream(self, node: Node, stream: str) -> None:
        """A new empty alternate stream, also of a directory. Raises AlreadyExists."""

    def delete_stream(self, node: Node, stream: str) -> None:
        """Take an alternate stream away.

        Raises:
            PathNotFound: there is no such stream.
            InUse: somebody has it open.
        """

    def link_count(self, node: Node) -> int:
        """How many names a file has in this scratch; 1 for one that comes from the chain."""

    def publish(self) -> None:
        """Have others who look at the scratch see all that was done until now."""

    def sync(self) -> None:
        """Bring all to the disk."""

    @property
    def quota(self) -> int:
        """Bytes that the scratch may hold, 0 for no limit."""

    @property
    def held_size(self) -> int:
        """Bytes that it holds: written contents, and 1 KiB for each own name, of streams too."""


def walk(view: View, start: Node) -> Iterator[Node]:
    """All nodes below a node, each directory before what is in it, siblings in folded order.

    The start itself is not among them. Reparse points are not entered.
    """
    pending = [iter(view.list(start))]
    while pending:
        for node in pending[-1]:
            yield node
            if node.stack:
                pending.append(iter(view.list(node)))
                break
        else:
            pending.pop()
