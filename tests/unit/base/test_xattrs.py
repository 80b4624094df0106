"""Extended attributes of any length, of files and of links."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from winlayers.base.rooted import Root
from winlayers.base.xattrs import _getter, read_xattr
from winlayers.errors import InvalidName, WrongPlatform


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("value", [b"", b"a\0b", bytes(128), bytes(range(200)) * 10])
def test_value_is_read_whole(file: Path, value: bytes) -> None:
    os.setxattr(file, "user.x", value)
    assert read_xattr(str(file), "user.x") == value
    assert read_xattr(os.fsencode(file), "user.x", follow_symlinks=True) == value


def test_missing_is_an_error_of_the_system(file: Path) -> None:
    with pytest.raises(OSError, match="No data available") as told:
        read_xattr(str(file), "user.none")
    assert told.value.errno == errno.ENODATA
    with pytest.raises(FileNotFoundError):
        read_xattr(str(file.with_name("none")), "user.x")


def test_link_is_followed_where_that_is_wanted(file: Path) -> None:
    os.setxattr(file, "user.x", b"of the file")
    link = file.with_name("link")
    link.symlink_to("f")
    assert read_xattr(str(link), "user.x", follow_symlinks=True) == b"of the file"
    with pytest.raises(OSError, match="link") as told:
        read_xattr(str(link), "user.x")
    assert told.value.errno in (errno.ENODATA, errno.EPERM, errno.EOPNOTSUPP)


def test_other_systems_have_none(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _getter.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(WrongPlatform, match="Linux"):
        read_xattr(str(file), "user.x")
    with Root(file.parent) as root, pytest.raises(WrongPlatform, match="Linux"):
        root.set_xattr(("f",), "user.x", b"")


def test_attributes_below_a_root(file: Path) -> None:
    with Root(file.parent) as root:
        for parts in (("f",), ()):
            root.set_xattr(parts, "user.x", b"x" * 300)
            assert root.xattr(parts, "user.x") == b"x" * 300
        assert os.getxattr(file, "user.x") == os.getxattr(file.parent, "user.x") == b"x" * 300


def test_attributes_below_a_root_follow_no_link(file: Path) -> None:
    file.with_name("link").symlink_to("f")
    with Root(file.parent) as root:
        with pytest.raises(OSError, match="link"):
            root.set_xattr(("link",), "user.x", b"x")
        with pytest.raises(InvalidName, match="link"):
            root.xattr(("link", "f"), "user.x")
    assert os.listxattr(file) == []
