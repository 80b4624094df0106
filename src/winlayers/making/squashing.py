"""Several layers of an image as one: a squash of those above, or a flatten of all.

The files of the one layer are the difference of two views, that below the squashed layers and that of all
(``layer.difference``). So nothing is in it that does not show; a whiteout stands in it where the layers below have the
name, and in a flatten, which has no layers below, none does; what an opaque whiteout hid has whiteouts, since Windows
knows no opaque ones; a file that has several names has them by hard links. ``UtilityVM/Files`` is treated as ``Files``
is. A name whose entry differs from the one below by times of access or change alone is not in it. The recycle bin,
which no export of Windows has, is left out. For the registry see ``hivedeltas``.

This module refuses to know where layers are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from winlayers.base.progress import Cancel, Progress
from winlayers.errors import InvalidArgument, Unsupported
from winlayers.layer.difference import DifferenceReader
from winlayers.layer.entry import Entry, EntryKind, Part
from winlayers.layer.findings import Finding
from winlayers.layer.merge import LayerTable, MergedView
from winlayers.layer.names import HIVES, UTILITY_VM, fold
from winlayers.making.hivedeltas import HiveFile, MergedHive, MergedHives, holds_data
from winlayers.making.image import BaseImage, MadeImage, make_image
from winlayers.making.newlayer import Workbench
from winlayers.making.settings import add_step
from winlayers.oci.building import edit_config


class SquashedLayers:
    """Reads several layers as one; see ``layer.entry.EntryReader``. Once only.

    Args:
        squashed: the layers, nearest first; they stay open.
        below: what they stand on, nearest first; none makes a base layer.
        folder: for merged hives; see ``hivedeltas.MergedHives``.
        lose_registry_changes: likewise.
        cancel: likewise.
    Raises:
        Unsupported: what the layers change of the registry cannot be merged.
    """

    def __init__(
        self,
        squashed: Sequence[LayerTable],
        below: Sequence[LayerTable],
        *,
        folder: Path | None = None,
        lose_registry_changes: bool = False,
        cancel: Cancel | None = None,
    ) -> None:
        self._hives = MergedHives(
            squashed,
            is_base=not below,
            folder=folder,
            lose_changes=lose_registry_changes,
            cancel=cancel,
        )
        # A base layer has no such folder; a child has one even where it is empty.
        self._has_hives = bool(below or self._hives.files)
        self._shown = MergedView([*squashed, *below])
        self._difference = DifferenceReader(MergedView(below), self._shown)
        self._squashed = MergedView(squashed)
        # Of the current entry: the file that it is, if it is one of Hives, and a merged hive as its data.
        self._hive: HiveFile | None = None
        self._merged: MergedHive | None = None
        self._file: BinaryIO | None = None

    def __iter__(self) -> Iterator[Entry]:
        """The entries.

        Raises:
            PathNotFound: a hard link has no target.
            Unsupported: what no layer can tell: ``Files`` is gone, or the file that a hive goes into is.
        """
        told_hives = not self._has_hives
        for path in self._hives.contents:
            if (node := self._shown.lookup(path)) is None or not holds_data(node):
                raise Unsupported(f"{path}, which a hive goes into, is gone")
        for entry in self._difference:
            if entry.path == HIVES and not self._has_hives:
                continue
            is_utility_vm = entry.path == UTILITY_VM
            if is_utility_vm and not told_hives:
                yield from self._hive_entries(with_folder=True)
                told_hives = True
            yield self._with_content(entry)
            self._merged = None
            if entry.path == HIVES:
                yield from self._hive_entries(with_folder=False)
                told_hives = True
        if not told_hives:
            yield from self._hive_entries(with_folder=True)

    def parts(self) -> Iterator[Part]:
        hive = self._hive
        parts = self._difference.parts() if hive is None else iter(hive.view.parts(hive.node))
        if self._merged is None:
            yield from parts
            return
        yield Part("", self._merged.size)
        yield from (part for part in parts if part.name)

    def open_part(self, part: Part) -> BinaryIO:
        self._let_go()
        if self._merged is not None and not part.name:
            self._file = self._merged.open()
        elif self._hive is None:
            return self._difference.open_part(part)
        else:
            self._file = self._hive.view.open(self._hive.node, part.name)
        return self._file

    def close(self) -> None:
        """Stop. The layers stay open."""
        self._let_go()
        self._difference.close()
        self._hives.close()

    def _with_content(self, entry: Entry) -> Entry:
        """An entry of the difference; with a merged hive as its data, where it is the file of one."""
        contents = self._hives.contents
        self._merged = contents.get(fold(entry.path)) if contents else None
        if self._merged is None:
            return entry
        if entry.kind is EntryKind.LINK:
            # The other name keeps the old content, which was told already.
            node = self._shown.lookup(entry.path)
            assert node is not None, "an entry that does not show"
            entry = replace(self._shown.entry(self._shown.resolve(node)), path=entry.path)
        return replace(entry, size=self._merged.size)

    def _hive_entries(self, *, with_folder: bool) -> Iterator[Entry]:
        """The files of ``Hives``; with the folder, where one of the layers had it."""
        folder = self._squashed.lookup(HIVES) if with_folder else None
        first = [HiveFile(folder, self._squashed)] if folder is not None else []
        for file in (*first, *self._hives.files):
            self._hive, self._merged = file, file.merged
            entry = file.view.entry(file.node)
            yield entry if file.merged is None else replace(entry, size=file.merged.size)
            self._let_go()
        self._hive = self._merged = None

    def _let_go(self) -> None:
        opened, self._file = self._file, None
        if opened is not None:
            opened.close()


def squash_image(
    image: BaseImage,
    tables: Sequence[LayerTable],
    first: int,
    workbench: Workbench,
    *,
    now_seconds: int,
    created_by: str,
    comment: str = "",
    lose_registry_changes: bool = False,
    on_loss: Callable[[Finding], None] = lambda finding: None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> MadeImage:
    """An image whose layers from one on are one layer; with 0 all of them, which is a flatten.

    The steps of the history stay, as ones that made no layer, and one is added.

    Args:
        image: the old one.
        tables: its layers, nearest first; they stay open.
        first: number of the lowest layer that is squashed, from 0 for the base layer.
        workbench: makes the layer.
        now_seconds: when, since 1970 UTC; that is when the image was made.
        created_by: what the history says of it.
        comment: for the history.
        lose_registry_changes: see ``hivedeltas.MergedHives``.
        on_loss: called with each thing that a tar does not hold.
        progress: told the bytes of content.
        cancel: asked before each entry and each block of content.
    Returns:
        The new image; the old one where only one layer would be squashed.
    Raises:
        InvalidArgument: there is no such layer, or tables are not those of the image.
        Unsupported: what the layers change of the registry cannot be merged.
        WinlayersError: what is found in the layers.
    """
    count = len(image.layers)
    if not 0 <= first < count:
        raise InvalidArgument(f"{image.source.name} has layers 0 to {count - 1}, and no {first}")
    if len(tables) != count:
        raise InvalidArgument(f"{len(tables)} tables cannot be the layers of {count}")
    if first == count - 1:
        return make_image(image, image.config, image.layers)
    kept = image.layers[:first]
    reader = SquashedLayers(
        tables[: count - first],
        tables[count - first :],
        folder=workbench.folder,
        lose_registry_changes=lose_registry_changes,
        cancel=cancel,
    )
    try:
        layer = workbench.layer_of_entries(
            reader,
            family=image.manifest.media_type,
            on_loss=on_loss,
            progress=progress,
            cancel=cancel,
        )
    finally:
        reader.close()
    history = _without_layers(image, first)
    diff_ids = (*image.config.diff_ids[:first], layer.diff_id)
    config = edit_config(image.config, diff_ids=diff_ids, history=history)
    config = add_step(config, created_by, now_seconds=now_seconds, comment=comment)
    return make_image(image, config, (*kept, layer))


def _without_layers(image: BaseImage, first: int) -> list[dict[str, object]]:
    """The history, in which layers from one on are made by no step."""
    steps = []
    number = 0
    for step in image.config.history:
        fields = dict(step)
        if not _is_empty(fields):
            if number >= first:
                fields |= {"empty_layer": True}
            number += 1
        steps.append(fields)
    return steps


def _is_empty(step: dict[str, object]) -> bool:
    """Whether an entry of a history made no layer."""
    return any(name.lower() == "empty_layer" and bool(step[name]) for name in step)
