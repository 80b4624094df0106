"""NTFS metadata as extended attributes: what is read, set, listed and refused."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.builders import DESCRIPTOR, NEW_YEAR_FILETIME, OTHER_DESCRIPTOR
from winlayers.errors import PathNotFound
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import build_reparse, link_to
from winlayers.layer import ntfs3g
from winlayers.layer.tree import FileKind, Tree
from winlayers.mounts.fuse import _xattrs
from winlayers.mounts.fuse._xattrs import NO_ATTRIBUTE, XATTR_CREATE, XATTR_REPLACE

EA = build_ea_list([ExtendedAttribute(b"NAME", b"value", 0)])


@contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as told:
        yield
    assert told.value.errno == number


def test_list_has_what_the_file_has(tree: Tree) -> None:
    assert _xattrs.names(tree, "/a.txt") == [
        "system.ntfs_acl",
        "system.winlayers_sddl",
        "system.ntfs_attrib",
        "system.ntfs_times",
        "user.notes",
    ]
    assert "system.ntfs_reparse_data" in _xattrs.names(tree, "/link")


def test_descriptor_is_raw_and_readable(tree: Tree) -> None:
    assert _xattrs.read(tree, "/a.txt", "system.ntfs_acl") == DESCRIPTOR
    sddl = b"O:BAG:SYD:(A;;FA;;;SY)(A;;0x1200a9;;;AU)"
    assert _xattrs.read(tree, "/a.txt", "system.winlayers_sddl") == sddl


def test_descriptor_is_set_raw_or_as_sddl(tree: Tree) -> None:
    _xattrs.write(tree, "/a.txt", "system.ntfs_acl", OTHER_DESCRIPTOR, 0)
    assert tree.security("/a.txt") == OTHER_DESCRIPTOR
    sddl = _xattrs.read(tree, "/dir", "system.winlayers_sddl")
    _xattrs.write(tree, "/a.txt", "system.winlayers_sddl", sddl + b"\n", XATTR_REPLACE)
    assert tree.security("/a.txt") == tree.security("/dir")


def test_attributes_have_both_byte_orders(tree: Tree) -> None:
    assert _xattrs.read(tree, "/locked.txt", "system.ntfs_attrib") == b"\x21\0\0\0"
    assert _xattrs.read(tree, "/locked.txt", "system.ntfs_attrib_be") == b"\0\0\0\x21"
    _xattrs.write(tree, "/locked.txt", "system.ntfs_attrib_be", b"\0\0\0\x22", 0)
    assert tree.stat("/locked.txt").attributes == 0x22


def test_times_are_creation_write_access_change(tree: Tree) -> None:
    told = struct.unpack("<4Q", _xattrs.read(tree, "/a.txt", "system.ntfs_times"))
    assert told == tuple(NEW_YEAR_FILETIME + n for n in (0, 2, 1, 3))
    big = struct.unpack(">4Q", _xattrs.read(tree, "/a.txt", "system.ntfs_times_be"))
    assert big == told


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_times_that_are_given_are_set(tree: Tree, count: int) -> None:
    before = struct.unpack("<4Q", _xattrs.read(tree, "/a.txt", "system.ntfs_times"))
    given = tuple(range(1, count + 1))
    _xattrs.write(tree, "/a.txt", "system.ntfs_times", struct.pack(f"<{count}Q", *given), 0)
    after = struct.unpack("<4Q", _xattrs.read(tree, "/a.txt", "system.ntfs_times"))
    assert after[:count] == given
    assert after[count:3] == before[count:3]


def test_reparse_data_is_set_and_removed(tree: Tree) -> None:
    data = build_reparse(link_to("a.txt", junction=False))
    _xattrs.write(tree, "/dir/b.txt", "system.ntfs_reparse_data", data, XATTR_CREATE)
    assert tree.stat("/dir/b.txt").kind is FileKind.SYMLINK
    assert _xattrs.read(tree, "/dir/b.txt", "system.ntfs_reparse_data") == data
    _xattrs.remove(tree, "/dir/b.txt", "system.ntfs_reparse_data")
    assert tree.stat("/dir/b.txt").kind is FileKind.FILE


def test_ea_is_set_and_removed(tree: Tree) -> None:
    with refused(NO_ATTRIBUTE):
        _xattrs.read(tree, "/a.txt", "system.ntfs_ea")
    _xattrs.write(tree, "/a.txt", "system.ntfs_ea", EA, XATTR_CREATE)
    assert _xattrs.read(tree, "/a.txt", "system.ntfs_ea") == EA
    _xattrs.remove(tree, "/a.txt", "system.ntfs_ea")
    assert "system.ntfs_ea" not in _xattrs.names(tree, "/a.txt")


def test_streams_are_user_attributes(tree: Tree) -> None:
    assert _xattrs.read(tree, "/a.txt", "user.NOTES") == b"alt"
    _xattrs.write(tree, "/a.txt", "user.notes", b"ne", XATTR_REPLACE)
    assert _xattrs.read(tree, "/a.txt", "user.notes") == b"ne"
    _xattrs.write(tree, "/dir", "user.empty", b"", XATTR_CREATE)
    assert _xattrs.read(tree, "/dir", "user.empty") == b""
    assert _xattrs.names(tree, "/dir")[-1] == "user.empty"
    _xattrs.remove(tree, "/a.txt", "user.notes")
    assert tree.streams("/a.txt") == []


def test_flags_are_kept(tree: Tree) -> None:
    with refused(errno.EEXIST):
        _xattrs.write(tree, "/a.txt", "user.notes", b"", XATTR_CREATE)
    with refused(NO_ATTRIBUTE):
        _xattrs.write(tree, "/a.txt", "user.other", b"", XATTR_REPLACE)
    with refused(errno.EEXIST):
        _xattrs.write(tree, "/a.txt", "system.ntfs_attrib", b"\0\0\0\0", XATTR_CREATE)
    with refused(NO_ATTRIBUTE):
        _xattrs.write(tree, "/a.txt", "system.ntfs_ea", EA, XATTR_REPLACE)


@pytest.mark.parametrize("name", ["user.none", "system.ntfs_ea", "system.ntfs_reparse_data"])
def test_what_is_not_there_is_missing(tree: Tree, name: str) -> None:
    with refused(NO_ATTRIBUTE):
        _xattrs.read(tree, "/a.txt", name)
    with refused(NO_ATTRIBUTE):
        _xattrs.remove(tree, "/a.txt", name)


@pytest.mark.parametrize(
    "name", ["security.selinux", "system.posix_acl_access", "trusted.x", "system.ntfs_none"]
)
def test_what_is_of_linux_is_not_supported(tree: Tree, name: str) -> None:
    # Programs that pack files ask for the first two kinds, and want to hear that there are none.
    missing = errno.ENOTSUP if name.startswith("system.") else NO_ATTRIBUTE
    with refused(missing):
        _xattrs.read(tree, "/a.txt", name)
    with refused(errno.ENOTSUP):
        _xattrs.write(tree, "/a.txt", name, b"", 0)
    with refused(missing):
        _xattrs.remove(tree, "/a.txt", name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("system.ntfs_attrib", b"\0\0\0"),
        ("system.ntfs_times", b"\0" * 7),
        ("system.ntfs_times", b"\0" * 12),
        ("system.ntfs_times", b"\0" * 40),
        ("system.winlayers_sddl", b"O:??"),
        ("system.winlayers_sddl", b"\xff"),
    ],
)
def test_value_that_is_none_is_refused(tree: Tree, name: str, value: bytes) -> None:
    with refused(errno.EINVAL):
        _xattrs.write(tree, "/a.txt", name, value, 0)


def test_descriptor_cannot_be_removed(tree: Tree) -> None:
    with refused(errno.EPERM):
        _xattrs.remove(tree, "/a.txt", "system.ntfs_acl")


def test_long_stream_is_too_big_for_an_attribute(tree: Tree) -> None:
    content = tree.open("/a.txt", stream="big", writable=True, create=True)
    content.write_at(0, bytes(ntfs3g.MAX_VALUE + 1))
    content.close()
    with refused(errno.E2BIG):
        _xattrs.read(tree, "/a.txt", "user.big")


def test_descriptor_without_a_readable_form_is_not_listed(tree: Tree) -> None:
    # An ACE of type 0x13, which SDDL does not know, for Everyone.
    ace = struct.pack("<BBHI", 0x7F, 0, 20, 1) + b"\x01\x01\0\0\0\0\0\x01\0\0\0\0"
    dacl = struct.pack("<BBHHH", 2, 0, 8 + len(ace), 1, 0) + ace
    tree.set_security("/a.txt", struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + dacl)
    names = _xattrs.names(tree, "/a.txt")
    assert "system.ntfs_acl" in names
    assert "system.winlayers_sddl" not in names


def test_attributes_of_what_is_not_there(tree: Tree) -> None:
    with pytest.raises(PathNotFound):
        _xattrs.names(tree, "/none")
    with pytest.raises(PathNotFound):
        _xattrs.read(tree, "/none", "user.notes")
