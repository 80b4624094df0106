"""NTFS metadata and alternate streams through the extended attributes of a mount."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import needs
from tests.e2e.places import Place, run
from tests.support.builders import DESCRIPTOR, NEW_YEAR_FILETIME, OTHER_DESCRIPTOR
from winlayers.formats.reparse import build_reparse, link_to

pytestmark = pytest.mark.e2e


@contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as told:
        yield
    assert told.value.errno == number


def test_metadata_is_read(root: Path) -> None:
    path = root / "a.txt"
    assert os.getxattr(path, "system.ntfs_acl") == DESCRIPTOR
    assert os.getxattr(path, "system.winlayers_sddl").startswith(b"O:BAG:SYD:")
    assert os.getxattr(path, "system.ntfs_attrib") == b"\x20\0\0\0"
    times = struct.unpack("<4Q", os.getxattr(path, "system.ntfs_times"))
    assert times == tuple(NEW_YEAR_FILETIME + n for n in (0, 2, 1, 3))
    assert os.getxattr(path, "user.notes") == b"alt"
    target = os.getxattr(root / "link", "system.ntfs_reparse_data", follow_symlinks=False)
    assert target == build_reparse(link_to("dir\\b.txt", junction=False))


def test_metadata_is_set_and_kept(place: Place, root: Path) -> None:
    path = root / "dir"
    os.setxattr(path, "user.stream", b"content")
    os.setxattr(path, "system.ntfs_acl", OTHER_DESCRIPTOR)
    os.setxattr(path, "system.ntfs_attrib", struct.pack("<I", 0x12))
    os.setxattr(path, "system.ntfs_times", struct.pack("<4Q", 1, 2, 3, 4))
    path = place.remount(root, "scratch") / "dir"
    assert os.getxattr(path, "system.ntfs_acl") == OTHER_DESCRIPTOR
    assert os.getxattr(path, "system.ntfs_attrib") == struct.pack("<I", 0x12)
    assert struct.unpack("<4Q", os.getxattr(path, "system.ntfs_times")) == (1, 2, 3, 4)
    assert os.getxattr(path, "user.stream") == b"content"
    assert "user.stream" in os.listxattr(path)
    os.removexattr(path, "user.stream")
    assert "user.stream" not in os.listxattr(path)


def test_attributes_of_a_file_are_seen_by_stat_at_once(root: Path) -> None:
    path = root / "a.txt"
    os.stat(path)
    os.setxattr(path, "system.ntfs_attrib", b"\x01\0\0\0")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o555
    os.setxattr(path, "system.ntfs_attrib", b"\x80\0\0\0")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o755


def test_file_becomes_a_link_and_a_file_again(root: Path) -> None:
    path = root / "dir" / "b.txt"
    assert stat.S_ISREG(os.lstat(path).st_mode)
    data = build_reparse(link_to("..\\a.txt", junction=False))
    os.setxattr(path, "system.ntfs_reparse_data", data)
    assert stat.S_ISLNK(os.lstat(path).st_mode)
    assert path.read_bytes() == b"hello"
    os.removexattr(path, "system.ntfs_reparse_data", follow_symlinks=False)
    assert stat.S_ISREG(os.lstat(path).st_mode)
    assert path.read_bytes() == b"b"


def test_what_is_of_linux_is_refused(root: Path) -> None:
    with refused(errno.ENOTSUP):
        os.getxattr(root / "a.txt", "system.posix_acl_access")
    for name in ("security.capability", "trusted.x"):
        with refused(errno.ENODATA):
            os.getxattr(root / "a.txt", name)
    with refused(errno.ENOTSUP):
        os.setxattr(root / "a.txt", "trusted.x", b"1")
    with refused(errno.ENODATA):
        os.getxattr(root / "a.txt", "user.none")
    with refused(errno.EEXIST):
        os.setxattr(root / "a.txt", "user.notes", b"", os.XATTR_CREATE)
    with refused(errno.ENODATA):
        os.setxattr(root / "a.txt", "user.none", b"", os.XATTR_REPLACE)
    with refused(errno.EINVAL):
        os.setxattr(root / "a.txt", "system.ntfs_attrib", b"1")
    with refused(errno.EINVAL):
        os.setxattr(root / "a.txt", "system.ntfs_acl", b"1")


def test_getfattr_and_setfattr(root: Path) -> None:
    needs("getfattr")
    name = "system.winlayers_sddl"
    told = run(["getfattr", "--absolute-names", "-n", name, "--only-values", root / "a.txt"])
    run(["setfattr", "-n", name, "-v", told, root / "dir"])
    assert os.getxattr(root / "dir", "system.ntfs_acl") == DESCRIPTOR
    assert "user.notes" in run(["getfattr", "--absolute-names", "-d", root / "a.txt"])
