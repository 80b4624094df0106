"""What a transport folder asks of the system under it: times, and files that are what they say.

Most files of a transport folder are records, which any system holds. Their times are those of the host's
files, and outside ``Files`` there are real files; the utility VM, and the layers of parents, are not even in the
folder. The native backend has a ``TransportHost`` for all that. On any system ``PortableHost`` serves: it holds the exact times in a dict, which the caller may pass from a writer
to a reader. (A file beside would be one more name in a folder that others read, and no other system has a
place for a creation time.) Where the dict knows nothing, times are those of the host's file.

This module refuses to know the form of the folder.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from winlayers.base.fileobj import copy
from winlayers.errors import Malformed
from winlayers.formats.filetime import BasicInfo, filetime_to_ns, ns_to_filetime
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_DIRECTORY,
    Entry,
    EntryKind,
    Part,
)
from winlayers.layer.findings import Finding
from winlayers.layer.names import FILES, UTILITY_VM
from winlayers.layer.transportfolder import TransportFolder, is_real_directory
from winlayers.layer.utilityvm import clone_utility_vm

_MAX_UTIME_NS = 2**63 - 1


class TransportHost(Protocol):
    """What depends on the system under a transport folder."""

    def set_info(self, folder: TransportFolder, path: str, info: BasicInfo) -> None:
        """Give a file or folder times and attributes; attributes 0 leave them as they are."""

    def info(self, folder: TransportFolder, path: str) -> BasicInfo:
        """Times and attributes of a file or folder."""

    def has(self, folder: TransportFolder, path: str) -> bool:
        """Whether anything is at a place, no link followed."""

    def has_directory(self, folder: TransportFolder, path: str) -> bool:
        """Whether a folder that is no link is at a place."""

    def make_directory(self, folder: TransportFolder, path: str) -> None:
        """Make a folder for a real file or folder.

        Raises:
            Malformed: it is there already, or what it would be in is not.
        """

    def write_plain(
        self,
        folder: TransportFolder,
        path: str,
        entry: Entry,
        parts: Iterable[tuple[Part, BinaryIO]],
    ) -> None:
        """Make a real file of an entry, not a record of it.

        A file is made anew, with its times. A directory is there, and gets its descriptor and the like; its times
        are set at last.
        """

    def remove(self, folder: TransportFolder, path: str) -> None:
        """Remove a real file, a link, or a folder with all that is in it.

        Raises:
            Malformed: it is not there.
        """

    def clone_utility_vm(self, source: TransportFolder, target: TransportFolder) -> None:
        """Make ``UtilityVM/Files`` in ``target``, with the same files as that of ``source``."""


class PortableHost:
    """A TransportHost for any system. Of files outside ``Files`` it keeps the data alone.

    Args:
        infos: times and attributes by path, filled by writing and used by reading; None for a new one.
        report: called with what a plain file does not hold.

    Attributes:
        infos: the same dict.
    """

    def __init__(
        self,
        infos: dict[str, BasicInfo] | None = None,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        self.infos = {} if infos is None else infos
        self._report = report

    def set_info(self, folder: TransportFolder, path: str, info: BasicInfo) -> None:
        """Remember it, and give the host's file the two times that it can have."""
        self.infos[path] = info
        access_ns, write_ns = (
            min(max(filetime_to_ns(filetime), 0), _MAX_UTIME_NS)
            for filetime in (info.access_filetime, info.write_filetime)
        )
        folder.set_times(path, access_ns=access_ns, write_ns=write_ns)

    def info(self, folder: TransportFolder, path: str) -> BasicInfo:
        """What was remembered, else what the host tells."""
        known = self.infos.get(path)
        if known is not None:
            return known
        found = folder.lstat(path)
        if found is None:
            raise Malformed("transport folder", "it is not there", entry=path)
        write = ns_to_filetime(found.st_mtime_ns)
        is_directory = stat.S_ISDIR(found.st_mode)
        attributes = FILE_ATTRIBUTE_DIRECTORY if is_directory else FILE_ATTRIBUTE_ARCHIVE
        change = ns_to_filetime(found.st_ctime_ns)
        return BasicInfo(write, ns_to_filetime(found.st_atime_ns), write, change, attributes)

    def has(self, folder: TransportFolder, path: str) -> bool:
        """Whether anything is at a place."""
        return folder.lstat(path) is not None

    def has_directory(self, folder: TransportFolder, path: str) -> bool:
        """Whether a folder that is no link is at a place."""
        found = folder.lstat(path)
        return found is not None and is_real_directory(found)

    def make_directory(self, folder: TransportFolder, path: str) -> None:
        """Make a folder."""
        folder.make_directory(path)

    def write_plain(
        self,
        folder: TransportFolder,
        path: str,
        entry: Entry,
        parts: Iterable[tuple[Part, BinaryIO]],
    ) -> None:
        """Write the data and set the times; the rest is reported."""
        for code, what, value in (
            ("security-lost", "descriptor", entry.security),
            ("ea-lost", "extended attributes", entry.ea),
            ("reparse-lost", "reparse data", entry.reparse),
        ):
            if value:
                self._report(Finding(code, path, f"{what} of a plain file"))
        if entry.kind is not EntryKind.FILE:
            return
        with folder.create(path) as target:
            for part, source in parts:
                if part.name:
                    detail = f"alternate stream {part.name!r} of a plain file"
                    self._report(Finding("stream-lost", path, detail))
                else:
                    copy(source, target)
        self.set_info(folder, path, info_of(entry))

    def remove(self, folder: TransportFolder, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        folder.remove(path)

    def clone_utility_vm(self, source: TransportFolder, target: TransportFolder) -> None:
        """See ``layer.utilityvm``."""
        files = Path(UTILITY_VM, FILES)
        clone_utility_vm(source.root / files, target.root / files)


def info_of(entry: Entry) -> BasicInfo:
    """Times and attributes of an entry."""
    return BasicInfo(
        entry.creation_filetime,
        entry.access_filetime,
        entry.write_filetime,
        entry.change_filetime,
        entry.attributes,
    )
