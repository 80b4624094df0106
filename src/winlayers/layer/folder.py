"""Writes a part of a view out as a plain folder of any OS.

What other systems have is kept: names, content, times of writing and access, hard links between what is
written, holes in files, and for READONLY files the missing right to write. All else is lost, and each
loss is reported. This module refuses to know where views come from; it writes below the destination and
nowhere else, whatever the layer says.

Source: the losses are those of ``layer.losses`` for a folder.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

from winlayers.base.fileobj import BLOCK_SIZE, copy, write_all
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.base.rooted import Parts, Root
from winlayers.errors import AlreadyExists, InvalidName, Malformed, PathNotFound, TooLarge
from winlayers.formats.filetime import filetime_to_ns
from winlayers.formats.reparse import TAG_MOUNT_POINT, TAG_SYMLINK, tag_of
from winlayers.layer.entry import FILE_ATTRIBUTE_READONLY, EntryKind, Part
from winlayers.layer.findings import Finding
from winlayers.layer.losses import Form, losses_of
from winlayers.layer.resolving import link_target
from winlayers.layer.view import NODE_LINKED, NODE_STREAMS, Node, View, walk

# What a system says to a name that it cannot hold, or that it takes for another one.
_NAME_ERRORS = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EEXIST})
# What it says when it cannot link.
_LINK_ERRORS = frozenset({errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})
# Any file system keeps times between 1970 and 2038; others are looked at again.
_SAFE_TIMES = range(2**31 * 10**9)


@dataclass(slots=True)
class ExtractCounts:
    """What was written.

    Attributes:
        files: files with content of their own.
        directories: folders, the destination not among them.
        hard_links: further names of files.
        symlinks: symbolic links.
        size: bytes of the files, holes included.
        losses: findings reported.
    """

    files: int = 0
    directories: int = 0
    hard_links: int = 0
    symlinks: int = 0
    size: int = 0
    losses: int = 0


def extract(
    view: View,
    node: Node,
    destination: Path,
    *,
    on_loss: Callable[[Finding], None],
    symlinks: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ExtractCounts:
    """Write a node, and all that is below it.

    Args:
        view: where the node is from.
        node: a directory, whose content goes straight into the destination; or anything else, which
            goes there under its name.
        destination: a folder, empty or not there yet (the one above it is).
        on_loss: called with each thing that is not written as it is.
        symlinks: write symbolic links and junctions that lead to something below ``node`` as relative
            symbolic links; otherwise they are left out and reported.
        progress: told the bytes of content written.
        cancel: asked before each node and each block of content.
    Returns:
        What was written.
    Raises:
        AlreadyExists: the destination is not empty.
        Cancelled: ``cancel`` was set; what was written stays.
        OSError: the system refuses to write.
    """
    destination.mkdir(exist_ok=True)
    with empty_root(destination) as root:
        work = Extraction(view, node, root, on_loss, cancel or Cancel(), progress or NullProgress())
        work.run(PlainKeeper(work, symlinks=symlinks))
        return work.counts


@contextmanager
def empty_root(destination: Path) -> Iterator[Root]:
    """A folder to extract into.

    Raises:
        AlreadyExists: something is in it.
    """
    with Root(destination) as root:
        if root.list(()):
            raise AlreadyExists(f"{destination} is not empty; choose a folder that is")
        yield root


class Instead(Enum):
    """What a keeper did with a node instead of having it written as any file or folder."""

    NOTHING = "nothing"
    WROTE = "wrote"
    LEFT_OUT = "left out"


class Keeper(Protocol):
    """How a kind of folder keeps what is no content."""

    def write_instead(self, node: Node, place: Parts) -> Instead:
        """Write a node that is not to be a file or folder with its content, or leave it out."""

    def keep(self, node: Node, place: Parts) -> bool:
        """Keep what can be kept of what was just written; whether ``finish`` is to be called for it."""

    def finish(self, node: Node, place: Parts) -> None:
        """Keep the rest, when all is written; what is in a folder comes before the folder."""


class _NameRefusedError(Exception):
    """The system holds no such name, or takes it for another one; the message is the system's."""


@contextmanager
def naming() -> Iterator[None]:
    """Tell refusals of a name from all other errors."""
    try:
        yield
    except (InvalidName, TooLarge) as error:
        raise _NameRefusedError(str(error)) from error
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
        raise _NameRefusedError(error.strerror) from error


