"""The folder on disk that a transport form is written to or read from, by the paths of a layer.

``base.rooted`` sees to it that no path leads out of the folder or through a link. This module says what it
means for a layer when the host refuses, and refuses to know what is in the files.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from winlayers.base.rooted import Parts, Root
from winlayers.errors import Malformed, Unsupported
from winlayers.formats.text16 import wtf8_encode
from winlayers.layer.entry import FILE_ATTRIBUTE_REPARSE_POINT

_STRUCTURE = "transport folder"
_CANNOT_HOLD = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})


class TransportFolder:
    """Places below a folder. Every method may raise InvalidName for a path that is none.

    Args:
        root: an existing folder, whose way may lead through links.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = Root(root)

    def close(self) -> None:
        """Let go of the folder."""
        self._root.close()

    def lstat(self, path: str) -> os.stat_result | None:
        """What is at a place, no link followed; None if nothing is."""
        with _explained(path):
            try:
                return self._root.stat(_parts(path))
            except FileNotFoundError:
                return None

    def names(self, path: str) -> list[str]:
        """The names in a folder, in the order of their bytes as UTF-8.

        Raises:
            InvalidName: a name that is none of Windows.
        """
        with _explained(path):
            return sorted(self._root.list(_parts(path)), key=wtf8_encode)

    def make_directory(self, path: str) -> None:
        """Make a folder.

        Raises:
            Malformed: it is there already, or what it would be in is not.
        """
        with _explained(path):
            self._root.mkdir(_parts(path))

    def create(self, path: str) -> BinaryIO:
        """Make a file, for writing.

        Raises:
            Malformed: it is there already, or what it would be in is not.
        """
        with _explained(path):
            return io.BufferedWriter(self._root.create_file(_parts(path)))

    def open(self, path: str) -> BinaryIO:
        """A file, for reading.

        Raises:
            Malformed: there is none.
            InvalidName: it is no plain file.
        """
        with _explained(path):
            return io.BufferedReader(self._root.open_file(_parts(path)))

    def remove(self, path: str) -> None:
        """Remove a file, a link, or a folder with all that is in it.

        Raises:
            Malformed: it is not there.
        """
        with _explained(path):
            self._root.remove_tree(_parts(path))

    def set_times(self, path: str, *, access_ns: int, write_ns: int) -> None:
        """Set the two times that all hosts have, in nanoseconds since 1970."""
        with _explained(path):
            self._root.utime(_parts(path), access_ns=access_ns, modify_ns=write_ns)


def is_real_directory(found: os.stat_result) -> bool:
    """Whether something is a folder that paths may lead through: no link, no reparse point."""
    attributes: int = getattr(found, "st_file_attributes", 0)
    return stat.S_ISDIR(found.st_mode) and not attributes & FILE_ATTRIBUTE_REPARSE_POINT


def _parts(path: str) -> Parts:
    return tuple(path.split("/")) if path else ()


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


def _malformed(path: str, reason: str, finding: str) -> Malformed:
    return Malformed(_STRUCTURE, reason, entry=path, finding=finding)
