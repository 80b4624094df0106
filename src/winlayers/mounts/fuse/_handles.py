"""What programs have open: files by their contents, folders by a listing; and files that have no name any more.

A handle keeps the path that the kernel knows its file by, through renames, as libfuse gives a handle alone
where there is one. A file that is unlinked while it is open gets a made-up name from libfuse, by which
everything else about it is asked until it is closed. That name never reaches the tree: here such a path
leads to the open content, and the tree has the file no more.

This module refuses to know the tree. Source: ``hide_node`` in libfuse's lib/fuse.c.
"""

from __future__ import annotations

import errno
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from winlayers.layer.names import fold
from winlayers.layer.view import Content
from winlayers.mounts.fuse._posixstat import PosixStat

# How many closed files are remembered, for what libfuse has not noticed yet.
_REMEMBERED = 1024
_HIDDEN = re.compile(r"\.fuse_hidden[0-9a-f]{16}")


# Not frozen, as listings have thousands.
@dataclass(slots=True, eq=False)
class Listed:
    """One name of a folder, ready to be handed on.

    Attributes:
        name: as the kernel gets it.
        stat: what it is.
        is_whole: whether ``stat`` tells all; where not, only what type it is.
        filled: room for whoever hands it on to keep it in libfuse's form.
    """

    name: bytes
    stat: PosixStat
    is_whole: bool = True
    filled: Any = None


@dataclass(slots=True)
class FileHandle:
    """An open file.

    Attributes:
        path: as the kernel knows it now.
        content: its bytes.
        writable: whether it was opened for writing.
        is_hidden: whether it has no name in the tree any more.
    """

    path: str
    content: Content
    writable: bool
    is_hidden: bool = False


@dataclass(slots=True)
class FolderHandle:
    """An open folder.

    Attributes:
        path: as the kernel knows it now.
        listing: what it had when it was last read from its start.
    """

    path: str
    listing: Sequence[Listed] = field(default=())


class HandleTable:
    """Handles by the numbers that libfuse keeps for us. Any thread may call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._handles: dict[int, FileHandle | FolderHandle] = {}
        self._next = 1
        self._hidden_count = 0
        self._closed: deque[str] = deque(maxlen=_REMEMBERED)

    def add(self, handle: FileHandle | FolderHandle) -> int:
        """Keep a handle; its number, never 0."""
        with self._lock:
            number = self._next
            self._next += 1
            self._handles[number] = handle
            return number

    def file(self, number: int) -> FileHandle:
        """The open file of a number.

        Raises:
            OSError: EBADF, there is none.
        """
        handle = self._handles.get(number)
        if not isinstance(handle, FileHandle):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def folder(self, number: int) -> FolderHandle:
        """The open folder of a number. Raises as ``file``."""
        handle = self._handles.get(number)
        if not isinstance(handle, FolderHandle):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def path(self, path: str | None, number: int | None) -> str:
        """The path that a call is about: the given one, or that of the handle."""
        if path is not None:
            return path
        handle = self._handles.get(number or 0)
        if handle is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle.path

    def remove(self, number: int) -> FileHandle | FolderHandle | None:
        """Forget a handle, and give it back."""
        with self._lock:
            handle = self._handles.pop(number, None)
            if isinstance(handle, FileHandle):
                self._hidden_count -= handle.is_hidden
                self._closed.append(handle.path)
            return handle

    def remove_all(self) -> list[FileHandle]:
        """Forget all; the files among them."""
        with self._lock:
            files = [one for one in self._handles.values() if isinstance(one, FileHandle)]
            self._handles.clear()
            self._hidden_count = 0
            return files

    def hidden(self, path: str) -> FileHandle | None:
        """The open file without a name that libfuse calls so; one that takes writes where there is one."""
        if not self._hidden_count:
            return None
        with self._lock:
            found = [one for one in self._files() if one.is_hidden and one.path == path]
        return max(found, key=lambda one: one.writable, default=None)

    def is_hiding(self, path: str, new_path: str) -> bool:
        """Whether a rename is libfuse giving an open file, which is unlinked, a made-up name.

        To libfuse a file is open until a moment after it was closed here.
        """
        if not _HIDDEN.fullmatch(new_path.rpartition("/")[2]):
            return False
        with self._lock:
            is_open = any(one.path == path and not one.is_hidden for one in self._files())
            return is_open or path in self._closed

    def hide(self, path: str, hidden_path: str) -> None:
        """Have the open files at a path, whose name is gone, be known by the made-up one."""
        with self._lock:
            for handle in self._files():
                if handle.path == path and not handle.is_hidden:
                    handle.path, handle.is_hidden = hidden_path, True
                    self._hidden_count += 1

    def move(self, old: str, new: str) -> None:
        """Have handles follow a rename, of what they have open or of a folder above it."""
        above = fold(old) + "/"
        with self._lock:
            for handle in self._handles.values():
                folded = fold(handle.path)
                if folded == above[:-1] or folded.startswith(above):
                    handle.path = new + handle.path[len(old) :]

    def _files(self) -> Iterator[FileHandle]:
        return (one for one in self._handles.values() if isinstance(one, FileHandle))
