"""``driver.db``, which the counts and the mounts of a home share. This module refuses to know the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from winlayers.errors import NoSpace, StoreLocked

_WAIT_SECONDS = 30.0


@contextmanager
def open_database(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, for a ``with`` block; each statement is a transaction unless one is begun.

    Args:
        path: the file; made if it is not there.
    Raises:
        NoSpace: the disk is full.
        StoreLocked: another process keeps it.
    """
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)) as db:
            yield db
    except sqlite3.OperationalError as error:
        # The low byte is the kind; the rest tells where within SQLite it arose.
        kind = error.sqlite_errorcode & 0xFF
        if kind == sqlite3.SQLITE_FULL:
            raise NoSpace(f"the disk of {path} is full; free some space") from error
        if kind == sqlite3.SQLITE_BUSY:
            raise StoreLocked(
                f"another process has kept {path} locked for {_WAIT_SECONDS:.0f} seconds; "
                "try again when it has ended"
            ) from error
        raise
