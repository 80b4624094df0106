"""Writes a base layer: its files straight into the folder of the layer, which Windows then makes a layer of.

Hives, disks and the like come of ``Files``; nothing is removed, as there is nothing below. The thread holds the
privileges to back up, restore and set descriptors from the first entry to the last call.
Source: microsoft/hcsshim internal/wclayer/baselayerwriter.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.backends.native import _hcs
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._finishing import (
    UTILITY_FILES,
    process_utility_vm,
    set_folder_times,
)
from winlayers.backends.native._placing import find_below, place_entry, place_link
from winlayers.errors import Malformed
from winlayers.formats.filetime import BasicInfo
from winlayers.layer.entry import FILE_ATTRIBUTE_DIRECTORY, Entry, EntryKind, LayerSummary, Part
from winlayers.layer.findings import Finding
from winlayers.layer.names import MUTATED_FILES
from winlayers.layer.transporthost import info_of
from winlayers.layer.transportwriter import check_link, check_place, without_steering


class BaseWriter:
    """Writes entries of a layer without parents; see ``layer.entry.EntryWriter``.

    Args:
        api: the libraries.
        handle: of the folder of the layer, which stays open.
        folder: the same folder.
        report: called with what is not carried over.
    """

    def __init__(
        self, api: Libraries, handle: int, folder: Path, report: Callable[[Finding], None]
    ) -> None:
        self._api = api
        self._handle = handle
        self._folder = folder
        self._report = report
        self._directories: list[tuple[str, BasicInfo]] = []
        self._has_utility_vm = False
        self._broken_link: Malformed | None = None
        self._size = 0
        self._entry_count = 0

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """Add a file or directory.

        Raises:
            InvalidName: a name that is no place on disk.
            Malformed: no folder for it, or the name is taken; or a part that is not as long as it says.
            WindowsCallFailed: Windows fails.
        """
        check_place(entry.path)
        entry = without_steering(entry, self._report)
        backup = MUTATED_FILES.get(entry.path, "") if entry.kind is EntryKind.FILE else ""
        place_entry(self._api, self._handle, entry, parts, backup=backup)
        if entry.kind is EntryKind.DIRECTORY:
            self._directories.append((entry.path, info_of(entry)))
        self._has_utility_vm |= entry.path == UTILITY_FILES
        self._size += entry.size
        self._entry_count += 1

    def link(self, entry: Entry) -> None:
        """Add a hard link, at once.

        One to nothing is told by the commit only, see ``_childwriter``.

        Raises:
            Malformed: from or to a place where there are no hard links.
        """
        check_place(entry.path)
        check_link(entry.path, entry.target)
        target = find_below(self._api, self._handle, entry.target)
        if target is None:
            reason = f"failed to find link target {entry.target!r}"
            self._broken_link = self._broken_link or Malformed(
                "layer folder", reason, entry=entry.path, finding="link-target-missing"
            )
            return
        if target.attributes & FILE_ATTRIBUTE_DIRECTORY:
            reason = f"its target {entry.target!r} is a folder"
            raise Malformed("layer folder", reason, entry=entry.path, finding="link-to-directory")
        place_link(self._api, self._handle, entry.path, self._handle, entry.target)
        self._entry_count += 1

    def remove(self, path: str) -> None:
        """Refuse: there is nothing to remove.

        Raises:
            Malformed: always.
        """
        reason = "base layer cannot have tombstones"
        raise Malformed("layer folder", reason, entry=path, finding="whiteout-in-base")

    def commit(self) -> LayerSummary:
        """Have Windows make a layer of it.

        Returns:
            What was counted.
        Raises:
            Malformed: a hard link leads to nothing.
        """
        if self._broken_link is not None:
            raise self._broken_link
        self._directories.reverse()
        set_folder_times(self._api, self._handle, self._directories)
        _hcs.process_base_image(self._api, str(self._folder))
        if self._has_utility_vm:
            process_utility_vm(self._api, self._handle, self._folder)
        return LayerSummary(self._size, self._entry_count)

    def abort(self) -> None:
        """Nothing is left to do: the folder is the caller's to throw away."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()
