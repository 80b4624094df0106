"""What libfuse asks of a forest, led to the tree that it is about; without FUSE."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.builders import layer_tar
from tests.unit.mounts.fuse.conftest import LAYER, START_NS
from winlayers.backends.portable.backend import PortableBackend
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.errors import (
    LayerNotFound,
    PathNotFound,
    ReadOnlyView,
    StoreCorrupt,
)
from winlayers.mounts.fuse import _trees
from winlayers.mounts.fuse._forest_operations import INO_BITS, ForestOperations, Shown
from winlayers.mounts.fuse._operations import Statvfs

HIDDEN = ".fuse_hidden0000000500000001"


class Layers:
    """Snapshots that are layers: 1 is sealed, 2 and 3 are scratches on it, 4 cannot be opened."""

    def __init__(self, folder: Path) -> None:
        self.backend = PortableBackend(folder / "home")
        self.driver = Driver(folder / "home", self.backend, InlineImporter(self.backend))
        tar = folder / "layer.tar"
        tar.write_bytes(layer_tar(LAYER))
        self.driver.create("1")
        with open(tar, "rb") as file:
            self.driver.apply_diff("1", "", file)
        for number in ("2", "3"):
            self.driver.create_read_write(number, "1")
        self.opened: list[int] = []

    def open(self, number: int) -> Shown:
        self.opened.append(number)
        if number == 4:
            raise StoreCorrupt("4 is damaged")
        if number == 1:
            return Shown(self.driver.view("1"), True)
        if not self.has(number):
            raise LayerNotFound(f"no {number}")
        return Shown(self.driver.scratch(str(number)), False)

    def numbers(self) -> Sequence[int]:
        return [int(one) for one in self.driver.layers()]

    def has(self, number: int) -> bool:
        return self.driver.exists(str(number))


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


@pytest.fixture
def forest(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForestOperations]:
    monkeypatch.setattr(_trees, "_LEAVE_SECONDS", 0.01)
    forest = ForestOperations(
        layers,
        clock_ns=lambda: START_NS,
        monotonic=lambda: 0.0,
        disk_space=lambda: (1 << 20, 1 << 19),
    )
    yield forest
    forest.destroy("/")


@contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as told:
        yield
    assert told.value.errno == number


def names(forest: ForestOperations, path: str) -> list[str]:
    number = forest.opendir(path)
    try:
        return [one.name.decode() for one in forest.readdir(number, 0)]
    finally:
        forest.releasedir(None, number)


def test_root_lists_numbers_and_opens_nothing(forest: ForestOperations, layers: Layers) -> None:
    number = forest.opendir("/")
    listed = list(forest.readdir(number, 0))
    assert [one.name for one in listed] == [b"1", b"2", b"3"]
    assert not any(one.is_whole for one in listed)
    layers.driver.remove("3")
    assert [one.name for one in forest.readdir(number, 1)] == [b"2", b"3"]
    assert [one.name for one in forest.readdir(number, 0)] == [b"1", b"2"]
    forest.fsyncdir(None, 0, number)
    forest.releasedir(None, number)
    assert stat.S_ISDIR(forest.getattr("/").mode)
    assert forest.listxattr("/") == []
    assert layers.opened == []
    assert not forest.keeps_listing("/")
    assert forest.keeps_listing("/1")


def test_paths_lead_to_their_tree(forest: ForestOperations, layers: Layers) -> None:
    assert names(forest, "/1") == ["a.txt", "dir", "junction", "link", "locked.txt", "odd"]
    assert names(forest, "/2/dir") == ["b.txt"]
    assert forest.readlink("/2/link") == "dir/b.txt"
    assert forest.getxattr("/2/a.txt", "user.notes") == b"alt"
    assert "user.notes" in forest.listxattr("/1/a.txt")
    assert layers.opened == [1, 2]


@pytest.mark.parametrize("name", ["9", "0", "01", "x", "1x", "-1", "²", "1" * 30, "16777216"])
def test_what_is_no_snapshot_is_not_there(forest: ForestOperations, name: str) -> None:
    for path in (f"/{name}", f"/{name}/a.txt"):
        with pytest.raises(PathNotFound):
            forest.getattr(path)


def test_numbers_of_files_tell_their_snapshot(forest: ForestOperations) -> None:
    for number in (1, 2, 3):
        for path in (f"/{number}", f"/{number}/a.txt", f"/{number}/dir/b.txt"):
            assert forest.getattr(path).ino >> INO_BITS == number
    handle = forest.open("/2/a.txt", os.O_RDONLY)
    assert forest.getattr(None, handle).ino == forest.getattr("/2/a.txt").ino
    forest.release(None, handle)
    handle = forest.opendir("/2")
    inos = {one.name: one.stat.ino for one in forest.readdir(handle, 0)}
    assert inos[b"a.txt"] == forest.getattr("/2/a.txt").ino
    forest.releasedir(None, handle)


def test_handles_of_all_trees_differ(forest: ForestOperations) -> None:
    handles = [forest.create(f"/{number}/new", 0o644, os.O_RDWR) for number in (2, 3)]
    assert len(set(handles)) == 2
    for handle, text in zip(handles, (b"two", b"three"), strict=True):
        assert forest.write(None, memoryview(text), 0, handle) == len(text)
        forest.flush(None, handle)
        forest.fsync(None, 0, handle)
    assert [forest.read(None, 9, 0, handle) for handle in handles] == [b"two", b"three"]
    forest.fallocate(None, 0, 0, 10, handles[0])
    forest.truncate(None, 1, handles[1])
    forest.chmod(None, 0o444, handles[1])
    forest.chown(None, 5, 5, handles[1])
    forest.utimens(None, 10**18, 10**18, handles[1])
    for handle in handles:
        forest.release(None, handle)
    assert forest.getattr("/2/new").size == 10
    told = forest.getattr("/3/new")
    assert (told.size, told.write_ns, told.mode & 0o777) == (1, 10**18, 0o555)


def test_handle_of_what_was_let_go_leads_nowhere(forest: ForestOperations) -> None:
    handle = forest.open("/2/a.txt", os.O_RDONLY)
    forest.destroy("/")
    for ask in (
        lambda: forest.read(None, 1, 0, handle),
        lambda: forest.release(None, handle),
        lambda: forest.getattr(None, handle),
        lambda: forest.chmod(None, 0o444, handle),
    ):
        with refused(errno.EBADF):
            ask()


def test_names_are_made_and_changed_in_their_tree(forest: ForestOperations) -> None:
    forest.mkdir("/2/new", 0o755)
    forest.mknod("/2/new/f", stat.S_IFREG | 0o644, 0)
    forest.symlink("/2/new/l", "f")
    forest.link("/2/new/g", "/2/new/f")
    forest.rename("/2/new/f", "/2/new/h")
    assert names(forest, "/2/new") == ["g", "h", "l"]
    forest.unlink("/2/new/l")
    forest.setxattr("/2/new/h", "user.s", b"text", 0)
    forest.removexattr("/2/new/h", "user.s")
    forest.truncate("/2/new/h", 5)
    forest.utimens("/2/new/h", None, 10**18)
    forest.rename("/2/dir", "/2/new/dir")
    assert names(forest, "/2/new/dir") == ["b.txt"]
    forest.unlink("/2/new/dir/b.txt")
    forest.rmdir("/2/new/dir")
    assert names(forest, "/3/dir") == ["b.txt"]
    with pytest.raises(ReadOnlyView):
        forest.mkdir("/1/new", 0o755)


def test_unlinked_open_file_goes_on_without_a_name(forest: ForestOperations) -> None:
    handle = forest.open("/2/a.txt", os.O_RDWR)
    forest.rename("/2/a.txt", f"/2/{HIDDEN}")
    assert "a.txt" not in names(forest, "/2")
    forest.write(None, memoryview(b"J"), 0, handle)
    forest.truncate(f"/2/{HIDDEN}", 2)
    assert forest.read(None, 9, 0, handle) == b"Je"
    forest.unlink(f"/2/{HIDDEN}")
    forest.release(None, handle)


def test_two_trees_are_as_two_disks(forest: ForestOperations) -> None:
    with refused(errno.EXDEV):
        forest.rename("/2/a.txt", "/3/b.txt")
    with refused(errno.EXDEV):
        forest.link("/3/b.txt", "/2/a.txt")


def test_root_takes_no_changes(forest: ForestOperations) -> None:
    for change in (
        lambda: forest.mkdir("/9", 0o755),
        lambda: forest.mknod("/9", stat.S_IFREG, 0),
        lambda: forest.create("/9", 0o644, os.O_RDWR),
        lambda: forest.symlink("/9", "2"),
        lambda: forest.link("/9", "/2/a.txt"),
        lambda: forest.rename("/2", "/9"),
        lambda: forest.unlink("/2"),
        lambda: forest.chmod("/", 0o700),
        lambda: forest.chown("/", 1, 1),
        lambda: forest.utimens("/", 0, 0),
        lambda: forest.setxattr("/", "user.x", b"", 0),
        lambda: forest.removexattr("/", "user.x"),
    ):
        with refused(errno.EROFS):
            change()
    with refused(errno.ENOTSUP):
        forest.getxattr("/", "user.x")


def test_folder_of_a_snapshot_stays_where_it_is(forest: ForestOperations) -> None:
    with refused(errno.EROFS):
        forest.rename("/2", "/2/dir/x")
    with refused(errno.EXDEV):
        forest.rename("/2/dir", "/3/dir/x")


def test_removing_the_folder_lets_go_of_it(forest: ForestOperations, layers: Layers) -> None:
    told: list[set[str]] = []
    forest.watch(lambda paths, wait: told.append(paths))
    forest.mkdir("/2/x", 0o755)
    names(forest, "/2/dir")
    names(forest, "/2")
    with refused(errno.ENOTEMPTY):
        forest.rmdir("/2")
    assert told == [{"/2", "/2/dir"}]
    layers.driver.scratch("2").close()
    assert "x" in names(forest, "/2")
    assert layers.opened == [2, 2]
    handle = forest.opendir("/2")
    with refused(errno.EBUSY):
        forest.rmdir("/2")
    forest.releasedir(None, handle)
    layers.driver.scratch("2").close()


def test_folder_of_what_is_removed_goes(forest: ForestOperations, layers: Layers) -> None:
    layers.driver.remove("3")
    forest.rmdir("/3")
    with pytest.raises(PathNotFound):
        forest.getattr("/3")


def test_snapshot_that_cannot_be_opened_harms_no_other(
    forest: ForestOperations, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoreCorrupt):
        forest.getattr("/4/a.txt")
    assert "opening snapshot 4" in caplog.text
    assert forest.getattr("/1/a.txt").size == 5


def test_kernel_forgets_paths_of_the_whole_forest(forest: ForestOperations) -> None:
    told: list[set[str]] = []
    forest.watch(lambda paths, wait: told.append(paths))
    forest.link("/2/twin", "/2/a.txt")
    for number, expected in ((2, True), (3, False)):
        handle = forest.open(f"/{number}/a.txt", os.O_RDONLY)
        assert forest.has_others(f"/{number}/a.txt", handle) == expected
        forest.release(None, handle)
    told.clear()
    forest.truncate("/2/twin", 1)
    assert {"/2/a.txt"} in told


def test_space_is_that_of_the_tree_or_the_disk(forest: ForestOperations) -> None:
    assert forest.statfs("/1") == Statvfs(0, 0, 0)
    assert forest.statfs("/2").total_blocks > 0
    assert forest.statfs("/") == Statvfs(256, 128, 0)
    assert forest.now_ns() == START_NS


def test_what_is_idle_is_let_go_of(layers: Layers) -> None:
    now = [0.0]
    forest = ForestOperations(
        layers,
        clock_ns=lambda: START_NS,
        monotonic=lambda: now[0],
        disk_space=lambda: (0, 0),
        max_idle=1,
    )
    forest.getattr("/2")
    forest.getattr("/3")
    layers.driver.scratch("2").close()
    now[0] = 1000.0
    forest.tire()
    layers.driver.scratch("3").close()
    assert layers.opened == [2, 3]
