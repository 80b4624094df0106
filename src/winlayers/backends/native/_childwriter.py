"""Writes a layer on parents: a folder in transport form, which Windows takes in, and what Windows does not do.

    1  the folder is filled; the utility VM is written where it stays, as Windows never sees it
    2  ImportLayer makes the files of the layer, and placeholders of its parents'
    3  what the layer removes is removed of those placeholders
    4  hard links are made, in place of placeholders where there are some
    5  folders get their times again
    6  ProcessUtilityImage, where the layer has a utility VM

A hard link to nothing is told by the commit only: a later entry may show that it is the order that is wrong, which
whoever keeps all names then says. The thread holds the privileges to back up, restore and set descriptors all the while.
Source: microsoft/hcsshim internal/wclayer/legacy.go (legacyLayerWriterWrapper).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.backends.native import _folder, _generations
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._finishing import (
    UTILITY_FILES,
    process_utility_vm,
    set_folder_times,
)
from winlayers.backends.native._placing import find_below, place_link
from winlayers.backends.native._transporthost import NativeHost
from winlayers.errors import Malformed
from winlayers.layer.entry import Entry, LayerSummary, Part
from winlayers.layer.findings import Finding
from winlayers.layer.transportwriter import TransportWriter


class ChildWriter:
    """Writes entries of a layer with parents; see ``layer.entry.EntryWriter``.

    Args:
        api: the libraries.
        host: opens folders by handles; it stays open.
        folder: of the layer, which is there.
        parents: folders of its parents, nearest first.
        work: an empty folder, which is the caller's to remove.
        report: called with what is not carried over.
    """

    def __init__(
        self,
        api: Libraries,
        host: NativeHost,
        folder: Path,
        parents: Sequence[Path],
        work: Path,
        report: Callable[[Finding], None],
    ) -> None:
        self._api = api
        self._host = host
        self._folder = folder
        self._parents = parents
        self._work = work
        self._writer = TransportWriter(
            work, parents, utility_root=folder, host=host, strict=False, report=report
        )
        self._broken_link: Malformed | None = None

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """Add a file or directory; see ``TransportWriter``."""
        self._writer.add(entry, parts)

    def link(self, entry: Entry) -> None:
        """Add a hard link; it is made when Windows has the layer."""
        try:
            self._writer.link(entry)
        except Malformed as error:
            if error.finding != "link-target-missing":
                raise
            self._broken_link = self._broken_link or error

    def remove(self, path: str) -> None:
        """Add a removal; it is done when Windows has the layer."""
        self._writer.remove(path)

    def commit(self) -> LayerSummary:
        """Have Windows take the layer in, and do what it does not.

        Returns:
            What was counted.
        Raises:
            Malformed: a hard link leads to nothing.
        """
        if self._broken_link is not None:
            raise self._broken_link
        written = self._writer
        summary = written.commit()
        parents = [str(parent) for parent in self._parents]
        _generations.import_layer(self._api, str(self._folder), str(self._work), parents)
        layer = self._host.handle(self._folder)
        for path in written.tombstones:
            _folder.remove_tree(self._api, layer, path)
        for link in written.links:
            source = self._host.handle(link.source or self._folder)
            _folder.remove_tree(self._api, layer, link.path)
            place_link(self._api, layer, link.path, source, link.target)
        set_folder_times(self._api, layer, written.directories)
        if written.has_utility_vm and find_below(self._api, layer, UTILITY_FILES) is not None:
            process_utility_vm(self._api, layer, self._folder)
        return summary

    def abort(self) -> None:
        """Write nothing more."""
        self._writer.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()
