"""Scratches by way of the driver."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.assembly import open_driver
from winlayers.config import Config
from winlayers.driver.driver import Driver
from winlayers.errors import (
    IllegalState,
    LayerExists,
    LayerHasChildren,
    LayerMounted,
    LayerNotFound,
    ParentMissing,
    UnknownOption,
)
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.view import Metadata

TAR = layer_tar(a_layer(a_file("Files/a.txt", b"content")))


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    """A store with a base layer, and one that Docker created on it and never filled."""
    driver = open_driver(Config(tmp_path / "root", reexec=False))
    driver.import_layer("base", "", io.BytesIO(TAR))
    driver.create("c-init", "base")
    return driver


def test_scratch_stands_on_what_is_filled(driver: Driver) -> None:
    driver.create_read_write("c", "c-init")
    assert list(driver.chain("c")) == ["base"]
    assert driver.usage("c").kind == "scratch"
    with driver.view("c") as view:
        assert view.lookup("Files/a.txt") is not None
    assert Path(driver.get_metadata("c")["dir"]).parts[-2:] == ("windowsfilter", "c")


def test_size_is_the_option_s_or_the_driver_s(tmp_path: Path) -> None:
    driver = open_driver(Config(tmp_path, reexec=False, options=("size=2GB",)))
    for layer_id, options, size in (
        ("asked", {"Size": "20GB"}, 20 * 2**30),
        ("default", {}, 2 * 2**30),
        ("zero", {"size": "0"}, 2 * 2**30),
        ("endless", {"size": "9999999P"}, 2**63),
    ):
        driver.create_read_write(layer_id, "", options)
        with driver.scratch(layer_id) as scratch:
            assert scratch.quota == size
    with pytest.raises(UnknownOption, match="Unknown storage option: colour"):
        driver.create_read_write("x", "", {"colour": "red"})
    assert not driver.exists("x")


def test_what_is_written_is_kept_and_seen_by_others(driver: Driver) -> None:
    driver.create_read_write("c", "base")
    with driver.scratch("c") as scratch:
        files = scratch.lookup("Files")
        assert files is not None
        node = scratch.create(files, "new", Entry("", EntryKind.FILE, 0x20))
        with scratch.open_content(node, writable=True) as content:
            content.write_at(0, b"12345")
        with pytest.raises(LayerMounted):
            driver.scratch("c")
        with pytest.raises(LayerMounted):
            driver.remove("c")
        assert [str(change) for change in driver.changes("c")] == ["A Files/new"]
    with driver.diff_getter("c") as files_of, files_of.get("Files/new") as file:
        assert file.read() == b"12345"
    assert driver.usage("c").summary.size == 5 + 2 * 1024  # Files on the way, and the file itself
    driver.remove("c")
    assert not driver.exists("c")


def test_nobody_stands_on_a_scratch(driver: Driver) -> None:
    driver.create_read_write("c", "base")
    with pytest.raises(IllegalState, match="is a scratch"):
        driver.create_read_write("d", "c")
    with pytest.raises(IllegalState, match="is a scratch"):
        driver.import_layer("d", "c", io.BytesIO(TAR))
    with pytest.raises(LayerHasChildren):
        driver.remove("base")
    with pytest.raises(LayerNotFound, match="no scratch"):
        driver.scratch("base")


def test_scratch_needs_a_free_id_and_a_parent(driver: Driver) -> None:
    with pytest.raises(LayerExists):
        driver.create_read_write("base", "")
    with pytest.raises(ParentMissing):
        driver.create_read_write("c", "nobody")
    driver.create_read_write("c", "base")
    with pytest.raises(LayerExists):
        driver.import_layer("c", "base", io.BytesIO(TAR))


def test_scratch_without_parents_has_an_empty_drive(driver: Driver) -> None:
    driver.create_read_write("alone")
    with driver.view("alone") as view:
        files = view.lookup("Files")
        assert files is not None
        assert view.list(files) == []


def test_hundreds_of_scratches_stand_on_one_chain(driver: Driver) -> None:
    begun = time.monotonic()
    opened = []
    for number in range(200):
        driver.create_read_write(f"c{number}", "base")
        opened.append(driver.scratch(f"c{number}"))
    for number, scratch in enumerate(opened):
        files = scratch.lookup("Files")
        assert files is not None
        scratch.create(files, f"of {number}", Entry("", EntryKind.FILE, 0x20))
    for scratch in opened:
        scratch.close()
    for number in (0, 99, 199):
        assert [str(change) for change in driver.changes(f"c{number}")] == [f"A Files/of {number}"]
    assert time.monotonic() - begun < 20


def test_what_was_written_becomes_a_layer(driver: Driver) -> None:
    driver.create_read_write("c", "base")
    with driver.scratch("c") as scratch:
        files = scratch.lookup("Files")
        assert files is not None
        node = scratch.create(files, "new", Entry("", EntryKind.FILE, 0x20))
        with scratch.open_content(node, writable=True) as content:
            content.write_at(0, b"12345")
    with driver.diff("c") as first, driver.diff("c") as second:
        tar = first.read()
        assert second.read() == tar
    driver.import_layer("committed", "base", io.BytesIO(tar))
    assert [str(change) for change in driver.changes("committed")] == ["A Files/new", "A Hives"]
    with driver.view("committed") as view:
        found = view.lookup("Files/new")
        assert found is not None
        with view.open(found) as file:
            assert file.read() == b"12345"
    driver.remove("c")  # nothing holds it any more


def test_what_was_changed_and_changed_back_is_no_change(driver: Driver) -> None:
    driver.create_read_write("c", "base")
    with driver.scratch("c") as scratch:
        node = scratch.lookup("Files/a.txt")
        assert node is not None
        before = scratch.entry(node)
        node = scratch.set_metadata(node, Metadata(attributes=0x22, change_filetime=1))
        assert [str(change) for change in driver.changes("c")] == ["C Files/a.txt"]
        scratch.set_metadata(node, Metadata(attributes=before.attributes, change_filetime=2))
    assert list(driver.changes("c")) == []
