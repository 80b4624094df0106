"""Root: nothing leads out of it, in either of the two ways to get to folders."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from winlayers.base import rooted
from winlayers.base.rooted import MAX_DEPTH, Root
from winlayers.errors import InvalidName, TooLarge, WrongPlatform

# A list, as the linter takes different lone surrogates for one text.
ODD_NAMES = ["größe", "日本", *(f"a{chr(code)}b" for code in (0xD800, 0xDC80, 0xDCFF, 0xDFFF))]

POSIX = sys.platform != "win32"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the root with a file in it, which nothing may touch."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(b"secret")
    return path


@pytest.fixture(params=["descriptors", "paths"] if POSIX else ["paths"])
def root(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outside: Path
) -> Iterator[Root]:
    monkeypatch.setattr(rooted, "_HAS_DESCRIPTORS", request.param == "descriptors")
    path = tmp_path / "root"
    path.mkdir()
    with Root(path) as opened:
        yield opened
    assert (outside / "secret").read_bytes() == b"secret"
    assert os.listdir(outside) == ["secret"]


def write(root: Root, parts: tuple[str, ...], content: bytes = b"") -> None:
    with root.create_file(parts) as file:
        file.write(content)


class TestVerbs:
    def test_folders_and_files_are_made_and_read(self, root: Root) -> None:
        root.mkdir(("a",))
        root.mkdir(("a", "b"))
        write(root, ("a", "b", "file"), b"content")
        with root.open_file(("a", "b", "file")) as file:
            assert file.read() == b"content"
        assert (root.path / "a" / "b" / "file").read_bytes() == b"content"
        assert root.list(()) == ["a"]
        assert root.list(("a", "b")) == ["file"]
        assert root.stat(("a", "b", "file")).st_size == 7
        assert stat.S_ISDIR(root.stat(()).st_mode)

    def test_made_file_can_be_read_and_one_to_write_keeps_the_rest(self, root: Root) -> None:
        with root.create_file(("file",)) as file:
            file.write(b"content")
            file.seek(0)
            assert file.read() == b"content"
        with root.open_file(("file",), writable=True) as file:
            file.write(b"C")
        assert (root.path / "file").read_bytes() == b"Content"

    def test_nothing_is_replaced(self, root: Root) -> None:
        write(root, ("file",), b"old")
        root.mkdir(("folder",))
        for parts in (("file",), ("folder",)):
            with pytest.raises(FileExistsError):
                root.create_file(parts)
            with pytest.raises(FileExistsError):
                root.mkdir(parts)
            with pytest.raises(FileExistsError):
                root.symlink("x", parts)
            with pytest.raises(FileExistsError):
                root.link(("file",), parts)
        root.mkdir(("folder",), exist_ok=True)
        with pytest.raises(FileExistsError):
            root.mkdir(("file",), exist_ok=True)

    def test_missing_things_are_missing(self, root: Root) -> None:
        assert not root.exists(("none",))
        assert not root.exists(("none", "below"))
        for act in (root.open_file, root.create_file, root.mkdir, root.remove, root.list):
            with pytest.raises(FileNotFoundError):
                act(("none", "below"))
        assert root.exists(())

    def test_links_are_second_names(self, root: Root) -> None:
        root.mkdir(("a",))
        root.mkdir(("b",))
        write(root, ("a", "file"), b"content")
        root.link(("a", "file"), ("b", "second"))
        assert (root.path / "b" / "second").samefile(root.path / "a" / "file")

    def test_rename_replaces_a_file(self, root: Root) -> None:
        root.mkdir(("a",))
        write(root, ("a", "new"), b"new")
        write(root, ("old",), b"old")
        root.rename(("a", "new"), ("old",))
        assert (root.path / "old").read_bytes() == b"new"
        assert root.list(("a",)) == []

    def test_renamed_folder_is_no_longer_known_by_its_old_name(
        self, root: Root, outside: Path
    ) -> None:
        root.mkdir(("a",))
        root.mkdir(("a", "b"))
        write(root, ("a", "b", "file"))
        root.rename(("a",), ("c",))
        assert root.exists(("c", "b", "file"))
        assert not root.exists(("a", "b"))
        root.symlink(str(outside), ("a",), is_folder=True)
        with pytest.raises(InvalidName):
            root.create_file(("a", "new"))

    def test_removed_folder_is_no_longer_known(self, root: Root, outside: Path) -> None:
        root.mkdir(("a",))
        write(root, ("a", "file"))
        root.remove(("a", "file"))
        root.remove(("a",))
        root.symlink(str(outside), ("a",), is_folder=True)
        with pytest.raises(InvalidName):
            root.create_file(("a", "new"))

    def test_folder_that_is_not_empty_stays(self, root: Root) -> None:
        root.mkdir(("a",))
        write(root, ("a", "file"))
        with pytest.raises(OSError, match="not empty"):
            root.remove(("a",))
        assert root.exists(("a", "file"))

    def test_times_are_set(self, root: Root) -> None:
        write(root, ("file",))
        root.mkdir(("folder",))
        for parts in (("file",), ("folder",)):
            root.utime(parts, access_ns=1_000_000_700, modify_ns=2_000_000_900)
            found = root.stat(parts)
            assert (found.st_atime_ns // 100, found.st_mtime_ns // 100) == (10_000_007, 20_000_009)

    @pytest.mark.skipif(not POSIX, reason="no such bits there")
    def test_mode_is_given_less_the_umask(self, root: Root) -> None:
        mask = os.umask(0o022)
        try:
            root.mkdir(("folder",), 0o770)
            root.create_file(("file",), 0o666).close()
        finally:
            os.umask(mask)
        assert stat.S_IMODE(root.stat(("folder",)).st_mode) == 0o750
        assert stat.S_IMODE(root.stat(("file",)).st_mode) == 0o644

    def test_root_itself_is_left_alone(self, root: Root) -> None:
        for act in (root.mkdir, root.create_file, root.remove, root.remove_tree):
            with pytest.raises(InvalidName, match="root itself"):
                act(())
        assert root.path.is_dir()

    def test_missing_root_is_an_error(self, root: Root) -> None:
        for path in (root.path / "none", root.path / "file"):
            with pytest.raises((FileNotFoundError, NotADirectoryError)):
                Root(path)
            path.with_name("file").touch()

    def test_closing_twice_is_fine(self, root: Root) -> None:
        root.mkdir(("a",))
        root.list(("a",))
        root.close()
        root.close()


class TestNames:
    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "/etc", "a\0b", "../x"])
    def test_name_that_is_not_plain_is_refused(self, root: Root, name: str) -> None:
        root.mkdir(("a",))
        for parts in ((name,), ("a", name), (name, "a")):
            for act in (root.mkdir, root.create_file, root.open_file, root.stat, root.list):
                with pytest.raises(InvalidName, match="not the name of one file"):
                    act(parts)
            with pytest.raises(InvalidName):
                root.rename(("a",), parts)
            with pytest.raises(InvalidName):
                root.link(parts, ("b",))
        assert root.list(()) == ["a"]

    @pytest.mark.skipif(not POSIX, reason="there names are UTF-16")
    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_any_text_is_a_name_also_with_lone_surrogates(self, root: Root, name: str) -> None:
        root.mkdir((name,))
        write(root, (name, name))
        root.symlink(name, ("link",))
        assert root.read_link(("link",)) == name
        assert root.list((name,)) == [name]
        root.remove_tree((name,))
        assert root.list(()) == ["link"]
        assert os.listdir(os.fsencode(root.path)) == [b"link"]

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no such names")
    def test_name_on_the_disk_that_is_not_utf8_is_refused(self, root: Root) -> None:
        Path(os.fsdecode(os.fsencode(root.path) + b"/\xff")).touch()
        with pytest.raises(InvalidName, match="not UTF-8"):
            root.list(())

    def test_places_that_are_too_deep_are_refused(self, root: Root) -> None:
        with pytest.raises(TooLarge, match="2048 folders deep"):
            root.mkdir(("a",) * (MAX_DEPTH + 1))

    def test_windows_separators_are_refused_where_they_are_some(
        self, root: Root, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rooted, "_NOT_IN_NAMES", "/\0\\:")
        for name in ("a\\b", "C:", "file:stream"):
            with pytest.raises(InvalidName):
                root.create_file((name,))
        assert root.list(()) == []


class TestLinks:
    @pytest.fixture(autouse=True)
    def links(self, root: Root, outside: Path) -> None:
        root.mkdir(("real",))
        root.symlink(str(outside), ("absolute",), is_folder=True)
        root.symlink("../outside", ("relative",), is_folder=True)
        root.symlink("real", ("inside",), is_folder=True)
        root.symlink(str(outside / "secret"), ("file",))
        root.symlink("nowhere", ("dangling",))

    @pytest.mark.parametrize("link", ["absolute", "relative", "inside", "file", "dangling"])
    def test_nothing_goes_through_a_link(self, root: Root, link: str) -> None:
        write(root, ("own",), b"own")
        for parts in ((link, "secret"), (link, "new"), (link, "deep", "new")):
            for act in (
                root.mkdir,
                root.create_file,
                root.open_file,
                root.remove,
                root.remove_tree,
                root.stat,
                root.list,
                root.exists,
                root.read_link,
            ):
                with pytest.raises(InvalidName, match="a link or a file where a folder should be"):
                    act(parts)
            with pytest.raises(InvalidName):
                root.symlink("x", parts)
            with pytest.raises(InvalidName):
                root.link(("own",), parts)
            with pytest.raises(InvalidName):
                root.link(parts, ("stolen",))
            with pytest.raises(InvalidName):
                root.rename(("own",), parts)
            with pytest.raises(InvalidName):
                root.rename(parts, ("stolen",))
            with pytest.raises(InvalidName):
                root.utime(parts, access_ns=0, modify_ns=0)
        with pytest.raises(InvalidName):
            root.list((link,))
        assert not root.exists(("stolen",))
        assert root.list(("real",)) == []

    @pytest.mark.parametrize("link", ["absolute", "inside", "file", "dangling"])
    def test_link_itself_is_what_is_meant(self, root: Root, link: str, outside: Path) -> None:
        assert root.exists((link,))
        assert stat.S_ISLNK(root.stat((link,)).st_mode)
        with pytest.raises(InvalidName, match="not a regular file"):
            root.open_file((link,))
        with pytest.raises(FileExistsError):
            root.create_file((link,))
        with pytest.raises(FileExistsError):
            root.mkdir((link,), exist_ok=True)
        before = (outside / "secret").stat().st_mtime_ns
        root.utime((link,), access_ns=5_000_000_000, modify_ns=5_000_000_000)
        assert root.stat((link,)).st_mtime_ns == 5_000_000_000
        assert (outside / "secret").stat().st_mtime_ns == before
        root.link((link,), ("second",))
        assert root.read_link(("second",)) == root.read_link((link,))
        root.rename((link,), ("renamed",))
        root.remove(("renamed",))
        root.remove(("second",))
        assert not root.exists((link,))

    def test_file_where_a_folder_should_be_is_told_alike(self, root: Root) -> None:
        write(root, ("plain",))
        with pytest.raises(InvalidName, match="'plain' is a link or a file"):
            root.create_file(("plain", "below"))

    def test_links_in_a_tree_are_removed_and_not_followed(self, root: Root) -> None:
        for link in ("absolute", "relative", "inside", "file", "dangling"):
            root.rename((link,), ("real", link))
        root.mkdir(("real", "empty"))
        root.remove_tree(("real",))
        assert root.list(()) == []

    def test_link_without_times_of_its_own_is_told(
        self, root: Root, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "supports_follow_symlinks", set())
        with pytest.raises(WrongPlatform, match="times of the link 'file'"):
            root.utime(("file",), access_ns=0, modify_ns=0)


@contextmanager
def few_open_files() -> Iterator[None]:
    """Have no more than 200 files open at once, where the system can be told so."""
    if not POSIX:
        yield
        return
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


class TestManyFolders:
    def test_places_in_more_folders_than_are_kept_open(self, root: Root) -> None:
        opened_before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
        names = [f"folder{number}" for number in range(300)]
        for name in names:
            root.mkdir((name,))
        for _ in range(2):
            for name in names:
                with root.create_file((name, f"file{_}")) as file:
                    file.write(name.encode())
        for first, second in pairwise(names):
            root.link((first, "file0"), (second, "link"))
        for first, second in pairwise(names):
            assert (root.path / second / "link").read_bytes() == first.encode()
        if sys.platform == "linux":
            opened = os.listdir("/proc/self/fd")
            assert len(opened) - opened_before < 64 + 40

    def test_deep_tree_is_made_and_removed(self, root: Root) -> None:
        depth = 300 if root._folders.__class__.__name__ == "_OpenFolders" else 100
        with few_open_files():
            for level in range(1, depth + 1):
                root.mkdir(("deep-folder",) * level)
            write(root, (*("deep-folder",) * depth, "file"))
            root.remove_tree(("deep-folder",))
        assert root.list(()) == []

    @pytest.mark.skipif(not POSIX, reason="needs dir_fd")
    def test_folder_swapped_for_a_link_meanwhile_leads_nowhere(
        self, tmp_path: Path, outside: Path
    ) -> None:
        path = tmp_path / "other"
        path.mkdir()
        with Root(path) as root:
            root.mkdir(("a",))
            write(root, ("a", "first"))
            (path / "a").rename(path / "moved")
            (path / "a").symlink_to(outside)
            write(root, ("a", "second"))
            assert sorted(os.listdir(path / "moved")) == ["first", "second"]
        assert os.listdir(outside) == ["secret"]
