"""The waist of the package: entries, their parts, and the two contracts that every written form serves.

An *entry* is one name in a layer: a file, a directory, a hard link or a whiteout, with everything that
NTFS keeps beside the content. The content itself comes as *parts*: the unnamed data, then the alternate
streams. A form of a layer (tar, transport folder, memory) is one reader and one writer of entries, and
``layer.copying.copy_entries`` joins any reader to any writer. This module refuses to know any form.

The laws of a sequence of entries:

* a directory comes before what is in it; a link comes after its target;
* each path comes once, compared without case; a whiteout counts under the name that it hides;
* whiteouts stand only in layers with parents, and only below ``Files/`` or ``UtilityVM/Files/``.

A reader checks what it can see without remembering names; what needs all names is checked by whoever
keeps them. A breach is ``Malformed``.

Source: the order and meaning of entries is that of microsoft/hcsshim pkg/ociwclayer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO, Protocol, Self

FILE_ATTRIBUTE_READONLY = 0x1
FILE_ATTRIBUTE_HIDDEN = 0x2
FILE_ATTRIBUTE_SYSTEM = 0x4
FILE_ATTRIBUTE_DIRECTORY = 0x10
FILE_ATTRIBUTE_ARCHIVE = 0x20
FILE_ATTRIBUTE_NORMAL = 0x80
FILE_ATTRIBUTE_SPARSE_FILE = 0x200
FILE_ATTRIBUTE_REPARSE_POINT = 0x400

#: Names of FILE_ATTRIBUTE_* by bit, in the order of the bits. Source: [MS-FSCC] 2.6.
ATTRIBUTE_NAMES: dict[int, str] = {
    FILE_ATTRIBUTE_READONLY: "READONLY",
    FILE_ATTRIBUTE_HIDDEN: "HIDDEN",
    FILE_ATTRIBUTE_SYSTEM: "SYSTEM",
    FILE_ATTRIBUTE_DIRECTORY: "DIRECTORY",
    FILE_ATTRIBUTE_ARCHIVE: "ARCHIVE",
    0x40: "DEVICE",
    FILE_ATTRIBUTE_NORMAL: "NORMAL",
    0x100: "TEMPORARY",
    FILE_ATTRIBUTE_SPARSE_FILE: "SPARSE_FILE",
    FILE_ATTRIBUTE_REPARSE_POINT: "REPARSE_POINT",
    0x800: "COMPRESSED",
    0x1000: "OFFLINE",
    0x2000: "NOT_CONTENT_INDEXED",
    0x4000: "ENCRYPTED",
    0x8000: "INTEGRITY_STREAM",
    0x10000: "VIRTUAL",
    0x20000: "NO_SCRUB_DATA",
    0x40000: "RECALL_ON_OPEN",
    0x80000: "PINNED",
    0x100000: "UNPINNED",
    0x400000: "RECALL_ON_DATA_ACCESS",
}


def attribute_names(attributes: int) -> list[str]:
    """The names of the bits of a FILE_ATTRIBUTE_* mask, lowest first; unknown bits as ``0x…``."""
    names = [name for bit, name in ATTRIBUTE_NAMES.items() if attributes & bit]
    unknown = attributes & ~sum(ATTRIBUTE_NAMES)
    return [*names, f"0x{unknown:x}"] if unknown else names


class EntryKind(IntEnum):
    """What an entry is. The numbers are kept in indexes on disk."""

    FILE = 0
    DIRECTORY = 1
    LINK = 2
    WHITEOUT = 3


# Not frozen: an import makes hundreds of thousands, and a frozen one costs four times as much to make.
@dataclass(slots=True)
class Entry:
    """One name in a layer. Nobody changes one after it was handed out.

    Attributes:
        path: relative, ``/`` between names, case kept, lone surrogates kept; as in the tar, that is
            with ``Files/`` and so on. For a whiteout the path of what it hides.
        kind: what it is. A symbolic link or junction is a file or directory with ``reparse``.
        attributes: FILE_ATTRIBUTE_* as stored, nothing masked.
        creation_filetime: this and the next three in 100 ns since 1601-01-01 UTC, unsigned.
        size: bytes of the unnamed data; 0 for all but files.
        security: self-relative security descriptor, ``b""`` for none.
        ea: list of FILE_FULL_EA_INFORMATION, ``b""`` for none.
        reparse: whole reparse buffer with its header, ``b""`` for none.
        target: path of what a hard link shares, else ``""``.
    """

    path: str
    kind: EntryKind
    attributes: int = 0
    creation_filetime: int = 0
    access_filetime: int = 0
    write_filetime: int = 0
    change_filetime: int = 0
    size: int = 0
    security: bytes = b""
    ea: bytes = b""
    reparse: bytes = b""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a run of a part's bytes lies as it is in the source.

    Attributes:
        offset: where the run begins in the part.
        source_offset: where it begins in the source (the uncompressed tar).
        size: how many bytes.
    """

    offset: int
    source_offset: int
    size: int


STREAM_ATTRIBUTE_SPARSE = 8


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of content of an entry: its unnamed data or one alternate stream.

    Attributes:
        name: ``""`` for the data, else the bare name of the alternate stream (``Zone.Identifier``).
        size: bytes, holes included.
        attributes: attributes of the backup stream header (8 = sparse).
        extents: where the bytes lie in the source, ascending; gaps are zeros. None when the source
            does not hold them as they are.
    """

    name: str
    size: int
    attributes: int = 0
    extents: tuple[Extent, ...] | None = None


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """What an import or a copy of a layer counted.

    Attributes:
        size: bytes of the unnamed data of all files, as the original counts them: alternate streams
            and hard links add nothing.
        entry_count: files, directories, links and whiteouts.
        diff_id: digest of the uncompressed tar (``sha256:…``), or ``""`` where there is none.
        digest: digest of the input as given, or ``""``.
        tar_size: bytes of the uncompressed tar, 0 where there is none.
    """

    size: int
    entry_count: int
    diff_id: str = ""
    digest: str = ""
    tar_size: int = 0


class EntryReader(Protocol):
    """Reads a layer as a sequence of entries, each once and in order.

    ``for entry in reader`` gives the entries. While one is current, ``parts()`` gives its parts in
    order and ``open_part`` their bytes; both end with the next entry. Closing stops, and gives up
    nothing but the resources.
    """

    def __iter__(self) -> Iterator[Entry]: ...

    def parts(self) -> Iterator[Part]:
        """The parts of the current entry, in order; in a streamed form found as they come."""

    def open_part(self, part: Part) -> BinaryIO:
        """The bytes of a part of the current entry, valid until the next part or entry."""

    def close(self) -> None: ...


class EntryWriter(Protocol):
    """Writes a layer from a sequence of entries.

    Nothing counts until ``commit``; leaving the ``with`` block without it aborts. Closing is neither.
    """

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """Add a file or directory; ``parts`` is consumed before this returns."""

    def link(self, entry: Entry) -> None:
        """Add a hard link ``entry.path`` to ``entry.target``."""

    def remove(self, path: str) -> None:
        """Add a whiteout: ``path`` and all below it in the parents is gone."""

    def commit(self) -> LayerSummary: ...

    def abort(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
