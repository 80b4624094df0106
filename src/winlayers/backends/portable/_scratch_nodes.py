"""The names and nodes of a scratch, in SQLite; one row here is one operation there.

    names(parent, folded, name, node)   a name of a directory; node NULL: a tombstone, which hides the
                                        name in the layers below
    nodes(id, kind, ...)                a file or directory with all its metadata; 0 is the root
    lowers(node, position, layer, row)  of a directory: what of the chain shows through, nearest first;
                                        layer counts the chain, nearest 1
    parts(node, folded, ...)            its data (folded ``''``) and alternate streams; the bytes are
                                        those of a file of the scratch (data) or of a part below
                                        (layer, row), unchanged
    descriptors, details                as in an index

Names lead to nodes, so a directory is renamed by one row, whatever is in it, and a file may have several
names. The journal is SQLite's write-ahead log (``scratch.db-wal``): each transaction is whole or absent after
a crash; when each is made, ``_scratch_commits`` decides. This module knows neither files of data nor the layers below.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from winlayers.backends.portable._scratch_commits import Commits
from winlayers.backends.sealed.index import from_signed, sql_text, text_factory, to_signed
from winlayers.backends.sealed.space import full_disk_told, is_full
from winlayers.errors import PathNotFound, StoreCorrupt
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_REPARSE_POINT,
    Entry,
    EntryKind,
)
from winlayers.layer.view import NODE_EA, NODE_REPARSE, NODE_STREAMS, Node

SCHEMA_VERSION = 1
SCRATCH_LAYER = 0
ROOT = 0

_SCHEMA = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE names (
    parent INTEGER NOT NULL,
    folded TEXT NOT NULL,
    name TEXT NOT NULL,
    node INTEGER,
    PRIMARY KEY (parent, folded)
) WITHOUT ROWID;
CREATE INDEX names_of ON names (node);
CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    attributes INTEGER NOT NULL,
    creation INTEGER NOT NULL,
    access INTEGER NOT NULL,
    write INTEGER NOT NULL,
    change INTEGER NOT NULL,
    size INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    security INTEGER
);
CREATE TABLE lowers (
    node INTEGER NOT NULL,
    position INTEGER NOT NULL,
    layer INTEGER NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (node, position)
) WITHOUT ROWID;
CREATE TABLE parts (
    node INTEGER NOT NULL,
    folded TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    attributes INTEGER NOT NULL,
    data INTEGER,
    layer INTEGER,
    row INTEGER,
    is_open INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node, folded)
) WITHOUT ROWID;
CREATE INDEX parts_open ON parts (is_open) WHERE is_open;
CREATE TABLE details (node INTEGER PRIMARY KEY, ea BLOB, reparse BLOB);
CREATE TABLE descriptors (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL UNIQUE);
"""

