"""Looks into layers of a store that is not opened: nothing is made, locked or recovered there.

For the copy of a data root that somebody wants to look into, which may be read only, and for the check of
a store, which must find it as it is. This module refuses to know the files of the driver: who stands on
whom is told by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from winlayers.backends.portable.backend import INDEX, PACK, SCRATCH, SEALED
from winlayers.backends.sealed.packed import SealedTable
from winlayers.errors import LayerNotFound, Unsupported
from winlayers.layer.merge import MergedView
from winlayers.layer.view import View

# What Windows itself keeps in the folder of a layer.
_NATIVE_NAMES = ("Files", "Hives", "UtilityVM", "blank.vhdx", "sandbox.vhdx", "layout")


def open_layer_folder(folder: Path, label: str) -> SealedTable | None:
    """The entries of one layer.

    Args:
        folder: of the layer, ``ROOT/windowsfilter/<id>``.
        label: what the layer is called in the nodes and findings.
    Returns:
        Its table, to be closed by the caller; None for a scratch, and for a layer that was created and
        never filled.
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


def is_scratch_folder(folder: Path) -> bool:
    """Whether the folder of a layer is that of a scratch."""
    return (folder / SCRATCH).is_dir()


class FolderView:
    """A layer and its parents, each from its folder.

    Args:
        folders: (label, folder) of the layer and its parents, nearest first.
    Attributes:
        tables: of the sealed layers, nearest first; those that hold nothing are left out.
        view: all of them merged, below the scratch if the layer is one.
    """

    def __init__(self, folders: Sequence[tuple[str, Path]]) -> None:
        self.tables: list[SealedTable] = []
        self.view: View
        label, folder = folders[0]
        try:
            if not is_scratch_folder(folder):
                self._open_tables(folders)
                self.view = MergedView(self.tables)
                return
            from winlayers.backends.portable._scratch import PortableScratch, chain_of

            # Not the parents that held nothing when the scratch was made, whatever they hold now.
            chain = chain_of(folder / SCRATCH)
            self._open_tables([below for below in folders[1:] if below[1].name in chain])
            self.view = PortableScratch(folder / SCRATCH, label, self.tables, read_only=True)
        except BaseException:
            for table in self.tables:
                table.close()
            raise

    def _open_tables(self, folders: Sequence[tuple[str, Path]]) -> None:
        for label, folder in folders:
            table = open_layer_folder(folder, label)
            if table is not None:
                self.tables.append(table)

    def close(self) -> None:
        """Close the files of all layers."""
        self.view.close()
