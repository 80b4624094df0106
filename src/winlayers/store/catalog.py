"""``catalog.db``: which images there are, what each needs, and who is at work.

    tags       name -> document                                what users call images by
    documents  digest, media type                              manifests and indexes
    links      source -> target                                what a document needs
    blobs      digest, size                                    the files below ``blobs``
    layers     id, diff ID, parent, blob, made, ours           the layers of images that the driver has
    leases     number, process                                 who is at work
    holds      lease -> key                                    what that one relies on
    snapshots  number, key, kind, parent, layer                what engines name, see ``snapshotrows``
    labels     snapshot -> name, value                         what engines note of them

A *key* is a digest (of a document or blob, with its colon) or the id of a layer (64 digits, without). A layer is
*made* once the driver has it whole; a row that is not made belongs to who makes it, or to a crash. Two transactions
that write exclude each other, also between processes, so whoever publishes or removes a file does that in one.

This module touches no other file but the ``spare`` room beside it, and knows nothing of the driver.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from winlayers.base.digest import Digest
from winlayers.base.locking import FileLock
from winlayers.base.processes import is_running, process_start_time
from winlayers.driver.database import open_database
from winlayers.errors import NoSpace, StoreCorrupt, UnknownFeature, WinlayersError
from winlayers.oci.model import Descriptor
from winlayers.store.batches import Batches
from winlayers.store.snapshotrows import SnapshotRows
from winlayers.store.spare import Spare

_T = TypeVar("_T")

#: Each brings a catalog of the schema that is its place here to the next one.
_STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE tags (name TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE documents (digest TEXT PRIMARY KEY, media_type TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE links (source TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (source, target))"
        " WITHOUT ROWID",
        "CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE layers (layer_id TEXT PRIMARY KEY, diff_id TEXT NOT NULL, parent TEXT NOT NULL,"
        " blob TEXT NOT NULL, size INTEGER NOT NULL, is_made INTEGER NOT NULL,"
        " is_ours INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE INDEX layers_by_diff_id ON layers (diff_id)",
        "CREATE TABLE leases (lease INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL,"
        " started TEXT NOT NULL)",
        "CREATE TABLE holds (lease INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (lease, key))"
        " WITHOUT ROWID",
    ),
    (
        "CREATE TABLE snapshots (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,"
        " kind TEXT NOT NULL, parent INTEGER NOT NULL, layer_id TEXT NOT NULL, is_filled INTEGER NOT NULL,"
        " created_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL)",
        "CREATE INDEX snapshots_by_parent ON snapshots (parent)",
        "CREATE INDEX snapshots_by_layer ON snapshots (layer_id)",
        "CREATE TABLE labels (number INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
        " PRIMARY KEY (number, name)) WITHOUT ROWID",
        "CREATE INDEX layers_by_parent ON layers (parent)",
        "CREATE INDEX links_by_target ON links (target)",
    ),
)
SCHEMA_VERSION = len(_STEPS)


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer of an image.

    Attributes:
        layer_id: the digits of its chain ID, by which the driver knows it.
        diff_id: digest of its tar.
        parent: id of the layer that it stands on, or ``""``.
        blob: digest of what it came in; ``diff_id`` where that was not compressed.
        size: bytes of the tar; 0 before it is made.
        is_made: whether the driver has it, whole.
        is_ours: whether it goes when no image needs it; one that was imported by its user stays.
    """

    layer_id: str
    diff_id: Digest
    parent: str
    blob: Digest
    size: int = 0
    is_made: bool = False
    is_ours: bool = True

    @property
    def is_plain(self) -> bool:
        """Whether it came without compression, so that its tar is the blob."""
        return self.blob == self.diff_id


