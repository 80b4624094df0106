"""The folder on disk that a transport form is written to or read from.

``TransportFolder`` turns paths of a layer into places below its root. It never follows a link of the host
and never leaves the root: every component is checked, and every folder on the way must be a real one. Names
are spelled on POSIX as the bytes of WTF-8, on Windows as they are.

This module refuses to know what is in the files, and what their times mean.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from winlayers.errors import InvalidName, Malformed, Unsupported
from winlayers.layer.entry import FILE_ATTRIBUTE_REPARSE_POINT
from winlayers.layer.names import decode_name, encode_name

HostPath: TypeAlias = str | bytes

_STRUCTURE = "transport folder"
_ON_WINDOWS = os.name == "nt"
_FORBIDDEN = "\0\\:" if _ON_WINDOWS else "\0"
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_CANNOT_HOLD = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})


class TransportFolder:
    """Places below a root.

    Args:
        root: an existing folder, whose way may lead through links.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = {""}  # folders that were looked at and are no links

    def host_path(self, path: str) -> HostPath:
        """Where a path of the layer lies; its folder is a real one.

        Args:
            path: relative, with ``/``; ``""`` for the root.
        Raises:
            InvalidName: a component that could lead elsewhere.
            Malformed: the folder it is in is missing, or is no folder but a link or a file.
        """
        if not path:
            return os.fsencode(self.root) if not _ON_WINDOWS else os.fspath(self.root)
        for name in path.split("/"):
            if name in ("", ".", "..") or any(c in name for c in _FORBIDDEN):
                raise InvalidName(f"{path!r} cannot be a place on disk", finding="name-traversal")
        parent = path.rpartition("/")[0]
        if parent not in self._real:
            found = self.lstat(parent)
            if found is None:
                raise _malformed(path, "its folder is missing", "parent-missing")
            if not is_real_directory(found):
                raise _malformed(path, "it is below what is no folder", "parent-not-directory")
            self._real.add(parent)
        return self._join(path)

    def _join(self, path: str) -> HostPath:
        if _ON_WINDOWS:
            return os.path.join(os.fspath(self.root), path.replace("/", "\\"))
        return os.fsencode(self.root) + b"/" + encode_name(path)

    def lstat(self, path: str) -> os.stat_result | None:
        """What is at a place, no link followed; None if nothing is."""
        place = self.host_path(path)
        with _explained(path):
            try:
                return os.lstat(place)
            except FileNotFoundError:
                return None

    def names(self, path: str) -> list[str]:
        """The names in a folder, in the order of their bytes as UTF-8.

        Raises:
            InvalidName: a name that is none of Windows.
        """
        with _explained(path):
            found = os.listdir(self.host_path(path))
        names = [name if isinstance(name, str) else decode_name(name) for name in found]
        return sorted(names, key=encode_name)

    def make_directory(self, path: str) -> None:
        """Make a folder that must not be there yet."""
        with _explained(path):
            os.mkdir(self.host_path(path))

    def create(self, path: str) -> BinaryIO:
        """Make a file that must not be there yet, for writing."""
        place = self.host_path(path)
        with _explained(path):
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o666)
        return open(descriptor, "wb")

    def open(self, path: str) -> BinaryIO:
        """A file for reading.

        Raises:
            Malformed: there is none, or it is no plain file.
        """
        place = self.host_path(path)
        with _explained(path):
            found = os.lstat(place)
            if not stat.S_ISREG(found.st_mode):
                raise _malformed(path, "it is no plain file", None)
            return open(os.open(place, os.O_RDONLY | _NO_FOLLOW), "rb")

    def remove(self, path: str) -> None:
        """Remove a file, a link, or a folder with all that is in it; it must be there."""
        place = self.host_path(path)
        found = self.lstat(path)
        if found is None:
            raise _malformed(path, "it is not there", None)
        self._real = {""}
        if is_real_directory(found):
            shutil.rmtree(place)
        elif stat.S_ISDIR(found.st_mode):
            os.rmdir(place)  # a junction of Windows
        else:
            os.unlink(place)


def is_real_directory(found: os.stat_result) -> bool:
    """Whether something is a folder that paths may lead through: no link, no reparse point."""
    attributes: int = getattr(found, "st_file_attributes", 0)
    return stat.S_ISDIR(found.st_mode) and not attributes & FILE_ATTRIBUTE_REPARSE_POINT


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Say what it means for a layer when the host refuses."""
    try:
        yield
    except FileExistsError as error:
        raise _malformed(path, "it is there already", "name-duplicate") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _malformed(path, "it, or its folder, is missing", "parent-missing") from error
    except OSError as error:
        if error.errno in _CANNOT_HOLD:
            raise Unsupported(f"{path!r}: this file system cannot hold the name") from error
        raise


def _malformed(path: str, reason: str, finding: str | None) -> Malformed:
    return Malformed(_STRUCTURE, reason, entry=path, finding=finding)
