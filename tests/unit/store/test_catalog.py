"""The catalog: its schema, its transactions, its leases."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from winlayers.errors import StoreCorrupt, UnknownFeature
from winlayers.oci.model import digest_bytes
from winlayers.store import catalog
from winlayers.store.catalog import SCHEMA_VERSION, Catalog, LayerRow

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
