"""Operations that are committed together: who sees them when, and what one that fails leaves."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from winlayers.backends.portable._scratch_commits import Commits
from winlayers.errors import StoreCorrupt


class Bench:
    """A database with a log, and somebody who looks on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("CREATE TABLE t (value)")
        self.undone = 0
        self.groups = 0
        self.commits = Commits(self.db, path, on_undo=self.note_undo)

    def note_undo(self) -> None:
        self.undone += 1

    def note_group(self) -> None:
        self.groups += 1

    def add(self, value: object) -> None:
        with self.commits.operation():
            self.db.execute("INSERT INTO t VALUES (?)", (value,))

    def seen(self) -> list[object]:
        with closing(sqlite3.connect(self.path)) as other:
            return [value for (value,) in other.execute("SELECT value FROM t ORDER BY rowid")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "db")
    yield bench
    bench.db.close()


def fail(bench: Bench, value: object) -> None:
    with bench.commits.operation():
        bench.db.execute("INSERT INTO t VALUES (?)", (value,))
        raise LookupError(value)


def test_each_operation_is_seen_at_once_by_default(bench: Bench) -> None:
    bench.add(1)
    assert bench.seen() == [1]
    assert not bench.commits.is_waiting


def test_gathered_operations_are_seen_when_they_are_committed(bench: Bench) -> None:
    bench.commits.gather(bench.note_group)
    bench.add(1)
    bench.add(2)
    assert (bench.seen(), bench.groups, bench.commits.is_waiting) == ([], 1, True)
    bench.commits.commit()
    assert (bench.seen(), bench.commits.is_waiting) == ([1, 2], False)
    bench.add(3)
    assert bench.groups == 2


def test_sync_commits(bench: Bench) -> None:
    bench.commits.gather(bench.note_group)
    bench.add(1)
    bench.commits.sync()
    assert bench.seen() == [1]


@pytest.mark.parametrize("gathers", [False, True])
def test_operation_that_fails_is_undone_alone(bench: Bench, gathers: bool) -> None:
    if gathers:
        bench.commits.gather(bench.note_group)
    bench.add(1)
    with pytest.raises(LookupError):
        fail(bench, 2)
    assert not bench.commits.is_within
    bench.add(3)
    bench.commits.commit()
    assert (bench.seen(), bench.undone) == ([1, 3], 1)


def test_part_of_an_operation_belongs_to_the_whole(bench: Bench) -> None:
    bench.commits.gather(bench.note_group)
    with pytest.raises(LookupError), bench.commits.operation():
        bench.add(1)
        fail(bench, 2)
    bench.commits.commit()
    assert (bench.seen(), bench.undone) == ([], 1)


def test_many_operations_are_committed_in_between(bench: Bench) -> None:
    bench.commits.gather(bench.note_group)
    for number in range(1000):
        bench.add(number)
    seen = bench.seen()
    assert seen == list(range(len(seen)))
    assert 800 <= len(seen) < 1000


def test_large_operation_makes_room_for_itself(bench: Bench) -> None:
    bench.commits.gather(bench.note_group)
    with bench.commits.operation():
        for _ in range(5000):
            bench.db.execute("INSERT INTO t VALUES (?)", (bytes(4000),))
            bench.commits.weigh(4096)
    bench.commits.commit()
    assert len(bench.seen()) == 5000
    log = Path(f"{bench.path}-wal")
    assert log.stat().st_size > 5000 * 4096


def test_without_room_each_operation_is_committed_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    bench.commits.gather(bench.note_group)
    bench.add(1)
    assert (bench.seen(), bench.groups) == ([1], 0)


def test_operation_that_finds_no_room_leaves_those_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.commits.gather(bench.note_group)
    bench.add(1)

    def refuse(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(OSError, match="No space"), bench.commits.operation():
        bench.db.execute("INSERT INTO t VALUES (2)")
        bench.commits.weigh(100 << 20)
    bench.commits.commit()
    assert bench.seen() == [1]


def test_nothing_goes_on_after_a_commit_that_failed(bench: Bench) -> None:
    bench.db.execute("PRAGMA foreign_keys=ON")
    bench.db.execute("CREATE TABLE u (t REFERENCES v (id) DEFERRABLE INITIALLY DEFERRED)")
    bench.db.execute("CREATE TABLE v (id INTEGER PRIMARY KEY)")
    bench.commits.gather(bench.note_group)
    bench.add(1)
    with bench.commits.operation():
        bench.db.execute("INSERT INTO u VALUES (7)")
    with pytest.raises(sqlite3.IntegrityError):
        bench.commits.commit()
    with pytest.raises(StoreCorrupt, match="open it again"):
        bench.add(2)
    # Nor does who would remove what is not needed after it take it for committed.
    with pytest.raises(StoreCorrupt, match="open it again"):
        bench.commits.commit()
    assert bench.seen() == []
