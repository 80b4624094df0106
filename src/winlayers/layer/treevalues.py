"""What a tree tells of its files: plain values.

Source: [MS-FSCC] 2.4 (what Windows tells of a file), 2.6 (attributes).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class FileKind(Enum):
    """What a name of a tree is."""

    FILE = auto()
    DIRECTORY = auto()
    SYMLINK = auto()
    JUNCTION = auto()
    #: A reparse point with any other tag; what it is for is not known here.
    REPARSE = auto()


@dataclass(frozen=True, slots=True)
class Stat:
    """One name of a tree.

    Attributes:
        path: from the root of the tree, with ``/``, spelled as it is there; ``""`` for the root.
        name: its last component.
        kind: what it is.
        attributes: FILE_ATTRIBUTE_*; DIRECTORY and REPARSE_POINT follow what it is.
        creation_filetime: this and the next three in 100 ns since 1601-01-01 UTC.
        size: bytes of the unnamed data.
        link_count: names of it that this tree has; of a file that lies in the chain 1.
        file_id: a positive number of 64 bits that no other file of the tree has. It stays while the
            tree is open, whatever happens to names and contents; that of a directory stays for ever.
        layer_id: the layer that it comes from.
        is_directory: whether Windows takes it for a directory; also true of links to directories.
    """

    path: str
    name: str
    kind: FileKind
    attributes: int
    creation_filetime: int
    access_filetime: int
    write_filetime: int
    change_filetime: int
    size: int
    link_count: int
    file_id: int
    layer_id: str
    is_directory: bool


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One alternate stream of a file.

    Attributes:
        name: the bare name.
        size: bytes.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Space:
    """What a tree may hold, in bytes.

    Attributes:
        total: the quota; 0 where there is none, or nothing can be written.
        free: what is left of it.
        held: what is used up.
    """

    total: int
    free: int
    held: int