class Extraction:
    """Writes a node and all below it, each once, and has a keeper do what kinds of folders differ in.

    Args:
        view: where the node is from.
        start: a directory, or anything else.
        root: the empty folder to write into.
        on_loss: called with each thing that is not written as it is.
        cancel: asked before each node and each block of content.
        progress: told the bytes of content written.

    Attributes:
        counts: what was written until now.
    """

    def __init__(
        self,
        view: View,
        start: Node,
        root: Root,
        on_loss: Callable[[Finding], None],
        cancel: Cancel,
        progress: Progress,
    ) -> None:
        self.view = view
        self.start = start
        self.root = root
        self._on_loss = on_loss
        self._cancel = cancel
        self._progress = progress
        self._above = f"{start.path}/" if start.path else ""
        # Files that have several names, and where the first of them was written.
        self._shared: dict[tuple[str, int], Parts | None] = {}
        self.counts = ExtractCounts()

    def run(self, keeper: Keeper) -> None:
        """Write it all."""
        self._progress.start("extracting", None)
        try:
            self._write_all(keeper)
        finally:
            self._progress.finish()

    def _write_all(self, keeper: Keeper) -> None:
        for node in self._nodes():
            is_shared = node.kind is EntryKind.LINK or node.flags & NODE_LINKED
            if is_shared and (found := self._resolved(node)):
                self._shared[found.layer_id, found.row] = None
        unfinished: list[tuple[Parts, Node]] = []
        skipped = "\0"  # no path begins so
        for node in self._nodes():
            self._cancel.check()
            if node.path.startswith(skipped):
                continue
            place = self._place(node)
            found = self._resolved(node, report=True)
            if found is None:
                continue
            try:
                if self._write(found, place, keeper):
                    unfinished.append((place, found))
            except _NameRefusedError as error:
                below = " and what is below it" if node.is_directory else ""
                self.lose("name-lost", node, f"the name{below}: {error}")
                skipped = f"{node.path}/"
        # Writing into a folder changes its times, so they come last, and the deepest first.
        for place, node in reversed(unfinished):
            keeper.finish(node, place)

    def _nodes(self) -> Iterator[Node]:
        if self.start.is_directory:
            return walk(self.view, self.start)
        return iter((self.start,))

    def _place(self, node: Node) -> Parts:
        if not self.start.is_directory:
            return (node.name,)
        return tuple(node.path[len(self._above) :].split("/"))

    def _resolved(self, node: Node, *, report: bool = False) -> Node | None:
        """What a node shares, if it is a hard link; None for one that leads nowhere."""
        try:
            return self.view.resolve(node)
        except PathNotFound as error:
            if report:
                self.lose("link-target-missing", node, str(error))
            return None

    def _write(self, node: Node, place: Parts, keeper: Keeper) -> bool:
        """Write one node, hard links resolved; whether the keeper is to finish it."""
        key = node.layer_id, node.row
        first = self._shared.get(key)
        if first is not None and self._link(node, first, place):
            return False
        instead = keeper.write_instead(node, place)
        if instead is Instead.LEFT_OUT:
            return False
        if instead is Instead.NOTHING:
            self._write_ordinary(node, place)
        if key in self._shared:
            self._shared[key] = place
        return keeper.keep(node, place)

    def _write_ordinary(self, node: Node, place: Parts) -> None:
        if node.kind is not EntryKind.DIRECTORY:
            self._write_file(node, place)
            return
        with naming():
            self.root.mkdir(place)
        self.counts.directories += 1

    def _link(self, node: Node, first: Parts, place: Parts) -> bool:
        """Make a second name of what was written; False where the file system has none."""
        try:
            with naming():
                self.root.link(first, place)
        except OSError as error:
            if error.errno not in _LINK_ERRORS:
                raise
            self.lose("link-copied", node, f"shares {'/'.join(first)!r}: {error.strerror}")
            return False
        self.counts.hard_links += 1
        return True

    def _write_file(self, node: Node, place: Parts) -> None:
        mode = 0o444 if node.attributes & FILE_ATTRIBUTE_READONLY else 0o666
        with naming():
            target = self.root.create_file(place, mode)
        with target:
            for part in self.view.parts(node):
                if not part.name and part.size:
                    self._copy(node, part, target)
        self.counts.files += 1
        self.counts.size += node.size

    def _copy(self, node: Node, part: Part, target: BinaryIO) -> None:
        """Write the data, its holes as holes: a small layer may tell of more zeros than a disk holds."""
        with self.view.open(node) as source:
            if part.extents is None:
                copy(_Watched(source, self._cancel, self._progress), target)
                return
            for extent in part.extents:
                source.seek(extent.offset)
                target.seek(extent.offset)
                left = extent.size
                while left:
                    self._cancel.check()
                    block = source.read(min(left, BLOCK_SIZE))
                    write_all(target, memoryview(block))
                    self._progress.advance(len(block))
                    left -= len(block)
            target.truncate(part.size)

    def lose(self, code: str, node: Node, detail: str) -> None:
        """Tell that something of a node is not written as it is."""
        self.report(Finding(code, node.path, detail))

    def report(self, finding: Finding) -> None:
        """Count a loss, and tell it."""
        self.counts.losses += 1
        self._on_loss(finding)


