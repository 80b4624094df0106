"""How often each layer was got and not yet put, kept across processes.

One row for each (layer, process) in ``driver.db``. A process that died without a put left its row; it is
known by its id and start time, counts no more, and ``forget_the_dead`` drops such rows. The journal is the
plain one, not WAL: asking then takes no space, so that on a full disk layers can still be removed. This
module refuses to know what getting a layer does.

Source: the counting of moby/moby daemon/graphdriver/windows/windows.go (Get, Put), which is kept in memory
there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winlayers.base.processes import is_running, process_start_time
from winlayers.driver.database import open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS holds (
    layer_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (layer_id, pid, started)
) WITHOUT ROWID
"""


class RefCounts:
    """The counts of one home.

    Args:
        path: the database; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, layer_id: str, holder: tuple[int, str] | None = None) -> int:
        """Count one more get.

        Args:
            layer_id: the layer.
            holder: id and start time of the process that holds it; this one by default.
        Returns:
            The sum over all processes.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT INTO holds VALUES (?, ?, ?, 1)"
                " ON CONFLICT (layer_id, pid, started) DO UPDATE SET count = count + 1",
                (layer_id, *(holder or _this_process())),
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

    def forget(self, layer_id: str, holder: tuple[int, str]) -> None:
        """Drop all counts of one holder of a layer.

        Args:
            layer_id: the layer.
            holder: id and start time of the process.
        """
        if any(row == (layer_id, *holder) for row in self._rows()):
            with self._transaction() as db:
                db.execute(
                    "DELETE FROM holds WHERE layer_id = ? AND pid = ? AND started = ?",
                    (layer_id, *holder),
                )

    def count(self, layer_id: str) -> int:
        """How often a layer was got by processes that still run, and not put."""
        return sum(
            count
            for layer, pid, started, count in self._counts()
            if layer == layer_id and is_running(pid, started)
        )

    def holders(self, layer_id: str) -> list[int]:
        """Ids of the processes that hold a layer."""
        return sorted(
            {
                pid
                for layer, pid, started in self._rows()
                if layer == layer_id and is_running(pid, started)
            }
        )

    def forget_the_dead(self) -> list[str]:
        """Drop the counts of processes that are gone; the layers concerned."""
        gone = [row for row in self._rows() if not is_running(*row[1:])]
        if gone:
            with self._transaction() as db:
                db.executemany(
                    "DELETE FROM holds WHERE layer_id = ? AND pid = ? AND started = ?", gone
                )
        return sorted({layer_id for layer_id, _, _ in gone})

    def _rows(self) -> list[tuple[str, int, str]]:
        """Who holds what, the dead included."""
        return [(layer_id, pid, started) for layer_id, pid, started, _ in self._counts()]

    def _counts(self) -> list[tuple[str, int, str, int]]:
        """Who holds what, and how often; nothing is written for this, not even the database."""
        if not self._path.exists():
            return []
        with open_database(self._path) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'holds'").fetchone():
                return []
            return db.execute("SELECT layer_id, pid, started, count FROM holds").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with open_database(self._path) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_SCHEMA)
            yield db
            db.execute("COMMIT")


def _this_process() -> tuple[int, str]:
    return os.getpid(), str(process_start_time(os.getpid()))


def _total(db: sqlite3.Connection, layer_id: str) -> int:
    found: int = db.execute(
        "SELECT coalesce(sum(count), 0) FROM holds WHERE layer_id = ?", (layer_id,)
    ).fetchone()[0]
    return found
