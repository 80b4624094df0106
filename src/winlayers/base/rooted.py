"""Files and folders below one folder, named by foreign hands, that never lead out of it.

A name that comes from an archive may be ``..``, or pass through a link that the archive itself made
before. So a place is given as a tuple of single names, each of which must be plain, and every folder on
the way must be a real one: no link is ever followed, not even within the root.

On POSIX each folder is opened from the one above it without following links, and the system keeps that
promise whatever others do in the meantime. On Windows folders cannot be opened so in Python; there
each is looked at before it is used, which holds against hostile names but not against another process
that swaps folders at that moment. Text is UTF-8 on POSIX, lone surrogates included.

This module knows nothing of archives, layers or what the names mean.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from winlayers.base.xattrs import read_xattr
from winlayers.errors import InvalidName, TooLarge, WrongPlatform

Parts = tuple[str, ...]
"""A place below the root, one name for each folder and one for itself; empty is the root."""

MAX_DEPTH = 2048
"""Folders below each other. Each costs time each time a place in it is looked for."""

_OPEN_FOLDERS = 64
_SEEN_FOLDERS = 1024

_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)

_IS_WINDOWS = os.name == "nt"
_NOT_NAMES = frozenset({"", ".", ".."})
_NOT_IN_NAMES = "/\0\\:" if _IS_WINDOWS else "/\0"
_HAS_DESCRIPTORS = os.open in os.supports_dir_fd and _NOFOLLOW != 0
_REPARSE_POINT = 0x400

_Name = Any  # bytes on POSIX, str on Windows; the functions of os take either, but not their union


class Root:
    """A folder and what may be done below it; used in a ``with`` block, by one thread.

    What the system refuses is an OSError as it is. A name that is not plain, or a link or a file
    where a folder should be, is InvalidName, whatever the method.
    """

    def __init__(self, path: Path) -> None:
        """Open the root.

        Args:
            path: an existing folder; links on the way to it are followed, as its name is trusted.
        """
        self.path = path
        self._folders: _Folders = _OpenFolders(path) if _HAS_DESCRIPTORS else _SeenFolders(path)

    def __enter__(self) -> Root:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the folders that are open; nothing can be done with this object afterwards."""
        self._folders.close()

    def mkdir(self, parts: Parts, mode: int = 0o777, *, exist_ok: bool = False) -> None:
        """Make a folder.

        Args:
            parts: where; the folder above exists.
            mode: permission bits, less the umask.
            exist_ok: whether a folder that is there already is fine; anything else is not.
        Raises:
            FileExistsError: something has this name.
        """
        name, folder = self._find(parts)
        try:
            os.mkdir(name, mode, dir_fd=folder)
        except FileExistsError:
            if not exist_ok or not stat.S_ISDIR(self.stat(parts).st_mode):
                raise

    def create_file(self, parts: Parts, mode: int = 0o666) -> io.FileIO:
        """Make a file and open it for writing and reading.

        Args:
            parts: where; nothing is there.
            mode: permission bits, less the umask.
        Returns:
            The file, unbuffered.
        Raises:
            FileExistsError: something has this name.
        """
        name, folder = self._find(parts)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY | _CLOEXEC
        return io.FileIO(os.open(name, flags, mode, dir_fd=folder), "r+")

    def open_file(self, parts: Parts, *, writable: bool = False) -> io.FileIO:
        """Open an existing file.

        Args:
            parts: where.
            writable: whether to write as well as read.
        Returns:
            The file, unbuffered, at its start.
        Raises:
            InvalidName: it is not a regular file.
        """
        name, folder = self._find(parts)
        if not stat.S_ISREG(self.stat(parts).st_mode):
            raise InvalidName(f"{_shown(parts)} is not a regular file")
        # It may have become something else since; then neither a link nor a queue gets us.
        flags = (
            (os.O_RDWR if writable else os.O_RDONLY) | _NOFOLLOW | _NONBLOCK | _BINARY | _CLOEXEC
        )
        return io.FileIO(os.open(name, flags, dir_fd=folder), "r+" if writable else "r")

    def symlink(self, target: str, parts: Parts, *, is_folder: bool = False) -> None:
        """Make a symbolic link. Nothing here ever follows it, so that it may lead anywhere.

        Args:
            target: what it says.
            parts: where; nothing is there.
            is_folder: whether the target is a folder, which only Windows wants to know.
        Raises:
            FileExistsError: something has this name.
        """
        name, folder = self._find(parts)
        os.symlink(_encoded(target), name, is_folder, dir_fd=folder)

    def read_link(self, parts: Parts) -> str:
        """What a symbolic link says.

        Args:
            parts: where the link is.
        Returns:
            Its target, as it was given to ``symlink``.
        Raises:
            OSError: it is not a symbolic link.
        """
        name, folder = self._find(parts)
        return _decoded(os.readlink(name, dir_fd=folder))

    def link(self, existing: Parts, new: Parts) -> None:
        """Make a second name of a file, or of a symbolic link.

        Args:
            existing: where it is.
            new: where the second name will be; nothing is there.
        Raises:
            FileExistsError: something has the new name.
        """
        source, source_folder = self._find(existing)
        target, target_folder = self._find(new)
        os.link(
            source,
            target,
            src_dir_fd=source_folder,
            dst_dir_fd=target_folder,
            **_unfollowed(os.link),
        )

    def rename(self, old: Parts, new: Parts) -> None:
        """Rename; a file that has the new name is replaced, and so is an empty folder on POSIX.

        Args:
            old: where it is.
            new: where it will be.
        """
        source, source_folder = self._find(old)
        target, target_folder = self._find(new)
        os.replace(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)
        # All of them: where case does not count, the old name may have other spellings.
        self._folders.forget(())

    def remove(self, parts: Parts) -> None:
        """Remove a file, a symbolic link or an empty folder.

        Args:
            parts: what to remove.
        """
        name, folder = self._find(parts)
        if stat.S_ISDIR(self.stat(parts).st_mode):
            os.rmdir(name, dir_fd=folder)
            self._folders.forget(parts)
        else:
            os.unlink(name, dir_fd=folder)

    def remove_tree(self, parts: Parts) -> None:
        """Remove a folder with all that is in it, or whatever else is there.

        Args:
            parts: what to remove; not the root.
        """
        # A list instead of recursion: foreign trees may be deeper than Python's stack.
        pending = [(parts, False)]
        while pending:
            place, is_emptied = pending.pop()
            if is_emptied or not stat.S_ISDIR(self.stat(place).st_mode):
                self.remove(place)
            else:
                pending.append((place, True))
                pending += [((*place, name), False) for name in self.list(place)]

    def list(self, parts: Parts) -> list[str]:
        """The names in a folder.

        Args:
            parts: the folder; empty for the root.
        Returns:
            Its names, in no order.
        Raises:
            InvalidName: a name is not UTF-8 and so cannot be given here.
        """
        _check_names(parts)
        return [_decoded(name) for name in os.listdir(self._folders.listable(parts))]

    def stat(self, parts: Parts) -> os.stat_result:
        """What the system knows of a place; of a link itself, not of where it leads.

        Args:
            parts: where; empty for the root.
        """
        if not parts:
            return os.stat(self._folders.listable(()))
        name, folder = self._find(parts)
        return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def exists(self, parts: Parts) -> bool:
        """Whether something is at a place, be it a link that leads nowhere.

        Args:
            parts: where. That a folder on the way is missing means no.
        """
        try:
            self.stat(parts)
        except FileNotFoundError:
            return False
        return True

    def utime(self, parts: Parts, *, access_ns: int, modify_ns: int) -> None:
        """Set the times of a file or folder, or of a symbolic link itself.

        Args:
            parts: where.
            access_ns: last access, in nanoseconds since 1970.
            modify_ns: last modification, likewise.
        Raises:
            WrongPlatform: a symbolic link, on a system where links have no times of their own.
        """
        name, folder = self._find(parts)
        options = _unfollowed(os.utime)
        if not options and stat.S_ISLNK(self.stat(parts).st_mode):
            raise WrongPlatform(f"the times of the link {_shown(parts)} cannot be set here")
        os.utime(name, ns=(access_ns, modify_ns), dir_fd=folder, **options)

    def xattr(self, parts: Parts, name: str) -> bytes:
        """An extended attribute of a file or folder, or of a symbolic link itself.

        Args:
            parts: where; empty for the root.
            name: of the attribute.
        Raises:
            WrongPlatform: this system is not Linux.
            OSError: ENODATA, there is none of this name; ENOTSUP, none here can have one.
        """
        return read_xattr(self._reachable(parts), name, follow_symlinks=not parts)

    def set_xattr(self, parts: Parts, name: str, value: bytes) -> None:
        """Set an extended attribute of a file or folder, or of a symbolic link itself.

        Args:
            parts: where; empty for the root.
            name: of the attribute.
            value: its bytes.
        Raises:
            WrongPlatform: this system is not Linux.
        """
        if sys.platform != "linux":
            raise WrongPlatform("extended attributes are set on Linux only")
        os.setxattr(self._reachable(parts), name, value, follow_symlinks=not parts)

    def _reachable(self, parts: Parts) -> bytes:
        """A path of Linux to a place, for calls that take no descriptor of a folder.

        It goes through an open folder, so that it leads to the same place whatever others do.
        """
        if not parts:
            return f"/proc/self/fd/{self._folders.listable(())}".encode()
        name, folder = self._find(parts)
        place: bytes = f"/proc/self/fd/{folder}/".encode() + name
        return place

    def _find(self, parts: Parts) -> tuple[_Name, int | None]:
        """How the system calls a place: a name, and the open folder that it is in, if one is used.

        What is found holds for the next two calls of this method at least.
        """
        if not parts:
            raise InvalidName("the root itself cannot be made, renamed or removed from within")
        _check_names(parts)
        return self._folders.find(parts)


