"""A base layer as Windows keeps it: files of an NTFS folder, each read as a backup stream.

A layer without parents has no transport form: its files are read where they lie. Of its folder

    Files/...             all, but the recycle bin at its top
    UtilityVM             if it has a folder Files
    UtilityVM/Files/...   all
    anything else         not: hives are made anew on import, disks too

A folder comes before what is in it, siblings by the bytes of their names, and folders that are reparse
points are not entered. This module refuses to know how files are opened; a ``BaseFolder`` does that.

Source: microsoft/hcsshim internal/wclayer/baselayerreader.go and pkg/ociwclayer/export.go, checked against
the vectors base_layer.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from winlayers.base.fileobj import copy
from winlayers.errors import InvalidArgument
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.tar import TarWriter
from winlayers.layer.backupcontents import BackupContents, PartReader, collect_parts
from winlayers.layer.backupstreams import write_tar_from_backup
from winlayers.layer.entry import FILE_ATTRIBUTE_DIRECTORY, Entry, EntryKind, Part
from winlayers.layer.findings import Finding
from winlayers.layer.names import FILES, UTILITY_VM, encode_name, fold
from winlayers.layer.tarheaders import Dialect

_RECYCLE_BIN = fold(f"{FILES}/$Recycle.Bin")
_UTILITY_FILES = f"{UTILITY_VM}/{FILES}"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file or folder of a base layer.

    Attributes:
        path: from the folder of the layer, with ``/``.
        info: times and attributes.
        size: bytes of its data; 0 for folders.
        is_entered: whether it is a folder and no reparse point.
        link_id: what names that are hard links of one file have in common; None for a file of one name.
    """

    path: str
    info: BasicInfo
    size: int
    is_entered: bool
    link_id: int | None = None


class BaseFolder(Protocol):
    """The folder of a base layer."""

    def find(self, path: str) -> FoundFile | None:
        """The file at a path, no link followed."""

    def list(self, path: str) -> Sequence[FoundFile]:
        """What is in a folder, in any order."""

    def open_backup(self, path: str) -> BinaryIO:
        """The backup stream of a file; the caller closes it."""


def walk_base_layer(folder: BaseFolder) -> Iterator[FoundFile]:
    """The files of a base layer that belong to it, in the order of its tar."""
    files = folder.find(FILES)
    if files is not None:
        yield from _walk(folder, files)
    utility_files = folder.find(_UTILITY_FILES)
    utility_vm = folder.find(UTILITY_VM)
    if utility_files is not None and utility_vm is not None:
        yield utility_vm
        yield from _walk(folder, utility_files)


def _walk(folder: BaseFolder, start: FoundFile) -> Iterator[FoundFile]:
    pending = [start]
    while pending:
        found = pending.pop()
        if found.is_entered and fold(found.path) == _RECYCLE_BIN:
            continue
        yield found
        if found.is_entered:
            children = sorted(folder.list(found.path), key=_name_bytes, reverse=True)
            pending.extend(children)


def _name_bytes(found: FoundFile) -> bytes:
    return encode_name(found.path)


def write_base_layer(
    target: TarWriter,
    folder: BaseFolder,
    *,
    report: Callable[[Finding], None] = lambda finding: None,
) -> None:
    """Write a base layer as the original exports it, each hard link a full copy.

    (Without its losses: ``copy_entries`` from a ``BaseLayerReader`` to a ``BackupTarWriter``.)

    Args:
        target: stands at its start; its end marker is left to the caller.
        folder: of the layer.
        report: called with each loss: what stands after the data of a file cannot be carried.
    Raises:
        Malformed, Unsupported: see ``write_tar_from_backup``.
    """
    for found in walk_base_layer(folder):
        with folder.open_backup(found.path) as stream:
            write_tar_from_backup(
                target,
                found.path,
                found.size,
                found.info,
                stream,
                seekable=False,
                dialect=Dialect.GO,
                report=report,
            )


class BaseLayerReader:
    """Reads the entries of a base layer; see ``layer.entry.EntryReader``.

    Args:
        folder: of the layer.
        spool: makes an empty file, which a backup stream is put in so that it can be gone through as a
            whole; the default keeps one file's at a time in memory.
        report: called with parts that are dropped.
    """

    def __init__(
        self,
        folder: BaseFolder,
        *,
        spool: Callable[[], BinaryIO] = io.BytesIO,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        self._folder = folder
        self._spool = spool
        self._report = report
        self._stream: BinaryIO | None = None
        self._contents = BackupContents()

    def __iter__(self) -> Iterator[Entry]:
        """All entries, from the first. Names of one file after its first are hard links."""
        first_names: dict[int, str] = {}
        for found in walk_base_layer(self._folder):
            self.close()
            if found.link_id is not None and found.link_id in first_names:
                yield _entry(found, EntryKind.LINK, first_names[found.link_id])
                continue
            if found.link_id is not None:
                first_names[found.link_id] = found.path
            yield self._file(found)
        self.close()

    def parts(self) -> Iterator[Part]:
        """The parts of the current entry."""
        return iter(self._contents.parts)

    def open_part(self, part: Part) -> BinaryIO:
        """The bytes of a part of the current entry."""
        if self._stream is None or part not in self._contents.parts:
            raise InvalidArgument(f"part {part.name!r} is not one of the current entry")
        return PartReader(self._stream, part)

    def close(self) -> None:
        """Let go of the current file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._contents = BackupContents()

    def _file(self, found: FoundFile) -> Entry:
        kind = EntryKind.FILE
        if found.info.attributes & FILE_ATTRIBUTE_DIRECTORY:
            kind = EntryKind.DIRECTORY
        entry = _entry(found, kind)
        stream = self._stream = self._spool()
        with self._folder.open_backup(found.path) as source:
            copy(source, stream)
        stream.seek(0)
        contents = self._contents = collect_parts(stream, found.path, self._report)
        entry.security, entry.ea, entry.reparse = contents.security, contents.ea, contents.reparse
        if contents.data is not None:
            entry.size = contents.data.size
        return entry


def _entry(found: FoundFile, kind: EntryKind, target: str = "") -> Entry:
    info = found.info
    return Entry(
        found.path,
        kind,
        info.attributes,
        info.creation_filetime,
        info.access_filetime,
        info.write_filetime,
        info.change_filetime,
        target=target,
    )
