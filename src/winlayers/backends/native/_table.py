"""A sealed layer of Windows as a table for the merged view: its index, and its folder for contents.

Source of the rules: ``layer.merge``; of the columns: ``sealed.index``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from winlayers.backends.native._files import LayerFiles
from winlayers.backends.sealed.table import IndexTable
from winlayers.errors import StoreCorrupt
from winlayers.layer.entry import Part

_PATH = """
WITH RECURSIVE up (depth, parent, name) AS (
    SELECT 0, parent, coalesce(name, folded) FROM entries WHERE id = ?
    UNION ALL
    SELECT depth + 1, e.parent, coalesce(e.name, e.folded) FROM up JOIN entries e ON e.id = up.parent
)
SELECT name FROM up ORDER BY depth DESC
"""


@dataclass(frozen=True, slots=True)
class FilePart(Part):
    """A part together with the path of the file that has it, as in the tar."""

    path: str = ""


class FolderTable(IndexTable):
    """The entries of a sealed layer. See ``layer.merge.LayerTable`` for what the methods do.

    Args:
        layer_id: the layer's id, given to its nodes.
        index_path: the index.
        files: the files of the layer.
        let_go: called when the table is closed.
    Raises:
        StoreCorrupt: the index cannot be read.
    """

    def __init__(
        self, layer_id: str, index_path: Path, files: LayerFiles, let_go: Callable[[], None]
    ) -> None:
        super().__init__(layer_id, index_path)
        self._files = files
        self._let_go = let_go
        self._is_open = True

    def parts(self, row: int) -> tuple[Part, ...]:
        found = super().parts(row)
        if not found:
            return ()
        path = "/".join(name for (name,) in self._db.execute(_PATH, (row,)))
        return tuple(FilePart(one.name, one.size, one.attributes, path=path) for one in found)

    def open_part(self, part: Part) -> BinaryIO:
        assert isinstance(part, FilePart), "a part that this table did not give out"
        if not part.size:
            return io.BytesIO()
        file = self._files.open(part.path, part.name)
        size = file.seek(0, io.SEEK_END)
        if size != part.size:
            file.close()
            raise StoreCorrupt(
                f"{part.path!r} of layer {self._layer_id} has {size} bytes, and had {part.size} when it was "
                "imported; remove the layer and import it again"
            )
        file.seek(0)
        return file

    def close(self) -> None:
        super().close()
        if self._is_open:
            self._is_open = False
            self._let_go()
