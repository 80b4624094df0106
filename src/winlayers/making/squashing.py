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
from typing import BinaryIO

from winlayers.base.progress import Cancel, Progress
from winlayers.errors import InvalidArgument
from winlayers.layer.difference import DifferenceReader
from winlayers.layer.entry import Entry, Part
from winlayers.layer.findings import Finding
from winlayers.layer.merge import LayerTable, MergedView
from winlayers.layer.names import HIVES, UTILITY_VM
from winlayers.making.hivedeltas import HiveFile, chosen_files
from winlayers.making.image import BaseImage, MadeImage, make_image
from winlayers.making.newlayer import Workbench
from winlayers.making.settings import add_step
from winlayers.oci.building import edit_config


class SquashedLayers:
    """Reads several layers as one; see ``layer.entry.EntryReader``. Once only.

    Args:
        squashed: the layers, nearest first; they stay open.
        below: what they stand on, nearest first; none makes a base layer.
        lose_registry_changes: see ``hivedeltas.chosen_files``.
    Raises:
        Unsupported: changes of the registry would be lost.
    """

    def __init__(
        self,
        squashed: Sequence[LayerTable],
        below: Sequence[LayerTable],
        *,
        lose_registry_changes: bool = False,
    ) -> None:
        self._is_base = not below
        self._hives = chosen_files(
            squashed, is_base=self._is_base, lose_changes=lose_registry_changes
        )
        self._difference = DifferenceReader(MergedView(below), MergedView([*squashed, *below]))
        self._squashed = MergedView(squashed)
        self._hive: HiveFile | None = None
        self._file: BinaryIO | None = None

    def __iter__(self) -> Iterator[Entry]:
        """The entries.

        Raises:
            PathNotFound: a hard link has no target.
            Unsupported: what no layer can tell: ``Files`` is gone.
        """
        told_hives = False
        for entry in self._difference:
            is_utility_vm = entry.path == UTILITY_VM
            if is_utility_vm and not told_hives:
                yield from self._hive_entries(with_folder=True)
                told_hives = True
            self._hive = None
            yield entry
            if entry.path == HIVES:
                yield from self._hive_entries(with_folder=False)
                told_hives = True
        if not told_hives:
            yield from self._hive_entries(with_folder=True)

    def parts(self) -> Iterator[Part]:
        if self._hive is None:
            return self._difference.parts()
        return iter(self._hive.view.parts(self._hive.node))

    def open_part(self, part: Part) -> BinaryIO:
        if self._hive is None:
            return self._difference.open_part(part)
        self._let_go()
        self._file = self._hive.view.open(self._hive.node, part.name)
        return self._file

    def close(self) -> None:
        """Stop. The layers stay open."""
        self._let_go()
        self._difference.close()

    def _hive_entries(self, *, with_folder: bool) -> Iterator[Entry]:
        """The files of ``Hives``; with the folder, where one of the layers had it."""
        folder = self._squashed.lookup(HIVES) if with_folder else None
        first = [HiveFile(folder, self._squashed)] if folder is not None else []
        for file in (*first, *self._hives):
            self._hive = file
            yield file.view.entry(file.node)
            self._let_go()
        self._hive = None

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
        lose_registry_changes: see ``hivedeltas.chosen_files``.
        on_loss: called with each thing that a tar does not hold.
        progress: told the bytes of content.
        cancel: asked before each entry and each block of content.
    Returns:
        The new image; the old one where only one layer would be squashed.
    Raises:
        InvalidArgument: there is no such layer, or tables are not those of the image.
        Unsupported: changes of the registry would be lost.
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
        lose_registry_changes=lose_registry_changes,
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
