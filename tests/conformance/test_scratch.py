"""What every scratch has to do. A new kind adds its backend to ``FACTORIES``, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import (
    DESCRIPTOR,
    NEW_YEAR_FILETIME,
    OTHER_DESCRIPTOR,
    a_file,
    a_layer,
    an_import,
    layer_tar,
    tar_of,
)
from tests.support.scratches import CHAIN, Bench
from winlayers.backends.contract import Backend, ScratchAccess
from winlayers.backends.memory import MemoryBackend
from winlayers.backends.portable.backend import PortableBackend
from winlayers.errors import (
    AlreadyExists,
    IllegalState,
    InUse,
    InvalidArgument,
    LayerExists,
    LayerMounted,
    LayerNotFound,
    NoSpace,
    ParentMissing,
    PathNotFound,
    WinlayersError,
)
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import build_reparse, link_to
from winlayers.layer.chain import Chain
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.view import (
    NODE_EA,
    NODE_LINKED,
    NODE_REPARSE,
    NODE_STREAMS,
    Metadata,
    Scratch,
    walk,
)

FACTORIES: dict[str, Callable[[Path], Backend]] = {
    "memory": lambda root: MemoryBackend(),
    "portable": PortableBackend,
}

KIB = 1024
WIN_INI = "Files/Windows/win.ini"
CMD = "Files/Windows/System32/cmd.exe"
LINK = build_reparse(link_to("C:\\Windows", junction=False))


@pytest.fixture(params=FACTORIES)
def make_bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes a bench, with a quota where one is told."""
    benches: list[Bench] = []

    def make(quota: int = 0) -> Bench:
        benches.append(Bench(FACTORIES[request.param](tmp_path / str(len(benches))), quota))
        return benches[-1]

    yield make
    for bench in benches:
        bench.scratch.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def refused(error: type[WinlayersError], call: Callable[..., Any], *args: Any, **named: Any) -> str:
    """The message of an error that a call has to end in."""
    with pytest.raises(error) as caught:
        call(*args, **named)
    assert type(caught.value) is error
    return str(caught.value)


# -- the layer ----------------------------------------------------------------------------------------


def test_new_scratch_shows_the_chain_and_differs_in_nothing(bench: Bench) -> None:
    assert bench.read("Files/Windows/new.txt") == b"new"
    assert bench.read("Files/far.txt") == b"localhost"
    assert not bench.has("Files/License.txt")
    assert [path for path in bench.paths() if "old" in path] == ["Files/old", "Files/old/fresh.txt"]
    assert bench.changes() == []
    assert (bench.scratch.held_size, bench.scratch.quota) == (0, 0)
    assert bench.scratch.layer_ids == ("s", "child", "base")


