"""One sealed layer as a table of rows for the merged view, as far as its index tells of it.

Source of the rules: ``layer.merge``; of the columns: ``index``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from winlayers.backends.sealed import index
from winlayers.backends.sealed.index import FLAG_MAPPED, from_signed, sql_text
from winlayers.errors import StoreCorrupt
from winlayers.layer.entry import Entry, EntryKind, Extent, Part
from winlayers.layer.findings import Finding
from winlayers.layer.view import Node

_COLUMNS = (
    "id, coalesce(name, folded), folded, kind, attributes,"
    " creation, access, write, change, size, flags"
)
_KINDS = tuple(EntryKind)


class IndexTable:
    """The entries of a sealed layer, without their content. See ``layer.merge.LayerTable`` for what the methods do.

    Args:
        layer_id: the layer's id, given to its nodes.
        index_path: the index.
    Raises:
        StoreCorrupt: the index cannot be read.
    """

    def __init__(self, layer_id: str, index_path: Path) -> None:
        self._layer_id = layer_id
        self._db = index.open_read_only(index_path)
        self._facts = index.read_facts(self._db)

    @property
    def layer_id(self) -> str:
        return self._layer_id

    @property
    def facts(self) -> dict[str, str]:
        """What the index says of the layer as a whole."""
        return self._facts

    def child(self, parent: int, folded: str) -> Node | None:
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE parent = ? AND folded = CAST(? AS TEXT)",  # noqa: S608 - columns are a constant
            (parent, sql_text(folded)),
        ).fetchone()
        return None if row is None else _node(row)

    def children(self, parent: int) -> list[Node]:
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE parent = ? ORDER BY folded",  # noqa: S608 - columns and tables are constants
            (parent,),
        )
        return [
            Node(
                row, name, folded, _KINDS[kind], attributes,
                # from_signed, written out: this line runs once for each entry of a listing
                creation if creation >= 0 else from_signed(creation),
                access if access >= 0 else from_signed(access),
                write if write >= 0 else from_signed(write),
                change if change >= 0 else from_signed(change),
                size, flags,
            )
            for row, name, folded, kind, attributes, creation, access, write, change, size, flags
            in rows
        ]  # fmt: skip

    def node(self, row: int) -> Node:
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE id = ?",  # noqa: S608 - columns and tables are constants
            (row,),
        ).fetchone()
        if found is None:
            raise StoreCorrupt(f"the index of layer {self._layer_id} has no row {row}")
        return _node(found)

    def entry(self, node: Node) -> Entry:
        security, ea, reparse, target = self._db.execute(
            "SELECT s.bytes, d.ea, d.reparse, d.target FROM entries e"
            " LEFT JOIN descriptors s ON s.id = e.security"
            " LEFT JOIN details d ON d.entry = e.id WHERE e.id = ?",
            (node.row,),
        ).fetchone()
        return Entry(
            node.path,
            node.kind,
            node.attributes,
            node.creation_filetime,
            node.access_filetime,
            node.write_filetime,
            node.change_filetime,
            node.size,
            security or b"",
            ea or b"",
            reparse or b"",
            target or "",
        )

    def link_target(self, row: int) -> tuple[int, str]:
        target_row, target = self._db.execute(
            "SELECT target_row, target FROM details WHERE entry = ?", (row,)
        ).fetchone()
        return target_row or 0, target

    def parts(self, row: int) -> tuple[Part, ...]:
        kind, size, body, flags = self._db.execute(
            "SELECT kind, size, body, flags FROM entries WHERE id = ?", (row,)
        ).fetchone()
        data: tuple[Part, ...] = ()
        if kind == EntryKind.FILE:
            extents = self._extents(row, 0, size, body, mapped=bool(flags & FLAG_MAPPED))
            data = (Part("", size, 0, extents),)
        streams = self._db.execute(
            "SELECT number, name, size, attributes, body, is_mapped FROM streams"
            " WHERE entry = ? ORDER BY number",
            (row,),
        )
        return (
            *data,
            *(
                Part(name, size, attributes, self._extents(row, number, size, body, mapped=mapped))
                for number, name, size, attributes, body, mapped in streams.fetchall()
            ),
        )

    def findings(self) -> Iterator[Finding]:
        """What the import, or a tolerant reading, found."""
        for code, entry, detail, offset in self._db.execute(
            "SELECT code, entry, detail, offset FROM breaches"
        ):
            yield Finding(code, entry, detail, self._layer_id, offset)

    def close(self) -> None:
        self._db.close()

    def _extents(
        self, row: int, number: int, size: int, body: int, *, mapped: bool
    ) -> tuple[Extent, ...]:
        if not mapped:
            return (Extent(0, body, size),) if size else ()
        return tuple(
            Extent(offset, source, length)
            for offset, source, length in self._db.execute(
                "SELECT offset, source, size FROM extents WHERE entry = ? AND number = ?"
                " ORDER BY offset",
                (row, number),
            )
            if length
        )


def _node(row: sqlite3.Row | tuple[int, ...] | list[int]) -> Node:
    """A row of ``_COLUMNS`` as a node."""
    number, name, folded, kind, attributes, creation, access, write, change, size, flags = row
    return Node(
        number,
        str(name),
        str(folded),
        _KINDS[kind],
        attributes,
        from_signed(creation),
        from_signed(access),
        from_signed(write),
        from_signed(change),
        size,
        flags,
    )