_COLUMNS = (
    "n.id, m.name, m.folded, n.kind, n.attributes,"
    " n.creation, n.access, n.write, n.change, n.size, n.flags"
)
_KINDS = tuple(EntryKind)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of a node of the scratch.

    Attributes:
        name: ``""`` for the data, else the alternate stream's name.
        folded: the name in folded form.
        size: bytes.
        attributes: of the backup stream (8 = sparse).
        data: number of the file of data, or None where the bytes are those of a layer below.
        layer: position of that layer in the chain, nearest 1; or None.
        row: the row of that layer whose part of this name has the bytes; or None.
    """

    name: str
    folded: str
    size: int
    attributes: int
    data: int | None
    layer: int | None = None
    row: int | None = None

    # Written out, as dataclasses.replace takes three times as long.
    def resized(self, size: int) -> StoredPart:
        """The same with another size."""
        return StoredPart(
            self.name, self.folded, size, self.attributes, self.data, self.layer, self.row
        )

    def written(self, size: int, data: int) -> StoredPart:
        """The same with its bytes in a file of data."""
        return StoredPart(self.name, self.folded, size, self.attributes, data)


class NodeStore:
    """The database of one scratch.

    Args:
        path: the database, made by ``make_database``.
        read_only: whether somebody else may be writing it.
    Raises:
        StoreCorrupt: it is none of ours.
        NoSpace: there is no room on the disk for what connections to it share.
    """

    def __init__(self, path: Path, layer_id: str, *, read_only: bool = False) -> None:
        self._layer_id = layer_id
        self.path = path
        self.folder = path.parent
        self.is_read_only = read_only
        with full_disk_told(path.parent), ExitStack() as undo:
            try:
                self._db = undo.enter_context(closing(_connect(path, read_only=read_only)))
                self._db.text_factory = text_factory
                self._db.execute("PRAGMA synchronous=NORMAL")
                self.facts = dict(self._db.execute("SELECT key, value FROM facts"))
            except sqlite3.Error as error:
                if is_full(error):
                    raise
                raise StoreCorrupt(f"the scratch {path} cannot be read: {error}") from error
            if self.facts.get("schema") != str(SCHEMA_VERSION):
                raise StoreCorrupt(
                    f"the scratch {path} has schema {self.facts.get('schema')}, this version reads "
                    f"{SCHEMA_VERSION}"
                )
            undo.pop_all()
        self.commits = Commits(self._db, path, on_undo=self._forget)
        self._descriptors: dict[bytes, int] = {}
        # The name that was last asked for and is not there.
        self._missing: tuple[int, str] | None = None

    def transaction(self) -> AbstractContextManager[None]:
        """What is done in the ``with`` block is whole or absent. Blocks may stand in each other."""
        return self.commits.operation()

    def freeze(self) -> None:
        """Read from now on as of now; only for who does not write."""
        self._db.execute("BEGIN")
        self._db.execute("SELECT 1 FROM facts").fetchone()

    def set_fact(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))
        self.facts[key] = value

    # -- asking, as layer.merge.LayerTable ----------------------------------------------------------

    @property
    def layer_id(self) -> str:
        return self._layer_id

    def child(self, parent: int, folded: str) -> Node | None:
        # Who makes a file asks three times whether there is one.
        if self._missing == (parent, folded):
            return None
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM names m LEFT JOIN nodes n ON n.id = m.node"  # noqa: S608 - columns and tables are constants
            " WHERE m.parent = ? AND m.folded = CAST(? AS TEXT)",
            (parent, sql_text(folded)),
        ).fetchone()
        if row is not None:
            return self._node(row)
        if not self.is_read_only:
            self._missing = parent, folded
        return None

    def children(self, parent: int) -> list[Node]:
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM names m LEFT JOIN nodes n ON n.id = m.node"  # noqa: S608 - columns and tables are constants
            " WHERE m.parent = ? ORDER BY m.folded",
            (parent,),
        ).fetchall()
        return [self._node(row) for row in rows]

    def node(self, row: int) -> Node:
        found = self._db.execute(
            "SELECT id, '', '', kind, attributes, creation, access, write, change, size, flags"
            " FROM nodes WHERE id = ?",
            (row,),
        ).fetchone()
        if found is None:
            raise PathNotFound(f"the scratch {self.path} has no node {row} any more")
        return self._node(found)

    def entry(self, node: Node) -> Entry:
        found = self._db.execute(
            "SELECT s.bytes, d.ea, d.reparse FROM nodes n"
            " LEFT JOIN descriptors s ON s.id = n.security"
            " LEFT JOIN details d ON d.node = n.id WHERE n.id = ?",
            (node.row,),
        ).fetchone()
        if found is None:
            raise PathNotFound(f"{node.path!r} was removed meanwhile")
        security, ea, reparse = found
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
        )

    def _node(self, row: tuple[Any, ...]) -> Node:
        number, name, folded, kind, attributes, creation, access, write, change, size, flags = row
        if number is None:
            return Node(-1, name, folded, EntryKind.WHITEOUT, 0, 0, 0, 0, 0, 0, 0)
        node = Node(
            number,
            name,
            folded,
            _KINDS[kind],
            attributes,
            from_signed(creation),
            from_signed(access),
            from_signed(write),
            from_signed(change),
            size,
            flags,
            self._layer_id,
        )
        if node.is_directory:
            node.stack = ((SCRATCH_LAYER, number), *self.lowers(number))
        return node

    def lowers(self, row: int) -> tuple[tuple[int, int], ...]:
        """What of the chain shows through a directory: (layer, row), nearest first."""
        return tuple(
            self._db.execute(
                "SELECT layer, row FROM lowers WHERE node = ? ORDER BY position", (row,)
            )
        )

    def stored_parts(self, row: int) -> list[StoredPart]:
        """The parts of a node, the data first."""
        rows = self._db.execute(
            "SELECT name, folded, size, attributes, data, layer, row FROM parts WHERE node = ?"
            " ORDER BY folded",
            (row,),
        )
        return [StoredPart(*one) for one in rows]

    def name_count(self, row: int) -> int:
        """How many names a node has."""
        found: int = self._db.execute(
            "SELECT count(*) FROM names WHERE node = ?", (row,)
        ).fetchone()[0]
        return found

    def has_names(self, parent: int) -> bool:
        """Whether a directory has any name of the scratch that is no tombstone."""
        return (
            self._db.execute(
                "SELECT 1 FROM names WHERE parent = ? AND node IS NOT NULL LIMIT 1", (parent,)
            ).fetchone()
            is not None
        )

    def held(self) -> tuple[int, int]:
        """Bytes in files of data, and how many names there are of files, directories and streams."""
        size, names = self._db.execute(
            "SELECT (SELECT coalesce(sum(size), 0) FROM parts WHERE data IS NOT NULL),"
            " (SELECT count(*) FROM names WHERE node IS NOT NULL)"
            " + (SELECT count(*) FROM parts WHERE folded != '')"
        ).fetchone()
        return size, names

    def node_count(self) -> int:
        """How many files and directories there are besides the root."""
        found: int = self._db.execute("SELECT count(*) - 1 FROM nodes").fetchone()[0]
        return found

    # -- changing; each within a transaction of the caller's ------------------------------------------

    def add_node(
        self, entry: Entry, *, flags: int = 0, lowers: tuple[tuple[int, int], ...] = ()
    ) -> int:
        """A new node with an entry's metadata; its number."""
        cursor = self._db.execute(
            "INSERT INTO nodes (kind, attributes, creation, access, write, change, size, flags,"
            " security) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                int(entry.kind),
                entry.attributes,
                to_signed(entry.creation_filetime),
                to_signed(entry.access_filetime),
                to_signed(entry.write_filetime),
                to_signed(entry.change_filetime),
                entry.size,
                (flags & NODE_STREAMS) | _flags_of(entry),
                self._intern(entry.security),
            ),
        )
        row = cursor.lastrowid
        assert row is not None
        if entry.ea or entry.reparse:
            self.commits.weigh(len(entry.ea) + len(entry.reparse))
            self._db.execute(
                "INSERT INTO details VALUES (?, ?, ?)",
                (row, entry.ea or None, entry.reparse or None),
            )
        self._db.executemany(
            "INSERT INTO lowers VALUES (?, ?, ?, ?)",
            [(row, position, *lower) for position, lower in enumerate(lowers)],
        )
        return row

    def new_node(self, row: int, name: str, folded: str, entry: Entry, path: str) -> Node:
        """What ``add_node`` made of an entry alone, without asking again."""
        node = Node(
            row,
            name,
            folded,
            entry.kind,
            entry.attributes,
            entry.creation_filetime,
            entry.access_filetime,
            entry.write_filetime,
            entry.change_filetime,
            0 if entry.kind is EntryKind.FILE else entry.size,
            _flags_of(entry),
            self._layer_id,
            path,
        )
        if node.is_directory:
            node.stack = ((SCRATCH_LAYER, row),)
        return node

    def change_node(self, row: int, **columns: int) -> None:
        """Set columns: ``attributes``, times, ``size``, ``flags``."""
        names = ", ".join(f"{name} = ?" for name in columns)
        values = [to_signed(value) for value in columns.values()]
        self._db.execute(f"UPDATE nodes SET {names} WHERE id = ?", (*values, row))  # noqa: S608 - columns and tables are constants

    def follow_kind(self, row: int) -> None:
        """Have the attributes tell what a node is: whether a directory, and whether a reparse point."""
        self._db.execute(
            "UPDATE nodes SET attributes = (attributes & ~?)"
            " | CASE WHEN kind = ? THEN ? ELSE 0 END | CASE WHEN flags & ? THEN ? ELSE 0 END"
            " WHERE id = ?",
            (
                FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT,
                int(EntryKind.DIRECTORY), FILE_ATTRIBUTE_DIRECTORY,
                NODE_REPARSE, FILE_ATTRIBUTE_REPARSE_POINT, row,
            ),
        )  # fmt: skip

    def set_flag(self, row: int, flag: int) -> None:
        """Set one of the ``NODE_*`` bits."""
        self._db.execute("UPDATE nodes SET flags = flags | ? WHERE id = ?", (flag, row))

    def set_security(self, row: int, security: bytes) -> None:
        self._db.execute(
            "UPDATE nodes SET security = ? WHERE id = ?", (self._intern(security), row)
        )

    def set_details(
        self, row: int, *, ea: bytes | None = None, reparse: bytes | None = None
    ) -> None:
        """Set EAs or reparse data, ``b""`` for none; None leaves them."""
        self._db.execute("INSERT OR IGNORE INTO details VALUES (?, NULL, NULL)", (row,))
        for column, value, flag in (("ea", ea, NODE_EA), ("reparse", reparse, NODE_REPARSE)):
            if value is None:
                continue
            self.commits.weigh(len(value))
            self._db.execute(
                f"UPDATE details SET {column} = ? WHERE node = ?",  # noqa: S608 - one of two names
                (value or None, row),
            )
            self._db.execute(
                "UPDATE nodes SET flags = (flags & ~?) | ? WHERE id = ?",
                (flag, flag if value else 0, row),
            )

    def remove_node(self, row: int) -> list[int]:
        """Take a node without names away; the numbers of the files of data that nobody needs then."""
        data = self._db.execute(
            "SELECT data FROM parts WHERE node = ? AND data IS NOT NULL", (row,)
        ).fetchall()
        for table, column in (
            ("parts", "node"), ("lowers", "node"), ("details", "node"),
            ("names", "parent"), ("nodes", "id"),
        ):  # fmt: skip
            self._db.execute(f"DELETE FROM {table} WHERE {column} = ?", (row,))  # noqa: S608 - columns and tables are constants
        return [number for (number,) in data]

    def set_name(self, parent: int, name: str, folded: str, row: int | None) -> None:
        """Have a directory lead by a name to a node, or to None: a tombstone."""
        self._missing = None
        self._db.execute(
            "INSERT OR REPLACE INTO names VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), ?)",
            (parent, sql_text(folded), sql_text(name), row),
        )

    def drop_name(self, parent: int, folded: str) -> None:
        """Have a directory say nothing of a name."""
        self._db.execute(
            "DELETE FROM names WHERE parent = ? AND folded = CAST(? AS TEXT)",
            (parent, sql_text(folded)),
        )

    def set_part(self, row: int, part: StoredPart, *, is_open: bool = False) -> None:
        """Add or replace a part."""
        self._put_part(row, part, is_open=is_open)
        if part.name:
            self._db.execute("UPDATE nodes SET flags = flags | ? WHERE id = ?", (NODE_STREAMS, row))
        else:
            self._db.execute("UPDATE nodes SET size = ? WHERE id = ?", (part.size, row))

    def set_written_part(self, row: int, part: StoredPart, filetime: int) -> None:
        """Replace a part that was written, and note when that was."""
        self._put_part(row, part, is_open=False)
        if part.name:
            self.mark_written(row, filetime)
        else:
            written = to_signed(filetime)
            self._db.execute(
                "UPDATE nodes SET size = ?, write = ?, change = ?, attributes = attributes | ?"
                " WHERE id = ?",
                (part.size, written, written, FILE_ATTRIBUTE_ARCHIVE, row),
            )

    def _put_part(self, row: int, part: StoredPart, *, is_open: bool) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO parts VALUES"
            " (?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?, ?, ?)",
            (
                row, sql_text(part.folded), sql_text(part.name), part.size, part.attributes,
                part.data, part.layer, part.row, int(is_open),
            ),
        )  # fmt: skip

    def mark_open(self, row: int, folded: str) -> None:
        """Note that a part is about to be written, so that a crash does not hide it."""
        self._db.execute(
            "UPDATE parts SET is_open = 1 WHERE node = ? AND folded = CAST(? AS TEXT)",
            (row, sql_text(folded)),
        )

    def mark_written(self, row: int, filetime: int) -> None:
        """Note when a node was written, which makes it one to be archived."""
        self._db.execute(
            "UPDATE nodes SET write = ?, change = ?, attributes = attributes | ? WHERE id = ?",
            (to_signed(filetime), to_signed(filetime), FILE_ATTRIBUTE_ARCHIVE, row),
        )

    def drop_part(self, row: int, folded: str) -> None:
        """Take an alternate stream away."""
        self._db.execute(
            "DELETE FROM parts WHERE node = ? AND folded = CAST(? AS TEXT)",
            (row, sql_text(folded)),
        )
        self._db.execute(
            "UPDATE nodes SET flags = flags & ~? WHERE id = ? AND NOT EXISTS"
            " (SELECT 1 FROM parts WHERE node = ? AND folded != '')",
            (NODE_STREAMS, row, row),
        )

    def fault(self) -> str | None:
        """What SQLite finds wrong with the database, or None."""
        try:
            found: str = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            return str(error)
        return None if found == "ok" else found

    # -- after a crash --------------------------------------------------------------------------------

    def nameless(self) -> list[int]:
        """Nodes that lost their last name while somebody had them open."""
        return [
            row
            for (row,) in self._db.execute(
                "SELECT id FROM nodes WHERE id != 0 AND id NOT IN"
                " (SELECT node FROM names WHERE node IS NOT NULL)"
            )
        ]

    def data_parts(self) -> Iterator[tuple[int, StoredPart, bool]]:
        """All parts that have files of data: node, part, and whether it was open for writing."""
        rows = self._db.execute(
            "SELECT node, name, folded, size, attributes, data, layer, row, is_open FROM parts"
            " WHERE data IS NOT NULL"
        ).fetchall()
        for row, *part, is_open in rows:
            yield row, StoredPart(*part), bool(is_open)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _forget(self) -> None:
        """What was found during an operation may not be true any more."""
        self._descriptors.clear()
        self._missing = None

    def _intern(self, security: bytes) -> int | None:
        if not security:
            return None
        found = self._descriptors.get(security)
        if found is None:
            self.commits.weigh(len(security))
            self._db.execute("INSERT OR IGNORE INTO descriptors (bytes) VALUES (?)", (security,))
            found = self._db.execute(
                "SELECT id FROM descriptors WHERE bytes = ?", (security,)
            ).fetchone()[0]
            self._descriptors[security] = found
        return found