class _Folders(Protocol):
    """One way to get to folders without following links."""

    def find(self, parts: Parts) -> tuple[_Name, int | None]: ...

    def listable(self, parts: Parts) -> _Name: ...

    def forget(self, parts: Parts) -> None:
        """A folder has gone, and with it all below."""

    def close(self) -> None: ...


class _OpenFolders:
    """Folders by descriptors, each opened from the one above it; the last ones used stay open."""

    def __init__(self, path: Path) -> None:
        self._root = os.open(path, os.O_RDONLY | _DIRECTORY | _CLOEXEC)
        self._open: OrderedDict[Parts, int] = OrderedDict()

    def find(self, parts: Parts) -> tuple[_Name, int | None]:
        return _encoded(parts[-1]), self.listable(parts[:-1])

    def listable(self, parts: Parts) -> _Name:
        """The descriptor of a folder."""
        if not parts:
            return self._root
        descriptor = self._open.get(parts)
        if descriptor is None:
            descriptor = self._open[parts] = self._walk(parts)
            if len(self._open) > _OPEN_FOLDERS:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(parts)
        return descriptor

    def _walk(self, parts: Parts) -> int:
        """Open a folder, starting at the nearest above it that is open; those between are closed."""
        near = len(parts) - 1
        while near and parts[:near] not in self._open:
            near -= 1
        start = self._open[parts[:near]] if near else self._root
        current = start
        try:
            for depth in range(near + 1, len(parts) + 1):
                below = _open_folder(current, parts[:depth])
                if current != start:
                    os.close(current)
                current = below
        except BaseException:
            if current != start:
                os.close(current)
            raise
        return current

    def forget(self, parts: Parts) -> None:
        gone = [place for place in self._open if place[: len(parts)] == parts]
        for place in gone:
            os.close(self._open.pop(place))

    def close(self) -> None:
        self.forget(())
        root, self._root = self._root, -1
        if root >= 0:
            os.close(root)


