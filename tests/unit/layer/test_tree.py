"""The verbs of a tree: what Windows allows, what it refuses, and what it does besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.builders import (
    DESCRIPTOR,
    NEW_YEAR_FILETIME,
    OTHER_DESCRIPTOR,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_view,
    a_whiteout,
    an_import,
    layer_tar,
)
from winlayers.backends.portable._scratch import PortableScratch, make_scratch
from winlayers.backends.portable.backend import PortableBackend
from winlayers.errors import (
    AlreadyExists,
    Denied,
    DirectoryNotEmpty,
    IllegalState,
    InUse,
    InvalidArgument,
    InvalidName,
    IsADirectory,
    LimitExceeded,
    NoSpace,
    NotADirectory,
    PathInUse,
    PathNotFound,
    ReadOnlyFile,
    ReadOnlyView,
    TooManyLinks,
    WinlayersError,
)
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import (
    MountPoint,
    RawReparse,
    SymbolicLink,
    build_reparse,
    parse_reparse,
)
from winlayers.layer.chain import Chain
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.tree import FileKind, Space, StreamInfo, Tree
from winlayers.layer.view import Content

BASE = a_layer(
    a_file("Files/Windows/win.ini", b"[fonts]", {"Zone.Identifier": b"ZoneId=3"}),
    a_file("Files/Windows/System32/cmd.exe", b"MZ" * 5000),
    a_file("Files/Windows/System32/drivers/etc/hosts", b"localhost"),
    a_link("Files/Windows/cmd-too.exe", "Files/Windows/System32/cmd.exe"),
    a_file("Files/License.txt", b"the license", attributes=0x21),
    a_directory("Files/Users/Public"),
    a_junction("Files/Users/All Users", "C:\\ProgramData"),
    a_symlink("Files/sym", "Windows\\win.ini"),
    a_reparse_point("Files/odd"),
    a_directory("Hives"),
    a_file("Hives/System_Delta", b"regf"),
    a_file("UtilityVM/Files/boot.txt", b"boot"),
)
CHILD = a_layer(a_file("Files/Windows/new.txt", b"new"), a_whiteout("Files/Users/Public"))

#: What the clock of these trees says first, as a FILETIME; each tick is 1 s.
START = 116444736000000000 + 2 * 10**16


class Clock:
    """Tells a second more each time it is asked."""

    def __init__(self) -> None:
        self.now_ns = 2 * 10**18

    def __call__(self) -> int:
        self.now_ns += 10**9
        return self.now_ns

    @property
    def filetime(self) -> int:
        """What it said last."""
        return 116444736000000000 + self.now_ns // 100


class Bench:
    """A tree over a scratch on a chain of two layers, that can be opened again."""

    def __init__(self, root: Path, *, quota: int = 0, base: str = "Files") -> None:
        self.backend = PortableBackend(root)
        self.backend.import_tar(an_import("base", layer_tar(BASE)))
        self.backend.import_tar(an_import("child", layer_tar(CHILD), "base"))
        self.folder = root / "scratch"
        self.base = base
        self.clock = Clock()
        entry = Entry("", EntryKind.DIRECTORY, 0x10)
        make_scratch(self.folder, ["child", "base"], quota, entry)
        self.reopen(first=True)

    def reopen(self, *, first: bool = False, read_only: bool = False) -> Tree:
        if not first:
            self.scratch.close()
        tables = [self.backend.table(layer_id) for layer_id in ("child", "base")]
        self.scratch = PortableScratch(self.folder, "s", tables, clock_ns=self.clock)
        self.tree = Tree(self.scratch, root=self.base, clock_ns=self.clock, read_only=read_only)
        return self.tree


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.scratch.close()


@pytest.fixture
def tree(bench: Bench) -> Tree:
    return bench.tree


def read(tree: Tree, path: str, stream: str = "") -> bytes:
    with closing(tree.open(path, stream=stream)) as content:
        return content.read_at(0, content.size)


def write(tree: Tree, path: str, data: bytes, offset: int = 0, stream: str = "") -> None:
    with closing(tree.open(path, writable=True, create=True, stream=stream)) as content:
        content.write_at(offset, data)


def names(tree: Tree, path: str = "") -> list[str]:
    return [stat.name for stat in tree.scandir(path)]


# -- looking ---------------------------------------------------------------------------------------


def test_tree_shows_the_drive_of_the_container(tree: Tree) -> None:
    assert names(tree) == ["License.txt", "odd", "sym", "Users", "Windows"]
    assert names(tree, "/windows") == ["cmd-too.exe", "new.txt", "System32", "win.ini"]
    assert tree.stat("").kind is FileKind.DIRECTORY
    assert tree.stat("/").path == tree.stat("").path == ""


def test_stat_tells_path_as_spelled_and_metadata(tree: Tree) -> None:
    stat = tree.stat("//WINDOWS/System32//CMD.exe")
    assert (stat.path, stat.name) == ("Windows/System32/cmd.exe", "cmd.exe")
    assert (stat.kind, stat.is_directory, stat.attributes) == (FileKind.FILE, False, 0x20)
    assert (stat.size, stat.link_count, stat.layer_id) == (10_000, 1, "base")
    assert stat.creation_filetime == NEW_YEAR_FILETIME
    assert stat.change_filetime == NEW_YEAR_FILETIME + 3
    assert tree.stat("WINDOWS/system32/cmd.EXE") is tree.stat("/windows/System32/cmd.exe")


def test_hard_link_of_the_chain_is_shown_as_the_file_it_shares(tree: Tree) -> None:
    link, target = tree.stat("Windows/cmd-too.exe"), tree.stat("Windows/System32/cmd.exe")
    assert (link.kind, link.size, link.attributes) == (FileKind.FILE, 10_000, 0x20)
    assert link.path == "Windows/cmd-too.exe"
    assert link.file_id != target.file_id
    assert read(tree, "Windows/cmd-too.exe") == b"MZ" * 5000
    assert tree.security("Windows/cmd-too.exe") == DESCRIPTOR


def test_kinds_follow_the_reparse_data(tree: Tree) -> None:
    kinds = {
        stat.name: (stat.kind, stat.is_directory, stat.attributes) for stat in tree.scandir("")
    }
    assert kinds["sym"] == (FileKind.SYMLINK, False, 0x420)
    assert kinds["odd"] == (FileKind.REPARSE, False, 0x420)
    assert tree.stat("Users/All Users").kind is FileKind.JUNCTION
    assert tree.stat("Users/All Users").attributes == 0x410
    assert tree.stat("Users/all users").is_directory


def test_file_ids_are_positive_and_differ(tree: Tree) -> None:
    ids = [tree.stat("").file_id]
    for directory in ("", "Windows", "Windows/System32", "Users"):
        ids += [stat.file_id for stat in tree.scandir(directory)]
    assert len(set(ids)) == len(ids)
    assert min(ids) > 0


def test_what_is_not_there_is_not_found(tree: Tree) -> None:
    for path in (
        "nothing",
        "Windows/nothing",
        "License.txt/x",
        "Users/All Users/x",
        "Users/Public",
        "..",
    ):
        with pytest.raises(PathNotFound):
            tree.stat(path)
    with pytest.raises(PathNotFound):
        tree.scandir("nothing")
    with pytest.raises(PathNotFound):
        tree.open("nothing")


def test_scandir_of_what_is_no_directory_is_refused(tree: Tree) -> None:
    for path in ("License.txt", "Users/All Users", "sym"):
        with pytest.raises(NotADirectory):
            tree.scandir(path)


def test_streams_are_listed_and_read(tree: Tree) -> None:
    assert tree.streams("windows/WIN.INI") == [StreamInfo("Zone.Identifier", 8)]
    assert read(tree, "Windows/win.ini", "zone.identifier") == b"ZoneId=3"
    assert tree.streams("License.txt") == []
    with pytest.raises(PathNotFound):
        tree.open("License.txt", stream="no")


# -- making ----------------------------------------------------------------------------------------


def test_new_file_inherits_is_marked_and_has_all_times(bench: Bench) -> None:
    tree = bench.tree
    tree.open("new.txt", create=True).close()
    stat = tree.stat("NEW.TXT")
    assert (stat.attributes, stat.size, stat.link_count, stat.layer_id) == (0x20, 0, 1, "s")
    times = {
        stat.creation_filetime,
        stat.access_filetime,
        stat.write_filetime,
        stat.change_filetime,
    }
    assert times == {bench.clock.filetime}
    assert tree.security("new.txt") != b""
    assert read(bench.reopen(), "new.txt") == b""


def test_what_is_made_is_the_last_write_of_the_directory(bench: Bench) -> None:
    before = bench.tree.stat("Windows")
    bench.tree.mkdir("Windows/dir")
    after = bench.tree.stat("Windows")
    assert after.write_filetime == after.change_filetime > START
    assert after.access_filetime == before.access_filetime
    assert after.creation_filetime == before.creation_filetime
    assert after.file_id == before.file_id


def test_new_directory_inherits_and_is_empty(tree: Tree) -> None:
    stat = tree.mkdir("Windows/dir")
    assert (stat.kind, stat.attributes, stat.path) == (FileKind.DIRECTORY, 0x10, "Windows/dir")
    assert names(tree, "windows/DIR") == []
    assert tree.stat("Windows/dir") == stat


def test_name_that_is_there_is_refused_in_any_case(tree: Tree) -> None:
    for path in ("WINDOWS", "windows/WIN.INI", "Windows/NEW.txt", ""):
        with pytest.raises(AlreadyExists):
            tree.mkdir(path)
    with pytest.raises(AlreadyExists):
        tree.open("LICENSE.txt", create=True, exclusive=True)


def test_failed_making_leaves_the_directory_alone(bench: Bench) -> None:
    before = bench.tree.stat("Windows")
    with pytest.raises(AlreadyExists):
        bench.tree.mkdir("Windows/new.txt")
    assert bench.reopen().stat("Windows") == before


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("a:b", "name-character"),
        ("a\\b", "name-character"),
        ("what?", "name-character"),
        ("a\n", "name-character"),
        ("nul\0", "name-nul"),
        ("..", "name-traversal"),
        ("trailing.", "name-trailing"),
        ("trailing ", "name-trailing"),
        ("aux", "name-reserved"),
        ("Com1.txt", "name-reserved"),
        ("x" * 256, "name-too-long"),
        ("\N{GRINNING FACE}" * 128, "name-too-long"),
        (".wh.gone", None),
        ("\ud83d\ude00", None),
    ],
)
def test_name_that_no_layer_can_have_is_refused(tree: Tree, name: str, finding: str | None) -> None:
    makers: list[Callable[[str], object]] = [
        tree.mkdir,
        lambda path: tree.open(path, create=True),
        lambda path: tree.symlink("x", path, is_directory=False),
        lambda path: tree.junction("/x", path),
        lambda path: tree.rename("Windows/new.txt", path),
        lambda path: tree.link("Windows/new.txt", path),
    ]
    for make in makers:
        with pytest.raises(InvalidName) as refused:
            make("Windows/" + name)
        assert refused.value.finding == finding
    assert names(tree, "Windows") == ["cmd-too.exe", "new.txt", "System32", "win.ini"]


def test_longest_name_and_lone_surrogates_are_allowed(bench: Bench) -> None:
    for name in ("x" * 255, "\ud83d lone", "cafe\u0301", ".hidden", ".WH.x"):
        bench.tree.mkdir(name)
        assert bench.tree.stat(name).name == name
    assert "\ud83d lone" in names(bench.reopen())


def test_path_longer_than_windows_takes_is_refused(tree: Tree) -> None:
    path = ""
    with pytest.raises(InvalidName) as refused:
        for _ in range(140):
            path += "/" + "d" * 250
            tree.mkdir(path)
    assert refused.value.finding == "name-too-long"
    assert len("Files" + path) > 32_767


def test_nothing_is_made_where_no_directory_is(tree: Tree) -> None:
    with pytest.raises(PathNotFound):
        tree.mkdir("no/dir")
    with pytest.raises(NotADirectory):
        tree.mkdir("License.txt/dir")
    with pytest.raises(PathNotFound):
        tree.mkdir("Users/All Users/dir")


def test_scratch_without_layers_below_has_a_drive(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    make_scratch(folder, [], 0, Entry("", EntryKind.DIRECTORY, 0x10))
    with PortableScratch(folder, "s", []) as scratch:
        tree = Tree(scratch, clock_ns=Clock())
        assert tree.scandir("") == []
        write(tree, "a", b"1")
        assert read(Tree(scratch, clock_ns=Clock()), "a") == b"1"


# -- contents --------------------------------------------------------------------------------------


def test_written_file_keeps_its_metadata_and_is_marked(bench: Bench) -> None:
    tree = bench.tree
    before = tree.stat("Windows/win.ini")
    with closing(tree.open("WINDOWS/win.ini", writable=True)) as content:
        content.write_at(1, b"FONTS")
        now = tree.stat("Windows/win.ini")
        assert now.write_filetime == now.change_filetime == bench.clock.filetime
        content.write_at(7, b"!")
        content.flush()
        assert tree.stat("Windows/win.ini").size == 8
        assert content.size == 8
        assert content.read_at(0, 99) == b"[FONTS]!"
        content.sync()
    tree.sync()
    after = tree.stat("Windows/win.ini")
    assert after.file_id == before.file_id
    assert after.creation_filetime == before.creation_filetime
    assert after.access_filetime == before.access_filetime
    assert tree.streams("Windows/win.ini") == [StreamInfo("Zone.Identifier", 8)]
    assert tree.security("Windows/win.ini") == DESCRIPTOR
    assert read(bench.reopen(), "Windows/win.ini") == b"[FONTS]!"


def test_reading_changes_no_time_and_writes_nothing(bench: Bench) -> None:
    before = bench.tree.stat("Windows/win.ini")
    read(bench.tree, "Windows/win.ini")
    assert bench.reopen().stat("Windows/win.ini") == before
    assert bench.scratch.own_count == 0


def test_truncating_makes_shorter_and_longer(tree: Tree) -> None:
    tree.truncate("Windows/win.ini", 3)
    assert read(tree, "Windows/win.ini") == b"[fo"
    tree.truncate("Windows/win.ini", 5)
    assert read(tree, "Windows/win.ini") == b"[fo\0\0"
    tree.open("Windows/win.ini", writable=True, truncate=True).close()
    assert tree.stat("Windows/win.ini").size == 0
    with pytest.raises(InvalidArgument):
        tree.truncate("Windows/win.ini", -1)
    with pytest.raises(IsADirectory):
        tree.truncate("Windows", 0)


def test_content_to_read_takes_no_writes(tree: Tree) -> None:
    with closing(tree.open("Windows/win.ini")) as content:
        for change in (lambda: content.write_at(0, b"x"), lambda: content.truncate(0)):
            with pytest.raises(IllegalState):
                change()


def test_data_of_a_directory_is_refused(tree: Tree) -> None:
    for path in ("Windows", "Users/All Users"):
        with pytest.raises(IsADirectory):
            tree.open(path)


def test_unlinked_file_can_be_used_while_it_is_open(tree: Tree) -> None:
    with closing(tree.open("tmp", writable=True, create=True)) as content:
        content.write_at(0, b"abc")
        file_id = tree.stat("tmp").file_id
        tree.unlink("tmp")
        content.write_at(3, b"def")
        assert content.read_at(0, 10) == b"abcdef"
        stat = tree.fstat(content)
        assert (stat.size, stat.link_count, stat.file_id) == (6, 0, file_id)
        assert "tmp" not in names(tree)


def test_two_that_have_a_file_open_see_the_same(tree: Tree) -> None:
    with closing(tree.open("Windows/new.txt")) as reader:
        with closing(tree.open("Windows/new.txt", writable=True)) as first:
            second = tree.open("Windows/new.txt", writable=True)
            first.write_at(0, b"N")
            second.write_at(1, b"E")
            second.close()
            second.close()
            first.write_at(2, b"W")
            assert tree.stat("Windows/new.txt").write_filetime > START
            assert reader.read_at(0, 3) == b"NEW"
        assert tree.fstat(reader).layer_id == "s"


def test_quota_stops_what_is_too_much_and_nothing_breaks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quota=10_000)
    tree = bench.tree
    with pytest.raises(NoSpace):
        write(tree, "big", bytes(20_000))
    assert tree.statfs() == Space(10_000, 10_000 - 2048, 2048)
    with pytest.raises(NoSpace):
        tree.open("Windows/System32/cmd.exe", writable=True, truncate=False).truncate(20_000)
    with pytest.raises(NoSpace):
        for number in range(20):
            tree.mkdir(f"dir{number}")
    bench.scratch.close()


def test_failed_truncation_at_opening_closes_the_content(bench: Bench) -> None:
    class Breaks:
        def __init__(self, content: Content) -> None:
            self.content = content
            self.node, self.close = content.node, content.close

        def truncate(self, size: int) -> None:
            raise NoSpace(f"{size}")

    scratch = bench.scratch
    real = scratch.open_content
    scratch.open_content = lambda *a, **k: Breaks(real(*a, **k))  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(NoSpace):
        bench.tree.open("Windows/new.txt", writable=True, truncate=True)
    assert bench.tree.stat("Windows/new.txt") is bench.tree.stat("Windows/new.txt")


# -- READONLY --------------------------------------------------------------------------------------


def test_read_only_file_is_neither_written_nor_removed_nor_replaced(tree: Tree) -> None:
    write(tree, "other", b"x")
    refused: list[Callable[[], object]] = [
        lambda: tree.open("License.txt", writable=True),
        lambda: tree.open("License.txt", writable=True, create=True, stream="s"),
        lambda: tree.truncate("License.txt", 0),
        lambda: tree.unlink("license.TXT"),
        lambda: tree.rename("other", "License.txt", replace=True),
    ]
    for change in refused:
        with pytest.raises(ReadOnlyFile):
            change()
    assert read(tree, "License.txt") == b"the license"


def test_read_only_file_can_be_renamed_linked_and_described(tree: Tree) -> None:
    tree.rename("License.txt", "L.txt")
    tree.link("L.txt", "L2.txt")
    tree.set_times("L.txt", write=5)
    tree.set_security("L.txt", OTHER_DESCRIPTOR)
    assert tree.stat("L2.txt").write_filetime == 5
    tree.set_attributes("L.txt", 0x20)
    tree.unlink("L2.txt")
    assert read(tree, "L.txt") == b"the license"


def test_read_only_directory_is_not_removed_but_filled(tree: Tree) -> None:
    tree.mkdir("dir")
    tree.set_attributes("dir", 0x1)
    write(tree, "dir/a", b"")
    tree.unlink("dir/a")
    with pytest.raises(ReadOnlyFile):
        tree.rmdir("dir")


def test_stream_of_a_read_only_file_stays(tree: Tree) -> None:
    tree.set_attributes("Windows/win.ini", 0x21)
    with pytest.raises(ReadOnlyFile):
        tree.remove_stream("Windows/win.ini", "Zone.Identifier")


# -- removing --------------------------------------------------------------------------------------


def test_removed_names_are_gone_and_can_be_made_again(bench: Bench) -> None:
    tree = bench.tree
    tree.unlink("windows/NEW.TXT")
    tree.unlink("Users/All Users")
    tree.unlink("sym")
    tree.rmdir("Users")
    assert names(tree) == ["License.txt", "odd", "Windows"]
    assert tree.stat("Windows").write_filetime > START
    tree.mkdir("Users")
    assert names(bench.reopen(), "Users") == []


def test_unlink_and_rmdir_know_what_they_take(tree: Tree) -> None:
    with pytest.raises(IsADirectory):
        tree.unlink("Windows")
    for path in ("License.txt", "Users/All Users"):
        with pytest.raises(NotADirectory):
            tree.rmdir(path)
    with pytest.raises(DirectoryNotEmpty):
        tree.rmdir("Windows")
    for verb in (tree.unlink, tree.rmdir):
        with pytest.raises(PathNotFound):
            verb("nothing")


def test_root_stays(tree: Tree) -> None:
    with pytest.raises(PathInUse):
        tree.rmdir("")
    with pytest.raises(PathInUse):
        tree.rename("/", "x")
    with pytest.raises(AlreadyExists):
        tree.rename("Windows", "/")


# -- renaming --------------------------------------------------------------------------------------


def test_rename_moves_a_tree_and_tells_both_directories(bench: Bench) -> None:
    tree = bench.tree
    before = tree.stat("Windows/System32")
    tree.rename("Windows/System32", "Users/S32")
    after = tree.stat("users/s32")
    assert read(tree, "Users/S32/drivers/etc/hosts") == b"localhost"
    assert after.file_id == before.file_id
    assert after.change_filetime > START
    assert after.write_filetime == before.write_filetime
    assert tree.stat("Windows").write_filetime > START
    assert tree.stat("Users").write_filetime > START
    with pytest.raises(PathNotFound):
        tree.stat("Windows/System32/cmd.exe")
    assert bench.reopen().stat("Users/S32/cmd.exe").size == 10_000


def test_rename_may_change_only_the_case(tree: Tree) -> None:
    tree.rename("Windows/win.ini", "windows/WIN.ini")
    assert "WIN.ini" in names(tree, "Windows")
    tree.rename("Windows", "WINDOWS")
    assert tree.stat("windows/win.ini").path == "WINDOWS/WIN.ini"


def test_rename_to_the_same_name_does_nothing(bench: Bench) -> None:
    bench.tree.rename("Windows/win.ini", "windows/win.ini")
    assert bench.scratch.own_count == 0


def test_rename_replaces_a_file_only_when_asked(tree: Tree) -> None:
    with pytest.raises(AlreadyExists):
        tree.rename("Windows/new.txt", "Windows/win.ini")
    tree.rename("Windows/new.txt", "Windows/WIN.ini", replace=True)
    assert names(tree, "Windows") == ["cmd-too.exe", "System32", "WIN.ini"]
    assert read(tree, "Windows/win.ini") == b"new"


def test_rename_replaces_like_by_like_only(tree: Tree) -> None:
    tree.mkdir("empty")
    with pytest.raises(IsADirectory):
        tree.rename("Windows/new.txt", "empty", replace=True)
    with pytest.raises(NotADirectory):
        tree.rename("empty", "Windows/new.txt", replace=True)
    with pytest.raises(DirectoryNotEmpty):
        tree.rename("empty", "Windows", replace=True)
    tree.rename("Windows", "empty", replace=True)
    assert names(tree) == ["empty", "License.txt", "odd", "sym", "Users"]
    tree.rename("sym", "Users/All Users", replace=True)
    assert tree.stat("Users/All Users").kind is FileKind.SYMLINK


def test_directory_is_not_moved_into_itself(tree: Tree) -> None:
    for new in ("Windows/x", "windows/System32/drivers/x"):
        with pytest.raises(InvalidArgument):
            tree.rename("Windows", new)


def test_rename_onto_another_name_of_the_same_file_does_nothing(tree: Tree) -> None:
    tree.link("Windows/new.txt", "too.txt")
    tree.rename("Windows/new.txt", "too.txt", replace=True)
    assert tree.stat("Windows/new.txt").file_id == tree.stat("too.txt").file_id


def test_exchange_swaps(bench: Bench) -> None:
    tree = bench.tree
    tree.exchange("Windows/System32", "License.txt")
    assert read(tree, "Windows/System32") == b"the license"
    assert read(tree, "License.txt/drivers/etc/hosts") == b"localhost"
    tree.exchange("Windows/new.txt", "Windows/win.ini")
    assert read(bench.reopen(), "Windows/win.ini") == b"new"
    assert names(bench.tree, "Windows") == ["cmd-too.exe", "new.txt", "System32", "win.ini"]
    bench.tree.exchange("Windows/new.txt", "windows/NEW.txt")
    with pytest.raises(InvalidArgument):
        bench.tree.exchange("Windows", "Windows/new.txt")
    with pytest.raises(InvalidArgument):
        bench.tree.exchange("Windows/new.txt", "Windows")


# -- hard links ------------------------------------------------------------------------------------


def test_linked_names_share_everything(bench: Bench) -> None:
    tree = bench.tree
    stat = tree.link("Windows/win.ini", "too.ini")
    assert (stat.path, stat.link_count) == ("too.ini", 2)
    assert tree.stat("Windows/win.ini").link_count == 2
    assert tree.stat("Windows/win.ini").file_id == stat.file_id
    write(tree, "too.ini", b"!", 7)
    assert read(tree, "Windows/win.ini") == b"[fonts]!"
    assert tree.stat("Windows/win.ini").size == 8
    tree.set_attributes("too.ini", 0x2)
    assert tree.stat("Windows/win.ini").attributes == 0x2
    before = tree.stat("too.ini").change_filetime
    tree.unlink("Windows/win.ini")
    assert tree.stat("too.ini").link_count == 1
    assert tree.stat("too.ini").change_filetime > before
    assert bench.reopen().streams("too.ini") == [StreamInfo("Zone.Identifier", 8)]


def test_directory_has_one_name(tree: Tree) -> None:
    for path in ("Windows", "Users/All Users"):
        with pytest.raises(IsADirectory):
            tree.link(path, "too")
    with pytest.raises(AlreadyExists):
        tree.link("sym", "odd")
    with pytest.raises(PathNotFound):
        tree.link("nothing", "too")


def test_file_has_at_most_1024_names(tree: Tree) -> None:
    for number in range(1023):
        tree.link("Windows/new.txt", f"link{number}")
    with pytest.raises(TooManyLinks):
        tree.link("link7", "one too many")
    assert tree.stat("link1000").link_count == 1024


# -- links -----------------------------------------------------------------------------------------


def test_symbolic_links_keep_their_text_and_know_what_they_lead_to(bench: Bench) -> None:
    tree = bench.tree
    stat = tree.symlink("../Windows/System32", "Users/s")
    assert (stat.kind, stat.is_directory, stat.attributes) == (FileKind.SYMLINK, True, 0x410)
    assert tree.readlink("Users/s") == "../Windows/System32"
    assert parse_reparse(tree.reparse("Users/s")) == SymbolicLink(
        "..\\Windows\\System32", "..\\Windows\\System32", 1
    )
    stat = tree.symlink("/Windows/win.ini", "Users/f")
    assert (stat.is_directory, stat.attributes) == (False, 0x420)
    assert tree.readlink("Users/f") == "../Windows/win.ini"
    assert parse_reparse(tree.reparse("Users/f")) == SymbolicLink(
        "\\??\\C:\\Windows\\win.ini", "C:\\Windows\\win.ini"
    )
    assert not tree.symlink("nowhere", "d").is_directory
    assert not tree.symlink("../../above", "up").is_directory
    assert tree.symlink("nowhere", "e", is_directory=True).is_directory
    assert tree.symlink("Users/s", "t").is_directory
    assert bench.reopen().readlink("d") == "nowhere"


def test_junction_leads_to_an_absolute_path(tree: Tree) -> None:
    stat = tree.junction("/Windows", "Users/j")
    assert (stat.kind, stat.is_directory, stat.attributes) == (FileKind.JUNCTION, True, 0x410)
    assert tree.readlink("Users/j") == "../Windows"
    assert parse_reparse(tree.reparse("Users/j")) == MountPoint("\\??\\C:\\Windows", "C:\\Windows")
    with pytest.raises(InvalidArgument):
        tree.junction("Windows", "Users/k")


def test_links_of_the_chain_are_read(tree: Tree) -> None:
    assert tree.readlink("sym") == "Windows/win.ini"
    assert tree.readlink("Users/All Users") == "../ProgramData"
    for path in ("License.txt", "odd", "Windows"):
        with pytest.raises(InvalidArgument):
            tree.readlink(path)


# -- alternate streams -----------------------------------------------------------------------------


def test_streams_come_change_and_go(bench: Bench) -> None:
    tree = bench.tree
    before = tree.stat("Windows/win.ini")
    write(tree, "Windows/win.ini", b"one", stream="b stream")
    write(tree, "Windows", b"two", stream="of the directory")
    assert tree.stat("Windows/win.ini").file_id == before.file_id
    assert tree.stat("Windows/win.ini").change_filetime > START
    assert tree.streams("Windows/win.ini") == [
        StreamInfo("b stream", 3), StreamInfo("Zone.Identifier", 8)
    ]  # fmt: skip
    tree.remove_stream("Windows/win.ini", "ZONE.identifier")
    assert bench.reopen().streams("Windows/win.ini") == [StreamInfo("b stream", 3)]
    assert read(bench.tree, "Windows", "OF the directory") == b"two"
    for stream in ("Zone.Identifier", ""):
        with pytest.raises(PathNotFound):
            bench.tree.remove_stream("Windows/win.ini", stream)


def test_stream_is_made_with_its_file_and_once(tree: Tree) -> None:
    write(tree, "file", b"s", stream="stream")
    assert read(tree, "file") == b""
    write(tree, "file", b"S", 1, stream="STREAM")
    assert read(tree, "file", "stream") == b"sS"
    with pytest.raises(AlreadyExists):
        tree.open("file", create=True, exclusive=True, stream="STREAM")
    tree.open("file", create=True, exclusive=True, stream="second").close()
    with pytest.raises(PathNotFound):
        tree.open("file", writable=True, stream="third")
    for name in ("a:b", "a/b", "x" * 256, "\0"):
        with pytest.raises(InvalidName):
            tree.open("file", create=True, stream=name)


def test_open_stream_is_not_removed(tree: Tree) -> None:
    content = tree.open("Windows/win.ini", writable=True, stream="Zone.Identifier")
    with closing(content), pytest.raises(InUse):
        tree.remove_stream("Windows/win.ini", "Zone.Identifier")
    assert len(tree.streams("Windows/win.ini")) == 1


# -- metadata --------------------------------------------------------------------------------------


def test_metadata_is_set_and_the_change_noted(bench: Bench) -> None:
    tree = bench.tree
    ea = build_ea_list([ExtendedAttribute(b"$LXUID", b"1234")])
    before = tree.stat("Windows/System32/cmd.exe")
    tree.set_security("Windows/System32/cmd.exe", OTHER_DESCRIPTOR)
    tree.set_ea("Windows/System32/cmd.exe", ea)
    tree.set_attributes("Windows/System32/cmd.exe", 0x26 | 0x80 | 0x10 | 0x200)
    tree = bench.reopen()
    after = tree.stat("Windows/System32/cmd.exe")
    assert tree.security("Windows/System32/cmd.exe") == OTHER_DESCRIPTOR
    assert tree.ea("Windows/System32/cmd.exe") == ea
    assert after.attributes == 0x26
    assert after.change_filetime > START
    assert after.write_filetime == before.write_filetime
    assert tree.stat("Windows/cmd-too.exe").attributes == 0x20


def test_times_are_set_one_by_one(bench: Bench) -> None:
    tree = bench.tree
    before = tree.stat("Windows")
    tree.set_times("Windows", write=7)
    after = tree.stat("Windows")
    assert (after.write_filetime, after.change_filetime) == (7, bench.clock.filetime)
    assert after.creation_filetime == before.creation_filetime
    tree.set_times("Windows", creation=1, access=2, write=3, change=2**64 - 1)
    after = bench.reopen().stat("Windows")
    assert (after.creation_filetime, after.access_filetime, after.write_filetime) == (1, 2, 3)
    assert after.change_filetime == 2**64 - 1


def test_times_that_are_set_survive_closing(tree: Tree) -> None:
    with closing(tree.open("Windows/new.txt", writable=True)) as content:
        content.write_at(0, b"N")
        tree.set_times("Windows/new.txt", write=7, change=8)
    stat = tree.stat("Windows/new.txt")
    assert (stat.write_filetime, stat.change_filetime) == (7, 8)


def test_reparse_data_comes_and_goes(bench: Bench) -> None:
    tree = bench.tree
    data = build_reparse(RawReparse(0x8000001C, b"x"))
    before = tree.stat("Windows/new.txt")
    tree.set_reparse("Windows/new.txt", data)
    stat = tree.stat("Windows/new.txt")
    assert (stat.kind, stat.attributes) == (FileKind.REPARSE, 0x420)
    assert tree.reparse("Windows/new.txt") == data
    tree.set_reparse("Windows/new.txt", b"")
    stat = bench.reopen().stat("Windows/new.txt")
    assert (stat.kind, stat.attributes) == (FileKind.FILE, 0x20)
    assert stat.file_id != before.file_id  # opened again
    assert read(bench.tree, "Windows/new.txt") == b"new"


def test_directory_becomes_a_reparse_point_only_when_empty(tree: Tree) -> None:
    data = build_reparse(RawReparse(0x8000001C, b"x"))
    with pytest.raises(DirectoryNotEmpty):
        tree.set_reparse("Windows", data)
    tree.unlink("Users/All Users")
    before = tree.stat("Users")
    tree.set_reparse("Users", data)
    stat = tree.stat("Users")
    assert (stat.kind, stat.is_directory, stat.file_id) == (FileKind.REPARSE, True, before.file_id)
    assert tree.scandir("Users") == []
    with pytest.raises(PathNotFound):
        tree.mkdir("Users/x")
    tree.rmdir("Users")
    tree.mkdir("Users")
    assert tree.stat("Users").kind is FileKind.DIRECTORY


def test_what_windows_would_not_take_is_refused(tree: Tree) -> None:
    path = "Windows/new.txt"
    junction = build_reparse(MountPoint("\\??\\C:\\x", "C:\\x"))
    refused: list[Callable[[], object]] = [
        lambda: tree.set_security(path, b""),
        lambda: tree.set_security(path, b"x" * 20),
        lambda: tree.set_ea(path, b"x" * 20),
        lambda: tree.set_ea(path, bytes(70_000)),
        lambda: tree.set_reparse(path, b"x" * 20),
        lambda: tree.set_reparse(path, junction),
        lambda: tree.set_attributes(path, 1 << 32),
        lambda: tree.set_attributes(path, -1),
        lambda: tree.set_times(path, creation=-1),
        lambda: tree.set_times(path, change=1 << 64),
        lambda: tree.symlink("", "x"),
        lambda: tree.symlink("a\0", "x"),
    ]
    for change in refused:
        with pytest.raises(InvalidArgument):
            change()
    assert tree.stat(path).change_filetime < START


# -- what cannot be changed ------------------------------------------------------------------------


def changes_of(tree: Tree, directory: str, file: str) -> list[Callable[[], object]]:
    """Every verb that changes something."""
    return [
        lambda: tree.mkdir(f"{directory}/x"),
        lambda: tree.open(f"{directory}/x", create=True),
        lambda: tree.open(file, writable=True),
        lambda: tree.open(file, create=True, stream="new"),
        lambda: tree.truncate(file, 0),
        lambda: tree.unlink(file),
        lambda: tree.rmdir(f"{directory}"),
        lambda: tree.rename(file, f"{directory}/x"),
        lambda: tree.exchange(file, file),
        lambda: tree.link(file, f"{directory}/x"),
        lambda: tree.symlink("x", f"{directory}/x"),
        lambda: tree.junction("/x", f"{directory}/x"),
        lambda: tree.set_security(file, DESCRIPTOR),
        lambda: tree.set_attributes(file, 0x20),
        lambda: tree.set_times(file, write=1),
        lambda: tree.set_ea(file, b""),
        lambda: tree.set_reparse(file, b""),
        lambda: tree.remove_stream(file, "Zone.Identifier"),
    ]


def test_view_cannot_be_changed() -> None:
    tree = Tree(a_view(CHILD, BASE), clock_ns=Clock())
    assert not tree.is_writable
    for change in changes_of(tree, "Windows", "Windows/win.ini"):
        with pytest.raises(ReadOnlyView):
            change()
    tree.sync()
    assert tree.statfs() == Space(0, 0, 0)


def test_view_is_read_by_position() -> None:
    tree = Tree(a_view(CHILD, BASE), clock_ns=Clock())
    assert names(tree, "Windows") == ["cmd-too.exe", "new.txt", "System32", "win.ini"]
    with closing(tree.open("Windows/win.ini")) as content:
        assert [content.read_at(*at) for at in ((1, 3), (0, 1), (5, 9), (7, 1), (99, 1))] == [
            b"fon", b"[", b"s]", b"", b""
        ]  # fmt: skip
        assert content.node().path == "Files/Windows/win.ini"
        assert tree.fstat(content) == tree.stat("Windows/win.ini")
        content.flush()
        content.sync()
        for change in (lambda: content.write_at(0, b"x"), lambda: content.truncate(0)):
            with pytest.raises(IllegalState):
                change()
    assert read(tree, "Windows/win.ini", "Zone.Identifier") == b"ZoneId=3"


def test_sealed_layer_is_read_by_several_at_once(bench: Bench) -> None:
    with bench.backend.view("base", Chain()) as view:
        tree = Tree(view, clock_ns=Clock())
        with closing(tree.open("Windows/System32/cmd.exe")) as content:
            assert content.read_at(9_998, 10) == b"MZ"
            assert content.size == 10_000


def test_tree_that_is_only_looked_at_cannot_be_changed(bench: Bench) -> None:
    bench.tree.link("Windows/win.ini", "too.ini")
    tree = bench.reopen(read_only=True)
    assert not tree.is_writable
    for change in changes_of(tree, "Windows", "Windows/win.ini"):
        with pytest.raises(ReadOnlyView):
            change()
    assert tree.stat("too.ini").link_count == 2
    assert read(tree, "too.ini") == b"[fonts]"


def test_raw_tree_changes_files_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path, base="")
    tree = bench.tree
    assert names(tree) == ["Files", "Hives", "UtilityVM"]
    assert read(tree, "Hives/System_Delta") == b"regf"
    for change in changes_of(tree, "Hives", "Hives/System_Delta")[:-1]:
        with pytest.raises((ReadOnlyFile, IsADirectory, DirectoryNotEmpty)):
            change()
    for top in ("Files", "Hives", "UtilityVM", "UtilityVM/Files"):
        with pytest.raises(Denied):
            tree.rename(top, "Files/x")
        with pytest.raises(Denied):
            tree.rmdir(top)
    for path in ("x", "UtilityVM/x", "Hives/x"):
        with pytest.raises(ReadOnlyFile):
            tree.mkdir(path)
    for path in ("", "Hives", "UtilityVM"):
        with pytest.raises(ReadOnlyFile):
            tree.set_times(path, write=1)
    write(tree, "UtilityVM/Files/new", b"1")
    tree.set_security("Files", OTHER_DESCRIPTOR)
    tree.symlink("/boot.txt", "UtilityVM/Files/link")
    assert tree.readlink("UtilityVM/Files/link") == "boot.txt"
    assert tree.symlink("/Windows", "Files/link").is_directory
    assert names(tree, "UtilityVM/Files") == ["boot.txt", "link", "new"]
    tree.rename("UtilityVM/Files/new", "Files/new")
    bench.scratch.close()


def test_what_is_remembered_is_bounded_and_changes_nothing(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("winlayers.layer.treenodes._REMEMBERED", 2)
    monkeypatch.setattr("winlayers.layer.newentries._REMEMBERED", 1)
    for name, above in (("x", "Windows"), ("y", "Users"), ("z", "Windows")):
        tree.set_security(above, OTHER_DESCRIPTOR if above == "Users" else DESCRIPTOR)
        tree.mkdir(f"{above}/{name}")
        write(tree, f"{above}/{name}/file", b"1")
    paths = ("License.txt", "Windows", "Users", "Windows/x", "Users/y", "Windows/z")
    assert [tree.stat(path).name for path in paths] == [path.rpartition("/")[2] for path in paths]
    assert len(tree._nodes._stats) <= 2
    assert len(tree._new._descriptors) == 1
    assert tree.security("Windows/x") == tree.security("Windows/z") != tree.security("Users/y")


def test_every_refusal_of_a_tree_is_an_error_of_ours() -> None:
    for leaf in (
        DirectoryNotEmpty, PathInUse, NotADirectory, IsADirectory, ReadOnlyView, ReadOnlyFile,
        TooManyLinks,
    ):  # fmt: skip
        assert issubclass(leaf, WinlayersError)
    assert issubclass(TooManyLinks, LimitExceeded)
