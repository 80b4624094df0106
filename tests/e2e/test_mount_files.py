"""A mounted scratch is a file system to programs of POSIX, with the names and the rules of Windows."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.places import Place, run

pytestmark = pytest.mark.e2e


@contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as told:
        yield
    assert told.value.errno == number


def test_layer_is_shown(root: Path) -> None:
    shown = ["a.txt", "big.bin", "dir", "junction", "link", "locked.txt", "odd"]
    assert sorted(os.listdir(root)) == shown
    assert (root / "a.txt").read_bytes() == b"hello"
    assert (root / "big.bin").read_bytes() == bytes(range(256)) * 4096
    assert os.readlink(root / "junction") == "dir"
    assert (root / "junction" / "b.txt").read_bytes() == b"b"
    assert (root / "link").read_bytes() == b"b"
    assert os.lstat(root / "link").st_size == len("dir/b.txt")
    assert os.stat(root / "a.txt").st_mtime_ns == 1_577_836_800 * 10**9 + 200


def test_listing_and_stat_agree(root: Path) -> None:
    for folder in (root, root / "dir"):
        for listed in os.scandir(folder):
            told = os.lstat(listed.path)
            assert listed.inode() == told.st_ino
            assert listed.is_dir(follow_symlinks=False) == stat.S_ISDIR(told.st_mode)
            assert listed.is_symlink() == stat.S_ISLNK(told.st_mode)


def test_many_names_are_listed_once_each(root: Path) -> None:
    names = {f"file {number:05} {'x' * 100}" for number in range(3000)}
    for name in names:
        (root / "dir" / name).touch()
    assert sorted(os.listdir(root / "dir")) == sorted(names | {"b.txt", "same.txt"})
    assert len(run(["find", root / "dir", "-name", "file*"]).splitlines()) == 3000
    sizes = run(["du", "-a", "--apparent-size", root / "dir"])
    assert len(sizes.splitlines()) == 3003


def test_case_does_not_count_and_is_kept(root: Path) -> None:
    (root / "Mixed.TXT").write_bytes(b"1")
    assert (root / "mixed.txt").read_bytes() == b"1"
    with refused(errno.EEXIST):
        os.open(root / "MIXED.txt", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.rename(root / "Mixed.TXT", root / "mixed.txt")
    assert "mixed.txt" in os.listdir(root)
    assert "Mixed.TXT" not in os.listdir(root)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("a:b", errno.EINVAL),
        ("a*b", errno.EINVAL),
        ("end.", errno.EINVAL),
        ("end ", errno.EINVAL),
        ("NUL.txt", errno.EINVAL),
        (".wh.x", errno.EINVAL),
        ("x" * 256, errno.ENAMETOOLONG),
        ("\udcff", errno.EILSEQ),
    ],
)
def test_name_that_windows_has_not_is_refused(root: Path, name: str, number: int) -> None:
    with refused(number):
        os.mkdir(root / name)


def test_names_of_every_script_and_lone_surrogates_are_kept(root: Path) -> None:
    names = ["Ünï", "файл", "漢字", "😀", os.fsdecode(b"half \xed\xa0\x80")]
    for name in names:
        (root / "dir" / name).write_text(name, "utf-8", "surrogateescape")
    assert set(names) < set(os.listdir(root / "dir"))
    for name in names:
        assert (root / "dir" / name).read_text("utf-8", "surrogateescape") == name


def test_file_is_written_in_pieces_and_cut(root: Path) -> None:
    with open(root / "f", "w+b", buffering=0) as file:
        file.write(b"0123456789")
        os.pwrite(file.fileno(), b"ab", 20)
        file.seek(0)
        assert file.read() == b"0123456789" + bytes(10) + b"ab"
        os.ftruncate(file.fileno(), 3)
        assert os.fstat(file.fileno()).st_size == 3
        os.truncate(root / "f", 5)
        assert os.pread(file.fileno(), 10, 0) == b"012\0\0"
        os.posix_fallocate(file.fileno(), 0, 100)
        os.fsync(file.fileno())
    assert os.stat(root / "f").st_size == 100
    with open(root / "f", "ab") as file:
        file.write(b"end")
    assert (root / "f").read_bytes()[97:] == bytes(3) + b"end"


def test_file_of_a_layer_is_changed_in_its_middle(place: Place, root: Path) -> None:
    with open(root / "big.bin", "r+b") as file:
        file.seek(500_000)
        file.write(b"changed")
    content = bytearray(bytes(range(256)) * 4096)
    content[500_000:500_007] = b"changed"
    assert (root / "big.bin").read_bytes() == content
    assert (place.remount(root, "scratch") / "big.bin").read_bytes() == content


def test_file_is_mapped_into_memory(root: Path) -> None:
    (root / "m").write_bytes(bytes(8192))
    with open(root / "m", "r+b") as file, mmap.mmap(file.fileno(), 8192) as mapped:
        mapped[4096:4100] = b"mmap"
        mapped.flush()
    assert (root / "m").read_bytes()[4096:4100] == b"mmap"


def test_unlinked_open_file_goes_on(root: Path) -> None:
    with open(root / "gone", "w+b", buffering=0) as file:
        file.write(b"text")
        os.unlink(root / "gone")
        assert "gone" not in os.listdir(root)
        assert not [name for name in os.listdir(root) if name.startswith(".fuse")]
        told = os.fstat(file.fileno())
        assert (told.st_nlink, told.st_size) == (0, 4)
        file.write(b" more!")
        os.fchmod(file.fileno(), 0o600)
        os.utime(file.fileno())
        os.ftruncate(file.fileno(), 9)
        assert os.fstat(file.fileno()).st_size == 9
        file.seek(0)
        assert file.read() == b"text more"
        (root / "gone").write_bytes(b"another")
        file.seek(0)
        assert file.read() == b"text more"
    assert (root / "gone").read_bytes() == b"another"


def test_folder_of_an_unlinked_open_file_can_be_removed(root: Path) -> None:
    os.mkdir(root / "d")
    with open(root / "d" / "f", "w+b", buffering=0) as file:
        os.unlink(root / "d" / "f")
        os.rmdir(root / "d")
        file.write(b"text")
        file.seek(0)
        assert file.read() == b"text"
    assert "d" not in os.listdir(root)


def test_open_file_is_replaced_by_a_rename(root: Path) -> None:
    with open(root / "a.txt", "rb") as old:
        (root / "new").write_bytes(b"new")
        os.replace(root / "new", root / "a.txt")
        assert (root / "a.txt").read_bytes() == b"new"
        assert old.read() == b"hello"


def test_open_file_is_renamed_with_its_folder(root: Path) -> None:
    with open(root / "dir" / "b.txt", "r+b", buffering=0) as file:
        os.rename(root / "dir", root / "moved")
        file.write(b"B")
        os.fchmod(file.fileno(), 0o444)
    assert (root / "moved" / "b.txt").read_bytes() == b"B"
    assert not os.stat(root / "moved" / "b.txt").st_mode & 0o200
    assert "dir" not in os.listdir(root)


def test_rename_without_replacing_is_refused_where_the_name_is(root: Path) -> None:
    # mv --no-clobber and the like; by the system call, as Python has none for it.
    code = (
        "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True); "
        "a, b = (os.fsencode(one) for one in sys.argv[1:3]); "
        "done = libc.renameat2(-100, a, -100, b, int(sys.argv[3])); "
        "print(ctypes.get_errno() if done else 0)"
    )
    one, other = root / "a.txt", root / "dir" / "b.txt"
    assert int(run(["python3", "-c", code, one, other, "1"])) == errno.EEXIST
    assert int(run(["python3", "-c", code, one, other, "2"])) == 0
    assert one.read_bytes() == b"b"
    assert other.read_bytes() == b"hello"
    assert int(run(["python3", "-c", code, one, root / "free", "1"])) == 0
    assert (root / "free").read_bytes() == b"b"


def test_folders_are_removed_when_they_are_empty(root: Path) -> None:
    with refused(errno.ENOTEMPTY):
        os.rmdir(root / "dir")
    with refused(errno.ENOTDIR):
        os.rmdir(root / "a.txt")
    with refused(errno.EISDIR):
        os.unlink(root / "dir")
    os.makedirs(root / "x" / "y" / "z")
    os.removedirs(root / "x" / "y" / "z")
    assert "x" not in os.listdir(root)


def test_read_only_file_is_kept_from_all_but_renaming(root: Path) -> None:
    locked = root / "locked.txt"
    with refused(errno.EACCES):
        open(locked, "r+b")
    with refused(errno.EACCES):
        os.unlink(locked)
    with refused(errno.EACCES):
        os.truncate(locked, 0)
    os.rename(locked, root / "dir" / "locked.txt")
    os.chmod(root / "dir" / "locked.txt", 0o644)
    os.unlink(root / "dir" / "locked.txt")


def test_hard_links_share_one_file(root: Path) -> None:
    os.link(root / "a.txt", root / "dir" / "other.txt")
    one, other = os.stat(root / "a.txt"), os.stat(root / "dir" / "other.txt")
    assert one.st_ino == other.st_ino
    assert (one.st_nlink, other.st_nlink) == (2, 2)
    with open(root / "dir" / "other.txt", "ab") as file:
        file.write(b" there")
    assert os.stat(root / "a.txt").st_size == 11
    assert (root / "a.txt").read_bytes() == b"hello there"
    os.unlink(root / "a.txt")
    assert os.stat(root / "dir" / "other.txt").st_nlink == 1
    with refused(errno.EPERM):
        os.link(root / "dir", root / "dir2")


def test_other_spelling_sees_what_happened_at_once(root: Path) -> None:
    assert os.stat(root / "A.TXT").st_size == 5
    (root / "a.txt").write_bytes(b"longer than before")
    assert os.stat(root / "A.TXT").st_size == 18
    assert (root / "A.TXT").read_bytes() == b"longer than before"
    os.unlink(root / "a.txt")
    with refused(errno.ENOENT):
        os.stat(root / "A.TXT")
    with open(root / "A.TXT", "xb") as file:
        file.write(b"new")
    assert (root / "a.txt").read_bytes() == b"new"


def test_links_are_made_and_lead_where_they_should(place: Place, root: Path) -> None:
    os.symlink("dir/b.txt", root / "relative")
    os.symlink("../a.txt", root / "dir" / "up")
    os.symlink("nowhere", root / "dangling")
    assert os.readlink(root / "relative") == "dir/b.txt"
    assert (root / "relative").read_bytes() == b"b"
    assert (root / "dir" / "up").read_bytes() == b"hello"
    with refused(errno.ENOENT):
        os.stat(root / "dangling")
    os.symlink("/dir/b.txt", root / "dir" / "absolute")
    assert (root / "dir" / "absolute").read_bytes() == b"b"
    os.unlink(root / "link")
    assert (root / "dir" / "b.txt").read_bytes() == b"b"


def test_times_are_set_to_100_ns(root: Path) -> None:
    os.utime(root / "a.txt", ns=(1_600_000_000_123_456_700, 1_500_000_000_765_432_100))
    told = os.stat(root / "a.txt")
    assert told.st_atime_ns == 1_600_000_000_123_456_700
    assert told.st_mtime_ns == 1_500_000_000_765_432_100
    before = os.stat(root / "dir").st_mtime_ns
    (root / "dir" / "new").touch()
    assert os.stat(root / "dir").st_mtime_ns > before


def test_what_windows_has_not_is_refused(root: Path) -> None:
    with refused(errno.EPERM):
        os.mkfifo(root / "pipe")
    os.chown(root / "a.txt", 1, 1)
    assert os.stat(root / "a.txt").st_uid == os.getuid()


def test_space_is_that_of_the_quota(place: Place) -> None:
    place.driver.create_read_write("small", "base", {"size": "20GB"})
    told = os.statvfs(place.mount("small"))
    assert told.f_blocks * told.f_frsize <= 20 << 30
    assert told.f_bavail > 0
    assert told.f_namemax == 255


def test_several_threads_write_several_files(place: Place, root: Path) -> None:
    def write(number: int) -> None:
        for turn in range(20):
            (root / f"t{number}-{turn}").write_bytes(bytes([number]) * (turn * 1000))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    again = place.remount(root, "scratch")
    for number in range(8):
        for turn in range(20):
            assert (again / f"t{number}-{turn}").read_bytes() == bytes([number]) * (turn * 1000)


def test_sealed_layer_takes_no_writes(place: Place) -> None:
    sealed = place.mount("base")
    assert (sealed / "a.txt").read_bytes() == b"hello"
    for change in (
        lambda: (sealed / "new").touch(),
        lambda: os.unlink(sealed / "a.txt"),
        lambda: os.rename(sealed / "a.txt", sealed / "b.txt"),
        lambda: os.chmod(sealed / "a.txt", 0o444),
        lambda: os.setxattr(sealed / "a.txt", "user.x", b"1"),
    ):
        with refused(errno.EROFS):
            change()


def test_raw_shows_the_tar_and_keeps_its_top(place: Place) -> None:
    raw = place.mount("scratch", raw=True)
    assert sorted(os.listdir(raw)) == ["Files", "Hives"]
    assert (raw / "Hives" / "Software_Delta").read_bytes() == b"hive"
    (raw / "Files" / "new").write_bytes(b"1")
    with refused(errno.EACCES):
        os.mkdir(raw / "Other")
    with refused(errno.EACCES):
        os.unlink(raw / "Hives" / "Software_Delta")
