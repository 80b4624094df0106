"""The rows of entries on their way into an index, and the folders among them.

The memory is bounded: rows are written a thousand at a time, and the folders that are remembered are
forgotten when there are too many of them, and then found by query. Names are kept unique by a key of the
table; this module finds out which row it was that stood twice. It refuses to know tars and what a row says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import chain

from winlayers.backends.sealed.index import sql_text
from winlayers.base.remembered import Remembered
from winlayers.layer.entry import EntryKind
from winlayers.layer.names import fold
from winlayers.layer.view import NODE_REPARSE

# Plain ints: SQLite takes an enum's members the slow way.
_DIRECTORY, _LINK, _WHITEOUT = map(int, (EntryKind.DIRECTORY, EntryKind.LINK, EntryKind.WHITEOUT))
# Rows go in by many in one statement, which takes half the time of as many statements. 15 values each
# is less than the 999 in all that any SQLite takes.
_ROWS_AT_ONCE = 60
#: Pending rows at which it is time to flush.
BATCH = 16 * _ROWS_AT_ONCE
# Folders, and characters of their paths: a path may have 32,767.
_REMEMBERED_FOLDERS = 20_000
_REMEMBERED_CHARACTERS = 4 << 20

_ROW = "(?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# FAIL: without a journal the rows before one that stands twice cannot be taken back.
_INSERT_ENTRY = f"INSERT OR FAIL INTO entries VALUES {_ROW}"  # noqa: S608 - a constant
_INSERT_ENTRIES = ", ".join([_INSERT_ENTRY, *[_ROW] * (_ROWS_AT_ONCE - 1)])
_FIND_ENTRY = "SELECT id, kind, flags FROM entries WHERE parent = ? AND folded = CAST(? AS TEXT)"

#: The columns of ``entries``, in order.
Row = tuple[int | str | bytes | None, ...]


class EntryRows:
    """Writes the rows of an index, and finds folders by their path.

    Args:
        db: the index.
        breach: called with code, path, offset and detail where a name stands twice; what it raises is
            passed on, and if it returns the first of the two is kept.
    Attributes:
        pending: rows that are not written yet; whoever appends flushes at ``BATCH``.
        folders: path -> row of the folders remembered, under each spelling that came.
    """

    def __init__(
        self, db: sqlite3.Connection, breach: Callable[[str, str, int, str], None]
    ) -> None:
        self._db = db
        self._breach = breach
        self.pending: list[Row] = []
        self.folders: Remembered[str, int] = Remembered(
            _REMEMBERED_FOLDERS, _REMEMBERED_CHARACTERS, {"": 0}
        )
        self._replaced: dict[int, int] = {}

    def walk(self, components: list[str]) -> tuple[int, int, int]:
        """Follow folders from the top, by query.

        Returns:
            The last row found, its kind (LINK for any reparse point) and its depth. A folder that is
            less deep than asked for has no such child; anything else cannot have one.
        """
        self.flush()
        row, kind = 0, _DIRECTORY
        for depth, component in enumerate(components):
            found = self._db.execute(_FIND_ENTRY, (row, sql_text(fold(component)))).fetchone()
            if found is None:
                return row, kind, depth
            row, kind, flags = found
            if flags & NODE_REPARSE:
                kind = _LINK
            if kind != _DIRECTORY:
                return row, kind, depth + 1
        return row, kind, len(components)

    def known_folder(self, path: str) -> int | None:
        """The row of a folder, or None if this layer has no such folder (so far)."""
        row = self.folders.get(path)
        if row is not None:
            return row
        components = path.split("/")
        row, kind, depth = self.walk(components)
        if kind != _DIRECTORY or depth < len(components):
            return None
        return self.folders.remember(path, row, len(path))

    def path_of(self, row: int) -> str:
        """The path of an entry that is written."""
        return self._path_below(*self._place_of(row))

    def flush(self) -> None:
        """Write the pending rows."""
        rows = self.pending.copy()
        self.pending.clear()
        if self._replaced:
            rows = [
                (row[0], self._replaced.get(int(row[1] or 0), row[1]), *row[2:]) for row in rows
            ]
        full = len(rows) - len(rows) % _ROWS_AT_ONCE
        try:
            for start in range(0, full, _ROWS_AT_ONCE):
                block = rows[start : start + _ROWS_AT_ONCE]
                self._db.execute(_INSERT_ENTRIES, list(chain.from_iterable(block)))
            self._db.executemany(_INSERT_ENTRY, rows[full:])
        except sqlite3.IntegrityError:
            self._insert_singly(rows)

    def forget_doubles(self) -> None:
        """Drop what was noted under the rows that were not kept (tolerant reading only)."""
        for table in ("details", "streams", "extents"):
            self._db.executemany(
                f"DELETE FROM {table} WHERE entry = ?",  # noqa: S608 - names of our own tables
                [(row,) for row in self._replaced],
            )

    def _insert_singly(self, rows: list[Row]) -> None:
        """Find the row that stands twice; some of the rows before it are in already."""
        doubles: dict[int, int] = {}
        for row in rows:
            parent = self._replaced.get(int(row[1] or 0), row[1])
            found = self._db.execute(_FIND_ENTRY, (parent, row[2])).fetchone()
            if found is None:
                self._db.execute(_INSERT_ENTRY, (row[0], parent, *row[2:]))
            elif found[0] != row[0]:
                self._refuse_double(row, int(parent or 0), found)
                # A tolerant reading keeps the first, and puts below it what was below the second.
                doubles[int(row[0] or 0)] = self._replaced[int(row[0] or 0)] = found[0]
        for folder, known in self.folders.items():
            if known in doubles:
                self.folders[folder] = doubles[known]

    def _refuse_double(self, row: Row, parent: int, found: tuple[int, int, int]) -> None:
        path = self._path_below(parent, row[3] or row[2])
        offset = row[14]
        assert isinstance(offset, int)
        if _WHITEOUT in (row[4], found[1]) and row[4] != found[1]:
            code, detail = "whiteout-and-entry", "the layer both has this name and removes it"
        else:
            detail = f"{self.path_of(found[0])!r} is the same name on Windows"
            code = "name-duplicate"
        self._breach(code, path, offset, detail)

    def _place_of(self, row: int) -> tuple[int, str]:
        parent, name = self._db.execute(
            "SELECT parent, coalesce(name, folded) FROM entries WHERE id = ?", (row,)
        ).fetchone()
        return parent, name

    def _path_below(self, parent: int, name: int | str | bytes | None) -> str:
        components = [
            name.decode("utf-8", "surrogatepass") if isinstance(name, bytes) else str(name)
        ]
        while parent:
            parent, above = self._place_of(parent)
            components.append(above)
        return "/".join(reversed(components))
