"""The portable scratch: its files, what operations cost, who looks on, and what is there after an opening.

What every scratch does is in ``tests/conformance/test_scratch.py``.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    an_import,
    content_at,
    layer_tar,
    node_at,
)
from tests.support.scratches import Bench
from winlayers.backends.portable import _scratch_contents, _scratch_data
from winlayers.backends.portable._scratch import PortableScratch, chain_of, make_scratch
from winlayers.backends.portable._scratch_data import DataFiles
from winlayers.backends.portable._scratch_nodes import NodeStore
from winlayers.backends.portable.backend import PortableBackend
from winlayers.errors import AlreadyExists, NoSpace, PathNotFound, StoreCorrupt
from winlayers.formats.filetime import ns_to_filetime
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.view import Content, Metadata, walk

WIN_INI = "Files/Windows/win.ini"
CMD = "Files/Windows/System32/cmd.exe"


class PortableBench(Bench):
    """A bench whose files can be counted."""

    def __init__(self, root: Path, quota: int = 0) -> None:
        super().__init__(PortableBackend(root), quota)
        self.folder = root / "windowsfilter" / "s" / "scratch"

    def data(self) -> list[int]:
        """Sizes of the files of data."""
        return sorted(path.stat().st_size for path in (self.folder / "data").iterdir())

    def die(self, content: Content | None = None) -> None:
        """Open it again as if its process had been killed: all that is on the disk is in a copy.

        Args:
            content: what is open in it.
        """
        copy = self.folder.with_name("copy")
        shutil.copytree(self.folder, copy)
        if content is not None:
            content.close()
        self.scratch.close()
        shutil.rmtree(self.folder)
        copy.rename(self.folder)
        self.scratch = self.open()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PortableBench]:
    bench = PortableBench(tmp_path)
    yield bench
    bench.scratch.close()


# -- what it costs ------------------------------------------------------------------------------------


def test_only_what_is_written_has_a_file(bench: PortableBench) -> None:
    bench.rename("Files/Windows/System32", "Files/Sys")
    bench.link(WIN_INI, "Files/too.ini")
    bench.scratch.set_metadata(bench.at("Files/too.ini"), Metadata(attributes=1, security=b"sd"))
    bench.make("Files/empty file")
    assert bench.data() == []
    bench.write("Files/Sys/cmd.exe", b"PE", 4)
    bench.write(WIN_INI, b"9", 7, "Zone.Identifier")
    assert bench.data() == [8, 10_000]
    assert bench.read("Files/too.ini") == b"[fonts]"


def test_cutting_a_file_to_nothing_copies_nothing(bench: PortableBench) -> None:
    for path, size in ((CMD, 0), (WIN_INI, 2)):
        with closing(bench.scratch.open_content(bench.at(path), writable=True)) as content:
            content.truncate(size)
    assert bench.data() == [0, 2]


def test_files_that_nothing_leads_to_are_gone_when_that_is_on_the_disk(
    bench: PortableBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.make("Files/a", b"1")
    bench.delete("Files/a")
    assert bench.data() == []  # it never was on the disk
    bench.make("Files/a", b"1")
    bench.scratch.sync()
    bench.delete("Files/a")
    assert bench.data() == [1]
    bench.scratch.sync()
    assert bench.data() == []
    bench.make("Files/a", b"1")
    bench.scratch.sync()
    bench.delete("Files/a")
    bench.reopen()
    assert bench.data() == []
    monkeypatch.setattr(_scratch_data, "_MOST_LEFT", 2)
    for n in range(3):
        bench.make(f"Files/{n}", b"1")
    bench.scratch.sync()
    for n, left in enumerate((3, 3, 0)):
        bench.delete(f"Files/{n}")
        assert len(bench.data()) == left


def test_large_file_that_nothing_leads_to_is_gone_at_once(bench: PortableBench) -> None:
    bench.make("Files/big", bytes(2 << 20))
    bench.scratch.sync()
    bench.delete("Files/big")
    assert bench.data() == []


def test_closing_brings_all_to_the_disk(
    bench: PortableBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[int, int]] = []
    original = os.fsync

    def note(descriptor: int) -> None:
        found = os.fstat(descriptor)
        flushed.append((found.st_ino, found.st_size))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    for n in range(3):
        bench.make(f"Files/{n}", b"1" * n)
    assert flushed == []
    data = [path.stat() for path in (bench.folder / "data").iterdir()]
    folder = (bench.folder / "data").stat()
    bench.reopen()
    assert sorted(flushed[:2]) == sorted((one.st_ino, one.st_size) for one in data)
    assert flushed[2][0] == folder.st_ino


# -- opened again -------------------------------------------------------------------------------------


def test_killed_process_leaves_what_was_written(bench: PortableBench) -> None:
    content = bench.scratch.open_content(bench.make("Files/a", b"1"), writable=True)
    content.write_at(1, b"234")
    held = bench.scratch.held_size
    bench.die(content)
    assert (bench.read("Files/a"), bench.scratch.held_size) == (b"1234", held)
    assert bench.at("Files/a").write_filetime > 1.3e17


def test_killed_process_leaves_no_open_file_without_a_name(bench: PortableBench) -> None:
    content = bench.scratch.open_content(bench.make("Files/a", b"1"), writable=True)
    bench.delete("Files/a")
    content.write_at(1, b"2")
    assert bench.data() == [2]
    bench.die(content)
    assert (bench.data(), bench.scratch.held_size) == ([], 1024)


def test_file_of_data_that_is_missing_was_never_written(bench: PortableBench) -> None:
    bench.make("Files/a", b"1")
    for path in (bench.folder / "data").iterdir():
        path.unlink()
    bench.die()
    assert (bench.read("Files/a"), bench.at("Files/a").size) == (b"", 0)
    assert bench.scratch.held_size == 2048


def test_what_failed_half_way_leaves_no_file(bench: PortableBench) -> None:
    with pytest.raises(AlreadyExists), bench.scratch.together():
        bench.make("Files/a", b"1")
        bench.make("Files/Windows")
    assert bench.data() == [1]
    bench.reopen()
    assert bench.data() == []
    assert bench.changes() == []


def test_time_of_writing_is_the_last_of_all_streams_whatever_was_before(tmp_path: Path) -> None:
    ticks = iter(range(10**15, 10**16, 10**12))
    backend = PortableBackend(tmp_path)
    layer = a_layer(a_file("Files/a", b"1", {"s": b"2"}))
    backend.import_tar(an_import("base", layer_tar(layer)))
    make_scratch(tmp_path / "s", ["base"], 0, Entry("", EntryKind.DIRECTORY, 0x10))
    tables = [backend.table("base")]
    with PortableScratch(tmp_path / "s", "s", tables, clock_ns=lambda: next(ticks)) as scratch:
        before = node_at(scratch, "Files/a")
        data = scratch.open_content(before, writable=True)
        stream = scratch.open_content(before, "s", writable=True)
        stream.write_at(0, b"1")
        data.write_at(0, b"2")
        stream.write_at(0, b"3")
        last = ns_to_filetime(10**15 + 2 * 10**12)
        assert before.write_filetime > last  # the clock was set back since
        assert node_at(scratch, "Files/a").write_filetime == last
        stream.close()
        data.close()
        assert node_at(scratch, "Files/a").write_filetime == last
        assert node_at(scratch, "Files/a").change_filetime == last


def test_database_of_somebody_else_is_corrupt(bench: PortableBench) -> None:
    bench.scratch.close()
    database = bench.folder / "scratch.db"
    with NodeStore(database, "s") as store:
        store.set_fact("chain", "7")
    with pytest.raises(StoreCorrupt, match="does not tell its chain"):
        chain_of(bench.folder)
    with NodeStore(database, "s") as store:
        store.set_fact("schema", "99")
    with pytest.raises(StoreCorrupt, match="has schema 99"):
        NodeStore(database, "s")
    database.write_bytes(b"none" * 1000)
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        NodeStore(database, "s")
    copy = PortableBench(bench.folder / "other")
    bench.scratch = copy.scratch


def test_error_at_opening_lets_go_of_everything(bench: PortableBench) -> None:
    bench.scratch.close()
    database = bench.folder / "scratch.db"
    content = database.read_bytes()
    database.write_bytes(b"none" * 1000)
    with pytest.raises(StoreCorrupt):
        bench.open()
    database.write_bytes(content)
    bench.scratch = bench.open()  # nobody holds it


# -- who only looks -----------------------------------------------------------------------------------


def look(bench: PortableBench) -> PortableScratch:
    scratch = bench.open(read_only=True)
    assert isinstance(scratch, PortableScratch)
    return scratch


def test_what_was_removed_meanwhile_is_not_found(bench: PortableBench) -> None:
    bench.make("Files/a", b"1")
    with look(bench) as looking:
        node = node_at(looking, "Files/a")
        bench.delete("Files/a")
        bench.scratch.sync()
        for call in (looking.entry, looking.open, looking.open_content):
            ask: Callable[..., Any] = call
            with pytest.raises(PathNotFound):
                ask(node)
        assert looking.lookup("Files/a") is None


def test_file_of_data_that_was_removed_meanwhile_is_not_found(bench: PortableBench) -> None:
    bench.make("Files/a", b"1")
    with look(bench) as looking:
        looking.freeze()
        node = node_at(looking, "Files/a")
        bench.delete("Files/a")
        bench.scratch.sync()
        assert looking.entry(node).size == 1
        with pytest.raises(PathNotFound, match="removed meanwhile"):
            looking.open(node)


def test_frozen_look_sees_one_moment(bench: PortableBench) -> None:
    with look(bench) as looking:
        looking.freeze()
        before = [node.path for node in walk(looking, looking.root())]
        bench.rename("Files/Windows/System32", "Files/Sys")
        bench.make("Files/new", b"1")
        assert [node.path for node in walk(looking, looking.root())] == before
    with look(bench) as looking:
        assert [node.path for node in walk(looking, looking.root())] == bench.paths() != before


def test_look_sees_what_was_flushed(bench: PortableBench) -> None:
    bench.make("Files/a", b"1")
    with (
        look(bench) as looking,
        closing(bench.scratch.open_content(bench.at("Files/a"), writable=True)) as content,
    ):
        content.write_at(1, b"23")
        content.flush()
        assert node_at(looking, "Files/a").size == 3
        with closing(looking.open_content(node_at(looking, "Files/a"))) as other:
            assert other.read_at(0, 9) == b"123"
            other.flush()
            other.sync()


# -- the parts ----------------------------------------------------------------------------------------


def test_failed_copy_gives_back_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = PortableBench(tmp_path, quota=10_000_000)
    held = bench.scratch.held_size

    def refuse(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with (
        monkeypatch.context() as patched,
        closing(bench.scratch.open_content(bench.at(CMD), writable=True)) as content,
    ):
        patched.setattr(os, "open", refuse)
        with pytest.raises(NoSpace):
            content.write_at(0, b"PE")
        patched.undo()
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(NoSpace):
            content.write_at(0, b"PE")
        patched.undo()
        patched.setattr(os, "ftruncate", refuse)
        with pytest.raises(NoSpace):
            content.truncate(20_000)
    assert bench.data() == []
    assert bench.scratch.held_size == held + 4096
    with closing(bench.scratch.open_content(bench.at(CMD), writable=True)) as content:
        content.write_at(0, b"PE")
        monkeypatch.setattr(os, "ftruncate", refuse)
        with pytest.raises(NoSpace):
            content.truncate(20_000)
        monkeypatch.setattr(_scratch_contents, "write_all_at", refuse)
        with pytest.raises(NoSpace):
            content.write_at(20_000, b"PE")
    assert (bench.data(), bench.scratch.held_size) == ([10_000], held + 4096 + 10_000)
    bench.scratch.close()


def test_numbers_of_files_are_used_once(tmp_path: Path) -> None:
    data = DataFiles(tmp_path)
    (number, descriptor), (other, second) = data.create(), data.create()
    data.sync_open(number, descriptor)
    os.close(descriptor)
    os.close(second)
    assert not data.leave([number, other])
    assert data.numbers() == [number]
    data.remove_left()
    assert data.numbers() == []
    number, descriptor = data.create()
    os.close(descriptor)
    assert number == 3
    data.sync([1, 2, 3])
    assert data.size(1) is None


def test_empty_directory_of_the_chain_may_be_replaced(tmp_path: Path) -> None:
    backend = PortableBackend(tmp_path)
    backend.import_tar(an_import("base", layer_tar(a_layer(a_directory("Files/empty")))))
    make_scratch(tmp_path / "s", ["base"], 0, Entry("", EntryKind.DIRECTORY, 0x10))
    with PortableScratch(tmp_path / "s", "s", [backend.table("base")]) as scratch:
        files = node_at(scratch, "Files")
        made = scratch.create(files, "other", Entry("", EntryKind.DIRECTORY, 0x10))
        scratch.rename(made, files, "EMPTY")
        assert [node.path for node in walk(scratch, scratch.root())] == ["Files", "Files/EMPTY"]


def test_file_whose_removal_was_lost_is_kept(bench: PortableBench) -> None:
    bench.make("Files/kept.txt", b"kept")
    before = bench.data()
    bench.scratch.gather(None)
    bench.delete("Files/kept.txt")
    # The commit finds the transaction gone, as after an error of the disk.
    bench.scratch._store._db.execute("ROLLBACK")
    with pytest.raises(sqlite3.OperationalError):
        bench.scratch.publish()
    with pytest.raises(StoreCorrupt, match="open it again"):
        bench.scratch.close()
    assert bench.data() == before
    bench.scratch = bench.open()
    assert content_at(bench.scratch, "Files/kept.txt") == b"kept"