class Records:
    """The rows, within one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.snapshots = SnapshotRows(db)
        """Those of snapshots."""

    # -- names and documents -------------------------------------------------------------------------

    def tags(self) -> dict[str, Digest]:
        """The document that each name leads to, sorted by name."""
        rows = self._db.execute("SELECT name, digest FROM tags ORDER BY name")
        return {name: Digest.parse(digest) for name, digest in rows}

    def set_tag(self, name: str, digest: Digest) -> None:
        """Have a name lead to a document, whatever it led to before."""
        self._db.execute("INSERT OR REPLACE INTO tags VALUES (?, ?)", (name, str(digest)))

    def drop_tag(self, name: str) -> bool:
        """Forget a name; whether there was one."""
        return self._db.execute("DELETE FROM tags WHERE name = ?", (name,)).rowcount > 0

    def documents(self) -> dict[Digest, str]:
        """The media type of each manifest and index."""
        rows = self._db.execute("SELECT digest, media_type FROM documents ORDER BY digest")
        return {Digest.parse(digest): media_type for digest, media_type in rows}

    def document(self, digest: Digest) -> Descriptor | None:
        """A manifest or index, if it is there."""
        row = self._db.execute(
            "SELECT media_type, size FROM documents JOIN blobs USING (digest) WHERE digest = ?",
            (str(digest),),
        ).fetchone()
        return None if row is None else Descriptor(row[0], digest, row[1])

    def add_document(self, digest: Digest, media_type: str, needed: Iterable[str]) -> None:
        """Add a manifest or index, whose blob was added.

        Args:
            digest: of it.
            media_type: of it.
            needed: keys of what it needs.
        """
        self._db.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?)", (str(digest), media_type)
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO links VALUES (?, ?)", [(str(digest), key) for key in needed]
        )

    def drop_document(self, digest: Digest) -> None:
        """Forget a document and what it needs; its blob stays."""
        self._db.execute("DELETE FROM documents WHERE digest = ?", (str(digest),))
        self._db.execute("DELETE FROM links WHERE source = ?", (str(digest),))

    def links(self) -> dict[str, list[str]]:
        """What each document needs, by keys."""
        found: dict[str, list[str]] = {}
        for source, target in self._db.execute("SELECT source, target FROM links"):
            found.setdefault(source, []).append(target)
        return found

    # -- blobs and layers ----------------------------------------------------------------------------

    def blobs(self) -> dict[Digest, int]:
        """The size of each file of ``blobs``."""
        rows = self._db.execute("SELECT digest, size FROM blobs ORDER BY digest")
        return {Digest.parse(digest): size for digest, size in rows}

    def has_blob(self, digest: Digest) -> bool:
        """Whether there is a file of this digest."""
        query = "SELECT 1 FROM blobs WHERE digest = ?"
        return self._db.execute(query, (str(digest),)).fetchone() is not None

    def add_blob(self, digest: Digest, size: int) -> None:
        """Add a file that was published in this transaction, or was there."""
        self._db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (str(digest), size))

    def drop_blob(self, digest: Digest) -> None:
        """Forget a file, which is to be removed in a later transaction."""
        self._db.execute("DELETE FROM blobs WHERE digest = ?", (str(digest),))

    def layers(self) -> list[LayerRow]:
        """All layers of images, made or not."""
        return [_layer(row) for row in self._db.execute(f"{_LAYERS} ORDER BY layer_id")]

    def layer(self, layer_id: str) -> LayerRow | None:
        """One of them."""
        row = self._db.execute(f"{_LAYERS} WHERE layer_id = ?", (layer_id,)).fetchone()
        return None if row is None else _layer(row)

    def layers_of(self, diff_id: Digest) -> list[LayerRow]:
        """Those that are made of the same tar, on whatever parents."""
        query = f"{_LAYERS} WHERE diff_id = ? AND is_made ORDER BY layer_id"
        return [_layer(row) for row in self._db.execute(query, (str(diff_id),))]

    def put_layer(self, row: LayerRow) -> None:
        """Add a layer, or change what is told of it."""
        values = (row.layer_id, str(row.diff_id), row.parent, str(row.blob), row.size)
        self._db.execute(
            "INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*values, row.is_made, row.is_ours),
        )

    def drop_layer(self, layer_id: str) -> None:
        """Forget a layer."""
        self._db.execute("DELETE FROM layers WHERE layer_id = ?", (layer_id,))

    def is_layer_needed(self, layer_id: str) -> bool:
        """Whether a snapshot, a document, another layer or somebody at work needs a layer."""
        query = (
            "SELECT EXISTS (SELECT 1 FROM snapshots WHERE layer_id = :id)"
            " OR EXISTS (SELECT 1 FROM links WHERE target = :id)"
            " OR EXISTS (SELECT 1 FROM layers WHERE parent = :id)"
            " OR EXISTS (SELECT 1 FROM holds WHERE key = :id)"
        )
        return bool(self._db.execute(query, {"id": layer_id}).fetchone()[0])

    # -- leases --------------------------------------------------------------------------------------

    def add_lease(self) -> int:
        """Begin work of this process; the number of the lease, which none had before."""
        holder = (os.getpid(), str(process_start_time(os.getpid())))
        cursor = self._db.execute("INSERT INTO leases (pid, started) VALUES (?, ?)", holder)
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def drop_lease(self, lease: int) -> None:
        """End it, with all that it holds."""
        self._db.execute("DELETE FROM holds WHERE lease = ?", (lease,))
        self._db.execute("DELETE FROM leases WHERE lease = ?", (lease,))

    def drop_dead_leases(self) -> None:
        """End those of processes that have ended."""
        rows = self._db.execute("SELECT lease, pid, started FROM leases").fetchall()
        for lease, pid, started in rows:
            if not is_running(pid, started):
                self.drop_lease(lease)

    def leases(self) -> set[int]:
        """The numbers of all leases."""
        return {lease for (lease,) in self._db.execute("SELECT lease FROM leases")}

    def hold(self, lease: int, key: str) -> None:
        """Have something stay as long as a lease lasts."""
        self._db.execute("INSERT OR IGNORE INTO holds VALUES (?, ?)", (lease, key))

    def held(self) -> set[str]:
        """The keys of all that is held."""
        return {key for (key,) in self._db.execute("SELECT DISTINCT key FROM holds")}


class Catalog:
    """The catalog of one store.

    Args:
        path: the database; made, or brought to the present schema, if need be.
    Raises:
        UnknownFeature: a later winlayers made it.
        StoreCorrupt: it is no catalog.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spare = Spare(path.with_suffix(".spare"))
        # SQLite makes those who wait sleep, up to a tenth of a second; threads of one process need not.
        self._turn = threading.Lock()
        self._changes: Batches[_Change[Any]] = Batches(self._make_all)
        with self._spare.lent(), self._connection() as db:
            is_present = self._version(db) == SCHEMA_VERSION
        if not is_present:
            self._bring_up()

    @contextmanager
    def reading(self) -> Iterator[Records]:
        """All rows as they are at one moment."""
        with self._spare.lent(), self._connection() as db:
            db.execute("BEGIN")
            yield Records(db)
            db.execute("ROLLBACK")

    @contextmanager
    def still(self) -> Iterator[Records]:
        """All rows, and nobody changes them, or removes a file, as long as the block lasts."""
        with self._spare.lent(), self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            yield Records(db)
            db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Records]:
        """A change: all of it, or nothing where the block raises; nobody else changes anything meanwhile."""
        with self._turn, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            yield Records(db)
            db.execute("COMMIT")

    @contextmanager
    def clearing(self) -> Iterator[Records]:
        """A change that gives room back, or helps to: one that succeeds on a full disk too; see ``writing``."""
        with self._spare.lent(), self.writing() as records:
            yield records

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Be quicker as long as the block lasts: each time that nobody has it open any more, SQLite tidies it up."""
        with self._connection() as db:
            self._version(db)
            yield

    def change(self, what: Callable[[Records], _T], *, clearing: bool = False) -> _T:
        """Make a small change, as ``writing`` does; those of many threads are brought to the disk together.

        Args:
            what: makes it, in whichever thread; it waits for nothing.
            clearing: it gives room back, or helps to; see ``clearing``.
        Returns:
            What that returned.
        Raises:
            Whatever ``what`` raised; then it has changed nothing.
        """
        change = _Change(what)
        with self._spare.lent() if clearing else nullcontext():
            self._changes.put(change)
        return change.result()

    def _make_all(self, changes: list[_Change[Any]]) -> None:
        try:
            with self._turn, self._connection() as db:
                db.execute("BEGIN IMMEDIATE")
                for one in changes:
                    one.make(db)
                db.execute("COMMIT")
        except BaseException as error:
            for one in changes:
                one.error = one.error or error
            if not isinstance(error, Exception):
                raise

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with open_database(self._path) as db:
                yield db
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # of the memory that processes share, a file
                raise NoSpace(f"the disk of {self._path} is full; free some space") from error
            if code & 0xFF not in _DAMAGED:
                raise
            raise StoreCorrupt(
                f"{self._path}, the catalog of images, cannot be read: {error}"
            ) from error

    def _version(self, db: sqlite3.Connection) -> int:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UnknownFeature(
                f"{self._path} has schema {version}, and this winlayers knows none after {SCHEMA_VERSION}; "
                "use the one that wrote it, or a later one"
            )
        return version

    def _bring_up(self) -> None:
        # Not only by SQLite: to change the journal it does not wait for others.
        with FileLock(self._path.with_suffix(".lock")), self._connection() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            for step in _STEPS[self._version(db) :]:
                for statement in step:
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("COMMIT")


class _Change(Generic[_T]):
    """A change that waits for its turn, and what became of it."""

    def __init__(self, what: Callable[[Records], _T]) -> None:
        self._what = what
        self._value: _T | None = None
        self.error: BaseException | None = None

    def make(self, db: sqlite3.Connection) -> None:
        """Make it, within a transaction; one that fails changes nothing, and fails alone."""
        db.execute("SAVEPOINT change")
        try:
            self._value = self._what(Records(db))
        except WinlayersError as error:
            self.error = error
            db.execute("ROLLBACK TO change")
        db.execute("RELEASE change")

    def result(self) -> _T:
        """What it returned, or what it raised."""
        if self.error is not None:
            raise self.error
        return cast(_T, self._value)


_LAYERS = "SELECT layer_id, diff_id, parent, blob, size, is_made, is_ours FROM layers"
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _layer(row: tuple[str, str, str, str, int, int, int]) -> LayerRow:
    layer_id, diff_id, parent, blob, size, is_made, is_ours = row
    return LayerRow(
        layer_id,
        Digest.parse(diff_id),
        parent,
        Digest.parse(blob),
        size,
        bool(is_made),
        bool(is_ours),
    )
