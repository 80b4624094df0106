"""What the system wants to know of a file, made of what the tree tells.

    kind                    shown as       mode
    directory               directory      0755
    file                    file           0755, 0555 where it has READONLY
    symbolic link, junction symbolic link  0777
    other reparse point     file or directory, by what it is to Windows

Windows has no bit that lets a file run, so all files can; and no owner as POSIX has one, so all belong to
who mounted. The number of links of a directory is 1, which tells programs not to conclude anything from it.
This module knows nothing of libfuse. Source: stat(2); [MS-FSCC] 2.6 for READONLY.
"""

from __future__ import annotations

import stat
from typing import NamedTuple

from winlayers.formats.filetime import UNIX_EPOCH_FILETIME
from winlayers.layer.entry import FILE_ATTRIBUTE_READONLY
from winlayers.layer.tree import FileKind, Stat

OWNER_WRITES = 0o200
_BLOCK_SIZE = 512
_LINK = stat.S_IFLNK | 0o777
_FOLDER = stat.S_IFDIR | 0o755
_FILE = stat.S_IFREG | 0o755
_LOCKED_FILE = stat.S_IFREG | 0o555


class PosixStat(NamedTuple):
    """What stat(2) tells; times in nanoseconds since 1970, ``blocks`` of 512 bytes."""

    mode: int
    ino: int
    link_count: int
    size: int
    blocks: int
    access_ns: int
    write_ns: int
    change_ns: int


def is_link(told: Stat) -> bool:
    """Whether it is shown as a symbolic link."""
    return told.kind is FileKind.SYMLINK or told.kind is FileKind.JUNCTION


def posix_stat(told: Stat, *, link_size: int | None = None, first_ino: int = 0) -> PosixStat:
    """A file as the system sees it.

    Args:
        told: what the tree tells.
        link_size: for what is shown as a symbolic link, bytes of the target's text.
        first_ino: what numbers of files are counted from, where a file system shows several trees.
    """
    # Written out, as listings call it for each of their names.
    size = told.size if link_size is None else link_size
    return PosixStat(
        mode_of(told),
        told.file_id + first_ino,
        1 if told.is_directory else told.link_count,
        size,
        (size + _BLOCK_SIZE - 1) // _BLOCK_SIZE,
        (told.access_filetime - UNIX_EPOCH_FILETIME) * 100,
        (told.write_filetime - UNIX_EPOCH_FILETIME) * 100,
        (told.change_filetime - UNIX_EPOCH_FILETIME) * 100,
    )


def mode_of(told: Stat) -> int:
    """Type and permissions of a file."""
    kind = told.kind
    if kind is FileKind.FILE:
        return _LOCKED_FILE if told.attributes & FILE_ATTRIBUTE_READONLY else _FILE
    if kind is FileKind.SYMLINK or kind is FileKind.JUNCTION:
        return _LINK
    if told.is_directory:
        return _FOLDER
    return _LOCKED_FILE if told.attributes & FILE_ATTRIBUTE_READONLY else _FILE
