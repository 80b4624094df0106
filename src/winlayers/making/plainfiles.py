"""Files as other systems have them, to be put into a layer: of a plain tar, or of a folder.

What only Windows has is not looked for here: a layer tar tells it, and ``winlayers cp`` takes what a file system of
NTFS tells. Pipes, sockets and devices, which Windows does not have, are refused. A tar from outside is not trusted,
and no link of a folder is followed.

Source: POSIX.1-2024, pax.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO

from winlayers.base.rooted import Parts, Root
from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.tar import TarHeader, TarReader, TarSource
from winlayers.layer.names import decode_name, split_tar_name
from winlayers.layer.tarheaders import (
    FILE_TYPES,
    TYPE_DIRECTORY,
    TYPE_GLOBAL,
    TYPE_LINK,
    TYPE_SYMLINK,
)


class PlainKind(Enum):
    """What a file is."""

    FILE = auto()
    DIRECTORY = auto()
    SYMLINK = auto()
    HARD_LINK = auto()


@dataclass(frozen=True, slots=True)
class PlainFile:
    """One file.

    Attributes:
        parts: its place below the source; never ``()``.
        kind: what it is.
        write_ns: time of writing in nanoseconds since 1970, or None.
        size: bytes of a file.
        target: of a symbolic link what it says.
        shares: of a hard link the place of the file that it shares.
        open: gives the bytes of a file; once, and before the next one is asked for.
    """

    parts: Parts
    kind: PlainKind
    write_ns: int | None = None
    size: int = 0
    target: str = ""
    shares: Parts = ()
    open: Callable[[], BinaryIO] | None = None


_KINDS = {
    TYPE_DIRECTORY: PlainKind.DIRECTORY,
    TYPE_SYMLINK: PlainKind.SYMLINK,
    TYPE_LINK: PlainKind.HARD_LINK,
    **dict.fromkeys(FILE_TYPES, PlainKind.FILE),
}


def files_of_tar(source: BinaryIO | TarSource) -> Iterator[PlainFile]:
    """The files of a plain tar, in its order.

    Args:
        source: the uncompressed tar, read to the end of its archive.
    Raises:
        InvalidName: a name is absolute, or leads out by ``..``.
        InvalidArgument: something that Windows does not have.
        Malformed: the tar is damaged, or has no end marker and so may be cut.
    """
    reader = TarReader(source)
    for header in reader:
        if header.typeflag != TYPE_GLOBAL and (parts := split_tar_name(header.name)):
            yield _file_of(header, parts, reader)
    if not reader.end_marker:
        raise Malformed(
            "tar",
            "it ends without an end marker, so it may have been cut",
            offset=reader.offset,
            finding="tar-unterminated",
        )


def _file_of(header: TarHeader, parts: Parts, reader: TarReader) -> PlainFile:
    kind = _KINDS.get(header.typeflag)
    if kind is None:
        raise _unknown(parts)
    return PlainFile(
        parts,
        kind,
        header.mtime_ns,
        header.size if kind is PlainKind.FILE else 0,
        decode_name(header.linkname) if kind is PlainKind.SYMLINK else "",
        split_tar_name(header.linkname) if kind is PlainKind.HARD_LINK else (),
        reader.open_body,
    )


def files_of_folder(root: Root) -> Iterator[PlainFile]:
    """The files of a folder, siblings in the order of their names; the folder itself is not among them.

    Args:
        root: the folder, which must not change meanwhile.
    Raises:
        InvalidArgument: something that Windows does not have.
        OSError: the system refuses to read.
    """
    # (device, number) of a file that has several names -> where it came first.
    shared: dict[tuple[int, int], Parts] = {}
    pending = [iter(sorted(root.list(())))]
    folder: list[str] = []
    while pending:
        name = next(pending[-1], None)
        if name is None:
            pending.pop()
            folder = folder[:-1]
            continue
        parts = (*folder, name)
        status = root.stat(parts)
        yield _file_in(root, parts, shared)
        if stat.S_ISDIR(status.st_mode):
            pending.append(iter(sorted(root.list(parts))))
            folder = [*parts]


def _file_in(root: Root, parts: Parts, shared: dict[tuple[int, int], Parts]) -> PlainFile:
    status = root.stat(parts)
    if stat.S_ISDIR(status.st_mode):
        return PlainFile(parts, PlainKind.DIRECTORY, status.st_mtime_ns)
    if stat.S_ISLNK(status.st_mode):
        target = root.read_link(parts)
        return PlainFile(parts, PlainKind.SYMLINK, status.st_mtime_ns, target=target)
    if not stat.S_ISREG(status.st_mode):
        raise _unknown(parts)
    if status.st_nlink > 1:
        first = shared.setdefault((status.st_dev, status.st_ino), parts)
        if first != parts:
            return PlainFile(parts, PlainKind.HARD_LINK, status.st_mtime_ns, shares=first)
    return PlainFile(
        parts,
        PlainKind.FILE,
        status.st_mtime_ns,
        status.st_size,
        open=lambda: root.open_file(parts),
    )


def _unknown(parts: Parts) -> InvalidArgument:
    return InvalidArgument(
        f"{'/'.join(parts)!r} is a pipe, socket or device, or of a type that is not known"
    )
