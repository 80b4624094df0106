"""When what is done in a scratch's database is committed: each operation at once, or several together.

Committing costs more than most operations: SQLite writes each page that it touched to its log, and asks for
locks that nobody contends for. So a mount gathers: operations that come soon after each other share one
transaction, in which each is a savepoint, so that one that fails is undone alone. After a crash each is still
whole or absent, and none is there without those before it.

What was answered must not be lost to a full disk, and SQLite undoes a transaction that it has no room for. So
room for it is set aside in the log before anything is gathered, and where there is none, nothing is: then each
operation is committed at once. This module refuses to know what the operations are.
Source: sqlite.org, "Write-Ahead Log File Format" (salts tell frames that are valid from those of before).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from winlayers.backends.sealed.space import is_full
from winlayers.base.atomic import sync_directory, sync_file
from winlayers.base.fileobj import read_at
from winlayers.errors import StoreCorrupt

# Pages that a group may write, and pages to be expected for a changed row, with its indexes.
_GROUP_PAGES = 1000
_CHANGE_PAGES = 4
# Pages in the log after which SQLite brings them into the database.
_LOG_PAGES = 4000
_HEADER = 32
_FRAME_HEADER = 24
_SALTS = slice(8, 16)


class Commits:
    """The transactions of one connection.

    Args:
        db: to a database with a write-ahead log.
        path: the database.
        on_undo: called when an operation was undone.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, *, on_undo: Callable[[], None]) -> None:
        self._db = db
        self._on_undo = on_undo
        self._path = path
        self._page_size: int = db.execute("PRAGMA page_size").fetchone()[0]
        self._on_group: Callable[[], None] | None = None
        self._is_within = False
        self._operation = _Operation(self)
        self._is_group = False
        self._is_lost = False
        self._log = _Log(Path(f"{path}-wal"), self._page_size)
        # How many pages there is room for, what the group had changed before, and pages of long values.
        self._room = self._changes_before = self._long_pages = 0
        # Whether it is on the disk that there is a log.
        self._is_log_known = False

    @property
    def is_within(self) -> bool:
        """Whether an operation is at work."""
        return self._is_within

    @property
    def is_waiting(self) -> bool:
        """Whether operations that are done are not committed yet."""
        return self._is_group

    def gather(self, on_group: Callable[[], None]) -> None:
        """Commit several operations together from now on, where the system can set room aside.

        Args:
            on_group: called when the first of several is begun; who is called sees that ``commit`` is, soon.
        """
        if not hasattr(os, "posix_fallocate"):
            return
        self._on_group = on_group
        # Pages stay in memory until the commit, so that only there room may be missing.
        self._db.execute("PRAGMA cache_spill=OFF")
        self._db.execute("PRAGMA temp_store=MEMORY")
        # To bring the log into the database takes two flushes of the disk, for which who writes waits.
        self._db.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")

    def weigh(self, size: int) -> None:
        """Count a value of so many bytes, which may need pages of its own."""
        self._long_pages += size // self._page_size

    def operation(self) -> AbstractContextManager[None]:
        """What is done in the ``with`` block is whole or absent. Blocks may stand in each other.

        Raises:
            StoreCorrupt: what was done before could not be committed.
        """
        return _NOTHING if self._is_within else self._operation

    def commit(self) -> None:
        """Commit what was gathered.

        Raises:
            sqlite3.Error: it cannot be; it is lost then, and nothing more can be done.
            StoreCorrupt: that has happened before.
        """
        assert not self._is_within
        self._check_kept()
        if not self._is_group:
            return
        self._is_group = False
        try:
            self._db.execute("COMMIT")
        except BaseException:
            self._is_lost = True
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def sync(self) -> None:
        """Bring all transactions to the disk; but for what was gathered, this takes no room there.

        What is not in the log any more, SQLite has brought to the disk itself.
        """
        self.commit()
        with open(self._log.path, "rb+") as log:
            sync_file(log.fileno())
        if not self._is_log_known:
            sync_directory(self._path.parent)
            self._is_log_known = True

    def begin(self) -> None:
        """Begin an operation; for ``operation``."""
        self._check_kept()
        if self._is_group and self._pages() > _GROUP_PAGES // 2:
            self.commit()
        if not self._is_group:
            self._begin_transaction()
        if self._is_group:
            self._db.execute("SAVEPOINT operation")
        self._is_within = True

    def end(self, error: BaseException | None) -> None:
        """End an operation, for ``operation``: it is done, or is undone where it or its end failed.

        Args:
            error: what it failed with, or None; it is raised again.
        """
        try:
            if error is not None:
                raise error
            if self._is_group:
                self._make_room()
                self._db.execute("RELEASE operation")
            else:
                self._db.execute("COMMIT")
        except BaseException:
            self._undo()
            raise
        finally:
            self._is_within = False

    # -- inside ------------------------------------------------------------------------------------

    def _begin_transaction(self) -> None:
        """Begin a transaction: of a group, where there is room for one."""
        on_group = self._on_group
        # Asked before SQLite is, which keeps what is in the log as it is while it has a transaction.
        if on_group is not None and not self._set_aside(_GROUP_PAGES):
            on_group = None
        self._db.execute("BEGIN IMMEDIATE")
        if on_group is not None:
            self._changes_before, self._long_pages = self._db.total_changes, 0
            self._is_group = True
            on_group()

    def _undo(self) -> None:
        """Leave out the operation at work. A full disk may have SQLite undo by itself, and then all."""
        self._on_undo()
        if not self._is_group:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK TO operation")
            self._db.execute("RELEASE operation")
        else:
            self._is_group, self._is_lost = False, True

    def _check_kept(self) -> None:
        if self._is_lost:
            raise StoreCorrupt(
                f"what was done last to the scratch {self._path.parent} could not be committed and is lost; "
                "close it, see that there is room on the disk, and open it again"
            )

    def _pages(self) -> int:
        """How many pages the group may have changed."""
        changes = self._db.total_changes - self._changes_before
        return changes * _CHANGE_PAGES + self._long_pages

    def _make_room(self) -> None:
        """Have room for what the group has become."""
        pages = self._pages()
        if pages > self._room and not self._set_aside(2 * pages):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._log.path)

    def _set_aside(self, pages: int) -> bool:
        try:
            self._log.set_aside(pages)
        except OSError as error:
            if not is_full(error):
                raise
            return False
        self._room = pages
        return True