class PlainKeeper:
    """Keeps what any folder can, and reports all else as lost.

    Args:
        work: what it keeps for.
        symlinks: whether links that lead inside become symbolic links; otherwise they are left out.
    """

    def __init__(self, work: Extraction, *, symlinks: bool) -> None:
        self._work = work
        self._symlinks = symlinks
        self._above = f"{work.start.path}/" if work.start.path else ""

    def _is_link(self, node: Node) -> bool:
        """Whether it is a symbolic link or junction."""
        if not node.is_reparse_point:
            return False
        return tag_of(self._work.view.entry(node).reparse) in (TAG_SYMLINK, TAG_MOUNT_POINT)

    def write_instead(self, node: Node, place: Parts) -> Instead:
        """Write a symbolic link or junction, or leave it out."""
        if not self._is_link(node):
            return Instead.NOTHING
        target = self._inside(node) if self._symlinks else None
        if target is None:
            detail = "it leads elsewhere" if self._symlinks else "links were not asked for"
            self._work.lose("link-skipped", node, detail)
            return Instead.LEFT_OUT
        with naming():
            is_folder = node.kind is EntryKind.DIRECTORY
            self._work.root.symlink(_relative(target, place), place, is_folder=is_folder)
        self._work.counts.symlinks += 1
        return Instead.WROTE

    def _inside(self, node: Node) -> Parts | None:
        """Where in the destination a link leads, or None."""
        try:
            target = link_target(self._work.view, node)
        except (PathNotFound, Malformed):
            return None
        is_inside = self._work.start.is_directory and f"{target}/".startswith(self._above)
        if target is None or not is_inside or "\0" in target:
            return None
        below = target[len(self._above) :]
        return tuple(below.split("/")) if below else ()

    def keep(self, node: Node, place: Parts) -> bool:
        """Times, of all but folders."""
        self._report_losses(node)
        if not node.is_directory and not self._is_link(node):
            self.finish(node, place)
        return node.is_directory

    def finish(self, node: Node, place: Parts) -> None:
        """Set the times that can be set, and report where they came out otherwise."""
        access_ns = filetime_to_ns(node.access_filetime)
        write_ns = filetime_to_ns(node.write_filetime)
        try:
            self._work.root.utime(place, access_ns=access_ns, modify_ns=write_ns)
            if write_ns in _SAFE_TIMES or self._work.root.stat(place).st_mtime_ns == write_ns:
                return
            detail = "this file system has no such time of writing"
        except (OverflowError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            detail = f"times cannot be set: {error}"
        self._work.lose("time-range", node, detail)

    def _report_losses(self, node: Node) -> None:
        entry = replace(self._work.view.entry(node), path=node.path)
        parts = self._work.view.parts(node) if node.flags & NODE_STREAMS else ()
        for finding in losses_of(entry, parts, form=Form.FOLDER):
            self._work.report(finding)


class _Watched:
    """A source that asks whether to go on, and tells how far it is."""

    def __init__(self, source: BinaryIO, cancel: Cancel, progress: Progress) -> None:
        self._source = source
        self._cancel = cancel
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        self._cancel.check()
        block = self._source.read(size)
        self._progress.advance(len(block))
        return block


def _relative(target: Parts, place: Parts) -> str:
    """One place as a symbolic link at another says it."""
    shared = 0
    folder = place[:-1]
    while shared < min(len(target), len(folder)) and target[shared] == folder[shared]:
        shared += 1
    return "/".join(chain([".."] * (len(folder) - shared), target[shared:])) or "."
