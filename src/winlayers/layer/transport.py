"""The transport folder: the form in which Windows hands out a layer and takes one in.

    tombstones.txt            what the layer removes: a head, then a line ``\\Windows\\old.txt`` for each
    Files/                    a folder; Files.$wcidirs$ beside it may be missing
    Files/dir/                an empty stand-in for a folder
    Files/dir.$wcidirs$       record of the folder: u32 attributes, then its backup stream
    Files/dir/name            record of a file, likewise; the times of the record are those of the file
    Hives/System_Delta ...    plain files
    UtilityVM/Files/...       plain files

Numbers are little-endian. Records of early builds of Windows Server 2016 have no attributes. Folders whose
times say nothing (``Files``, ``Hives``) get those of ``Hives/System_Delta``, and plain files are shown as made
when they were written, so that two exports of a layer are equal.

The reader gives a folder before what is in it, siblings by the bytes of their names, and removals right after
the folder that they are in. Only the folder itself knows where it is; what its host does is told by a
``TransportHost``.

Source: microsoft/hcsshim internal/wclayer/legacy.go (legacyLayerReader), checked against the vectors
legacy_layer and whole_layer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.backupstream import MAX_NAME_SIZE, PartId
from winlayers.formats.filetime import BasicInfo
from winlayers.layer.backupcontents import BackupContents, PartReader, collect_parts
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_DIRECTORY,
    Entry,
    EntryKind,
    Extent,
    Part,
)
from winlayers.layer.findings import Finding
from winlayers.layer.names import FILES, HIVES, ROOT_NAMES, decode_name, fold
from winlayers.layer.transportfolder import TransportFolder, is_real_directory
from winlayers.layer.transporthost import PortableHost, TransportHost
from winlayers.layer.transportwriter import (
    DIRECTORY_SUFFIX,
    TOMBSTONES,
    TOMBSTONES_HEAD,
    PendingLink,
    TransportWriter,
)

__all__ = ["PendingLink", "PortableHost", "TransportHost", "TransportReader", "TransportWriter"]

_STRUCTURE = "transport folder"
_RECYCLE_BIN = fold(f"{FILES}/$Recycle.Bin")
_SYSTEM_HIVE = f"{HIVES}/System_Delta"
_PART_HEADER = struct.Struct("<IIQI")
_ATTRIBUTES_SIZE = 4
_ATTRIBUTES_LIMIT = 16  # of a part: four bits are known
_MAX_LINE_SIZE = 1 << 17  # of tombstones.txt: no path is longer


class TransportReader:
    """Reads the entries of a transport folder; see ``layer.entry.EntryReader``."""

    def __init__(
        self,
        root: Path,
        *,
        host: TransportHost | None = None,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        """Stand before the first entry.

        Args:
            root: the folder.
            host: tells times; None for a ``PortableHost`` that knows only what the files say.
            report: called with parts of backup streams that are dropped.
        """
        self._folder = TransportFolder(root)
        self._host: TransportHost = PortableHost() if host is None else host
        self._report = report
        self._file: BinaryIO | None = None
        self._contents = BackupContents()

    def __iter__(self) -> Iterator[Entry]:
        """All entries, from the first.

        Raises:
            Malformed: no ``tombstones.txt``, a record that is not one, a file that is not of the form.
            InvalidName: a name on disk, or in ``tombstones.txt``, that is none of Windows.
        """
        tombstones = self._read_tombstones()
        pending = self._children("")
        while pending:
            path = pending.pop()
            self._let_go()
            found = self._folder.lstat(path)
            is_directory = found is not None and is_real_directory(found)
            if is_directory and fold(path) == _RECYCLE_BIN:
                continue
            yield self._entry(path, is_directory=is_directory)
            self._let_go()
            for name in tombstones.pop(fold(path), ()):
                yield Entry(f"{path}/{name}", EntryKind.WHITEOUT)
            if is_directory:
                pending += self._children(path)
        for folder, names in tombstones.items():
            if not f"{folder}/".startswith(f"{_RECYCLE_BIN}/"):
                reason = f"removes {names[0]!r} from {folder!r}, which is not there"
                raise Malformed(TOMBSTONES, reason, finding="parent-missing")

    def parts(self) -> Iterator[Part]:
        """The parts of the current entry."""
        return iter(self._contents.parts)

    def open_part(self, part: Part) -> BinaryIO:
        """The bytes of a part of the current entry."""
        if self._file is None or part not in self._contents.parts:
            raise InvalidArgument(f"part {part.name!r} is not one of the current entry")
        return PartReader(self._file, part)

    def close(self) -> None:
        """Let go of the folder."""
        self._let_go()
        self._folder.close()

    def _let_go(self) -> None:
        """Close what the current entry is read from."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._contents = BackupContents()

    def _children(self, path: str) -> list[str]:
        """What is in a folder and is an entry, the last first."""
        prefix = f"{path}/" if path else ""
        names = [n for n in self._folder.names(path) if not n.endswith(DIRECTORY_SUFFIX)]
        if not path:
            names = [name for name in names if name != TOMBSTONES]
            for name in names:
                if name not in ROOT_NAMES:
                    raise _malformed("it has no place in a layer", name, "root-unknown")
        return [prefix + name for name in reversed(names)]

    def _read_tombstones(self) -> dict[str, list[str]]:
        """Names that are removed, by the folded path of their folder, in the order of the file."""
        tombstones: dict[str, list[str]] = {}
        with self._folder.open(TOMBSTONES) as source:
            head = source.readline(len(TOMBSTONES_HEAD) + 1)
            if head.rstrip(b"\r\n") != TOMBSTONES_HEAD.rstrip(b"\n"):
                raise Malformed(TOMBSTONES, f"begins with {head!r}")
            while line := source.readline(_MAX_LINE_SIZE):
                folder, name = _split_tombstone(line.rstrip(b"\n").removesuffix(b"\r"))
                tombstones.setdefault(fold(folder), []).append(name)
        return tombstones

    # Entries

    def _entry(self, path: str, *, is_directory: bool) -> Entry:
        if path.startswith(f"{FILES}/"):
            return self._recorded(path, is_directory=is_directory)
        return self._plain(path, is_directory=is_directory)

    def _recorded(self, path: str, *, is_directory: bool) -> Entry:
        """An entry that has a record."""
        record = path + DIRECTORY_SUFFIX if is_directory else path
        info = self._host.info(self._folder, record)
        source = self._file = self._folder.open(record)
        attributes = _read_attributes(source)
        if attributes is None:
            attributes = FILE_ATTRIBUTE_DIRECTORY if is_directory else FILE_ATTRIBUTE_ARCHIVE
        if is_directory is not bool(attributes & FILE_ATTRIBUTE_DIRECTORY):
            raise _malformed(f"its record says attributes {attributes:#x}", path, None)
        contents = self._contents = collect_parts(source, path, self._report)
        entry = _entry(path, replace(info, attributes=attributes), is_directory=is_directory)
        entry.security, entry.ea, entry.reparse = contents.security, contents.ea, contents.reparse
        if contents.data is not None:
            if is_directory and contents.data.size:
                raise _malformed("it is a folder with data", path, None)
            entry.size = contents.data.size
        return entry

    def _plain(self, path: str, *, is_directory: bool) -> Entry:
        """An entry that is what it is: its data, and times that say something."""
        info = self._host.info(self._folder, path)
        if path in (FILES, HIVES) and self._has_system_hive():
            times = self._host.info(self._folder, _SYSTEM_HIVE)
            info = replace(times, attributes=info.attributes)
        write = info.write_filetime
        entry = _entry(
            path,
            replace(info, creation_filetime=write, access_filetime=write),
            is_directory=is_directory,
        )
        if not is_directory:
            source = self._file = self._folder.open(path)
            entry.size = source.seek(0, 2)
            extents = (Extent(0, 0, entry.size),) if entry.size else ()
            self._contents.data = Part("", entry.size, 0, extents)
        return entry

    def _has_system_hive(self) -> bool:
        return (
            self._folder.lstat(HIVES) is not None and self._folder.lstat(_SYSTEM_HIVE) is not None
        )


