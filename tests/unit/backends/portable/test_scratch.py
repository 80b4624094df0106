"""The portable scratch: primitives, what they cost, and what is there after a reopening."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_whiteout,
    an_import,
    layer_tar,
)
from winlayers.backends.portable._scratch import PortableScratch, make_scratch
from winlayers.backends.portable.backend import PortableBackend
from winlayers.errors import (
    AlreadyExists,
    IllegalState,
    InUse,
    InvalidArgument,
    LayerMounted,
    NoSpace,
    PathNotFound,
)
from winlayers.formats.filetime import ns_to_filetime
from winlayers.layer.chain import Chain
from winlayers.layer.changes import changes
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.view import NODE_LINKED, Metadata, Node, walk

BASE = layer_tar(
    a_layer(
        a_file("Files/Windows/win.ini", b"[fonts]", {"Zone.Identifier": b"ZoneId=3"}),
        a_file("Files/Windows/System32/cmd.exe", b"MZ" * 5000),
        a_file("Files/Windows/System32/drivers/etc/hosts", b"localhost"),
        a_link("Files/Windows/cmd-too.exe", "Files/Windows/System32/cmd.exe"),
        a_file("Files/License.txt", b"the license"),
    )
)
CHILD = layer_tar(a_layer(a_file("Files/Windows/new.txt", b"new"), a_whiteout("Files/License.txt")))


class Bench:
    """A chain of two layers, and a scratch on it that can be opened again."""

    def __init__(self, root: Path, quota: int = 0) -> None:
        self.backend = PortableBackend(root)
        self.backend.import_tar(an_import("base", BASE))
        self.backend.import_tar(an_import("child", CHILD, "base"))
        self.folder = root / "scratch"
        make_scratch(self.folder, ["child", "base"], quota, Entry("", EntryKind.DIRECTORY, 0x10))
        self.scratch = self.open()

    def open(self, *, read_only: bool = False) -> PortableScratch:
        tables = [self.backend.table(layer_id) for layer_id in ("child", "base")]
        return PortableScratch(
            self.folder, "s", tables, read_only=read_only, clock_ns=lambda: 10**18
        )

    def reopen(self) -> PortableScratch:
        self.scratch.close()
        self.scratch = self.open()
        return self.scratch

    def at(self, path: str) -> Node:
        node = self.scratch.lookup(path)
        assert node is not None, path
        return node

    def paths(self) -> list[str]:
        return [node.path for node in walk(self.scratch, self.scratch.root())]

    def changes(self) -> list[str]:
        with self.backend.view("child", Chain(("base",))) as old:
            return [str(change) for change in changes(old, self.scratch)]

    def read(self, path: str, stream: str = "") -> bytes:
        with self.scratch.open(self.at(path), stream) as file:
            return file.read()

    def write(self, path: str, data: bytes, offset: int = 0, stream: str = "") -> None:
        with self.scratch.open_content(self.at(path), stream, writable=True) as content:
            content.write_at(offset, data)

    def make(self, path: str, data: bytes | None = b"") -> Node:
        """A new file with content, or a directory where that is None."""
        directory, _, name = path.rpartition("/")
        kind = EntryKind.DIRECTORY if data is None else EntryKind.FILE
        node = self.scratch.create(self.at(directory), name, Entry("", kind, 0x20))
        if data:
            self.write(path, data)
        return self.at(node.path)

    def data_files(self) -> int:
        return len(list((self.folder / "data").iterdir()))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.scratch.close()


def test_new_scratch_shows_the_chain_and_differs_in_nothing(bench: Bench) -> None:
    assert "Files/Windows/new.txt" in bench.paths()
    assert "Files/License.txt" not in bench.paths()
    assert bench.changes() == []
    assert bench.scratch.held_size == 0


def test_written_file_is_copied_up_and_nothing_else(bench: Bench) -> None:
    bench.write("files/WINDOWS/system32/CMD.EXE", b"PE", 4)
    assert bench.read("Files/Windows/System32/cmd.exe") == b"MZMZPE" + b"MZ" * 4997
    assert bench.data_files() == 1
    assert (
        bench.read("Files/Windows/cmd-too.exe") == b"MZ" * 5000
    )  # a link of its layer stands alone
    assert [line for line in bench.changes() if "." in line] == ["C Files/Windows/System32/cmd.exe"]
    bench.reopen()
    assert bench.read("Files/Windows/System32/cmd.exe")[:6] == b"MZMZPE"
    assert bench.at("Files/Windows/System32/cmd.exe").write_filetime > 1.2e17


def test_rename_of_a_tree_copies_no_data_and_tells_all_of_it(bench: Bench) -> None:
    bench.scratch.rename(bench.at("Files/Windows/System32"), bench.at("Files"), "Sys")
    assert bench.data_files() == 0
    assert bench.read("Files/Sys/drivers/etc/hosts") == b"localhost"
    assert bench.scratch.lookup("Files/Windows/System32") is None
    assert bench.scratch.lookup("Files/Windows/System32/drivers") is None
    assert bench.changes() == [
        "A Files/Sys", "A Files/Sys/cmd.exe", "A Files/Sys/drivers", "A Files/Sys/drivers/etc",
        "A Files/Sys/drivers/etc/hosts", "D Files/Windows/System32",
    ]  # fmt: skip
    bench.reopen()
    bench.scratch.rename(bench.at("Files/Sys"), bench.at("Files/Windows"), "System32")
    assert bench.changes() == []


def test_rename_may_change_only_the_case(bench: Bench) -> None:
    bench.scratch.rename(bench.at("Files/Windows/win.ini"), bench.at("Files/Windows"), "WIN.ini")
    assert bench.at("Files/Windows/win.ini").path == "Files/Windows/WIN.ini"
    assert bench.changes() == ["C Files/Windows/WIN.ini"]
    bench.reopen()
    assert "Files/Windows/WIN.ini" in bench.paths()


def test_rename_replaces_what_has_the_name(bench: Bench) -> None:
    bench.make("Files/a", b"of a")
    bench.scratch.rename(bench.at("Files/a"), bench.at("Files/Windows"), "Win.ini")
    assert bench.read("Files/Windows/win.ini") == b"of a"
    assert bench.scratch.lookup("Files/a") is None
    assert bench.scratch.parts(bench.at("Files/Windows/win.ini"))[1:] == ()


def test_directory_cannot_be_moved_into_itself_nor_over_a_full_one(bench: Bench) -> None:
    windows = bench.at("Files/Windows")
    with pytest.raises(InvalidArgument, match="into itself"):
        bench.scratch.rename(windows, bench.at("Files/Windows/System32"), "x")
    bench.make("Files/d", None)
    with pytest.raises(InUse, match="not empty"):
        bench.scratch.rename(bench.at("Files/d"), bench.at("Files"), "windows")
    assert bench.at("Files/d").kind is EntryKind.DIRECTORY


def test_deleted_name_is_hidden_and_free_again(bench: Bench) -> None:
    bench.scratch.delete(bench.at("Files/Windows/new.txt"))
    assert bench.scratch.lookup("Files/Windows/new.txt") is None
    assert bench.changes() == ["D Files/Windows/new.txt"]
    bench.make("Files/Windows/NEW.txt", b"again")
    assert bench.changes() == ["C Files/Windows/NEW.txt"]
    bench.scratch.delete(bench.at("Files/Windows/new.txt"))
    assert bench.changes() == ["D Files/Windows/new.txt"]
    assert bench.data_files() == 0


def test_directory_is_deleted_only_empty_and_comes_back_so(bench: Bench) -> None:
    with pytest.raises(InUse, match="not empty"):
        bench.scratch.delete(bench.at("Files/Windows/System32"))
    for path in ("drivers/etc/hosts", "drivers/etc", "drivers", "cmd.exe"):
        bench.scratch.delete(bench.at(f"Files/Windows/System32/{path}"))
    bench.scratch.delete(bench.at("Files/Windows/System32"))
    assert bench.changes() == ["D Files/Windows/System32"]
    bench.make("Files/Windows/System32", None)
    assert bench.scratch.list(bench.at("Files/Windows/System32")) == []
    assert bench.changes() == [
        "C Files/Windows/System32", "D Files/Windows/System32/cmd.exe",
        "D Files/Windows/System32/drivers",
    ]  # fmt: skip


def test_names_of_one_file_share_its_bytes_and_its_metadata(bench: Bench) -> None:
    bench.make("Files/one", b"1")
    bench.scratch.link(bench.at("Files/one"), bench.at("Files/Windows"), "two")
    bench.write("Files/Windows/two", b"22")
    assert bench.read("Files/one") == b"22"
    assert bench.scratch.link_count(bench.at("Files/one")) == 2
    bench.scratch.set_metadata(bench.at("Files/one"), Metadata(attributes=0x21, security=b"sd"))
    assert bench.scratch.entry(bench.at("Files/Windows/two")).security == b"sd"
    bench.scratch.delete(bench.at("Files/one"))
    assert bench.read("Files/Windows/two") == b"22"
    with pytest.raises(AlreadyExists):
        bench.scratch.link(bench.at("Files/Windows/two"), bench.at("Files/Windows"), "WIN.INI")


def test_metadata_changes_without_the_data(bench: Bench) -> None:
    before = bench.scratch.entry(bench.at("Files/Windows/win.ini"))
    changed = bench.scratch.set_metadata(
        bench.at("Files/Windows/win.ini"),
        Metadata(attributes=0x1, write_filetime=2**63 + 5, ea=b"", reparse=b"", security=b"other"),
    )
    assert (changed.attributes, changed.write_filetime) == (1, 2**63 + 5)
    bench.reopen()
    after = bench.scratch.entry(bench.at("Files/Windows/win.ini"))
    assert after.security == b"other"
    assert after.creation_filetime == before.creation_filetime
    assert bench.data_files() == 0
    assert bench.read("Files/Windows/win.ini", "zone.identifier") == b"ZoneId=3"


def test_alternate_streams_come_change_and_go(bench: Bench) -> None:
    bench.write("Files/Windows/win.ini", b"9", 7, "Zone.Identifier")
    assert bench.read("Files/Windows/win.ini", "Zone.Identifier") == b"ZoneId=9"
    bench.scratch.create_stream(bench.at("Files/Windows"), "of a directory")
    bench.write("Files/Windows", b"too", 0, "of a directory")
    with pytest.raises(AlreadyExists):
        bench.scratch.create_stream(bench.at("Files/Windows"), "OF A DIRECTORY")
    bench.reopen()
    assert bench.read("Files/Windows", "of a directory") == b"too"
    bench.scratch.delete_stream(bench.at("Files/Windows/win.ini"), "ZONE.identifier")
    with pytest.raises(PathNotFound, match="no alternate stream"):
        bench.read("Files/Windows/win.ini", "Zone.Identifier")
    assert bench.scratch.lookup("Files/Windows/win.ini").flags & 2 == 0  # type: ignore[union-attr] # it is there
    with pytest.raises(PathNotFound):
        bench.scratch.delete_stream(bench.at("Files/Windows/win.ini"), "")


def test_who_reads_sees_what_another_writes(bench: Bench) -> None:
    reader = bench.scratch.open_content(bench.at("Files/Windows/win.ini"))
    writer = bench.scratch.open_content(bench.at("Files/Windows/WIN.INI"), writable=True)
    writer.write_at(1, b"FONTS")
    assert reader.read_at(0, 100) == b"[FONTS]"
    bench.scratch.rename(bench.at("Files/Windows/win.ini"), bench.at("Files"), "moved")
    writer.truncate(3)
    assert (reader.read_at(0, 100), reader.size, bench.at("Files/moved").size) == (b"[FO", 3, 3)
    writer.close()
    with pytest.raises(IllegalState, match="not opened for writing"):
        reader.write_at(0, b"x")
    reader.close()
    assert bench.read("Files/moved") == b"[FO"


def test_open_file_outlives_its_name(bench: Bench) -> None:
    bench.make("Files/gone", b"content")
    content = bench.scratch.open_content(bench.at("Files/gone"), writable=True)
    bench.scratch.delete(bench.at("Files/gone"))
    content.write_at(7, b" more")
    assert content.read_at(0, 100) == b"content more"
    assert content.node().size == 12
    assert bench.scratch.lookup("Files/gone") is None
    content.close()
    assert bench.data_files() == 0
    assert bench.scratch.held_size == 1024  # the directory on the way is still own


def test_gap_before_what_is_written_is_zeros(bench: Bench) -> None:
    bench.make("Files/sparse")
    bench.write("Files/sparse", b"end", 1 << 20)
    data = bench.read("Files/sparse")
    assert data == bytes(1 << 20) + b"end"
    with bench.scratch.open_content(bench.at("Files/sparse"), writable=True) as content:
        content.truncate(2 << 20)
        assert content.read_at((2 << 20) - 4, 100) == bytes(4)


def test_quota_ends_a_write_and_breaks_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quota=20_000)
    bench.make("Files/a", b"x" * 10_000)
    with pytest.raises(NoSpace, match="of 20000 bytes"):
        bench.write("Files/a", b"y" * 10_000, 10_000)
    assert bench.read("Files/a") == b"x" * 10_000
    with pytest.raises(NoSpace):
        bench.write("Files/Windows/System32/cmd.exe", b"PE")  # 10,000 bytes to copy up
    assert bench.read("Files/Windows/System32/cmd.exe") == b"MZ" * 5000
    held = bench.scratch.held_size
    bench.reopen()
    assert bench.scratch.held_size == held
    bench.scratch.delete(bench.at("Files/a"))
    bench.write("Files/Windows/System32/cmd.exe", b"PE")
    assert bench.read("Files/Windows/System32/cmd.exe")[:4] == b"PEMZ"
    bench.scratch.close()


def test_failed_operation_leaves_everything_as_it_was(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quota=1)
    before = bench.paths()
    with pytest.raises(NoSpace):
        bench.make("Files/Windows/System32/drivers/x")
    with pytest.raises(NoSpace):
        bench.scratch.rename(bench.at("Files/Windows"), bench.at("Files"), "w")
    assert bench.paths() == before
    assert bench.changes() == []
    assert bench.scratch.held_size == 0
    bench.scratch.close()


def test_one_writes_and_others_look(bench: Bench) -> None:
    bench.make("Files/seen", b"1")
    with pytest.raises(LayerMounted, match="scratch s is written by another process"):
        bench.open()
    with bench.open(read_only=True) as looking:
        node = looking.lookup("Files/seen")
        assert node is not None
        with pytest.raises(IllegalState, match="looked at only"):
            looking.delete(node)
        with looking.open(node) as file:
            assert file.read() == b"1"
        bench.make("Files/later", b"2")
        assert looking.lookup("Files/later") is not None


def test_names_with_lone_surrogates_are_kept(bench: Bench) -> None:
    bench.make("Files/lone\ud800", b"odd")
    bench.reopen()
    assert bench.read("Files/LONE\ud800") == b"odd"
    assert "Files/lone\ud800" in bench.paths()


def test_sync_brings_all_to_the_disk_and_goes_on(bench: Bench) -> None:
    bench.make("Files/a", b"1")
    with bench.scratch.open_content(bench.at("Files/a"), writable=True) as content:
        content.write_at(1, b"2")
        content.sync()
        bench.scratch.sync()
        content.write_at(2, b"3")
    assert bench.read("Files/a") == b"123"


def test_empty_directory_of_the_chain_may_be_replaced(tmp_path: Path) -> None:
    backend = PortableBackend(tmp_path)
    backend.import_tar(an_import("base", layer_tar(a_layer(a_directory("Files/empty")))))
    make_scratch(tmp_path / "s", ["base"], 0, Entry("", EntryKind.DIRECTORY, 0x10))
    with PortableScratch(tmp_path / "s", "s", [backend.table("base")]) as scratch:
        files = scratch.lookup("Files")
        assert files is not None
        made = scratch.create(files, "other", Entry("", EntryKind.DIRECTORY, 0x10))
        scratch.rename(made, files, "EMPTY")
        assert [node.path for node in walk(scratch, scratch.root())] == ["Files", "Files/EMPTY"]


def test_time_of_writing_is_the_last_of_all_streams_whatever_was_before(bench: Bench) -> None:
    ticks = iter(range(10**15, 10**16, 10**12))
    bench.scratch.close()
    tables = [bench.backend.table(layer_id) for layer_id in ("child", "base")]
    bench.scratch = PortableScratch(bench.folder, "s", tables, clock_ns=lambda: next(ticks))
    before = bench.at("Files/Windows/win.ini")
    data = bench.scratch.open_content(before, writable=True)
    stream = bench.scratch.open_content(before, "Zone.Identifier", writable=True)
    stream.write_at(0, b"1")
    data.write_at(0, b"2")
    stream.write_at(0, b"3")
    last = ns_to_filetime(10**15 + 2 * 10**12)
    assert before.write_filetime > last  # the clock was set back since
    assert bench.at("Files/Windows/win.ini").write_filetime == last
    stream.close()
    data.close()
    assert bench.at("Files/Windows/win.ini").write_filetime == last
    assert bench.at("Files/Windows/win.ini").change_filetime == last


def test_stream_can_be_removed_when_it_is_closed_though_others_are_open(bench: Bench) -> None:
    node = bench.at("Files/Windows/win.ini")
    with bench.scratch.open_content(node, writable=True) as data:
        bench.write("Files/Windows/win.ini", b"!", stream="Zone.Identifier")
        bench.scratch.delete_stream(bench.at("Files/Windows/win.ini"), "zone.identifier")
        data.write_at(0, b"1")
    assert bench.read("Files/Windows/win.ini") == b"1fonts]"
    assert len(bench.scratch.parts(bench.at("Files/Windows/win.ini"))) == 1
    bench.scratch.sync()
    assert bench.data_files() == 1


def test_what_is_done_together_is_whole_or_absent(bench: Bench) -> None:
    before = bench.paths()
    with pytest.raises(AlreadyExists), bench.scratch.together():
        bench.make("Files/Windows/a.txt")
        bench.scratch.delete(bench.at("Files/Windows/win.ini"))
        bench.make("Files/Windows/new.txt")
    assert bench.paths() == before
    assert bench.scratch.held_size == 0
    with bench.scratch.together():
        bench.make("Files/Windows/a.txt")
        bench.scratch.delete(bench.at("Files/Windows/win.ini"))
    bench.reopen()
    assert "Files/Windows/a.txt" in bench.paths()
    assert "Files/Windows/win.ini" not in bench.paths()


def test_file_that_had_two_names_is_marked(bench: Bench) -> None:
    bench.scratch.link(bench.at("Files/Windows/win.ini"), bench.at("Files"), "too.ini")
    bench.reopen()
    assert bench.at("Files/Windows/win.ini").flags & NODE_LINKED
    assert bench.at("Files/too.ini").flags & NODE_LINKED
    assert bench.scratch.link_count(bench.at("Files/too.ini")) == 2
    assert not bench.at("Files/Windows/new.txt").flags & NODE_LINKED
