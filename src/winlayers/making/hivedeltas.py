"""The registry of layers that are put together: what they change of each hive, as one file.

Each layer but a base layer has what it changes of the registry in ``Hives/*_Delta``, over what the layers below make
of it. A delta without keys and values changes nothing, and does not count. Where several count:

* in a squash they are merged into one delta, whose file has the metadata of the nearest;
* in a flatten, which makes a base layer, they are merged with the hive of the base layer, and the file in
  ``Files/Windows/System32/config`` that Windows takes the hive from gets the content. The file keeps its metadata;
  sequence numbers of the hive are one higher than they were, so that no transaction log fits it any more. The copy
  ``Hives/*_Base``, which Windows makes of that file on import, is left out;
* other files of ``Hives`` are kept, the nearest of each name; so is a delta that is the only one.

A hive that is damaged, far larger when it is merged than what goes into it, not layered where it has to be, or that was not closed, cannot be merged: the newest changes of
the last kind stand in transaction logs, which are not read. That is refused, unless it is asked for that changes of
the hive be lost: then a squash has the nearest delta of it, and a flatten the hive of the base layer.

Merged hives are files without names until the merge is closed. This module refuses to know how hives are merged.

Source: microsoft/hcsshim internal/wclayer/cim/registry.go (deltas are merged layer by layer); msuhanov/regf.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from winlayers.base.fileobj import PreadReader
from winlayers.base.progress import Cancel
from winlayers.errors import Malformed, PathNotFound, TooLarge, Unsupported
from winlayers.formats.hive.layered import flatten, squash
from winlayers.formats.hive.reader import Hive
from winlayers.formats.hive.writer import write_hive
from winlayers.layer.entry import EntryKind
from winlayers.layer.merge import LayerTable, MergedView
from winlayers.layer.names import FILES, HIVE_FILES, HIVES, fold
from winlayers.layer.view import Node

_DELTA = fold("_Delta")
_BASE = fold("_Base")
# Folded name of a delta, and of the copy of a base layer's hive -> where a base layer has the hive.
_BASE_HIVES = {
    fold(name) + suffix: f"{FILES}/Windows/System32/config/{file}"
    for name, file in HIVE_FILES.items()
    for suffix in (_DELTA, _BASE)
}
# What a merged hive may have beyond what goes into it: cells of any size fill half of their bins at least.
_GROWTH = 2
_MORE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class HiveFile:
    """A file of a hive.

    Attributes:
        node: of it, in its layer.
        view: of that layer by itself.
        merged: the content in the place of that of the node, or None.
    """

    node: Node
    view: MergedView
    merged: MergedHive | None = None

    @property
    def is_delta(self) -> bool:
        """Whether it is what a layer changes of a hive."""
        return self.node.folded.endswith(_DELTA)

    @property
    def where(self) -> str:
        """The file and its layer, for errors."""
        return f"{self.node.path} of layer {self.view.layer_ids[0]}"


@dataclass(frozen=True, slots=True)
class MergedHive:
    """A hive that was merged, in an open file.

    Attributes:
        descriptor: of the file.
        size: bytes.
    """

    descriptor: int
    size: int

    def open(self) -> BinaryIO:
        """The bytes, from the start."""
        return PreadReader(self.descriptor, 0, self.size)


def hive_files(tables: Sequence[LayerTable]) -> dict[str, list[HiveFile]]:
    """The files of ``Hives``, by folded name, those of the nearest layer first.

    Args:
        tables: the layers, nearest first; deltas that change nothing are left out.
    """
    found: dict[str, list[HiveFile]] = {}
    for table in tables:
        view = MergedView([table])
        folder = view.lookup(HIVES)
        for node in view.list(folder) if folder is not None else ():
            file = HiveFile(node, view)
            if node.kind is EntryKind.FILE and not (file.is_delta and changes_nothing(file)):
                found.setdefault(node.folded, []).append(file)
    return found


def changes_nothing(file: HiveFile) -> bool:
    """Whether a delta has neither keys nor values; one that cannot be read counts as a change."""
    if not file.node.size:
        return True
    with file.view.open(file.node) as opened:
        try:
            root = Hive.open(opened, fold=fold).root
            return next(root.subkeys(), None) is None and next(root.values(), None) is None
        except (Malformed, TooLarge):
            return False


def holds_data(node: Node) -> bool:
    """Whether a node is a file, or a hard link to one, that a hive can be the data of."""
    return node.kind is not EntryKind.DIRECTORY and not node.is_reparse_point


class MergedHives:
    """The hives of several layers, merged for the one layer that takes their place.

    Args:
        tables: those several, nearest first; they stay open.
        is_base: whether it will be a base layer.
        folder: where merged hives are, as files without names; None for where the system has such.
        lose_changes: lose changes of a hive that cannot be merged rather than refuse.
        cancel: asked before each key.
    Attributes:
        files: for ``Hives``, by name.
        contents: what files of ``Files`` have instead of their own, by folded path.
    Raises:
        Unsupported: hives cannot be merged.
    """

    def __init__(
        self,
        tables: Sequence[LayerTable],
        *,
        is_base: bool,
        folder: Path | None = None,
        lose_changes: bool = False,
        cancel: Cancel | None = None,
    ) -> None:
        self.files: list[HiveFile] = []
        self.contents: dict[str, MergedHive] = {}
        self._folder = folder
        self._lose_changes = lose_changes
        self._cancel = cancel or Cancel()
        self._opened = ExitStack()
        with ExitStack() as failing:
            failing.callback(self.close)
            found = sorted(hive_files(tables).items())
            if is_base:
                self._flatten(found, MergedView(tables[-1:]))
            else:
                self._squash(found)
            failing.pop_all()

    def close(self) -> None:
        """Throw the merged hives away. The layers stay open."""
        self._opened.close()

    def _squash(self, found: Sequence[tuple[str, list[HiveFile]]]) -> None:
        for _, files in found:
            nearest = files[0]
            merged = None
            if nearest.is_delta and len(files) > 1:
                merged = self._merge(files, None)
            self.files.append(HiveFile(nearest.node, nearest.view, merged))

    def _flatten(self, found: Sequence[tuple[str, list[HiveFile]]], base: MergedView) -> None:
        for name, files in found:
            if name.endswith(_DELTA) and (merged := self._merge_with_base(name, files, base)):
                self.contents[fold(_BASE_HIVES[name])] = merged
        for name, files in found:
            is_stale = fold(_BASE_HIVES.get(name, "")) in self.contents
            if not name.endswith(_DELTA) and not is_stale:
                self.files.append(files[0])

    def _merge_with_base(
        self, name: str, files: Sequence[HiveFile], base: MergedView
    ) -> MergedHive | None:
        path = _BASE_HIVES.get(name)
        node = base.lookup(path) if path is not None else None
        if node is not None and holds_data(node):
            return self._merge(files, HiveFile(base.resolve(node), base))
        if self._lose_changes:
            return None
        raise Unsupported(
            f"{files[0].where} changes a hive that the base layer has no file for"
            f"{f' ({path})' if path is not None else ''}; squash the layers above the base layer instead"
        )

    def _merge(self, deltas: Sequence[HiveFile], base: HiveFile | None) -> MergedHive | None:
        """One hive of several; None where that cannot be and changes may be lost."""
        try:
            return self._merged(deltas, base)
        except _NotMergeable as error:
            if self._lose_changes:
                return None
            raise Unsupported(str(error)) from error.__cause__

    def _merged(self, deltas: Sequence[HiveFile], base: HiveFile | None) -> MergedHive:
        with ExitStack() as sources:
            hives = [_open_hive(file, sources, is_layered=True) for file in deltas]
            if base is not None:
                hives.append(_open_hive(base, sources, is_layered=False))
            roots = [hive.root for hive in hives]
            size = sum(hive.base_block.bins_size for hive in hives)
            lowest = hives[-1].base_block
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # closed with all of them
            self._opened.enter_context(file)
            try:
                written = write_hive(
                    file,
                    squash(roots, fold=fold) if base is None else flatten(roots, fold=fold),
                    fold=fold,
                    is_layered=base is None,
                    file_name=hives[0 if base is None else -1].base_block.file_name,
                    last_written_filetime=lowest.last_written_filetime,
                    sequence=1 if base is None else lowest.primary_sequence + 1,
                    limit=_GROWTH * size + _MORE_BYTES,
                    cancel=self._cancel,
                )
            except (Malformed, TooLarge) as error:
                names = ", ".join(one.where for one in (*deltas, *([base] if base else [])))
                raise _NotMergeable(f"{names} cannot be merged: {error}") from error
            file.flush()
            return MergedHive(file.fileno(), written)


class _NotMergeable(Exception):
    """What goes into a hive cannot be merged; the message says which file, why, and what to do."""


def _open_hive(file: HiveFile, sources: ExitStack, *, is_layered: bool) -> Hive:
    """A hive that can be merged."""
    try:
        hive = Hive.open(sources.enter_context(file.view.open(file.node)), fold=fold)
    except (Malformed, PathNotFound) as error:
        raise _NotMergeable(f"{file.where} cannot be merged: {error}") from error
    if hive.is_dirty:
        head = hive.base_block
        raise _NotMergeable(
            f"{file.where} was not closed (sequence numbers {head.primary_sequence} and {head.secondary_sequence}), "
            "so its newest changes may be in transaction logs, which are not read; let Windows load and unload "
            "the hive, and take the layer again"
        )
    if hive.is_layered is not is_layered:
        kind = "a difference to other hives" if hive.is_layered else "no difference to other hives"
        raise _NotMergeable(
            f"{file.where} is {kind}, and cannot be merged as if it were another kind"
        )
    return hive