def _split_tombstone(line: bytes) -> tuple[str, str]:
    """Folder and name of a line: one character that does not count, then a path below ``Files``."""
    names = decode_name(line)[1:].split("\\")
    for name in names:
        if name in ("", ".", "..") or any(c in name for c in "\0/:"):
            reason = f"line {line[:200]!r} is no path"
            raise Malformed(TOMBSTONES, reason, finding="whiteout-invalid")
    return "/".join([FILES, *names[:-1]]), names[-1]


def _read_attributes(source: BinaryIO) -> int | None:
    """The attributes of a record, whose backup stream follows; None in the early form without them."""
    head = source.read(_ATTRIBUTES_SIZE + _PART_HEADER.size)
    size = source.seek(0, 2)
    if not head:
        return None  # early, and nothing but a name
    if len(head) < _ATTRIBUTES_SIZE:
        raise Malformed("record of a transport folder", f"{len(head)} bytes")
    is_early = _begins_part(head, size) and not (
        len(head) == _ATTRIBUTES_SIZE
        or _begins_part(head[_ATTRIBUTES_SIZE:], size - _ATTRIBUTES_SIZE)
    )
    source.seek(0 if is_early else _ATTRIBUTES_SIZE)
    return None if is_early else int.from_bytes(head[:_ATTRIBUTES_SIZE], "little")


def _begins_part(head: bytes, size: int) -> bool:
    """Whether ``size`` bytes that begin with ``head`` can begin a backup stream."""
    if len(head) < _PART_HEADER.size:
        return False
    part_id, attributes, body_size, name_size = _PART_HEADER.unpack_from(head)
    end: int = _PART_HEADER.size + name_size + body_size
    is_known = PartId.DATA <= part_id <= PartId.TXFS and attributes < _ATTRIBUTES_LIMIT
    return is_known and name_size <= MAX_NAME_SIZE and end <= size


def _entry(path: str, info: BasicInfo, *, is_directory: bool) -> Entry:
    return Entry(
        path,
        EntryKind.DIRECTORY if is_directory else EntryKind.FILE,
        info.attributes,
        info.creation_filetime,
        info.access_filetime,
        info.write_filetime,
        info.change_filetime,
    )


def _malformed(reason: str, path: str, finding: str | None) -> Malformed:
    return Malformed(_STRUCTURE, reason, entry=path, finding=finding)
