"""Files by place, as endpoints on disk see them: in a folder, or in something that looks like one.

``Files`` is what is needed to read, whatever the files lie in. ``Folder`` is a folder that is also written to, by any
number of threads: a file appears whole or not at all, and no link is ever followed below the folder. What was being
written when a process died is called ``.winlayers-*.tmp`` and is in nobody's way; ``sweep`` removes it.

This module knows nothing of images.
"""

from __future__ import annotations

import os
import posixpath
import stat
import threading
from pathlib import Path
from typing import BinaryIO, Protocol

from winlayers.base import atomic
from winlayers.base.fileobj import BLOCK_SIZE, Readable, copy, write_all
from winlayers.base.rooted import Parts, Root
from winlayers.errors import Corrupt, InvalidName, Malformed, TooLarge

OWN_PREFIX = ".winlayers-"
"""How the names of our files begin that are no part of what is stored: staged ones, locks."""

_STAGED_SUFFIX = ".tmp"


class Files(Protocol):
    """Files to be read, by any thread."""

    def size(self, parts: Parts) -> int | None:
        """Bytes of a file, or None where nothing is.

        Raises:
            InvalidName: it is no regular file, or one cannot have this name.
        """

    def open(self, parts: Parts) -> BinaryIO:
        """Open a file at its first byte; the caller closes it.

        Raises:
            FileNotFoundError: nothing is there.
            InvalidName: as for ``size``.
        """

    def close(self) -> None:
        """Let go of what the files lie in; files that are open stay so."""


class Folder:
    """The files of a folder."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        """Open it.

        Args:
            path: an existing folder; its own name is trusted, links on the way to it are followed.
            sync: whether to wait for the disk; not where all goes when the process dies.
        """
        self.path = path
        self._sync = sync
        self._root = Root(path)
        self._lock = threading.Lock()  # a Root is for one thread

    def close(self) -> None:
        """Let go of the folder; files that are open stay so."""
        with self._lock:
            self._root.close()

    def size(self, parts: Parts) -> int | None:
        """See ``Files``."""
        try:
            with self._lock:
                status = self._root.stat(parts)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise InvalidName(f"{shown(parts)} in {self.path} is not a regular file")
        return status.st_size

    def open(self, parts: Parts) -> BinaryIO:
        """See ``Files``."""
        with self._lock:
            return self._root.open_file(parts)

    def make_folder(self, parts: Parts) -> None:
        """Make a folder and those above it, where they are not there yet."""
        with self._lock:
            for depth in range(1, len(parts) + 1):
                self._root.mkdir(parts[:depth], exist_ok=True)

    def receive(self, parts: Parts, source: Readable, size: int | None = None) -> None:
        """Take a file from a file object, whole or not at all; one that is there is replaced.

        Args:
            parts: where; its folder is there.
            source: read to its end.
            size: bytes that it must have, or None for any.
        Raises:
            Corrupt: it has more or fewer; what was there before still is.
        """
        staged = (f"{OWN_PREFIX}{os.urandom(8).hex()}{_STAGED_SUFFIX}",)
        with self._lock:
            file = self._root.create_file(staged)
        try:
            with file:
                if size is None:
                    copy(source, file)
                else:
                    copy_exactly(source, file, size, what=shown(parts))
                if self._sync:
                    atomic.sync_file(file.fileno())
            with self._lock:
                self._root.rename(staged, parts)
        except BaseException as error:
            self._discard(staged, error)
            raise

    def rename(self, old: Parts, new: Parts) -> None:
        """Give a file another name; what has that name is replaced."""
        with self._lock:
            self._root.rename(old, new)

    def remove(self, parts: Parts) -> None:
        """Remove a file."""
        with self._lock:
            self._root.remove(parts)

    def names(self, parts: Parts = ()) -> list[str]:
        """What is in a folder, sorted; our own files are left out."""
        with self._lock:
            found = self._root.list(parts)
        return sorted(name for name in found if not name.startswith(OWN_PREFIX))

    def sweep(self) -> None:
        """Remove what was being written by processes that have died; nobody else may write now."""
        with self._lock:
            for name in self._root.list(()):
                if name.startswith(OWN_PREFIX) and name.endswith(_STAGED_SUFFIX):
                    self._root.remove_tree((name,))

    def sync(self, *folders: Parts) -> None:
        """Bring the names in folders to the disk."""
        for parts in folders if self._sync else ():
            atomic.sync_directory(self.path.joinpath(*parts))

    def _discard(self, staged: Parts, error: BaseException) -> None:
        try:
            with self._lock:
                if self._root.exists(staged):
                    self._root.remove(staged)
        except OSError as late:
            error.add_note(f"besides, {shown(staged)} could not be removed: {late}")


def copy_exactly(source: Readable, target: BinaryIO, size: int, *, what: str) -> None:
    """Copy a file object to its end, which must come after so many bytes.

    Args:
        source: what to read.
        target: where to write.
        size: bytes.
        what: how an error names the content.
    Raises:
        Corrupt: there are more or fewer; no more than one block too many is read.
    """
    left = size
    while block := source.read(BLOCK_SIZE):
        left -= len(block)
        if left < 0:
            raise Corrupt(f"{what} has more than the {size} bytes that it should have")
        write_all(target, memoryview(block))
    if left:
        raise Corrupt(f"{what} has {size - left} bytes, not {size}")


def read_small(files: Files, parts: Parts, limit: int) -> bytes:
    """Read a file whole.

    Args:
        files: where it is.
        parts: its place.
        limit: bytes that it may have.
    Raises:
        FileNotFoundError: it is not there.
        TooLarge: it has more bytes.
    """
    with files.open(parts) as file:
        content = bytearray()
        while len(content) <= limit and (block := file.read(limit + 1 - len(content))):
            content += block
    if len(content) > limit:
        raise TooLarge(f"{shown(parts)} has more than {limit} bytes")
    return bytes(content)


def shown(parts: Parts) -> str:
    """A place, for messages."""
    return repr("/".join(parts))


def clean_place(text: str, what: str, *, folder: str = ".") -> Parts:
    """The place that a path names which others have written.

    Args:
        text: names with ``/`` between them; ``.`` and ``..`` are resolved.
        what: where it stands, for the error.
        folder: what it is relative to.
    Returns:
        Its names; none for the root.
    Raises:
        Malformed: it is absolute, or leads out of the root.
    """
    clean = posixpath.normpath(posixpath.join(folder, text))
    if text.startswith("/") or clean == ".." or clean.startswith("../") or "\0" in text:
        raise Malformed(what, f"{text[:200]!r} leads out of it")
    return () if clean == "." else tuple(clean.split("/"))
