"""What libfuse asks, in the terms of a tree: the mount without FUSE."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.unit.mounts.fuse.conftest import START_NS
from winlayers.errors import (
    AlreadyExists,
    PathNotFound,
    ReadOnlyFile,
    ReadOnlyView,
)
from winlayers.layer.tree import FileKind, Tree
from winlayers.mounts.fuse._operations import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    Operations,
    Statvfs,
)

HIDDEN = "/.fuse_hidden0000000500000001"


@contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as told:
        yield
    assert told.value.errno == number


def read_names(operations: Operations, number: int, offset: int = 0) -> list[str]:
    return [one.name.decode() for one in operations.readdir(number, offset)]


def names(operations: Operations, path: str) -> list[str]:
    number = operations.opendir(path)
    try:
        return read_names(operations, number)
    finally:
        operations.releasedir(None, number)


def content_of(operations: Operations, path: str) -> bytes:
    number = operations.open(path, os.O_RDONLY)
    try:
        return operations.read(None, 100, 0, number)
    finally:
        operations.release(None, number)


def test_folder_is_listed_with_what_stat_tells(operations: Operations) -> None:
    number = operations.opendir("/")
    listed = {one.name.decode(): one.stat for one in operations.readdir(number, 0)}
    assert list(listed) == ["a.txt", "dir", "junction", "link", "locked.txt", "odd"]
    assert all(told == operations.getattr(f"/{name}") for name, told in listed.items())
    assert read_names(operations, number, 4) == ["locked.txt", "odd"]
    assert list(operations.readdir(number, 6)) == []


def test_listing_is_kept_until_it_is_read_from_its_start(operations: Operations) -> None:
    number = operations.opendir("/dir")
    assert read_names(operations, number) == ["b.txt"]
    operations.mkdir("/dir/new", 0o755)
    assert list(operations.readdir(number, 1)) == []
    assert read_names(operations, number) == ["b.txt", "new"]


def test_folder_that_changed_is_listed_anew(operations: Operations) -> None:
    for change, expected in (
        (lambda: operations.mkdir("/dir/c", 0o755), ["b.txt", "c"]),
        (lambda: operations.rename("/dir/b.txt", "/b.txt"), ["c"]),
        (lambda: operations.link("/dir/d", "/b.txt"), ["c", "d"]),
        (lambda: operations.rmdir("/dir/c"), ["d"]),
    ):
        change()
        assert names(operations, "/dir") == expected
        assert names(operations, "/dir") == expected
    number = operations.open("/b.txt", os.O_WRONLY)
    operations.write(None, memoryview(b"longer"), 0, number)
    operations.release(None, number)
    number = operations.opendir("/dir")
    assert [one.stat.size for one in operations.readdir(number, 0)] == [6]
    operations.release(None, operations.open("/dir/d", os.O_WRONLY | os.O_TRUNC))
    assert [one.stat.size for one in operations.readdir(number, 0)] == [0]


def test_links_tell_the_length_of_their_text(operations: Operations) -> None:
    for name in ("/link", "/junction"):
        told = operations.getattr(name)
        assert stat.S_ISLNK(told.mode)
        assert told.size == len(operations.readlink(name))


def test_file_is_made_written_and_read(operations: Operations, tree: Tree) -> None:
    number = operations.create("/new.txt", 0o444, os.O_WRONLY | os.O_EXCL)
    assert operations.write(None, memoryview(b"text"), 0, number) == 4
    assert operations.getattr(None, number).size == 4
    operations.flush(None, number)
    operations.fsync(None, 0, number)
    operations.release(None, number)
    assert content_of(operations, "/new.txt") == b"text"
    # Its mode said that nobody may write; see the module.
    assert operations.getattr("/new.txt").mode == stat.S_IFREG | 0o755
    with pytest.raises(AlreadyExists):
        operations.create("/NEW.txt", 0o644, os.O_WRONLY | os.O_EXCL)


def test_open_truncates_where_it_is_asked_to(operations: Operations) -> None:
    operations.release(None, operations.open("/a.txt", os.O_WRONLY | os.O_TRUNC))
    assert operations.getattr("/a.txt").size == 0


def test_only_files_are_made_by_mknod(operations: Operations) -> None:
    operations.mknod("/plain", stat.S_IFREG | 0o644, 0)
    assert stat.S_ISREG(operations.getattr("/plain").mode)
    for kind in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK):
        with refused(errno.EPERM):
            operations.mknod("/odd2", kind | 0o644, 0)


def test_unlinked_open_file_goes_on_without_a_name(operations: Operations) -> None:
    number = operations.open("/a.txt", os.O_RDWR)
    operations.rename("/a.txt", HIDDEN)  # what libfuse makes of unlink
    assert names(operations, "/") == ["dir", "junction", "link", "locked.txt", "odd"]
    assert operations.getattr(HIDDEN).link_count == 0
    operations.write(None, memoryview(b"J"), 0, number)
    assert operations.read(None, 10, 0, number) == b"Jello"
    operations.truncate(HIDDEN, 2)
    assert operations.getattr(None, number).size == 2
    operations.chmod(HIDDEN, 0o444)
    operations.utimens(HIDDEN, 0, 0)
    with refused(errno.ESTALE):
        operations.open(HIDDEN, os.O_RDONLY)
    operations.unlink(HIDDEN)
    operations.release(None, number)
    with pytest.raises(PathNotFound):
        operations.getattr(HIDDEN)


def test_unlinking_an_open_file_that_is_read_only_is_refused(operations: Operations) -> None:
    number = operations.open("/locked.txt", os.O_RDONLY)
    with pytest.raises(ReadOnlyFile):
        operations.rename("/locked.txt", HIDDEN)
    assert operations.getattr("/locked.txt").link_count == 1
    operations.release(None, number)


def test_file_that_is_unlinked_while_it_is_closed_leaves_no_name(operations: Operations) -> None:
    operations.release(None, operations.open("/dir/b.txt", os.O_RDONLY))
    operations.rename("/dir/b.txt", f"/dir{HIDDEN}")  # libfuse has not noticed yet
    operations.rmdir("/dir")
    with pytest.raises(PathNotFound):
        operations.unlink(f"/dir{HIDDEN}")


def test_name_like_libfuse_makes_up_is_a_name_where_nothing_is_open(
    operations: Operations,
) -> None:
    operations.rename("/a.txt", HIDDEN)
    assert HIDDEN[1:] in names(operations, "/")
    assert content_of(operations, HIDDEN) == b"hello"


def test_rename_heeds_its_flags(operations: Operations) -> None:
    with pytest.raises(AlreadyExists):
        operations.rename("/a.txt", "/dir/b.txt", RENAME_NOREPLACE)
    operations.rename("/a.txt", "/dir/b.txt", RENAME_EXCHANGE)
    assert content_of(operations, "/a.txt") == b"b"
    assert content_of(operations, "/dir/b.txt") == b"hello"
    operations.rename("/dir/b.txt", "/a.txt")
    assert content_of(operations, "/a.txt") == b"hello"
    with refused(errno.EINVAL):
        operations.rename("/a.txt", "/c.txt", 4)


def test_open_files_are_known_by_their_new_names(operations: Operations) -> None:
    one, other = (operations.open(path, os.O_RDWR) for path in ("/a.txt", "/dir/b.txt"))
    operations.rename("/a.txt", "/dir/b.txt", RENAME_EXCHANGE)
    operations.rename("/dir", "/moved")
    operations.chmod(None, 0o444, one)
    assert operations.getattr("/moved/b.txt").mode == stat.S_IFREG | 0o555
    operations.chmod(None, 0o444, other)
    assert operations.getattr("/a.txt").mode == stat.S_IFREG | 0o555
    for number in (one, other):
        operations.release(None, number)


def test_names_are_made_and_removed(operations: Operations, tree: Tree) -> None:
    operations.symlink("/to", "dir/b.txt")
    assert operations.readlink("/to") == "dir/b.txt"
    operations.link("/again", "/a.txt")
    assert operations.getattr("/a.txt").link_count == 2
    assert operations.getattr("/again").ino == operations.getattr("/a.txt").ino
    operations.unlink("/again")
    operations.mkdir("/made", 0o700)
    operations.rmdir("/made")
    assert names(operations, "/") == ["a.txt", "dir", "junction", "link", "locked.txt", "odd", "to"]


def test_chmod_is_read_only_of_files_alone(operations: Operations, tree: Tree) -> None:
    operations.chmod("/a.txt", 0o400)
    assert tree.stat("/a.txt").attributes == 0x21
    change = tree.stat("/a.txt").change_filetime
    operations.chmod("/a.txt", 0o577)
    assert tree.stat("/a.txt").change_filetime == change
    operations.chmod("/a.txt", 0o200)
    assert tree.stat("/a.txt").attributes == 0x20
    operations.chmod("/dir", 0o500)
    assert tree.stat("/dir").attributes == 0x10
    operations.chown("/a.txt", 1, 1)


def test_times_of_access_and_writing_are_set_alone(operations: Operations, tree: Tree) -> None:
    before = tree.stat("/a.txt")
    operations.utimens("/a.txt", None, 1_234_567_800)
    told = operations.getattr("/a.txt")
    assert told.write_ns == 1_234_567_800
    assert tree.stat("/a.txt").access_filetime == before.access_filetime
    operations.utimens("/a.txt", 100, None)
    assert operations.getattr("/a.txt")[5:7] == (100, 1_234_567_800)
    assert tree.stat("/a.txt").creation_filetime == before.creation_filetime
    assert operations.now_ns() == START_NS


def test_allocation_reaches_to_its_end(operations: Operations) -> None:
    number = operations.open("/a.txt", os.O_RDWR)
    operations.fallocate(None, 0, 4, 2, number)
    assert operations.read(None, 100, 0, number) == b"hello\0"
    operations.fallocate(None, 0, 0, 2, number)
    assert operations.getattr(None, number).size == 6
    with refused(errno.EOPNOTSUPP):
        operations.fallocate(None, 3, 0, 2, number)
    operations.release(None, number)


def test_space_is_the_quota_or_what_the_disk_has_free(operations: Operations) -> None:
    # 127 GiB, the usual quota, of which the disk has 512 KiB.
    assert operations.statfs("/") == Statvfs((127 << 30) // 4096, 128, 512)


def test_reading_takes_no_space(tree: Tree) -> None:
    view = Tree(tree._view, clock_ns=lambda: 0, read_only=True)
    operations = Operations(view, clock_ns=lambda: 0, disk_space=lambda: (1, 1))
    assert operations.statfs("/") == Statvfs(0, 0, 0)
    with pytest.raises(ReadOnlyView):
        operations.mkdir("/no", 0o755)


def test_attributes_go_by_their_names(operations: Operations) -> None:
    operations.setxattr("/a.txt", "user.x", b"1", 0)
    assert operations.getxattr("/a.txt", "user.x") == b"1"
    assert "user.x" in operations.listxattr("/a.txt")
    operations.removexattr("/a.txt", "user.x")
    assert "user.x" not in operations.listxattr("/a.txt")


def test_end_closes_what_is_open(operations: Operations, tree: Tree) -> None:
    number = operations.open("/a.txt", os.O_WRONLY)
    operations.write(None, memoryview(b"J"), 0, number)
    operations.fsyncdir(None, 0, operations.opendir("/"))
    operations.destroy("/")
    assert content_of(operations, "/a.txt") == b"Jello"
    with refused(errno.EBADF):
        operations.read(None, 1, 0, number)
    assert tree.stat("/a.txt").kind is FileKind.FILE
