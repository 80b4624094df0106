"""A sealed layer whose content lies in its exact tar: index and pack as a table for the merged view.

Source of the rules: ``layer.merge``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from winlayers.backends.sealed.table import IndexTable
from winlayers.base.fileobj import ExtentReader, PreadReader
from winlayers.errors import StoreCorrupt
from winlayers.layer.entry import Part


class SealedTable(IndexTable):
    """The entries of a sealed layer. See ``layer.merge.LayerTable`` for what the methods do.

    Args:
        layer_id: the layer's id, given to its nodes.
        index_path: the index.
        pack_path: the pack; opened at once, so that a removal meanwhile does not take it away.
    Raises:
        StoreCorrupt: the index cannot be read, or there is no pack.
    """

    def __init__(self, layer_id: str, index_path: Path, pack_path: Path) -> None:
        super().__init__(layer_id, index_path)
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
        try:
            self._pack = os.open(pack_path, flags)
        except FileNotFoundError as error:
            super().close()
            raise StoreCorrupt(
                f"the pack {pack_path} is missing, and with it all content of the layer; import it again"
            ) from error

    def open_part(self, part: Part) -> BinaryIO:
        extents = part.extents or ()
        if len(extents) == 1 and extents[0].size == part.size:
            return PreadReader(self._pack, extents[0].source_offset, part.size)
        return ExtentReader(
            self._pack, [(run.offset, run.source_offset, run.size) for run in extents], part.size
        )

    @property
    def pack_descriptor(self) -> int:
        """The pack, open for reading; it is not the caller's to close."""
        return self._pack

    def close(self) -> None:
        super().close()
        if self._pack >= 0:
            os.close(self._pack)
            self._pack = -1
