"""A tree over a scratch for the tests of what stands on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.support.builders import (
    NEW_YEAR_FILETIME,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_reparse_point,
    a_symlink,
    layer_tar,
)
from winlayers.backends.portable.backend import PortableBackend
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.formats.filetime import filetime_to_ns
from winlayers.layer.chain import Chain
from winlayers.layer.tree import Tree
from winlayers.mounts.fuse._operations import Operations

LAYER = a_layer(
    a_file("Files/a.txt", b"hello", {"notes": b"alt"}),
    a_file("Files/locked.txt", b"x", attributes=0x21),
    a_directory("Files/dir"),
    a_file("Files/dir/b.txt", b"b"),
    a_junction("Files/junction", "C:\\dir"),
    a_symlink("Files/link", "dir\\b.txt"),
    a_reparse_point("Files/odd"),
)
START_NS = filetime_to_ns(NEW_YEAR_FILETIME) + 10**15


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """A scratch on ``LAYER``; its clock goes on by a second whenever it is looked at."""
    backend = PortableBackend(tmp_path / "home")
    driver = Driver(tmp_path / "home", backend, InlineImporter(backend))
    tar = tmp_path / "layer.tar"
    tar.write_bytes(layer_tar(LAYER))
    driver.create("base")
    with open(tar, "rb") as file:
        driver.apply_diff("base", None, file)
    driver.create_read_write("scratch", "base")
    ticks = count(START_NS, 10**9)
    with closing(backend.scratch("scratch", Chain(("base",)))) as scratch:
        yield Tree(scratch, clock_ns=lambda: next(ticks))


@pytest.fixture
def operations(tree: Tree) -> Operations:
    """What libfuse would ask, over that tree; on a disk of 1 MiB that is half full."""
    return Operations(tree, clock_ns=lambda: START_NS, disk_space=lambda: (1 << 20, 1 << 19))
