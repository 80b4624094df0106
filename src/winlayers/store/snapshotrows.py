"""The rows of snapshots in the catalog, within one transaction.

A snapshot has a *key*, which an engine chose, and a *number*, which the catalog gives and never gives again: a commit
changes the key and keeps the number. This module refuses to know how layers are made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from winlayers.errors import IllegalState, SnapshotExists, SnapshotNotFound, StoreCorrupt


class SnapshotKind(Enum):
    """What may be done with a snapshot, in containerd's words."""

    ACTIVE = "active"
    """It takes changes, and may be committed."""
    VIEW = "view"
    """It shows its parent, and takes none."""
    COMMITTED = "committed"
    """It is a layer, and others may stand on it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot.

    Attributes:
        key: what the engine calls it.
        number: what the store calls it; no other snapshot ever had it.
        kind: what may be done with it.
        parent: key of what it stands on, or ``""``.
        labels: what the engine noted, by name.
        created_ns: when it was made or committed, nanoseconds since 1970.
        updated_ns: when it or its labels were changed.
        layer_id: id in the driver of what it shows: a sealed layer, which for a view is that of its parent; of an
            active one its scratch. ``""`` where there is none (yet).
        is_filled: active, and already a sealed layer.
    """

    key: str
    number: int
    kind: SnapshotKind
    parent: str
    labels: Mapping[str, str] = field(hash=False)
    created_ns: int
    updated_ns: int
    layer_id: str
    is_filled: bool = False


