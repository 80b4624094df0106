from __future__ import annotations

import re

import pytest

from tests.support.builders import (
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_view,
    node_at,
)
from winlayers.errors import InvalidName, PathNotFound
from winlayers.formats.reparse import MountPoint, SymbolicLink, build_reparse
from winlayers.layer.entry import EntryKind
from winlayers.layer.merge import MergedView
from winlayers.layer.resolving import MAX_HOPS, glob_walk, link_target, resolve_path

LAYER = a_layer(
    a_file("Files/Windows/System32/kernel32.dll", b"k"),
    a_file("Files/Windows/win.ini", b"ini"),
    a_link("Files/Windows/hard.ini", "Files/Windows/win.ini"),
    a_symlink("Files/drive", "C:\\Windows", is_directory=True),
    a_symlink("Files/rooted", "\\Windows", is_directory=True),
    a_symlink("Files/relative", ".\\Windows", is_directory=True),
    a_symlink("Files/forward", "Windows/System32", is_directory=True),
    a_junction("Files/junction", "C:\\windows\\SYSTEM32"),
    a_junction("Files/long", "\\\\?\\C:\\Windows"),
    a_symlink("Files/a/b/up", "..\\..\\Windows", is_directory=True),
    a_symlink("Files/a/b/too-high", "..\\..\\..\\..\\Windows", is_directory=True),
    a_symlink("Files/through", "drive\\..\\Windows\\win.ini"),
    a_symlink("Files/chain1", "chain2", is_directory=True),
    a_symlink("Files/chain2", "junction", is_directory=True),
    a_symlink("Files/loop1", "loop2"),
    a_symlink("Files/loop2", "C:\\loop1"),
    a_symlink("Files/root", "\\", is_directory=True),
    a_symlink("Files/other", "D:\\x"),
    a_junction("Files/volume", "\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\"),
    a_symlink("Files/share", "\\\\server\\share\\x"),
    a_symlink("Files/dangling", "gone"),
    a_symlink("Files/half-drive", "C:x"),
    a_reparse_point("Files/app"),
    a_link("Files/hard-link-to-symlink", "Files/through"),
    a_symlink("UtilityVM/Files/link", "C:\\Windows", is_directory=True),
    a_file("UtilityVM/Files/Windows/vm.txt", b"vm"),
    a_file("Hives/System_Delta", b"regf"),
    a_symlink("Hives/link", "System_Delta"),
)


@pytest.fixture
def view() -> MergedView:
    return a_view(LAYER)


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("", "Files"),
        ("\\", "Files"),
        ("C:\\WINDOWS\\Win.INI", "Files/Windows/win.ini"),
        ("/windows/./x/../win.ini", "Files/Windows/win.ini"),
        ("drive\\win.ini", "Files/Windows/win.ini"),
        ("rooted\\win.ini", "Files/Windows/win.ini"),
        ("relative\\win.ini", "Files/Windows/win.ini"),
        ("forward\\kernel32.dll", "Files/Windows/System32/kernel32.dll"),
        ("junction\\kernel32.dll", "Files/Windows/System32/kernel32.dll"),
        ("long\\win.ini", "Files/Windows/win.ini"),
        ("a/b/up/win.ini", "Files/Windows/win.ini"),
        ("a/b/too-high/win.ini", "Files/Windows/win.ini"),
        ("through", "Files/Windows/win.ini"),
        ("chain1", "Files/Windows/System32"),
        ("chain1/kernel32.dll", "Files/Windows/System32/kernel32.dll"),
        ("root/root/root/drive", "Files/Windows"),
        ("app", "Files/app"),
        ("hard-link-to-symlink", "Files/Windows/win.ini"),
    ],
)
def test_path_leads_to_its_node(view: MergedView, path: str, leads_to: str) -> None:
    assert resolve_path(view, path).path == leads_to


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("drive", "Files/drive"),
        ("chain1", "Files/chain1"),
        ("dangling", "Files/dangling"),
        ("drive/win.ini", "Files/Windows/win.ini"),
    ],
)
def test_last_link_is_not_followed_when_not_asked_to(
    view: MergedView, path: str, leads_to: str
) -> None:
    assert resolve_path(view, path, follow_last=False).path == leads_to


def test_hard_link_shows_what_it_shares_under_its_own_name(view: MergedView) -> None:
    node = resolve_path(view, "windows/HARD.ini")
    assert (node.path, node.kind, node.size) == ("Files/Windows/hard.ini", EntryKind.FILE, 3)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("windows/gone/x", r"'C:\Windows' has no 'gone'"),
        ("gone", r"'C:\' has no 'gone'"),
        ("windows/win.ini/x", r"'C:\Windows\win.ini' is no directory"),
        ("dangling", r"'C:\' has no 'gone'"),
        ("other", r"D:\\x"),
        ("volume/x", "Volume{26a21bda"),
        ("share", "server"),
        ("half-drive", "C:x"),
        ("app/x", "0x8000001c, not a link"),
        ("loop1", f"more than {MAX_HOPS} links"),
    ],
)
def test_path_that_leads_nowhere_is_not_found(view: MergedView, path: str, message: str) -> None:
    with pytest.raises(PathNotFound, match=re.escape(message)):
        resolve_path(view, path)


@pytest.mark.parametrize("path", ["..", "D:\\x", "a/../.."])
def test_path_outside_the_layer_is_invalid(view: MergedView, path: str) -> None:
    with pytest.raises(InvalidName):
        resolve_path(view, path)


