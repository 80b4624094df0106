"""What ``winlayers cp`` copies into a layer, one file after another, and how a folder of the system gives it.

An item says what a file is and where it stands below the source, whatever that is: a folder here, a tar in
``copytar``. A directory comes before what is in it, and a hard link after what it shares. This module refuses
to know where items go.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import BinaryIO

from winlayers.base.rooted import Parts
from winlayers.base.xattrs import read_xattr
from winlayers.cli.paths import path_argument
from winlayers.errors import TooLarge
from winlayers.formats.text16 import wtf8_encode
from winlayers.layer import ntfs3g

_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
# What a system says of an extended attribute that is not there, or that it has no such things.
_NO_ATTRIBUTE = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP})


class ItemKind(Enum):
    """What an item is."""

    FILE = auto()
    DIRECTORY = auto()
    SYMLINK = auto()
    HARD_LINK = auto()
    #: A pipe, socket or device, which Windows does not have.
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Item:
    """One file to be copied.

    Attributes:
        parts: its place below the source; ``()`` is the source itself.
        kind: what it is.
        write_ns: time of writing in nanoseconds since 1970, or None.
        access_ns: time of access, likewise.
        size: bytes of a file.
        target: of a symbolic link what it says.
        shares: of a hard link the place of the file that it shares.
        xattrs: what ``layer.ntfs3g`` knows.
        is_directory_link: whether a symbolic link leads to a directory, where the source tells.
        open: gives the bytes of a file; once, and before the next item is asked for.
    """

    parts: Parts
    kind: ItemKind
    write_ns: int | None = None
    access_ns: int | None = None
    size: int = 0
    target: str = ""
    shares: Parts = ()
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    is_directory_link: bool = False
    open: Callable[[], BinaryIO] | None = None


@dataclass(slots=True)
class CopyCounts:
    """What was copied.

    Attributes:
        files: files with content of their own.
        directories: directories that were not there.
        links: symbolic links, and further names of files.
        size: bytes of the files.
    """

    files: int = 0
    directories: int = 0
    links: int = 0
    size: int = 0


class HostItems:
    """A file or folder of the system as items. No link below the source is followed.

    Args:
        path: the source.
        follow: whether the source itself is followed if it is a link.
    Raises:
        OSError: nothing is there, or it cannot be read.
    """

    def __init__(self, path: str, *, follow: bool) -> None:
        self._path = os.path.realpath(path, strict=True) if follow else path
        self._first = os.lstat(self._path)
        # (device, number) of a file that has several names -> where it came first.
        self._shared: dict[tuple[int, int], Parts] = {}
        self._bare_devices: set[int] = set()

    @property
    def is_directory(self) -> bool:
        """Whether the source is a folder."""
        return stat.S_ISDIR(self._first.st_mode)

    def __iter__(self) -> Iterator[Item]:
        """The items, siblings in the order of their names."""
        yield self._item((), self._path, self._first)
        if not self.is_directory:
            return
        pending = [self._children((), self._path)]
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
                continue
            parts, path = entry
            status = os.lstat(path)
            yield self._item(parts, path, status)
            if stat.S_ISDIR(status.st_mode):
                pending.append(self._children(parts, path))

    def _children(self, parts: Parts, folder: str) -> Iterator[tuple[Parts, str]]:
        for name in sorted(os.listdir(folder)):
            yield (*parts, path_argument(name)), os.path.join(folder, name)

    def _item(self, parts: Parts, path: str, status: os.stat_result) -> Item:
        mode = status.st_mode
        kind, target, leads_to_directory = ItemKind.OTHER, "", False
        shares: Parts = ()
        if stat.S_ISDIR(mode):
            kind = ItemKind.DIRECTORY
        elif stat.S_ISLNK(mode):
            kind, target = ItemKind.SYMLINK, path_argument(os.readlink(path))
            leads_to_directory = os.path.isdir(path)
        elif stat.S_ISREG(mode):
            kind = ItemKind.FILE
            if status.st_nlink > 1:
                first = self._shared.setdefault((status.st_dev, status.st_ino), parts)
                if first != parts:
                    kind, shares = ItemKind.HARD_LINK, first
        return Item(
            parts,
            kind,
            status.st_mtime_ns,
            status.st_atime_ns,
            status.st_size,
            target,
            shares,
            self._xattrs(path, status.st_dev) if kind is not ItemKind.OTHER else {},
            leads_to_directory,
            lambda: open(path, "rb", buffering=0, opener=_opened),
        )

    def _xattrs(self, path: str, device: int) -> dict[str, bytes]:
        """What the file system tells of NTFS, if it tells anything."""
        if device in self._bare_devices or not hasattr(os, "getxattr"):
            return {}
        found: dict[str, bytes] = {}
        for name in ntfs3g.NAMES:
            try:
                found[name] = read_xattr(path, name)
            except OSError as error:
                if error.errno not in _NO_ATTRIBUTE:
                    raise
                if name == ntfs3g.ATTRIBUTES:
                    # Every file of NTFS has attributes, so this is another file system.
                    self._bare_devices.add(device)
                    return {}
        return found | _streams(path)


def _streams(path: str) -> dict[str, bytes]:
    """The alternate streams, by the names of their attributes."""
    try:
        listed = read_xattr(path, ntfs3g.STREAM_LIST)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTE:
            raise
        names = os.listxattr(path, follow_symlinks=False)
        return {
            name: read_xattr(path, name) for name in names if name.startswith(ntfs3g.STREAM_PREFIX)
        }
    found = {}
    for stream in ntfs3g.unpack_stream_names(listed):
        with open(f"{path}:{os.fsdecode(wtf8_encode(stream))}", "rb") as file:
            content = file.read(ntfs3g.MAX_VALUE + 1)
        if len(content) > ntfs3g.MAX_VALUE:
            raise TooLarge(
                f"alternate stream {path}:{stream} has more than {ntfs3g.MAX_VALUE} bytes"
            )
        found[ntfs3g.STREAM_PREFIX + stream] = content
    return found


def _opened(path: str, flags: int) -> int:
    """Open what was seen to be a file; it may have become a link or a pipe since."""
    return os.open(path, _OPEN_FLAGS)