def test_scratch_is_a_layer_of_its_kind(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(quota=50_000)
    backend = bench.backend
    bench.make("Files/a", b"12345")
    assert backend.exists("s")
    usage = backend.usage("s")
    assert (usage.kind, usage.summary.size, usage.summary.entry_count) == (
        "scratch",
        2 * KIB + 5,
        2,
    )
    assert usage.disk_size >= 5
    assert usage.created_ns > 0
    assert bench.scratch.quota == 50_000
    with closing(backend.view("s", CHAIN)) as view:
        assert view.lookup("FILES/A") is not None
    bench.scratch.close()
    backend.destroy("s")
    assert not backend.exists("s")
    assert isinstance(backend, ScratchAccess)
    refused(LayerNotFound, backend.scratch, "s", CHAIN)
    backend.create_scratch("s", CHAIN, 0, {})
    bench.scratch = bench.open()
    assert not bench.has("Files/a")


def test_layer_has_one_kind(bench: Bench) -> None:
    backend = bench.backend
    refused(LayerExists, backend.create_scratch, "s", CHAIN, 0, {})
    refused(LayerExists, backend.create_scratch, "base", Chain(), 0, {})
    refused(LayerExists, backend.create, "s", CHAIN, {})
    refused(LayerExists, backend.import_tar, an_import("s", layer_tar(a_layer(a_file("Files/a")))))
    refused(LayerExists, backend.writer, "s", CHAIN, {})
    refused(ParentMissing, backend.create_scratch, "t", Chain(("nobody",)), 0, {})
    assert not backend.exists("t")
    assert isinstance(backend, ScratchAccess)
    assert "no scratch" in refused(LayerNotFound, backend.scratch, "base", Chain())


def test_scratch_on_nothing_has_a_volume(bench: Bench) -> None:
    backend = bench.backend
    backend.create_scratch("base2", Chain(), 0, {})
    assert isinstance(backend, ScratchAccess)
    with backend.scratch("base2", Chain()) as scratch:
        assert [node.path for node in walk(scratch, scratch.root())] == ["Files"]
        scratch.create(scratch.list(scratch.root())[0], "a", Entry("", EntryKind.FILE))
    with closing(backend.view("base2", Chain())) as view:
        assert [node.path for node in walk(view, view.root())] == ["Files", "Files/a"]


def test_changes_are_exported_as_a_layer_that_makes_the_same_view(bench: Bench) -> None:
    bench.write(WIN_INI, b"more", 7)
    bench.rename("Files/Windows/System32", "Files/Windows/Sys")
    bench.make("Files/dir", None)
    bench.make("Files/dir/a", b"a")
    bench.link("Files/dir/a", "Files/dir/b")
    bench.delete("Files/Windows/new.txt", "Files/old/fresh.txt")
    tar = tar_of(bench.backend.reader("s", CHAIN))
    with bench.backend.export_tar("s", CHAIN) as file:
        assert file.read() == tar
    bench.backend.import_tar(an_import("sealed", tar, *CHAIN))
    with closing(bench.backend.view("sealed", CHAIN)) as view:
        assert [n.path for n in walk(view, view.root()) if n.path != "Hives"] == bench.paths()


# -- names --------------------------------------------------------------------------------------------


def test_created_file_has_the_metadata_it_was_given(bench: Bench) -> None:
    ea = build_ea_list([ExtendedAttribute(b"A", b"value", 0)])
    entry = Entry("x", EntryKind.FILE, 0x23, 1, 2, 3, 2**64 - 1, 99, DESCRIPTOR, ea, LINK)
    node = bench.scratch.create(bench.at("Files"), "Made", entry)
    assert (node.path, node.name, node.folded, node.layer_id) == ("Files/Made", "Made", "MADE", "s")
    assert (node.size, node.flags, node.stack) == (0, NODE_EA | NODE_REPARSE, ())
    bench.reopen()
    found = bench.scratch.entry(bench.at("files/MADE"))
    assert (found.path, found.kind, found.size) == ("Files/Made", EntryKind.FILE, 0)
    assert (found.security, found.ea, found.reparse) == (DESCRIPTOR, ea, LINK)
    assert (found.creation_filetime, found.access_filetime) == (1, 2)
    assert (found.write_filetime, found.change_filetime) == (3, 2**64 - 1)
    assert bench.read("Files/Made") == b""


def test_name_is_taken_whatever_its_case(bench: Bench) -> None:
    files = bench.at("Files")
    for name in ("WINDOWS", "Far.txt", "to WINDOWS"):
        refused(AlreadyExists, bench.scratch.create, files, name, Entry("", EntryKind.FILE))
        refused(AlreadyExists, bench.link, WIN_INI, f"Files/{name}")
    bench.make("Files/License.txt", b"of a name that is hidden")
    assert bench.changes() == ["A Files/License.txt"]


def test_only_directories_hold_names(bench: Bench) -> None:
    for path in (WIN_INI, "Files/to windows"):
        node = bench.at(path)
        for call in (
            lambda node=node: bench.scratch.create(node, "x", Entry("", EntryKind.FILE)),
            lambda node=node: bench.scratch.link(bench.at(CMD), node, "x"),
            lambda node=node: bench.scratch.rename(bench.at(CMD), node, "x"),
        ):
            assert "is no directory" in refused(InvalidArgument, call)
    assert bench.changes() == []


def test_root_stays(bench: Bench) -> None:
    root = bench.scratch.root()
    assert "the root" in refused(
        InvalidArgument, bench.scratch.rename, root, bench.at("Files"), "x"
    )
    refused(InvalidArgument, bench.scratch.link, root, bench.at("Files"), "x")
    for node in bench.scratch.list(root):
        remove_all(bench, node.path)
    refused(InvalidArgument, bench.scratch.delete, root)
    bench.make("Files", None)
    bench.scratch.create_stream(bench.scratch.root(), "s")
    bench.write("", b"of the root", 0, "s")
    bench.reopen()
    assert bench.paths() == ["Files"]
    assert bench.read("", "s") == b"of the root"


def remove_all(bench: Bench, path: str) -> None:
    below = [node.path for node in walk(bench.scratch, bench.at(path))]
    bench.delete(*reversed(below), path)


def test_rename_of_a_tree_keeps_all_of_it(bench: Bench) -> None:
    node = bench.rename("Files/Windows/System32", "Files/Sys")
    assert (node.path, node.is_directory) == ("Files/Sys", True)
    assert bench.read("Files/Sys/drivers/etc/hosts") == b"localhost"
    assert bench.read("Files/Windows/cmd-too.exe") == b"MZ" * 5000
    assert bench.read("Files/far.txt") == b"localhost"
    assert not bench.has("Files/Windows/System32/drivers")
    assert bench.scratch.held_size == 3 * KIB
    assert bench.changes() == [
        "A Files/Sys", "A Files/Sys/cmd.exe", "A Files/Sys/drivers", "A Files/Sys/drivers/etc",
        "A Files/Sys/drivers/etc/hosts", "D Files/Windows/System32",
    ]  # fmt: skip
    bench.reopen()
    bench.write("Files/Sys/drivers/etc/hosts", b"LOCAL")
    bench.rename("Files/Sys", "Files/Windows/System32")
    assert bench.read("Files/Windows/System32/drivers/etc/hosts") == b"LOCALhost"
    changed = [
        line for line in bench.changes() if not line.startswith("C Files/Windows/System32/d")
    ]
    assert changed == []


def test_rename_may_change_only_the_case(bench: Bench) -> None:
    bench.rename(WIN_INI, "Files/Windows/WIN.ini")
    bench.rename("Files/Windows/System32", "Files/Windows/system32")
    assert bench.at(WIN_INI).path == "Files/Windows/WIN.ini"
    assert bench.at(CMD).path == "Files/Windows/system32/cmd.exe"
    assert bench.changes() == ["C Files/Windows/system32", "C Files/Windows/WIN.ini"]
    bench.reopen()
    assert "Files/Windows/WIN.ini" in bench.paths()
    assert "Files/Windows/system32/drivers/etc/hosts" in bench.paths()


def test_rename_replaces_what_has_the_name(bench: Bench) -> None:
    bench.make("Files/a", b"of a")
    bench.rename("Files/a", "Files/Windows/Win.ini")
    assert bench.read(WIN_INI) == b"of a"
    assert not bench.has("Files/a")
    assert [part.name for part in bench.scratch.parts(bench.at(WIN_INI))] == [""]
    bench.make("Files/d", None)
    bench.make("Files/d/inside", b"!")
    bench.rename("Files/d", "Files/EMPTY")
    assert bench.read("Files/empty/inside") == b"!"
    bench.make("Files/e", None)
    bench.rename("Files/far.txt", "Files/e")
    assert bench.read("Files/e") == b"localhost"
    # One of two names over the other one: one is left.
    bench.link("Files/e", "Files/f")
    bench.rename("Files/e", "Files/f")
    assert bench.scratch.link_count(bench.at("Files/f")) == 1
    assert not bench.has("Files/e")
    held = bench.scratch.held_size
    bench.reopen()
    assert bench.scratch.held_size == held
    assert bench.read("Files/f") == b"localhost"


def test_directory_cannot_be_moved_into_itself_nor_over_a_full_one(bench: Bench) -> None:
    for path in ("Files/Windows", "Files/Windows/System32/drivers"):
        told = refused(
            InvalidArgument, bench.scratch.rename, bench.at("Files/Windows"), bench.at(path), "x"
        )
        assert "into itself" in told
    bench.make("Files/d", None)
    for path in ("Files/d", "Files/far.txt"):
        assert "not empty" in refused(InUse, bench.rename, path, "Files/windows")
    assert [line for line in bench.changes() if line != "A Files/d"] == []


def test_name_that_begins_like_another_is_not_below_it(bench: Bench) -> None:
    bench.make("Files/ab", None)
    bench.make("Files/a", None)
    assert bench.rename("Files/a", "Files/ab/a").path == "Files/ab/a"


def test_deleted_name_is_hidden_and_free_again(bench: Bench) -> None:
    bench.delete("Files/Windows/new.txt")
    assert not bench.has("Files/Windows/new.txt")
    assert bench.changes() == ["D Files/Windows/new.txt"]
    bench.make("Files/Windows/NEW.txt", b"again")
    assert bench.changes() == ["C Files/Windows/NEW.txt"]
    bench.reopen()
    bench.delete("Files/Windows/new.txt")
    assert bench.changes() == ["D Files/Windows/new.txt"]
    assert bench.scratch.held_size == 2 * KIB  # the directories on the way


def test_directory_is_deleted_only_empty_and_comes_back_so(bench: Bench) -> None:
    refused(InUse, bench.delete, "Files/Windows/System32")
    remove_all(bench, "Files/Windows/System32")
    assert bench.changes() == ["D Files/Windows/System32"]
    bench.make("Files/Windows/System32", None)
    bench.reopen()
    assert bench.scratch.list(bench.at("Files/Windows/System32")) == []
    assert bench.changes() == [
        "C Files/Windows/System32", "D Files/Windows/System32/cmd.exe",
        "D Files/Windows/System32/drivers",
    ]  # fmt: skip


def test_what_the_chain_hides_stays_hidden(bench: Bench) -> None:
    bench.delete("Files/old/fresh.txt")
    assert bench.scratch.list(bench.at("Files/old")) == []
    bench.make("Files/old/hidden", None)
    assert bench.scratch.list(bench.at("Files/old/hidden")) == []
    bench.rename("Files/old", "Files/older")
    bench.make("Files/old", None)
    bench.reopen()
    assert [path for path in bench.paths() if "old" in path] == [
        "Files/old", "Files/older", "Files/older/hidden",
    ]  # fmt: skip
    remove_all(bench, "Files/older")
    assert not bench.has("Files/older")


def test_file_may_become_a_directory_and_a_directory_a_file(bench: Bench) -> None:
    bench.delete("Files/far.txt", "Files/empty")
    bench.make("Files/far.txt", None)
    bench.make("Files/far.txt/in", b"1")
    bench.make("Files/empty", b"2")
    bench.reopen()
    assert (bench.read("Files/far.txt/in"), bench.read("Files/empty")) == (b"1", b"2")


def test_names_with_lone_surrogates_are_kept(bench: Bench) -> None:
    bench.make("Files/lone\ud800", b"odd")
    bench.reopen()
    assert bench.read("Files/LONE\ud800") == b"odd"
    assert "Files/lone\ud800" in bench.paths()


# -- hard links ---------------------------------------------------------------------------------------


def test_names_of_one_file_share_its_bytes_and_its_metadata(bench: Bench) -> None:
    bench.make("Files/one", b"1")
    bench.link("Files/one", "Files/Windows/two")
    bench.write("Files/Windows/two", b"22")
    assert bench.read("Files/one") == b"22"
    assert bench.scratch.link_count(bench.at("Files/one")) == 2
    bench.scratch.set_metadata(bench.at("Files/one"), Metadata(attributes=0x21, security=b"sd"))
    bench.scratch.create_stream(bench.at("Files/Windows/two"), "s")
    bench.reopen()
    assert bench.scratch.entry(bench.at("Files/Windows/two")).security == b"sd"
    assert bench.at("Files/one").flags == NODE_LINKED | NODE_STREAMS
    bench.rename("Files/one", "Files/Windows/three")
    bench.delete("Files/Windows/three")
    assert bench.read("Files/Windows/two") == b"22"
    assert bench.scratch.link_count(bench.at("Files/Windows/two")) == 1
    assert bench.at("Files/Windows/two").flags & NODE_LINKED  # it had two
    assert "one name only" in refused(InvalidArgument, bench.link, "Files/Windows", "Files/w")
    assert "one name only" in refused(InvalidArgument, bench.link, "Files/to windows", "Files/w")


def test_hard_link_of_the_chain_stands_alone(bench: Bench) -> None:
    link = bench.at("Files/Windows/cmd-too.exe")
    assert (link.kind, bench.scratch.link_count(link)) == (EntryKind.LINK, 1)
    assert bench.scratch.entry(link).target == CMD
    shared = bench.scratch.resolve(link)
    assert (shared.kind, shared.size, shared.path) == (EntryKind.FILE, 10_000, link.path)
    bench.write("Files/Windows/cmd-too.exe", b"PE")
    bench.scratch.set_metadata(bench.at("Files/far.txt"), Metadata(attributes=0x2))
    assert (bench.read(CMD)[:2], bench.read(link.path)[:2]) == (b"MZ", b"PE")
    bench.delete("Files/Windows/System32/drivers/etc/hosts")
    bench.reopen()
    assert bench.at(link.path).kind is EntryKind.FILE
    assert (bench.at("Files/far.txt").attributes, bench.read("Files/far.txt")) == (2, b"localhost")
    node = bench.link("Files/far.txt", "Files/farther.txt")
    assert bench.scratch.resolve(node) is node
    assert bench.scratch.link_count(node) == 2


# -- metadata -----------------------------------------------------------------------------------------


def test_metadata_changes_alone(bench: Bench) -> None:
    before = bench.scratch.entry(bench.at(WIN_INI))
    ea = build_ea_list([ExtendedAttribute(b"A", b"value", 0)])
    changed = bench.scratch.set_metadata(
        bench.at(WIN_INI), Metadata(write_filetime=2**63 + 5, ea=ea, security=OTHER_DESCRIPTOR)
    )
    assert (changed.path, changed.write_filetime) == (WIN_INI, 2**63 + 5)
    assert changed.flags == NODE_EA | NODE_STREAMS
    bench.reopen()
    after = bench.scratch.entry(bench.at(WIN_INI))
    assert (after.security, after.ea, after.write_filetime) == (OTHER_DESCRIPTOR, ea, 2**63 + 5)
    assert (after.creation_filetime, after.access_filetime, after.change_filetime) == (
        before.creation_filetime, before.access_filetime, before.change_filetime
    )  # fmt: skip
    assert (after.attributes, after.size, after.reparse) == (0x20, 7, b"")
    assert bench.read(WIN_INI) == b"[fonts]"
    assert bench.read(WIN_INI, "zone.identifier") == b"ZoneId=3"
    times = Metadata(creation_filetime=1, access_filetime=2, change_filetime=4)
    bench.scratch.set_metadata(bench.at(WIN_INI), times)
    bench.scratch.set_metadata(bench.at(WIN_INI), Metadata(ea=b"", security=b""))
    after = bench.scratch.entry(bench.at(WIN_INI))
    assert (after.creation_filetime, after.access_filetime, after.change_filetime) == (1, 2, 4)
    assert (after.security, after.ea) == (b"", b"")
    assert bench.at(WIN_INI).flags == NODE_STREAMS


def test_attributes_tell_what_a_node_is_whoever_sets_them(bench: Bench) -> None:
    def set_attributes(path: str, attributes: int) -> int:
        node = bench.scratch.set_metadata(bench.at(path), Metadata(attributes=attributes))
        assert bench.scratch.entry(node).attributes == node.attributes
        return node.attributes

    assert set_attributes(WIN_INI, 0x411) == 0x1
    assert set_attributes("Files/empty", 0x2) == 0x12
    assert set_attributes("Files/to windows", 0x1) == 0x411
    node = bench.scratch.set_metadata(bench.at("Files/empty"), Metadata(reparse=LINK))
    assert (node.attributes, node.flags, node.is_directory) == (0x412, NODE_REPARSE, False)
    node = bench.scratch.set_metadata(bench.at("Files/empty"), Metadata(reparse=b""))
    assert (node.attributes, node.flags, node.is_directory) == (0x12, 0, True)
    bench.make("Files/empty/again", b"1")
    node = bench.scratch.set_metadata(bench.at("Files/to windows"), Metadata(reparse=b""))
    assert (node.attributes, bench.scratch.list(node)) == (0x11, [])


def test_directory_on_the_way_keeps_its_metadata(bench: Bench) -> None:
    before = bench.scratch.entry(bench.at("Files/Windows"))
    bench.make("Files/Windows/a", b"1")
    assert bench.at("Files/Windows").layer_id == "s"
    assert bench.scratch.entry(bench.at("Files/Windows")) == before
    assert bench.changes() == ["A Files/Windows/a"]


# -- contents -----------------------------------------------------------------------------------------


def test_written_file_is_copied_up_and_nothing_else(bench: Bench) -> None:
    bench.write("files/WINDOWS/system32/CMD.EXE", b"PE", 4)
    assert bench.read(CMD) == b"MZMZPE" + b"MZ" * 4997
    assert bench.scratch.held_size == 10_000 + 4 * KIB
    assert bench.changes() == [f"C {CMD}"]
    bench.reopen()
    node = bench.at(CMD)
    assert (bench.read(CMD)[:6], node.size, node.attributes) == (b"MZMZPE", 10_000, 0x20)
    assert node.write_filetime == node.change_filetime > NEW_YEAR_FILETIME
    assert bench.scratch.entry(node).creation_filetime == NEW_YEAR_FILETIME


def test_write_sets_archive_and_times_and_reading_nothing(bench: Bench) -> None:
    bench.scratch.set_metadata(
        bench.at(WIN_INI), Metadata(attributes=0x2, write_filetime=2**62, change_filetime=2**62)
    )
    with closing(bench.scratch.open_content(bench.at(WIN_INI), writable=True)) as content:
        assert content.read_at(0, 3) == b"[fo"
        content.write_at(0, b"")
        assert (content.node().attributes, content.node().write_filetime) == (0x2, 2**62)
        content.write_at(0, b"(")
        for node in (content.node(), bench.at(WIN_INI)):
            assert node.attributes == 0x22
            assert NEW_YEAR_FILETIME < node.write_filetime == node.change_filetime < 2**62
        bench.scratch.set_metadata(bench.at(WIN_INI), Metadata(write_filetime=5, change_filetime=6))
        assert (content.node().write_filetime, bench.at(WIN_INI).change_filetime) == (5, 6)
    bench.reopen()
    assert (bench.at(WIN_INI).write_filetime, bench.at(WIN_INI).change_filetime) == (5, 6)
    with closing(bench.scratch.open_content(bench.at(CMD), writable=True)) as content:
        content.truncate(3)
    assert bench.at(CMD).write_filetime > NEW_YEAR_FILETIME + 3


def test_gap_before_what_is_written_is_zeros(bench: Bench) -> None:
    bench.make("Files/sparse")
    bench.write("Files/sparse", b"end", 1 << 20)
    assert bench.read("Files/sparse") == bytes(1 << 20) + b"end"
    with closing(bench.scratch.open_content(bench.at("Files/sparse"), writable=True)) as content:
        content.truncate(2 << 20)
        assert content.read_at((2 << 20) - 4, 100) == bytes(4)
        content.truncate(4)
        content.truncate(8)
        content.write_at(2, memoryview(b"xx"))
        assert (content.read_at(0, 100), content.read_at(8, 1), content.read_at(99, 9)) == (
            b"\0\0xx\0\0\0\0", b"", b"",
        )  # fmt: skip
    bench.reopen()
    assert bench.read("Files/sparse") == b"\0\0xx\0\0\0\0"


@pytest.mark.parametrize("size", [0, 3, 10_000, 10_001])
def test_file_of_the_chain_is_cut_or_made_longer(bench: Bench, size: int) -> None:
    with closing(bench.scratch.open_content(bench.at(CMD), writable=True)) as content:
        content.truncate(size)
        assert content.size == size
    assert bench.scratch.held_size == size + 4 * KIB
    bench.reopen()
    assert bench.read(CMD) == (b"MZ" * 5000 + b"\0")[:size]
    assert bench.scratch.held_size == size + 4 * KIB


def test_who_reads_sees_what_another_writes(bench: Bench) -> None:
    reader = bench.scratch.open_content(bench.at(WIN_INI))
    writer = bench.scratch.open_content(bench.at("Files/Windows/WIN.INI"), writable=True)
    writer.write_at(1, b"FONTS")
    assert reader.read_at(0, 100) == b"[FONTS]"
    bench.rename(WIN_INI, "Files/moved")
    writer.truncate(3)
    assert (reader.read_at(0, 100), reader.size, bench.at("Files/moved").size) == (b"[FO", 3, 3)
    assert (reader.node().path, reader.node().size) == (WIN_INI, 3)
    for call in (lambda: reader.write_at(0, b"x"), lambda: reader.truncate(0)):
        assert "not opened for writing" in refused(IllegalState, call)
    writer.close()
    writer.close()
    reader.flush()
    reader.sync()
    reader.close()
    assert bench.read("Files/moved") == b"[FO"


def test_open_files_go_along_with_their_directory(bench: Bench) -> None:
    reader = bench.scratch.open_content(bench.at(CMD))
    bench.rename("Files/Windows/System32", "Files/Sys")
    bench.rename("Files/Windows", "Files/W")
    writer = bench.scratch.open_content(bench.at("Files/Sys/cmd.exe"), writable=True)
    writer.write_at(0, b"PE")
    bench.rename("Files/Sys", "Files/W/System")
    assert reader.read_at(0, 4) == b"PEMZ"
    writer.write_at(2, b"PE")
    writer.close()
    assert (reader.read_at(0, 6), reader.size) == (b"PEPEMZ", 10_000)
    reader.close()
    bench.reopen()
    assert bench.read("Files/W/System/cmd.exe")[:6] == b"PEPEMZ"


def test_open_file_outlives_its_name(bench: Bench) -> None:
    bench.make("Files/gone", b"content")
    content = bench.scratch.open_content(bench.at("Files/gone"), writable=True)
    bench.delete("Files/gone")
    content.write_at(7, b" more")
    assert content.read_at(0, 100) == b"content more"
    assert (content.node().size, content.size) == (12, 12)
    assert not bench.has("Files/gone")
    bench.make("Files/gone", b"another")
    assert (bench.read("Files/gone"), content.read_at(0, 7)) == (b"another", b"content")
    bench.delete("Files/gone")
    content.close()
    assert bench.scratch.held_size == KIB  # the directory on the way


def test_open_file_of_the_chain_outlives_its_name(bench: Bench) -> None:
    content = bench.scratch.open_content(bench.at(WIN_INI))
    bench.delete(WIN_INI)
    bench.make(WIN_INI, b"another")
    assert (content.read_at(0, 100), content.node().size) == (b"[fonts]", 7)
    content.close()
    assert bench.read(WIN_INI) == b"another"


def test_open_file_outlives_being_replaced(bench: Bench) -> None:
    bench.make("Files/a", b"old a")
    bench.make("Files/b", b"new")
    content = bench.scratch.open_content(bench.at("Files/a"), writable=True)
    bench.rename("Files/b", "Files/a")
    content.write_at(0, b"OLD")
    assert (content.read_at(0, 9), bench.read("Files/a")) == (b"OLD a", b"new")
    content.close()
    bench.reopen()
    assert bench.read("Files/a") == b"new"
    assert bench.scratch.held_size == 2 * KIB + 3


def test_view_of_a_file_is_read_by_offset(bench: Bench) -> None:
    bench.make("Files/a", b"0123456789")
    with bench.scratch.open(bench.at("Files/a")) as file:
        assert (file.seek(7), file.read(), file.seek(2), file.read(2)) == (7, b"789", 2, b"23")
    assert [part.size for part in bench.scratch.parts(bench.at("Files/a"))] == [10]


# -- alternate streams --------------------------------------------------------------------------------


def test_alternate_streams_come_change_and_go(bench: Bench) -> None:
    bench.write(WIN_INI, b"9", 7, "ZONE.Identifier")
    assert bench.read(WIN_INI, "Zone.Identifier") == b"ZoneId=9"
    bench.scratch.create_stream(bench.at("Files/Windows"), "Of a directory")
    bench.write("Files/Windows", b"too", 0, "of a directory")
    refused(AlreadyExists, bench.scratch.create_stream, bench.at("Files/Windows"), "OF A DIRECTORY")
    bench.reopen()
    assert bench.read("Files/Windows", "of a DIRECTORY") == b"too"
    parts = bench.scratch.parts(bench.at(WIN_INI))
    assert [(part.name, part.size) for part in parts] == [("", 7), ("Zone.Identifier", 8)]
    bench.scratch.delete_stream(bench.at(WIN_INI), "ZONE.identifier")
    assert not bench.at(WIN_INI).flags & NODE_STREAMS
    bench.scratch.create_stream(bench.at(WIN_INI), "zone.identifier")
    assert bench.read(WIN_INI, "Zone.Identifier") == b""


def test_stream_that_is_not_there_is_not_found(bench: Bench) -> None:
    for writable in (False, True):
        told = refused(
            PathNotFound, bench.scratch.open_content, bench.at(WIN_INI), "x", writable=writable
        )
        assert "no alternate stream 'x'" in told
    refused(PathNotFound, bench.scratch.open, bench.at(WIN_INI), "x")
    refused(PathNotFound, bench.scratch.delete_stream, bench.at(WIN_INI), "x")
    refused(PathNotFound, bench.scratch.delete_stream, bench.at(WIN_INI), "")
    assert "has no data" in refused(PathNotFound, bench.scratch.open_content, bench.at("Files"))
    assert bench.changes() == []
    assert bench.scratch.held_size == 0


def test_open_stream_is_not_deleted(bench: Bench) -> None:
    data = bench.scratch.open_content(bench.at(WIN_INI))
    stream = bench.scratch.open_content(bench.at(WIN_INI), "Zone.Identifier", writable=True)
    stream.write_at(0, b"zONE")
    told = refused(InUse, bench.scratch.delete_stream, bench.at(WIN_INI), "Zone.Identifier")
    assert "is open" in told
    bench.rename(WIN_INI, "Files/moved")
    stream.write_at(4, b"iD")
    assert (stream.size, data.size, stream.node().size) == (8, 7, 7)
    stream.close()
    bench.scratch.delete_stream(bench.at("Files/moved"), "Zone.Identifier")
    data.close()
    assert bench.scratch.held_size == 3 * KIB


def test_stream_can_be_removed_when_it_is_closed_though_others_are_open(bench: Bench) -> None:
    with closing(bench.scratch.open_content(bench.at(WIN_INI), writable=True)) as data:
        bench.write(WIN_INI, b"!", stream="Zone.Identifier")
        bench.scratch.delete_stream(bench.at(WIN_INI), "zone.identifier")
        data.write_at(0, b"1")
    assert bench.read(WIN_INI) == b"1fonts]"
    assert len(bench.scratch.parts(bench.at(WIN_INI))) == 1
    assert bench.scratch.held_size == 3 * KIB + 7


# -- the quota ----------------------------------------------------------------------------------------


def test_all_that_is_held_is_counted_and_given_back(bench: Bench) -> None:
    def held(kibibytes: int, rest: int = 0) -> None:
        """What is held, before and after it is opened again."""
        for _ in range(2):
            assert bench.scratch.held_size == kibibytes * KIB + rest
            assert bench.backend.usage("s").summary.size == kibibytes * KIB + rest
            bench.reopen()

    bench.make("Files/a", b"12345")
    held(2, 5)
    bench.link("Files/a", "Files/b")
    held(3, 5)
    bench.scratch.create_stream(bench.at("Files/a"), "s")
    bench.write("Files/b", b"123", 0, "s")
    held(4, 8)
    bench.write("Files/b", b"67", 4)
    held(4, 9)
    bench.scratch.set_metadata(bench.at(WIN_INI), Metadata(attributes=0))
    held(7, 9)  # the directory, the file and its stream
    bench.write(WIN_INI, b"X", 0, "Zone.Identifier")
    held(7, 17)
    bench.scratch.delete_stream(bench.at(WIN_INI), "Zone.Identifier")
    held(6, 9)
    bench.rename(WIN_INI, "Files/b")
    held(5, 9)
    bench.delete("Files/a")
    held(3)
    bench.delete("Files/b")
    bench.make("Files/Windows/d", None)
    bench.delete("Files/Windows/d", "Files/far.txt")
    held(2)


def test_quota_ends_a_write_and_breaks_nothing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(quota=20_000)
    bench.make("Files/a", b"x" * 10_000)
    with closing(bench.scratch.open_content(bench.at("Files/a"), writable=True)) as content:
        for call in (
            lambda: content.write_at(10_000, b"y" * 10_000),
            lambda: content.write_at(2**40, b"y"),
            lambda: content.truncate(20_000),
        ):
            assert "20000 bytes" in refused(NoSpace, call)
        content.write_at(0, b"z" * 10_000)
    assert bench.read("Files/a") == b"z" * 10_000
    refused(NoSpace, bench.write, CMD, b"PE")  # 10,000 bytes to copy up
    assert bench.read(CMD) == b"MZ" * 5000
    held = bench.scratch.held_size
    bench.reopen()
    assert bench.scratch.held_size == held
    bench.delete("Files/a")
    bench.write(CMD, b"PE")
    assert bench.read(CMD)[:4] == b"PEMZ"


@pytest.mark.parametrize("quota", [1, KIB])
def test_operation_that_has_no_room_leaves_everything_as_it_was(
    make_bench: Callable[..., Bench], quota: int
) -> None:
    bench = make_bench(quota=quota)
    scratch, entry = bench.scratch, Entry("", EntryKind.FILE)
    before = bench.paths()
    for call in (
        lambda: scratch.create(bench.at("Files/Windows/System32/drivers"), "x", entry),
        lambda: bench.link(WIN_INI, "Files/x"),
        lambda: bench.rename("Files/Windows", "Files/w"),
        lambda: bench.rename("Files/far.txt", "Files/empty"),
        lambda: bench.delete("Files/Windows/new.txt"),
        lambda: scratch.set_metadata(bench.at(WIN_INI), Metadata(attributes=0)),
        lambda: scratch.create_stream(bench.at(WIN_INI), "x"),
        lambda: scratch.delete_stream(bench.at(WIN_INI), "Zone.Identifier"),
        lambda: scratch.open_content(bench.at(WIN_INI), writable=True),
    ):
        refused(NoSpace, call)
        assert bench.paths() == before
        assert scratch.held_size == 0
    bench.reopen()
    assert bench.changes() == []


# -- several at once ----------------------------------------------------------------------------------


def test_what_is_done_together_is_whole_or_absent(bench: Bench) -> None:
    before = bench.paths()
    bench.make("Files/kept", b"1")
    held = bench.scratch.held_size
    with pytest.raises(AlreadyExists), bench.scratch.together():
        bench.make("Files/Windows/a.txt")
        bench.delete(WIN_INI, "Files/kept")
        bench.rename("Files/Windows/System32", "Files/empty/s")
        bench.scratch.set_metadata(bench.at("Files/Windows"), Metadata(attributes=0x12))
        bench.scratch.create_stream(bench.at(CMD.replace("Windows/System32", "empty/s")), "s")
        bench.make("Files/Windows/new.txt")
    assert bench.paths() == sorted([*before, "Files/kept"], key=str.upper)
    assert bench.scratch.held_size == held
    assert bench.changes() == ["A Files/kept"]
    assert bench.read("Files/kept") == b"1"
    with bench.scratch.together():
        bench.make("Files/Windows/a.txt")
        with bench.scratch.together():
            bench.delete(WIN_INI)
    bench.reopen()
    assert bench.changes() == ["A Files/kept", "A Files/Windows/a.txt", f"D {WIN_INI}"]


def test_one_writes_and_others_look(bench: Bench) -> None:
    bench.make("Files/seen", b"1")
    assert "scratch s is written by" in refused(LayerMounted, bench.open)
    assert isinstance(bench.backend, ScratchAccess)
    assert "process" in refused(LayerMounted, bench.backend.check_unused, "s")
    bench.backend.check_unused("base")
    bench.backend.check_unused("nobody")
    with bench.open(read_only=True) as looking:
        node = looking.lookup("Files/seen")
        assert node is not None
        with looking.open(node) as file:
            assert file.read() == b"1"
        bench.make("Files/later", b"2")
        assert looking.lookup("Files/later") is not None
        bench.delete("Files/seen")
        assert looking.lookup("Files/seen") is None
    bench.scratch.close()
    bench.backend.check_unused("s")
    bench.scratch = bench.open()
    assert bench.has("Files/later")


def test_who_only_looks_changes_nothing(bench: Bench) -> None:
    with bench.open(read_only=True) as looking:
        node, files = looking.lookup(WIN_INI), looking.lookup("Files")
        assert node is not None
        assert files is not None

        def together() -> None:
            with looking.together():
                raise AssertionError("not reached")

        for call in (
            lambda: looking.create(files, "x", Entry("", EntryKind.FILE)),
            lambda: looking.link(node, files, "x"),
            lambda: looking.rename(node, files, "x"),
            lambda: looking.delete(node),
            lambda: looking.set_metadata(node, Metadata(attributes=0)),
            lambda: looking.create_stream(node, "x"),
            lambda: looking.delete_stream(node, "Zone.Identifier"),
            lambda: looking.open_content(node, writable=True),
            together,
        ):
            assert "looked at only" in refused(IllegalState, call)
        looking.sync()
    assert bench.changes() == []


def test_sync_brings_all_to_the_disk_and_goes_on(bench: Bench) -> None:
    bench.make("Files/a", b"1")
    with closing(bench.scratch.open_content(bench.at("Files/a"), writable=True)) as content:
        content.write_at(1, b"2")
        content.sync()
        bench.scratch.sync()
        content.write_at(2, b"3")
        content.flush()
        content.sync()
    bench.scratch.sync()
    assert bench.read("Files/a") == b"123"


def test_paths_lead_where_directories_are_now(bench: Bench) -> None:
    deep = "Files/Windows/System32/drivers/etc/hosts"
    assert bench.at(deep).path == deep
    with pytest.raises(AlreadyExists), bench.scratch.together():
        bench.make("Files/dir", None)
        bench.make("Files/dir/x")
        bench.make("Files/dir/x")
    assert not bench.has("Files/dir/x")
    bench.rename("Files/Windows", "Files/WINDOWS")
    assert bench.at(deep).path == deep.replace("Windows", "WINDOWS")
    bench.rename("Files/Windows/System32", "Files/S")
    assert not bench.has(deep)
    bench.make("Files/Windows/System32")
    assert not bench.has("Files/Windows/System32/x")
    bench.delete("Files/Windows/System32")
    bench.make("Files/Windows/System32", None)
    bench.make("Files/Windows/System32/x")
    assert bench.at("Files/Windows/system32/X").layer_id == bench.scratch.layer_ids[0]
    bench.delete("Files/Windows/System32/x")
    bench.scratch.set_metadata(bench.at("Files/Windows/System32"), Metadata(reparse=LINK))
    assert not bench.has("Files/Windows/System32/x")
    assert bench.at("Files/S/drivers/etc/hosts").path == "Files/S/drivers/etc/hosts"


def check_scratch(scratch: Scratch) -> Scratch:
    """Have the type checker see that these keep the contract."""
    return scratch


def test_both_keep_the_contract_and_can_be_closed_twice(bench: Bench) -> None:
    assert check_scratch(bench.scratch) is bench.scratch
    bench.scratch.close()
    bench.scratch.close()
    bench.scratch = bench.open()
