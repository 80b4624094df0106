"""Files below an open folder: what is made, linked and removed there, and that no link leads out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native import _folder
from winlayers.backends.native._handles import Access, open_file
from winlayers.errors import InvalidArgument, Malformed, WindowsCallFailed
from winlayers.formats.filetime import BasicInfo
from winlayers.layer.entry import FILE_ATTRIBUTE_REPARSE_POINT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``folder`` with a file, and beside it a file and a folder that links in ``folder`` lead to."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"outside")
    (root / "link").symlink_to(tmp_path / "outside")
    return root


@pytest.fixture
def handle(fake: Fake, root: Path) -> Iterator[int]:
    with open_file(fake.api, root, Access.GENERIC_READ) as handle:
        yield handle


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("a", "a"),
        ("a/b", "a\\b"),
        ("a\\.\\b\\..\\c\\", "a\\c"),
        ("..a", "..a"),
        ("\udc00.", "\udc00."),
    ],
)
def test_path_is_cleaned(path: str, clean: str) -> None:
    assert _folder.clean_path(path) == clean


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "a/..",
        "..",
        "a/../../b",
        "/a",
        "\\a",
        "\\\\a\\b",
        "C:",
        "C:\\a",
        "a:b",
        "a\0",
        "\0",
    ],
)
def test_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument):
        _folder.clean_path(path)


def test_path_has_32767_units_at_most() -> None:
    assert len(_folder.clean_path("x" * 32767)) == 32767
    with pytest.raises(InvalidArgument, match="32768 units"):
        _folder.clean_path("\U00010000" * 16384)


def test_folder_is_made(fake: Fake, handle: int, root: Path) -> None:
    _folder.make_folder(fake.api, handle, "folder/new")
    assert (root / "folder" / "new").is_dir()
    assert (
        "NtCreateFile folder\\new access=00100000 attributes=1000 share=7 disposition=2 options=4021"
        in fake.log()
    )
    with pytest.raises(WindowsCallFailed) as caught:
        _folder.make_folder(fake.api, handle, "folder/new")
    assert caught.value.code == 183


def test_file_is_created_with_times_and_attributes(fake: Fake, handle: int, root: Path) -> None:
    info = BasicInfo(1, 2, 3, 2**63 - 1, 0x22)
    write = Access.GENERIC_READ | Access.GENERIC_WRITE
    with _folder.open_below(
        fake.api, handle, "folder\\new", write, disposition=_folder.CREATE
    ) as file:
        _folder.write_info(fake.api, file, info)
        assert _folder.read_info(fake.api, file) == info
        _folder.write_info(fake.api, file, BasicInfo(2**63, 4, 2**64 - 1, 2**63, 0x22))
    assert (root / "folder" / "new").read_bytes() == b""
    # No file of Windows has a time from 2^63 on: those stay as they are.
    assert _folder.info_below(fake.api, handle, "folder/new") == replace(info, access_filetime=4)


@pytest.mark.parametrize("path", ["link\\file", "link"])
def test_no_link_is_followed(fake: Fake, handle: int, path: str) -> None:
    with (
        pytest.raises(WindowsCallFailed) as caught,
        _folder.open_below(fake.api, handle, path, Access.GENERIC_READ),
    ):
        pass
    assert caught.value.raw == 0xC000050B


def test_link_itself_is_looked_at(fake: Fake, handle: int) -> None:
    info = _folder.info_below(fake.api, handle, "link")
    assert info.attributes == FILE_ATTRIBUTE_REPARSE_POINT
    assert not _folder.is_plain_folder(info)
    assert _folder.is_plain_folder(_folder.info_below(fake.api, handle, "folder"))
    for path, tag in (("link", 0xA000000C), ("folder", 0)):
        with _folder.open_below(fake.api, handle, path, 0x80, options=_folder.OPEN_LINK) as one:
            assert _folder.read_tag(fake.api, one) == tag


def test_folder_is_listed_in_several_calls(fake: Fake, handle: int, root: Path) -> None:
    names = {f"name {number} \u20ac" for number in range(20)}
    for name in names:
        (root / "folder" / name).touch()
    with _folder.open_below(fake.api, handle, "folder", Access.GENERIC_READ) as folder:
        for _ in range(2):
            listed = _folder.list_folder(fake.api, folder)
            assert len(listed) == 21
            assert set(listed) == names | {"file"}


@pytest.mark.parametrize("step", [4, 67, 1 << 31])
def test_list_that_leads_out_of_itself_is_refused(step: int) -> None:
    with pytest.raises(Malformed):
        list(_folder._parse_listing(step.to_bytes(4, "little") + bytes(128)))


@pytest.mark.parametrize("new", ["new", "folder\\new"])
def test_file_gets_one_more_name(fake: Fake, handle: int, root: Path, new: str) -> None:
    _folder.link_below(fake.api, handle, new, handle, "folder/file")
    assert (root / new.replace("\\", "/")).samefile(root / "folder" / "file")
    assert f"size={20 + 6} class=11" in next(line for line in fake.log() if "class=11" in line)


@pytest.mark.parametrize(("name", "size"), [("n", 24), ("nn", 24), ("nnn", 26)])
def test_no_less_than_the_whole_structure_is_given(
    fake: Fake, handle: int, root: Path, name: str, size: int
) -> None:
    _folder.link_below(fake.api, handle, name, handle, "folder/file")
    assert (root / name).samefile(root / "folder" / "file")
    assert f"size={size} class=11" in next(line for line in fake.log() if "class=11" in line)


@pytest.mark.parametrize(("new", "source"), [("link\\new", "folder\\file"), ("new", "link\\file")])
def test_no_name_is_made_through_a_link(
    fake: Fake, handle: int, root: Path, new: str, source: str
) -> None:
    with pytest.raises(WindowsCallFailed) as caught:
        _folder.link_below(fake.api, handle, new, handle, source)
    assert caught.value.code == 4395
    assert os.listdir(root.parent / "outside") == ["file"]
    assert not (root / "new").exists()


def test_reparse_point_that_opens_as_a_folder_is_left_alone(
    fake: Fake, handle: int, root: Path
) -> None:
    with _folder.open_below(fake.api, handle, "folder", 0x100) as folder:
        _folder.write_info(fake.api, folder, BasicInfo(0, 0, 0, 0, 0x410))
    with pytest.raises(InvalidArgument, match="is a link"):
        _folder.link_below(fake.api, handle, "folder\\new", handle, "folder\\file")
    with pytest.raises(WindowsCallFailed) as caught:
        _folder.remove_tree(fake.api, handle, "folder")
    assert caught.value.code == 145
    assert os.listdir(root / "folder") == ["file"]


@pytest.mark.parametrize("setting", [None, "FAKE_OLD"])
@pytest.mark.parametrize("attributes", [0x20, 0x21, 0x01])
def test_file_is_removed(
    fake: Fake, handle: int, root: Path, setting: str | None, attributes: int
) -> None:
    if setting:
        fake.set(setting, "1")
    with _folder.open_below(fake.api, handle, "folder\\file", 0x100) as file:
        _folder.write_info(fake.api, file, BasicInfo(0, 0, 0, 0, attributes))
    _folder.remove_below(fake.api, handle, "folder\\file")
    assert os.listdir(root / "folder") == []
    classes = [line.rsplit("=", 1)[1] for line in fake.log() if line.startswith("NtSetInf")]
    assert classes == (["64", "13"] if setting else ["64"]) * (2 if attributes & 1 else 1)


def test_what_stays_denied_is_tried_twice_only(fake: Fake, handle: int, root: Path) -> None:
    fake.fail("NtSetInformationFile", 0xC0000022, times=3)
    with pytest.raises(WindowsCallFailed) as caught:
        _folder.remove_below(fake.api, handle, "folder\\file")
    assert caught.value.code == 5
    assert fake.calls().count("NtSetInformationFile") == 2
    assert (root / "folder" / "file").exists()


def test_folder_that_is_not_empty_is_not_removed(fake: Fake, handle: int) -> None:
    with pytest.raises(WindowsCallFailed) as caught:
        _folder.remove_below(fake.api, handle, "folder")
    assert caught.value.code == 145


def test_tree_is_removed_and_nothing_behind_links(fake: Fake, handle: int, root: Path) -> None:
    deep = root / "folder" / "/".join("d" * 100)
    deep.mkdir(parents=True)
    (deep / "out").symlink_to(root.parent / "outside")
    _folder.remove_tree(fake.api, handle, "folder")
    _folder.remove_tree(fake.api, handle, "link")
    assert os.listdir(root) == []
    assert (root.parent / "outside" / "file").read_bytes() == b"outside"


def test_tree_that_is_not_there_is_removed_already(fake: Fake, handle: int) -> None:
    _folder.remove_tree(fake.api, handle, "missing\\at all")
    assert fake.calls().count("NtSetInformationFile") == 0


def test_tree_stops_at_what_does_not_go(fake: Fake, handle: int, root: Path) -> None:
    fake.fail("NtSetInformationFile", 0xC0000101)
    with pytest.raises(WindowsCallFailed) as caught:
        _folder.remove_tree(fake.api, handle, "folder")
    assert caught.value.code == 145
    assert (root / "folder" / "file").exists()