class SnapshotRows:
    """The rows of snapshots, as ``catalog.Records`` has those of all else."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def all(self) -> list[Snapshot]:
        """All snapshots, each after the one that it stands on."""
        labels: dict[int, dict[str, str]] = {}
        for number, name, value in self._db.execute("SELECT number, name, value FROM labels"):
            labels.setdefault(number, {})[name] = value
        # A parent was committed before, so it has the lower number.
        rows = self._db.execute(f"{_SNAPSHOTS} ORDER BY s.number")
        return [_snapshot(row, labels.get(row[1], {})) for row in rows]

    def by_key(self, key: str) -> Snapshot | None:
        """The one of this key."""
        return self._one("s.key = ?", key)

    def by_number(self, number: int) -> Snapshot | None:
        """The one of this number."""
        return self._one("s.number = ?", number)

    def keyed(self, key: str) -> Snapshot:
        """The one of this key.

        Raises:
            SnapshotNotFound: there is none.
        """
        found = self.by_key(key)
        if found is None:
            raise SnapshotNotFound(f"there is no snapshot {key!r}")
        return found

    def numbered(self, number: int) -> Snapshot:
        """The one of this number.

        Raises:
            SnapshotNotFound: there is none.
        """
        found = self.by_number(number)
        if found is None:
            raise SnapshotNotFound(f"there is no snapshot of number {number}")
        return found

    def active(self, number: int, key: str | None = None) -> Snapshot:
        """The active one of a number.

        Args:
            number: of it.
            key: that it must have; None for any.
        Raises:
            SnapshotNotFound: there is none, or it has another key.
            IllegalState: it is not active.
        """
        found = self.numbered(number)
        if key is not None and found.key != key:
            raise SnapshotNotFound(f"there is no snapshot {key!r} any more")
        if found.kind is not SnapshotKind.ACTIVE:
            raise IllegalState(f"snapshot {found.key!r} is not active")
        return found

    def open_to_changes(self, number: int) -> Snapshot:
        """The one of a number, if a scratch can be made for it: it is no layer, and shows none.

        Raises:
            SnapshotNotFound: there is none.
            IllegalState: it is a layer, or shows one.
        """
        found = self.numbered(number)
        if found.kind is not SnapshotKind.VIEW or found.parent:
            self.active(number)
        if found.is_filled:
            raise IllegalState(
                f"snapshot {found.key!r} is a sealed layer already, and takes no changes"
            )
        return found

    def check_free(self, key: str) -> None:
        """See that no snapshot has a key.

        Raises:
            SnapshotExists: one has.
        """
        if self.by_key(key) is not None:
            raise SnapshotExists(f"there is a snapshot {key!r} already")

    def parent_layer(self, found: Snapshot) -> str:
        """The layer that one stands on, or ``""``."""
        return self.keyed(found.parent).layer_id if found.parent else ""

    def shown_layer(self, found: Snapshot) -> str:
        """The layer that one shows; what it stands on, where it is a view or nothing was made of it yet."""
        is_view = found.kind is SnapshotKind.VIEW
        return self.parent_layer(found) if is_view or not found.layer_id else found.layer_id

    def add(
        self,
        key: str,
        kind: SnapshotKind,
        parent: int,
        layer_id: str,
        labels: Mapping[str, str],
        now_ns: int,
    ) -> int:
        """Add one whose key is free.

        Args:
            key: of it.
            kind: of it.
            parent: number of what it stands on, or 0.
            layer_id: what it shows.
            labels: of it.
            now_ns: nanoseconds since 1970.
        Returns:
            Its number.
        """
        cursor = self._db.execute(
            "INSERT INTO snapshots (key, kind, parent, layer_id, is_filled, created_ns, updated_ns)"
            " VALUES (?, ?, ?, ?, 0, ?, ?)",
            (key, kind.value, parent, layer_id, now_ns, now_ns),
        )
        assert cursor.lastrowid is not None
        self._add_labels(cursor.lastrowid, labels)
        return cursor.lastrowid

    def show(self, number: int, layer_id: str, *, is_filled: bool) -> None:
        """Have an active one show a layer."""
        self._db.execute(
            "UPDATE snapshots SET layer_id = ?, is_filled = ? WHERE number = ?",
            (layer_id, is_filled, number),
        )

    def commit(
        self, number: int, key: str, layer_id: str, labels: Mapping[str, str], now_ns: int
    ) -> None:
        """Make an active one a committed one, under another key and with other labels."""
        self._db.execute(
            "UPDATE snapshots SET key = ?, kind = ?, layer_id = ?, is_filled = 0,"
            " created_ns = ?, updated_ns = ? WHERE number = ?",
            (key, SnapshotKind.COMMITTED.value, layer_id, now_ns, now_ns, number),
        )
        self._set_labels(number, labels)

    def label(self, number: int, labels: Mapping[str, str], now_ns: int) -> None:
        """Give one other labels."""
        self._set_labels(number, labels)
        self._db.execute("UPDATE snapshots SET updated_ns = ? WHERE number = ?", (now_ns, number))

    def drop(self, number: int) -> None:
        """Forget one."""
        self._db.execute("DELETE FROM labels WHERE number = ?", (number,))
        self._db.execute("DELETE FROM snapshots WHERE number = ?", (number,))

    def children(self, number: int, limit: int) -> list[str]:
        """Keys of some that stand on one.

        Args:
            number: of it.
            limit: how many are told.
        """
        query = "SELECT key FROM snapshots WHERE parent = ? ORDER BY number LIMIT ?"
        return [key for (key,) in self._db.execute(query, (number, limit))]

    def layer_ids(self) -> set[str]:
        """The layers that snapshots show."""
        query = "SELECT DISTINCT layer_id FROM snapshots WHERE layer_id != ''"
        return {layer_id for (layer_id,) in self._db.execute(query)}

    def _one(self, condition: str, value: str | int) -> Snapshot | None:
        row = self._db.execute(f"{_SNAPSHOTS} WHERE {condition}", (value,)).fetchone()
        if row is None:
            return None
        query = "SELECT name, value FROM labels WHERE number = ?"
        return _snapshot(row, dict(self._db.execute(query, (row[1],)).fetchall()))

    def _add_labels(self, number: int, labels: Mapping[str, str]) -> None:
        # As in containerd's own stores, a label without a value is none.
        rows = [(number, name, value) for name, value in labels.items() if value]
        self._db.executemany("INSERT INTO labels VALUES (?, ?, ?)", rows)

    def _set_labels(self, number: int, labels: Mapping[str, str]) -> None:
        self._db.execute("DELETE FROM labels WHERE number = ?", (number,))
        self._add_labels(number, labels)


_SNAPSHOTS = (
    "SELECT s.key, s.number, s.kind, coalesce(p.key, ''), s.created_ns, s.updated_ns, s.layer_id, s.is_filled"
    " FROM snapshots s LEFT JOIN snapshots p ON p.number = s.parent"
)
_KINDS = {kind.value: kind for kind in SnapshotKind}
_Row = tuple[str, int, str, str, int, int, str, int]


def _snapshot(row: _Row, labels: Mapping[str, str]) -> Snapshot:
    key, number, kind, parent, created_ns, updated_ns, layer_id, is_filled = row
    if kind not in _KINDS:
        raise StoreCorrupt(f"the catalog calls snapshot {key!r} {kind!r}, which no snapshot is")
    return Snapshot(
        key,
        number,
        _KINDS[kind],
        parent,
        labels,
        created_ns,
        updated_ns,
        layer_id,
        bool(is_filled),
    )
