"""The hard links of a layer, joined to their targets when all its rows are written.

A target may stand in this layer or in a parent, and may be a link itself. This module refuses to know how
rows came in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from winlayers.backends.sealed.index import sql_text
from winlayers.backends.sealed.rows import EntryRows
from winlayers.layer.entry import EntryKind
from winlayers.layer.names import fold

_DIRECTORY, _LINK, _WHITEOUT = map(int, (EntryKind.DIRECTORY, EntryKind.LINK, EntryKind.WHITEOUT))


class HardLinks:
    """Takes the hard links of a layer, and gives each the row of its target.

    Args:
        db: the index.
        rows: its rows.
        breach: called with code, path, offset and detail of a link that cannot be.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        rows: EntryRows,
        breach: Callable[[str, str, int, str], None],
    ) -> None:
        self._db = db
        self._rows = rows
        self._breach = breach
        self._is_empty = True

    def add(self, row: int, target: str) -> None:
        """Note the target of a link.

        Args:
            row: of the link.
            target: path of what it leads to.
        """
        self._is_empty = False
        head, _, name = target.rpartition("/")
        self._db.execute(
            "INSERT INTO details (entry, target, target_parent, target_folded)"
            " VALUES (?, CAST(? AS TEXT), ?, CAST(? AS TEXT))"
            " ON CONFLICT (entry) DO UPDATE SET target = excluded.target,"
            " target_parent = excluded.target_parent, target_folded = excluded.target_folded",
            (row, sql_text(target), self._rows.known_folder(head), sql_text(fold(name))),
        )

    def resolve(self, find_in_parents: Callable[[str], bool | None]) -> None:
        """Give each hard link the row of its target, and check that it is one.

        Args:
            find_in_parents: see ``IndexBuilder.finish``.
        """
        if self._is_empty:
            return
        self._db.execute(
            "UPDATE details SET target_row = (SELECT e.id FROM entries e WHERE e.kind != ?"
            " AND e.parent = details.target_parent AND e.folded = details.target_folded)"
            " WHERE target IS NOT NULL",
            (_WHITEOUT,),
        )
        wrong = self._db.execute(
            "SELECT d.entry, d.target, d.target_row, t.kind FROM details d"
            " LEFT JOIN entries t ON t.id = d.target_row WHERE d.target IS NOT NULL AND"
            " (t.id IS NULL OR t.id > d.entry OR t.kind = ? OR t.kind = ?)",
            (_DIRECTORY, _LINK),
        ).fetchall()
        for entry, target, row, kind in wrong:
            self._check(entry, target, row, kind, find_in_parents)

    def _check(
        self,
        entry: int,
        target: str,
        row: int | None,
        kind: int | None,
        find_in_parents: Callable[[str], bool | None],
    ) -> None:
        if row is None:
            found = find_in_parents(target)
            if found:
                return
            code = "link-target-missing" if found is None else "link-to-directory"
            detail = f"nothing is at its target {target!r}"
        elif row > entry:
            code, detail = "link-before-target", f"its target {target!r} comes after it"
        elif kind == _LINK:
            self._follow(entry, row)
            return
        else:
            code, detail = "link-to-directory", f"its target {target!r} is a folder"
        offset = self._db.execute("SELECT header FROM entries WHERE id = ?", (entry,)).fetchone()[0]
        self._breach(code, self._rows.path_of(entry), offset, detail)

    def _follow(self, entry: int, row: int) -> None:
        """A link to a link shares what that one shares; rows only get smaller, so this ends."""
        further = self._db.execute(
            "SELECT target, target_row FROM details WHERE entry = ?", (row,)
        ).fetchone()
        target, target_row = further
        self._db.execute(
            "UPDATE details SET target_row = ?, target_folded = NULL, target_parent = NULL"
            " WHERE entry = ?",
            (target_row, entry),
        )
        if target_row is None:
            self._db.execute(
                "UPDATE details SET target = CAST(? AS TEXT) WHERE entry = ?",
                (sql_text(target), entry),
            )