def _flags_of(entry: Entry) -> int:
    return (NODE_EA if entry.ea else 0) | (NODE_REPARSE if entry.reparse else 0)


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    how = "mode=ro" if read_only else "mode=rw"
    if read_only and _is_at_rest(path):
        how += "&immutable=1"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def _is_at_rest(path: Path) -> bool:
    """Whether nobody can be writing: it lies on a disk that takes no writes, and has no log.

    SQLite would make a log to read one with, which such a disk does not take.
    """
    if not hasattr(os, "statvfs") or Path(f"{path}-wal").exists():
        return False
    return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)


def make_database(path: Path, facts: dict[str, str], root: Entry, depth: int) -> None:
    """Make the database of a new scratch.

    Args:
        path: the file, which is not there.
        facts: what is known of the scratch.
        root: metadata of the root.
        depth: how many layers the chain has.
    """
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        db.executescript(_SCHEMA)
        db.executemany(
            "INSERT INTO facts VALUES (?, ?)",
            [*facts.items(), ("schema", str(SCHEMA_VERSION)), ("depth", str(depth))],
        )
        db.execute(
            "INSERT INTO nodes (id, kind, attributes, creation, access, write, change, size, flags)"
            " VALUES (0, ?, ?, ?, ?, ?, ?, 0, 0)",
            (
                int(EntryKind.DIRECTORY), root.attributes, to_signed(root.creation_filetime),
                to_signed(root.access_filetime), to_signed(root.write_filetime),
                to_signed(root.change_filetime),
            ),
        )  # fmt: skip
        db.executemany("INSERT INTO lowers VALUES (0, ?, ?, 0)", [(n, n + 1) for n in range(depth)])
        db.execute("PRAGMA journal_mode=WAL")
    finally:
        db.close()
