"""Links between POSIX and Windows: what is made of a text, and what is shown of a link."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import InvalidArgument, InvalidName
from winlayers.formats.reparse import (
    MAX_REPARSE_SIZE,
    MountPoint,
    SymbolicLink,
    parse_reparse,
)
from winlayers.layer.posixlinks import junction, posix_target, symbolic_link


def relative(target: str) -> SymbolicLink:
    return SymbolicLink(target, target, 1)


@pytest.mark.parametrize(
    ("target", "link"),
    [
        ("a", relative("a")),
        ("../a/./b//", relative("..\\a\\.\\b\\\\")),
        ("a\\b", relative("a\\b")),
        ("user@host.7:1", relative("user@host.7:1")),
        ("a:b", relative("a:b")),
        ("/", SymbolicLink("\\??\\C:\\", "C:\\")),
        ("/Windows/x", SymbolicLink("\\??\\C:\\Windows\\x", "C:\\Windows\\x")),
        ("//x", SymbolicLink("\\??\\C:\\x", "C:\\x")),
        ("c:/x/y", SymbolicLink("\\??\\c:\\x\\y", "c:\\x\\y")),
        ("D:\\x", SymbolicLink("\\??\\D:\\x", "D:\\x")),
    ],
)
def test_symbolic_link_of_a_text(target: str, link: SymbolicLink) -> None:
    assert parse_reparse(symbolic_link(target)) == link


def test_junction_is_absolute() -> None:
    assert parse_reparse(junction("/a/b")) == MountPoint("\\??\\C:\\a\\b", "C:\\a\\b")
    assert parse_reparse(junction("C:\\a")) == MountPoint("\\??\\C:\\a", "C:\\a")
    for target in ("a", "../a", "\\a"):
        with pytest.raises(InvalidArgument):
            junction(target)


@pytest.mark.parametrize("target", ["", "a\0b", "/a\0"])
def test_target_that_no_link_can_have_is_refused(target: str) -> None:
    for make in (symbolic_link, junction):
        with pytest.raises(InvalidName):
            make(target)


def test_target_that_is_too_long_is_refused() -> None:
    longest = "x" * ((MAX_REPARSE_SIZE - 24) // 4)
    assert len(symbolic_link(longest)) == MAX_REPARSE_SIZE
    with pytest.raises(InvalidName):
        symbolic_link(longest + "x")
    with pytest.raises(InvalidName):
        symbolic_link("x" * 20_000)
    with pytest.raises(InvalidName):
        junction("/" + longest)


@pytest.mark.parametrize(
    ("link", "text"),
    [
        (relative("c"), "c"),
        (relative(".\\c\\"), "./c/"),
        (relative("..\\..\\c"), "../../c"),
        (relative("..\\..\\..\\c"), "../../c"),  # Windows stops at the root
        (relative("..\\..\\.."), "../.."),
        (relative("c\\..\\d"), "d"),
        (relative("c\\..\\..\\d"), "../d"),
        (relative("\\c"), "../../c"),
        (relative("\\A\\c"), "../c"),
        (relative(""), "."),
        (relative("\\"), "../.."),
        (relative("c/d"), "c/d"),
        (SymbolicLink("\\??\\C:\\a\\B\\c", ""), "c"),
        (SymbolicLink("\\??\\c:\\a\\b", ""), "."),
        (SymbolicLink("\\??\\C:", ""), "../.."),
        (SymbolicLink("\\\\?\\C:\\x\\..\\..\\y", ""), "../../y"),
        (SymbolicLink("C:\\x", ""), "../../x"),
        (SymbolicLink("\\x", ""), "../../x"),
        (SymbolicLink("", "C:\\x"), "../../x"),
        (MountPoint("\\??\\C:\\x\0", ""), "../../x"),
        (MountPoint("\\??\\D:\\x", ""), "??/D:/x"),
        (MountPoint("\\??\\Volume{1}\\", ""), "??/Volume{1}"),
        (SymbolicLink("\\??\\UNC\\server\\share", ""), "??/UNC/server/share"),
        (SymbolicLink("\\\\server\\..\\..\\share", ""), "??/share"),
        (SymbolicLink("\\??\\..\\..\\etc", ""), "??/etc"),
        (SymbolicLink("", ""), "??/"),
    ],
)
def test_link_as_posix_shows_it(link: SymbolicLink | MountPoint, text: str) -> None:
    assert posix_target(link, ["a", "b"]) == text


names = st.sampled_from(["a", "b", "A", "..", ".", "", "C:", "??", "\\", "D:", "\0", "x y"])


@given(
    st.lists(names, max_size=7).map("\\".join),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
    st.booleans(),
    st.booleans(),
)
@settings(derandomize=True, max_examples=400, deadline=None)
def test_shown_target_never_leads_out(
    name: str, folder: list[str], is_relative: bool, is_prefixed: bool
) -> None:
    link = SymbolicLink(("\\??\\" if is_prefixed else "") + name, "", int(is_relative))
    text = posix_target(link, folder)
    assert text
    assert not text.startswith("/")
    assert "\0" not in text
    components = text.split("/")
    climbed = components.count("..")
    assert climbed <= len(folder)
    assert ".." not in components[climbed + components.count(".") :]


@given(
    st.lists(st.sampled_from(["a", "b", "A", "c"]), max_size=4),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
)
@settings(derandomize=True, max_examples=300, deadline=None)
def test_shown_target_of_an_absolute_link_leads_to_the_same_place(
    target: list[str], folder: list[str]
) -> None:
    link = parse_reparse(symbolic_link("/" + "/".join(target)))
    assert isinstance(link, SymbolicLink)
    there = posixpath.normpath("/".join(["", *folder, posix_target(link, folder)]))
    assert there.upper() == ("/" + "/".join(target)).upper()
