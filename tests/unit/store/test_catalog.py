"""The catalog: its schema, its transactions, its leases."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from winlayers.errors import StoreCorrupt, UnknownFeature
from winlayers.oci.model import digest_bytes
from winlayers.store import catalog
from winlayers.store.catalog import SCHEMA_VERSION, Catalog, LayerRow, Records
from winlayers.store.snapshotrows import SnapshotKind

DIGEST = digest_bytes(b"a")
OTHER = digest_bytes(b"b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def test_rows_stay(path: Path) -> None:
    row = LayerRow("aa", DIGEST, "", OTHER, 3, is_made=True)
    with Catalog(path).writing() as records:
        records.add_blob(DIGEST, 1)
        records.add_document(DIGEST, "type", [str(OTHER), "aa"])
        records.set_tag("name", DIGEST)
        records.put_layer(row)
    with Catalog(path).reading() as records:
        assert records.tags() == {"name": DIGEST}
        found = records.document(DIGEST)
        assert found is not None
        assert (found.media_type, found.size) == ("type", 1)
        assert records.links() == {str(DIGEST): sorted([str(OTHER), "aa"])}
        assert records.layers() == [row]
        assert records.layers_of(DIGEST) == [row]
        assert records.layer("bb") is None
        assert records.document(OTHER) is None


def test_change_that_fails_is_none(path: Path) -> None:
    store = Catalog(path)
    with pytest.raises(KeyError), store.writing() as records:
        records.set_tag("name", DIGEST)
        raise KeyError
    with store.reading() as records:
        assert records.tags() == {}


def test_layer_that_is_not_made_gives_no_blob(path: Path) -> None:
    row = LayerRow("aa", DIGEST, "", DIGEST)
    assert row.is_plain
    with Catalog(path).writing() as records:
        records.put_layer(row)
        assert records.layers_of(DIGEST) == []
        records.put_layer(replace(row, is_made=True))
        assert len(records.layers_of(DIGEST)) == 1
        records.drop_layer("aa")
        assert records.layers() == []


def test_catalog_of_a_later_version_is_refused(path: Path) -> None:
    Catalog(path)
    execute(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(UnknownFeature, match=f"schema {SCHEMA_VERSION + 1}"):
        Catalog(path)


def test_catalog_is_brought_up_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalog(path).writing() as records:
        records.set_tag("name", DIGEST)
    step = ("ALTER TABLE tags ADD COLUMN note TEXT", "UPDATE tags SET note = 'kept'")
    monkeypatch.setattr(catalog, "_STEPS", (*catalog._STEPS, step))
    monkeypatch.setattr(catalog, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    Catalog(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name, note FROM tags").fetchall() == [("name", "kept")]
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)


def test_step_that_fails_leaves_the_old_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Catalog(path)
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "_STEPS", (*catalog._STEPS, ("DROP TABLE tags", "no statement")))
        patch.setattr(catalog, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        with pytest.raises(sqlite3.OperationalError):
            Catalog(path)
    with Catalog(path).reading() as records:
        assert records.tags() == {}


def test_file_that_is_no_catalog_is_told(path: Path) -> None:
    path.write_bytes(b"something else entirely" * 50)
    with pytest.raises(StoreCorrupt):
        Catalog(path)


def test_catalog_is_made_once_by_many(path: Path) -> None:
    errors: list[Exception] = []

    def make() -> None:
        try:
            with Catalog(path).writing() as records:
                records.add_lease()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Catalog(path).reading() as records:
        assert len(records.leases()) == 8


def test_leases_end_with_their_processes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Catalog(path)
    with store.writing() as records:
        living = records.add_lease()
        dead = records.add_lease()
        records.hold(living, "a")
        records.hold(dead, "b")
    execute(path, f"UPDATE leases SET started = 'long ago' WHERE lease = {dead}")
    with store.writing() as records:
        assert records.held() == {"a", "b"}
        records.drop_dead_leases()
        assert records.held() == {"a"}
        records.drop_lease(living)
        assert records.leases() == set()
        assert records.add_lease() > dead


# -- catalogs of before ------------------------------------------------------------------------------


def make_first(path: Path) -> None:
    """A catalog as schema 1 had it, with one image."""
    execute(
        path,
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE tags (name TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE documents (digest TEXT PRIMARY KEY, media_type TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE links (source TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (source, target)) WITHOUT ROWID",
        "CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE layers (layer_id TEXT PRIMARY KEY, diff_id TEXT NOT NULL, parent TEXT NOT NULL, blob TEXT NOT NULL,"
        " size INTEGER NOT NULL, is_made INTEGER NOT NULL, is_ours INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE INDEX layers_by_diff_id ON layers (diff_id)",
        "CREATE TABLE leases (lease INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, started TEXT NOT NULL)",
        "CREATE TABLE holds (lease INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (lease, key)) WITHOUT ROWID",
        f"INSERT INTO tags VALUES ('app', '{DIGEST}')",
        f"INSERT INTO layers VALUES ('aa', '{DIGEST}', '', '{OTHER}', 3, 1, 1)",
        "PRAGMA user_version = 1",
    )


def shape_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        return [sql for (sql,) in rows]


def test_catalog_without_snapshots_is_brought_up(path: Path, tmp_path: Path) -> None:
    make_first(path)
    with Catalog(path).writing() as records:
        assert records.tags() == {"app": DIGEST}
        assert records.layers() == [LayerRow("aa", DIGEST, "", OTHER, 3, is_made=True)]
        assert records.snapshots.all() == []
        assert records.snapshots.add("key", SnapshotKind.ACTIVE, 0, "", {"a": "b"}, 5) == 1
    new = tmp_path / "new.db"
    Catalog(new)
    assert shape_of(path) == shape_of(new)


# -- changes of many threads --------------------------------------------------------------------------


def test_changes_of_many_threads_are_all_made(path: Path) -> None:
    store = Catalog(path)
    found: list[int] = []

    def add() -> None:
        found.append(store.change(lambda records: records.add_lease()))

    with store.kept_open():
        threads = [threading.Thread(target=add) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(found) == list(range(1, 21))
    with store.reading() as records:
        assert records.leases() == set(found)


def test_change_that_fails_fails_alone(path: Path) -> None:
    store = Catalog(path)
    begun, go_on = threading.Event(), threading.Event()

    def wait(records: Records) -> None:
        begun.set()
        assert go_on.wait(20)

    def fail(records: Records) -> None:
        records.set_tag("lost", DIGEST)
        raise StoreCorrupt("as it happens")

    errors: list[Exception] = []

    def run(what: Callable[[Records], None]) -> None:
        try:
            store.change(what)
        except StoreCorrupt as error:
            errors.append(error)

    keep = [lambda records, name=name: records.set_tag(name, DIGEST) for name in "ab"]
    threads = [
        threading.Thread(target=run, args=(what,)) for what in (wait, keep[0], fail, keep[1])
    ]
    threads[0].start()
    assert begun.wait(20)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert [str(error) for error in errors] == ["as it happens"]
    with store.reading() as records:
        assert records.tags() == {"a": DIGEST, "b": DIGEST}


def test_change_that_cannot_be_brought_to_the_disk_is_told_to_all(path: Path) -> None:
    store = Catalog(path)
    path.write_bytes(b"something else entirely" * 500)
    with pytest.raises(StoreCorrupt):
        store.change(lambda records: records.tags())
