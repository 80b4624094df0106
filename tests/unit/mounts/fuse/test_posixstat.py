"""Files of Windows as the system sees them."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from tests.support.builders import NEW_YEAR_FILETIME
from winlayers.layer.tree import FileKind, Stat
from winlayers.mounts.fuse._posixstat import mode_of, posix_stat

FILE = Stat(
    "a.txt",
    "a.txt",
    FileKind.FILE,
    0x20,
    NEW_YEAR_FILETIME,
    NEW_YEAR_FILETIME + 1,
    NEW_YEAR_FILETIME + 2,
    NEW_YEAR_FILETIME + 3,
    size=513,
    link_count=2,
    file_id=7,
    layer_id="base",
    is_directory=False,
)
NEW_YEAR_NS = 1_577_836_800 * 10**9


@pytest.mark.parametrize(
    ("kind", "attributes", "is_directory", "mode"),
    [
        (FileKind.FILE, 0x20, False, stat.S_IFREG | 0o755),
        (FileKind.FILE, 0x21, False, stat.S_IFREG | 0o555),
        (FileKind.DIRECTORY, 0x10, True, stat.S_IFDIR | 0o755),
        (FileKind.DIRECTORY, 0x11, True, stat.S_IFDIR | 0o755),
        (FileKind.SYMLINK, 0x420, False, stat.S_IFLNK | 0o777),
        (FileKind.SYMLINK, 0x410, True, stat.S_IFLNK | 0o777),
        (FileKind.JUNCTION, 0x410, True, stat.S_IFLNK | 0o777),
        (FileKind.REPARSE, 0x420, False, stat.S_IFREG | 0o755),
        (FileKind.REPARSE, 0x410, True, stat.S_IFDIR | 0o755),
    ],
)
def test_kind_and_attributes_make_the_mode(
    kind: FileKind, attributes: int, is_directory: bool, mode: int
) -> None:
    told = replace(FILE, kind=kind, attributes=attributes, is_directory=is_directory)
    assert mode_of(told) == mode


def test_file_has_times_in_nanoseconds_and_blocks_of_512() -> None:
    shown = posix_stat(FILE)
    assert shown.access_ns == NEW_YEAR_NS + 100
    assert shown.write_ns == NEW_YEAR_NS + 200
    assert shown.change_ns == NEW_YEAR_NS + 300
    assert (shown.ino, shown.link_count, shown.size, shown.blocks) == (7, 2, 513, 2)


def test_directory_counts_one_link() -> None:
    told = replace(FILE, kind=FileKind.DIRECTORY, is_directory=True, size=0, link_count=1)
    assert posix_stat(told).link_count == 1


def test_link_is_as_long_as_its_text() -> None:
    told = replace(FILE, kind=FileKind.SYMLINK, size=0)
    assert posix_stat(told, link_size=9).size == 9
