"""Mounts of ours are found in the kernel's list, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from winlayers.mounts.fuse import mountinfo
from winlayers.mounts.fuse.mountinfo import (
    MountLine,
    canonical,
    find_mount,
    mount_source,
    mounts_of,
    parse_mountinfo,
)

LISTED = b"""\
24 31 0:22 / /proc rw,nosuid shared:12 - proc proc rw
40 31 0:39 / /mnt/a\\040b rw,nosuid,nodev shared:5 master:1 - fuse.winlayers winlayers:base-1.x:77 rw,user_id=0
41 31 0:40 / /mnt/other rw - fuse.sshfs winlayers:but:not rw
42 40 0:41 / /mnt/a\\040b rw - fuse.winlayers winlayers:top:78 rw
43 31 0:42 / /mnt/cut
"""


def test_ours_are_told_from_others() -> None:
    assert parse_mountinfo(LISTED) == [
        MountLine(Path("/mnt/a b"), "base-1.x", 77),
        MountLine(Path("/mnt/a b"), "top", 78),
    ]


def test_source_is_read_back() -> None:
    line = b"1 2 0:3 / /x rw - fuse.winlayers " + mount_source("a_.+-b", 4242).encode() + b" rw\n"
    assert parse_mountinfo(line) == [MountLine(Path("/x"), "a_.+-b", 4242)]


def test_topmost_mount_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = tmp_path / "mountinfo"
    listing.write_bytes(LISTED)
    monkeypatch.setattr(mountinfo, "_MOUNTINFO", listing)
    assert find_mount(Path("/mnt/a b")) == MountLine(Path("/mnt/a b"), "top", 78)
    assert find_mount(Path("/mnt/a")) is None
    monkeypatch.setattr(mountinfo, "_MOUNTINFO", tmp_path / "none")
    assert find_mount(Path("/mnt/a b")) is None


def test_links_on_the_way_are_followed_and_the_last_is_not(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "way").symlink_to(real)
    (real / "last").symlink_to(tmp_path)
    assert canonical(tmp_path / "way" / "last") == real.resolve() / "last"


def test_binds_of_a_mount_are_found_by_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "mountinfo"
    bound = b"43 31 0:41 /7 /mnt/bound ro - fuse.winlayers winlayers:top:78 rw\n"
    listing.write_bytes(LISTED + bound)
    monkeypatch.setattr(mountinfo, "_MOUNTINFO", listing)
    assert [one.path for one in mounts_of(78)] == [Path("/mnt/a b"), Path("/mnt/bound")]
    assert mounts_of(79) == []