class _SeenFolders:
    """Folders by paths, each looked at before its first use, for systems that cannot do better."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        absolute = os.path.abspath(path)
        if _IS_WINDOWS and not absolute.startswith("\\\\"):
            # So long paths work, and no name means a device or loses its last dot.
            absolute = "\\\\?\\" + absolute
        self._root: _Name = _encoded(absolute)
        self._separator: _Name = _encoded(os.sep)
        self._seen: OrderedDict[Parts, None] = OrderedDict()

    def find(self, parts: Parts) -> tuple[_Name, int | None]:
        above = parts[:-1]
        if above in self._seen:
            self._seen.move_to_end(above)
        else:
            for depth in range(1, len(parts)):
                self._look_at(parts[:depth])
        return self._path(parts), None

    def listable(self, parts: Parts) -> _Name:
        if parts:
            self.find(parts)
            self._look_at(parts)
        return self._path(parts)

    def _path(self, parts: Parts) -> _Name:
        return self._separator.join([self._root, *map(_encoded, parts)])

    def _look_at(self, parts: Parts) -> None:
        found = os.lstat(self._path(parts))
        attributes = getattr(found, "st_file_attributes", 0)
        if not stat.S_ISDIR(found.st_mode) or attributes & _REPARSE_POINT:
            raise _in_the_way(parts)
        self._seen[parts] = None
        if len(self._seen) > _SEEN_FOLDERS:
            self._seen.popitem(last=False)

    def forget(self, parts: Parts) -> None:
        # All, as there are other spellings of a name where case does not count.
        self._seen.clear()

    def close(self) -> None:
        self._seen.clear()


def _open_folder(above: int, parts: Parts) -> int:
    flags = os.O_RDONLY | _DIRECTORY | _NOFOLLOW | _CLOEXEC
    try:
        return os.open(_encoded(parts[-1]), flags, dir_fd=above)
    except OSError as error:
        # Systems do not agree on how to say that it is a link.
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
            raise _in_the_way(parts) from error
        raise


def _in_the_way(parts: Parts) -> InvalidName:
    return InvalidName(f"{_shown(parts)} is a link or a file where a folder should be")


def _check_names(parts: Parts) -> None:
    if len(parts) > MAX_DEPTH:
        raise TooLarge(f"{_shown(parts[:4])}/... is more than {MAX_DEPTH} folders deep")
    for name in parts:
        if name in _NOT_NAMES or any(mark in name for mark in _NOT_IN_NAMES):
            raise InvalidName(f"{name!r} in {_shown(parts)} is not the name of one file")


def _shown(parts: Parts) -> str:
    return repr("/".join(parts))


def _encoded(name: str) -> _Name:
    return name if _IS_WINDOWS else name.encode("utf-8", "surrogatepass")


def _decoded(name: _Name) -> str:
    # What os.listdir makes of bytes that it cannot decode is undone first.
    raw: bytes = os.fsencode(name)
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise InvalidName(f"the name {raw!r} is not UTF-8") from error


def _unfollowed(function: Callable[..., None]) -> dict[str, Any]:
    return {"follow_symlinks": False} if function in os.supports_follow_symlinks else {}
