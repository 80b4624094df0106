"""docs/reference/store-layout.md names the tables and columns that there are."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from winlayers.backends.portable._scratch import make_scratch
from winlayers.backends.portable._scratch_nodes import SCHEMA_VERSION
from winlayers.backends.sealed import index, record
from winlayers.driver.mounting import MountedLayer, MountTable
from winlayers.driver.refcount import RefCounts
from winlayers.layer.entry import Entry, EntryKind
from winlayers.store import catalog

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "store-layout.md").read_text("utf-8")
_NAME = re.compile(r"`(\w+)`")


def columns_on_page(heading: str) -> set[str]:
    """The names in the first column of the first table below a heading."""
    _, found, text = PAGE.partition(f"\n{heading}\n")
    assert found, heading
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None
    cells = [row.split("|")[1] for row in table[0].splitlines()[2:]]
    return {name for cell in cells for name in _NAME.findall(cell)}


def columns_of(database: Path) -> dict[str, set[str]]:
    """The columns of each table of a database."""
    with closing(sqlite3.connect(database)) as db:
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
            for (table,) in tables
        }


def test_tables_of_the_index_are_on_the_page(tmp_path: Path) -> None:
    index.create(tmp_path / "index.db").close()
    tables = columns_of(tmp_path / "index.db")
    assert len(tables) > 5
    assert {table: columns_on_page(f"### {table}") for table in tables} == tables
    assert f"database of schema {index.SCHEMA_VERSION}." in PAGE


def test_tables_of_the_driver_are_on_the_page(tmp_path: Path) -> None:
    RefCounts(tmp_path / "driver.db").add("layer")
    mount = MountedLayer("layer", tmp_path, read_only=False, raw=False, pid=1, started="")
    MountTable(tmp_path / "driver.db").add(mount)
    tables = columns_of(tmp_path / "driver.db")
    assert tables == {table: columns_on_page(f"### {table}") for table in ("holds", "mounts")}


def test_tables_of_a_scratch_are_on_the_page(tmp_path: Path) -> None:
    make_scratch(tmp_path / "scratch", [], 0, Entry("", EntryKind.DIRECTORY))
    tables = columns_of(tmp_path / "scratch" / "scratch.db")
    text = PAGE[PAGE.index("## scratch.db") : PAGE.index("## Merging")]
    for table in ("names", "nodes", "lowers", "parts"):
        assert tables[table] == columns_on_page(f"### {table}")
    facts = {"schema", "depth", "quota", "chain", "created_ns", "clean"}
    for name in facts | tables["details"] | tables["descriptors"] - {"id", "bytes"}:
        assert f"`{name}`" in text
    assert f"database of schema {SCHEMA_VERSION}," in text


def test_fields_of_the_record_are_on_the_page() -> None:
    fields = set(record.Record.__dataclass_fields__)
    assert columns_on_page("## layer.json") == fields


def test_tables_of_the_catalog_are_on_the_page(tmp_path: Path) -> None:
    catalog.Catalog(tmp_path / "catalog.db")
    tables = columns_of(tmp_path / "catalog.db")
    text = PAGE[PAGE.index("## catalog.db") : PAGE.index("## A reader")]
    for table in ("tags", "documents", "links", "blobs", "layers", "snapshots", "labels"):
        assert tables.pop(table) == columns_on_page(f"### {table}"), table
    assert set(tables) == {"leases", "holds", "sqlite_sequence"}
    for name in {"leases", "holds"} | tables["leases"] | tables["holds"]:
        assert f"`{name}`" in text
    assert f"database of schema {catalog.SCHEMA_VERSION} (" in text
