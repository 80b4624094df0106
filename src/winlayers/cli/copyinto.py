"""Items into a scratch: what ``winlayers cp`` does on its way in.

Done as a copy on Windows is: what is new inherits its descriptor from the directory that it comes to; a file
that is there gets other bytes and keeps descriptor and attributes, and loses its alternate streams; times of
writing and access are those of the source, that of creation is now. Where an item brings what NTFS has
(``copyxattrs``), that is used instead. This module refuses to know where items come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO

from winlayers.base.progress import Cancel, Progress
from winlayers.base.rooted import Parts
from winlayers.cli import copyxattrs
from winlayers.cli.copyitems import CopyCounts, Item, ItemKind
from winlayers.errors import (
    AlreadyExists,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    PathNotFound,
)
from winlayers.formats.filetime import fits_filetime, ns_to_filetime
from winlayers.layer import ntfs3g
from winlayers.layer.names import fold
from winlayers.layer.tree import FileKind, Stat, Tree
from winlayers.layer.view import Content

_BLOCK_SIZE = 1 << 20


class TreeCopy:
    """One copy into a tree.

    Args:
        tree: takes the files.
        place: where the source goes, from the root of the tree.
        cancel: asked before each item and each block of content.
        progress: told the bytes written.
    """

    def __init__(self, tree: Tree, place: str, cancel: Cancel, progress: Progress) -> None:
        self._tree = tree
        self._place = place
        self._cancel = cancel
        self._progress = progress
        self._spelled: dict[str, str] = {}
        # By folded path: of a name that comes twice, as may be in a tar, the last counts.
        self._links: dict[str, Item] = {}
        self._directories: list[Item] = []
        self.counts = CopyCounts()
        #: Places of pipes, sockets and devices, which are left out.
        self.left_out: list[str] = []

    def run(self, items: Iterable[Item]) -> None:
        """Copy all items, and bring them to the disk. What was copied before an error stays.

        Raises:
            AlreadyExists: two items have names that differ in case only.
            IsADirectory, NotADirectory: a file would take the place of a directory, or the reverse.
            InvalidName: Windows does not allow a name.
            ReadOnlyFile: a file to be overwritten is marked READONLY, or has a fixed place.
            NoSpace: the quota of the scratch, or the disk, is full.
        """
        for item in items:
            self._cancel.check()
            self._add(item)
        # Whether a link leads to a directory is known once all is there.
        for item in self._links.values():
            self._add_symlink(item)
        # What comes into a directory changes its times.
        for item in reversed(self._directories):
            self._finish(item)

    def _add(self, item: Item) -> None:
        if not item.parts and not self._place:
            return  # the root of C: stays what it is
        if item.kind is ItemKind.OTHER:
            self.left_out.append("/".join(item.parts))
            return
        path = self._path(item.parts)
        self._check_spelling(path)
        self._make_parents(item.parts)
        self._links.pop(fold(path), None)
        if ntfs3g.REPARSE in item.xattrs or item.kind is ItemKind.SYMLINK:
            self._links[fold(path)] = item
        elif item.kind is ItemKind.DIRECTORY:
            self._add_directory(item, path)
        elif item.kind is ItemKind.HARD_LINK:
            self._add_hard_link(item, path)
        else:
            self._add_file(item, path)

    def _path(self, parts: Parts) -> str:
        return "/".join(part for part in (self._place, *parts) if part)

    def _check_spelling(self, path: str) -> None:
        """Refuse a second name that Windows would take for the first, rather than lose one of them."""
        spelled = self._spelled.setdefault(fold(path), path)
        if spelled != path:
            raise AlreadyExists(
                f"{spelled!r} and {path!r} are one name to Windows, and both are to be copied"
            )

    def _make_parents(self, parts: Parts) -> None:
        """Make the directories on the way, as a tar may not name them."""
        missing = []
        for count in range(len(parts) - 1, 0, -1):
            path = self._path(parts[:count])
            present = self._at(path)
            if present is not None:
                _check_directory(present)
                break
            missing.append(path)
        for path in reversed(missing):
            self._check_spelling(path)
            self._tree.mkdir(path)
            self.counts.directories += 1

    def _at(self, path: str) -> Stat | None:
        try:
            return self._tree.stat(path)
        except PathNotFound:
            return None

    def _add_directory(self, item: Item, path: str) -> None:
        present = self._at(path)
        if present is None:
            self._tree.mkdir(path)
            self.counts.directories += 1
            self._directories.append(item)
        else:
            _check_directory(present)

    def _add_file(self, item: Item, path: str) -> None:
        assert item.open is not None
        present = self._make_room(path, keep_file=True)
        content = self._tree.open(path, writable=True, create=True, truncate=True)
        try:
            with closing(content), item.open() as source:
                size = self._write(source, content)
        except BaseException:
            if present is None:
                self._tree.unlink(path)  # it is not what its name says
            raise
        if present is not None:
            for stream in self._tree.streams(path):
                self._tree.remove_stream(path, stream.name)
        self._finish(item)
        self.counts.files += 1
        self.counts.size += size

    def _write(self, source: BinaryIO, content: Content) -> int:
        """Write the bytes of a file; how many."""
        offset = 0
        while block := source.read(_BLOCK_SIZE):
            self._cancel.check()
            # A block of zeros is what is there already: holes stay holes.
            if block.count(0) != len(block):
                content.write_at(offset, block)
            offset += len(block)
            self._progress.advance(len(block))
        content.truncate(offset)  # where it ends in zeros
        return offset

    def _add_hard_link(self, item: Item, path: str) -> None:
        target = self._path(item.shares)
        if fold(target) not in self._spelled:
            raise InvalidArgument(
                f"{path!r} shares {'/'.join(item.shares)!r}, which is not among what was copied before"
            )
        if symlink := self._links.get(fold(target)):
            self._links[fold(path)] = replace(symlink, parts=item.parts)
        elif fold(target) != fold(path):
            self._make_room(path)
            change = self._tree.stat(target).change_filetime
            self._tree.link(target, path)
            self._tree.set_times(path, change=change)  # the one that its item may have told
            self.counts.links += 1

    def _add_symlink(self, item: Item) -> None:
        """Make a link, or another reparse point that an item brings as it is."""
        path = self._path(item.parts)
        self._make_room(path)
        data = item.xattrs.get(ntfs3g.REPARSE)
        if data is None:
            is_directory = True if item.is_directory_link else None
            self._tree.symlink(item.target, path, is_directory=is_directory)
        else:
            if item.kind is ItemKind.DIRECTORY or copyxattrs.tells_directory(item.xattrs):
                self._tree.mkdir(path)
            else:
                self._tree.open(path, writable=True, create=True).close()
            self._tree.set_reparse(path, data)
        self._finish(item)
        self.counts.links += 1

    def _make_room(self, path: str, *, keep_file: bool = False) -> Stat | None:
        """Remove a file or link that has a name; what stays there.

        Args:
            path: where something comes.
            keep_file: leave a file, to be overwritten.
        """
        present = self._at(path)
        if present is None:
            return None
        if present.kind is FileKind.DIRECTORY:
            raise IsADirectory(f"{path!r} is a directory, and something else is to be copied there")
        if keep_file and present.kind is FileKind.FILE:
            return present
        self._tree.unlink(path)
        return None

    def _finish(self, item: Item) -> None:
        """Give what was made its metadata."""
        path = self._path(item.parts)
        if ntfs3g.TIMES not in item.xattrs:
            write, access = _filetime(item.write_ns), _filetime(item.access_ns)
            self._tree.set_times(path, write=write, access=access)
        copyxattrs.apply(self._tree, path, item.xattrs)


def _check_directory(present: Stat) -> None:
    if present.kind is not FileKind.DIRECTORY:
        raise NotADirectory(f"{present.path!r} is no directory, as what is to be copied wants it")


def _filetime(ns: int | None) -> int | None:
    return None if ns is None or not fits_filetime(ns) else ns_to_filetime(ns)