def test_raw_paths_begin_at_the_root_of_the_tar(view: MergedView) -> None:
    assert resolve_path(view, "", start="").path == ""
    assert resolve_path(view, "files/drive/win.ini", start="").path == "Files/Windows/win.ini"
    assert resolve_path(view, "hives/SYSTEM_delta", start="").path == "Hives/System_Delta"


def test_targets_stay_in_the_volume_of_the_link(view: MergedView) -> None:
    node = resolve_path(view, "link/vm.txt", start="UtilityVM/Files")
    assert node.path == "UtilityVM/Files/Windows/vm.txt"


def test_link_outside_of_any_volume_is_not_followed(view: MergedView) -> None:
    with pytest.raises(PathNotFound, match="outside of any volume"):
        resolve_path(view, "Hives/link", start="")
    assert resolve_path(view, "Hives/link", start="", follow_last=False).path == "Hives/link"


def test_as_many_links_as_windows_follows_are_followed() -> None:
    def chain(length: int) -> MergedView:
        links = [a_symlink(f"Files/{n}", str(n + 1)) for n in range(length)]
        return a_view(a_layer(*links, a_file(f"Files/{length}")))

    assert resolve_path(chain(MAX_HOPS), "0").path == f"Files/{MAX_HOPS}"
    with pytest.raises(PathNotFound, match="more than 63 links"):
        resolve_path(chain(MAX_HOPS + 1), "0")


@pytest.mark.parametrize(
    "link",
    [
        SymbolicLink("", "Windows", 1),
        MountPoint("", "C:\\Windows"),
        MountPoint("\\??\\C:\\Windows\0", ""),
        SymbolicLink("\\??\\c:\\Windows\\", "elsewhere", 0),
        SymbolicLink("\\Windows", "\\Windows", 0),
    ],
)
def test_odd_links_lead_where_they_mean(link: SymbolicLink | MountPoint) -> None:
    reparse = build_reparse(link)
    layer = a_layer(a_file("Files/Windows/x"), a_directory("Files/l", reparse=reparse))
    assert resolve_path(a_view(layer), "l/x").path == "Files/Windows/x"


def test_very_deep_path_is_resolved_quickly() -> None:
    depth = 3000
    deep = "Files" + "/d" * depth
    layer = a_layer(a_symlink(deep, "gone"))
    node = resolve_path(a_view(layer), "d/" * depth, follow_last=False)
    assert node.path == deep
    with pytest.raises(PathNotFound):
        resolve_path(a_view(layer), "d/" * (depth - 1) + "x/" * depth)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("Files/drive", "Files/Windows"),
        ("Files/junction", "Files/Windows/System32"),
        ("Files/through", "Files/Windows/win.ini"),
        ("Files/dangling", "Files/gone"),
        ("Files/root", "Files"),
        ("UtilityVM/Files/link", "UtilityVM/Files/Windows"),
        ("Files/app", None),
        ("Files/Windows", None),
    ],
)
def test_link_tells_where_it_leads(view: MergedView, path: str, target: str | None) -> None:
    assert link_target(view, node_at(view, path)) == target


@pytest.mark.parametrize("path", ["Files/other", "Files/volume", "Files/share", "Hives/link"])
def test_link_to_another_volume_leads_nowhere(view: MergedView, path: str) -> None:
    with pytest.raises(PathNotFound):
        link_target(view, node_at(view, path))


def found(view: MergedView, pattern: str, start: str = "Files") -> list[str]:
    return [node.path for node in glob_walk(view, node_at(view, start), pattern)]


GLOBBED = a_view(
    a_layer(
        a_file("Files/a.txt"),
        a_file("Files/b/A.TXT"),
        a_file("Files/b/c/a.txt"),
        a_file("Files/b/c/[x].dat"),
        a_file("Files/b/x.dat"),
        a_junction("Files/j", "C:\\b"),
    )
)


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("a.txt", ["Files/a.txt", "Files/b/A.TXT", "Files/b/c/a.txt"]),
        ("C:a.txt", ["Files/a.txt", "Files/b/A.TXT", "Files/b/c/a.txt"]),
        ("/a.txt", ["Files/a.txt"]),
        ("C:\\A.txt", ["Files/a.txt"]),
        ("*/a.txt", ["Files/b/A.TXT"]),
        ("**/a.txt", ["Files/a.txt", "Files/b/A.TXT", "Files/b/c/a.txt"]),
        ("b/**/a.txt", ["Files/b/A.TXT", "Files/b/c/a.txt"]),
        ("b/**/**/c/*", ["Files/b/c/a.txt", "Files/b/c/[x].dat"]),
        ("b/**", ["Files/b/A.TXT", "Files/b/c", "Files/b/c/a.txt", "Files/b/c/[x].dat",
                  "Files/b/x.dat"]),
        ("[x].dat", ["Files/b/c/[x].dat"]),
        ("?.DAT", ["Files/b/x.dat"]),
        ("?", ["Files/b", "Files/b/c", "Files/j"]),
        ("j/**", []),
        ("", []),
        ("/", []),
        ("nothing*", []),
    ],
)  # fmt: skip
def test_pattern_finds_its_nodes(pattern: str, paths: list[str]) -> None:
    assert found(GLOBBED, pattern) == paths


def test_pattern_begins_at_the_given_directory() -> None:
    assert found(GLOBBED, "/*.txt", "Files/b/c") == ["Files/b/c/a.txt"]
    assert found(GLOBBED, "**", "")[0] == "Files"


def test_pattern_that_could_be_slow_is_not() -> None:
    view = a_view(a_layer(a_file("Files/" + "a" * 255)))
    assert found(view, "*a" * 60 + "b") == []
    assert len(found(view, "/**" * 200 + "/a*")) == 1
