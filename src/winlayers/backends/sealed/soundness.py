"""Whether an index is sound in itself; whether it is that of its layer is for others to compare.

Source: PRAGMA quick_check of SQLite.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from winlayers.backends.sealed import index
from winlayers.backends.sealed.table import IndexTable
from winlayers.base.digest import Digest
from winlayers.errors import InvalidArgument, StoreCorrupt
from winlayers.layer.entry import EntryKind
from winlayers.layer.names import fold


def read_sound_index(path: Path) -> dict[str, str]:
    """The facts of an index that is sound in itself.

    Raises:
        StoreCorrupt: it cannot be opened, is damaged, or lacks a fact.
    """
    with closing(index.open_read_only(path)) as connection:
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            facts = index.read_facts(connection)
        except sqlite3.Error as error:
            raise StoreCorrupt(f"{path}: {error}") from error
    if found != "ok":
        raise StoreCorrupt(f"{path}: {found}")
    try:
        int(facts["tar_size"])
        Digest.parse(facts["diff_id"])
    except (KeyError, ValueError, InvalidArgument) as error:
        raise StoreCorrupt(f"{path} does not tell size and digest of the tar") from error
    return facts


def holds_file(path: Path, name: str) -> bool:
    """Whether an index has a file at a path, compared with case.

    Args:
        path: of the index.
        name: the path in the layer.
    Raises:
        StoreCorrupt: the index cannot be read.
    """
    with closing(IndexTable("", path)) as table:
        row, kind = 0, EntryKind.DIRECTORY
        for part in name.split("/"):
            try:
                node = table.child(row, fold(part))
            except sqlite3.Error as error:
                raise StoreCorrupt(f"{path}: {error}") from error
            if node is None or node.name != part:
                return False
            row, kind = node.row, node.kind
        return kind is EntryKind.FILE
