"""How often each layer was got and not yet put, kept across processes.

One row for each (layer, process) in ``driver.db``. A process that died without a put left its row; it is
known by its id and start time, and ``forget_the_dead`` drops such rows. This module refuses to know what
getting a layer does.

Source: the counting of moby/moby daemon/graphdriver/windows/windows.go (Get, Put), which is kept in memory
there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winlayers.base.processes import process_start_time

_SCHEMA = """
CREATE TABLE IF NOT EXISTS holds (
    layer_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (layer_id, pid, started)
) WITHOUT ROWID
"""
_WAIT_SECONDS = 30.0


class RefCounts:
    """The counts of one home.

    Args:
        path: the database; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, layer_id: str) -> int:
        """Count one more get by this process; the sum over all processes."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO holds VALUES (?, ?, ?, 1)"
                " ON CONFLICT (layer_id, pid, started) DO UPDATE SET count = count + 1",
                (layer_id, *_this_process()),
            )
            return _total(db, layer_id)

    def drop(self, layer_id: str) -> int:
        """Count one get less: one of this process's own if it has any, else anybody's.

        Returns:
            What is left; 0 also where nothing was counted.
        """
        with self._transaction() as db:
            held = db.execute(
                "SELECT pid, started, count FROM holds WHERE layer_id = ?"
                " ORDER BY (pid = ? AND started = ?) DESC, pid LIMIT 1",
                (layer_id, *_this_process()),
            ).fetchone()
            if held is not None:
                pid, started, count = held
                key = (layer_id, pid, started)
                if count > 1:
                    db.execute(
                        "UPDATE holds SET count = count - 1"
                        " WHERE layer_id = ? AND pid = ? AND started = ?",
                        key,
                    )
                else:
                    db.execute(
                        "DELETE FROM holds WHERE layer_id = ? AND pid = ? AND started = ?", key
                    )
            return _total(db, layer_id)

    def holders(self, layer_id: str) -> list[int]:
        """Ids of the processes that hold a layer."""
        with self._transaction() as db:
            rows = db.execute("SELECT pid FROM holds WHERE layer_id = ? ORDER BY pid", (layer_id,))
            return [pid for (pid,) in rows]

    def forget_the_dead(self) -> list[str]:
        """Drop the counts of processes that are gone; the layers concerned."""
        with self._transaction() as db:
            gone = [
                (layer_id, pid, started)
                for layer_id, pid, started in db.execute("SELECT layer_id, pid, started FROM holds")
                if str(process_start_time(pid)) != started
            ]
            db.executemany("DELETE FROM holds WHERE layer_id = ? AND pid = ? AND started = ?", gone)
            return sorted({layer_id for layer_id, _, _ in gone})

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(_SCHEMA)
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()


def _this_process() -> tuple[int, str]:
    return os.getpid(), str(process_start_time(os.getpid()))


def _total(db: sqlite3.Connection, layer_id: str) -> int:
    found: int = db.execute(
        "SELECT coalesce(sum(count), 0) FROM holds WHERE layer_id = ?", (layer_id,)
    ).fetchone()[0]
    return found