# A class, as a generator takes three times as long, and a small file is written by several operations.
class _Operation:
    """One operation of the only thread that has any."""

    __slots__ = ("_commits",)

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    def __enter__(self) -> None:
        self._commits.begin()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._commits.end(error)


_NOTHING = nullcontext()


class _Log:
    """SQLite's log, of which nobody has locks."""

    def __init__(self, path: Path, page_size: int) -> None:
        self.path = path
        self._frame_size = _FRAME_HEADER + page_size
        self._salts = b""
        self._frames = 0
        self._end = 0

    def set_aside(self, pages: int) -> None:
        """Have room on the disk for so many pages more than there are.

        Raises:
            OSError: ENOSPC, there is none.
        """
        with open(self.path, "ab+") as log:
            descriptor = log.fileno()
            frames = self._valid_frames(descriptor) + pages
            if frames > self._end:
                # A little more, as each call is noted in the journal of the file system.
                frames += _GROUP_PAGES
                os.posix_fallocate(descriptor, 0, _HEADER + frames * self._frame_size)
                self._end = frames

    def _valid_frames(self, descriptor: int) -> int:
        """How many frames SQLite will not write over: it begins again from time to time, with other salts."""
        salts = read_at(descriptor, 16, 8)
        if salts != self._salts:
            self._salts, self._frames = salts, 0
        while True:
            start = _HEADER + self._frames * self._frame_size
            header = read_at(descriptor, start, _FRAME_HEADER)
            if len(header) < _FRAME_HEADER or header[_SALTS] != salts or not any(salts):
                return self._frames
            self._frames += 1
