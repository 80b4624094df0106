"""What Windows gives to a new file or directory: attributes, times, and the descriptor by inheritance.

This module refuses to know names and contents.

Source: MS-DTYP 2.5.3.4 (inheritance; see ``formats.security``); [MS-FSA] 2.1.5.1.1 (creation of a file).
"""

from __future__ import annotations

from winlayers.formats.security import (
    SecurityDescriptor,
    build_descriptor,
    inherit,
    parse_descriptor,
)
from winlayers.formats.sids import ALIASES, SYSTEM
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_REPARSE_POINT,
    Entry,
    EntryKind,
)

ADMINISTRATORS = ALIASES["BA"]

# How many descriptors are remembered; few are in use in one layer.
_REMEMBERED = 1_000


class NewEntries:
    """Makes entries of what is new; owner is Administrators, group SYSTEM."""

    def __init__(self) -> None:
        # By the descriptor of the directory, and whether it is for a directory.
        self._descriptors: dict[tuple[bytes, bool], bytes] = {}

    def entry(self, kind: EntryKind, above: bytes, now_filetime: int, reparse: bytes) -> Entry:
        """The entry of something new, without path.

        Args:
            kind: FILE or DIRECTORY.
            above: descriptor of the directory that it is made in, ``b""`` for none.
            now_filetime: all its times.
            reparse: its reparse buffer, ``b""`` for none.
        Raises:
            Malformed: the directory's descriptor does not parse.
        """
        is_directory = kind is EntryKind.DIRECTORY
        attributes = FILE_ATTRIBUTE_DIRECTORY if is_directory else FILE_ATTRIBUTE_ARCHIVE
        return Entry(
            "",
            kind,
            attributes | FILE_ATTRIBUTE_REPARSE_POINT if reparse else attributes,
            now_filetime,
            now_filetime,
            now_filetime,
            now_filetime,
            security=self._inherited(above, is_directory=is_directory),
            reparse=reparse,
        )

    def _inherited(self, above: bytes, *, is_directory: bool) -> bytes:
        key = above, is_directory
        if key not in self._descriptors:
            parent = parse_descriptor(above) if above else SecurityDescriptor()
            child = inherit(parent, is_directory=is_directory, owner=ADMINISTRATORS, group=SYSTEM)
            if len(self._descriptors) >= _REMEMBERED:
                self._descriptors.clear()
            self._descriptors[key] = build_descriptor(child)
        return self._descriptors[key]
