"""Looks into layers of a store that is not opened: nothing is made, locked or recovered there.

For the copy of a data root that somebody wants to look into, which may be read only, and for the check of
a store, which must find it as it is. This module refuses to know the files of the driver: who stands on
whom is told by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from winlayers.backends.portable._tree import SealedTable
from winlayers.backends.portable.backend import INDEX, PACK, SEALED
from winlayers.errors import LayerNotFound, Unsupported
from winlayers.layer.merge import MergedView

# What Windows itself keeps in the folder of a layer.
_NATIVE_NAMES = ("Files", "Hives", "UtilityVM", "blank.vhdx", "sandbox.vhdx", "layout")


def open_layer_folder(folder: Path, label: str) -> SealedTable | None:
    """The entries of one layer.

    Args:
        folder: of the layer, ``ROOT/windowsfilter/<id>``.
        label: what the layer is called in the nodes and findings.
    Returns:
        Its table, to be closed by the caller; None for a layer that was created and never filled.
    Raises:
        LayerNotFound: there is no such folder.
        Unsupported: the layer is in a form of Windows itself.
        StoreCorrupt: its index cannot be read.
    """
    if not folder.is_dir():
        raise LayerNotFound(f"there is no layer {folder.name!r} in {folder.parent}")
    sealed = folder / SEALED
    if sealed.is_dir():
        return SealedTable(label, sealed / INDEX, sealed / PACK)
    if any((folder / name).exists() for name in _NATIVE_NAMES):
        raise Unsupported(
            f"layer {folder.name} in {folder.parent} is kept in the form of Windows itself, which this "
            "version does not read; save the image with docker and give its layers as tar:FILE"
        )
    return None


class FolderView:
    """A layer and its parents, each from its folder.

    Args:
        folders: (label, folder) of the layer and its parents, nearest first.
    Attributes:
        tables: of the layers that hold something, nearest first.
        view: all of them merged.
    """

    def __init__(self, folders: Sequence[tuple[str, Path]]) -> None:
        self.tables: list[SealedTable] = []
        try:
            for label, folder in folders:
                table = open_layer_folder(folder, label)
                if table is not None:
                    self.tables.append(table)
        except BaseException:
            self.close()
            raise
        self.view = MergedView(self.tables)

    def close(self) -> None:
        """Close the files of all layers."""
        for table in self.tables:
            table.close()
