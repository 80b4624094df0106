"""The index of a pack: one SQLite file that answers for the layer without reading the pack.

    entries      one row a name, in the order of the tar; keyed by (parent row, folded name), a whiteout
                 under the name that it hides, so one unique key finds doubles and entries beside whiteouts
    details      what few entries have: extended attributes, reparse data, target of a hard link
    streams      alternate streams, in order
    extents      where the data of sparse parts lies
    descriptors  security descriptors, each once
    breaches     findings of the import, and of a lenient reading
    facts        schema version, digests, sizes

Times are unsigned FILETIMEs kept in SQLite's signed integers. Names are WTF-8 text. An index is built with
its journal off, synced once, renamed into place and from then on never written, so it is opened as
immutable. It can be made again from the pack; an index of another schema is, not migrated.
"""

from __future__ import annotations

import functools
import sqlite3
from pathlib import Path
from typing import Any

from winlayers.errors import StoreCorrupt

SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    parent INTEGER NOT NULL,
    folded TEXT NOT NULL,
    name TEXT,
    kind INTEGER NOT NULL,
    attributes INTEGER NOT NULL,
    creation INTEGER NOT NULL,
    access INTEGER NOT NULL,
    write INTEGER NOT NULL,
    change INTEGER NOT NULL,
    size INTEGER NOT NULL,
    body INTEGER NOT NULL,
    security INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    header INTEGER NOT NULL,
    UNIQUE (parent, folded)
);
CREATE TABLE details (
    entry INTEGER PRIMARY KEY,
    ea BLOB,
    reparse BLOB,
    target TEXT,
    target_parent INTEGER,
    target_folded TEXT,
    target_row INTEGER
);
CREATE TABLE streams (
    entry INTEGER NOT NULL,
    number INTEGER NOT NULL,
    folded TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    attributes INTEGER NOT NULL,
    body INTEGER NOT NULL,
    is_mapped INTEGER NOT NULL,
    PRIMARY KEY (entry, number),
    UNIQUE (entry, folded)
) WITHOUT ROWID;
CREATE TABLE extents (
    entry INTEGER NOT NULL,
    number INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    source INTEGER NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX extents_of ON extents (entry, number);
CREATE TABLE descriptors (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL UNIQUE);
CREATE TABLE breaches (code TEXT NOT NULL, entry TEXT NOT NULL, detail TEXT NOT NULL, offset INTEGER);
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

#: Flag of an entry, beside the ``NODE_*`` flags of ``layer.view``: its data has rows in ``extents``.
FLAG_MAPPED = 64

_UNSIGNED = 2**64


def to_signed(filetime: int) -> int:
    """A FILETIME as SQLite keeps it."""
    return filetime if filetime < 2**63 else filetime - _UNSIGNED


def from_signed(stored: int) -> int:
    """The way back."""
    return stored if stored >= 0 else stored + _UNSIGNED


def create(path: Path) -> sqlite3.Connection:
    """A new index, for one writer, to be synced as a whole when it is done."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.text_factory = text_factory  # a name may hold a lone surrogate
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-4096", "temp_store=FILE"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(SCHEMA)
    return connection


def open_read_only(path: Path) -> sqlite3.Connection:
    """A finished index.

    Raises:
        StoreCorrupt: no index, or one of another schema.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """See that an index is one, and how its texts are read."""
    try:
        # The names of a layer that has lone surrogates are not UTF-8 in SQLite's sense.
        connection.text_factory = text_factory
        facts = read_facts(connection)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    if facts.get("schema") != str(SCHEMA_VERSION):
        raise StoreCorrupt(
            f"the index {path} has schema {facts.get('schema')}, this version reads {SCHEMA_VERSION}; "
            "'winlayers store check --repair' makes it again"
        )
    if facts.get("surrogates") != "1":
        connection.text_factory = str


def _unreadable(path: Path, error: sqlite3.Error) -> StoreCorrupt:
    return StoreCorrupt(
        f"the index {path} cannot be read ({error}); 'winlayers store check --repair' makes it again"
    )


def read_facts(connection: sqlite3.Connection) -> dict[str, str]:
    """What the index says of the layer as a whole."""
    return dict(connection.execute("SELECT key, value FROM facts"))


def write_facts(connection: sqlite3.Connection, facts: dict[str, Any]) -> None:
    """Set facts; each value is kept as text."""
    connection.executemany(
        "INSERT OR REPLACE INTO facts VALUES (?, ?)",
        [(key, str(value)) for key, value in facts.items()],
    )


#: Makes texts of SQLite that may hold lone surrogates.
text_factory = functools.partial(str, encoding="utf-8", errors="surrogatepass")


def sql_text(text: str) -> str | bytes:
    """A name as a parameter, to stand in ``CAST(? AS TEXT)``; lone surrogates go as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text
