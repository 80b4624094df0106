"""What tests on real mounts need. Where FUSE or a program is missing they fail, and say what to install."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.places import Place, opened_place
from tests.support.builders import (
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
)
from winlayers.mounts.fuse.mounter import check_system

LAYER = a_layer(
    a_file("Files/a.txt", b"hello", {"notes": b"alt"}),
    a_file("Files/big.bin", bytes(range(256)) * 4096),
    a_file("Files/locked.txt", b"x", attributes=0x21),
    a_directory("Files/dir"),
    a_file("Files/dir/b.txt", b"b"),
    a_link("Files/dir/same.txt", "Files/dir/b.txt"),
    a_junction("Files/junction", "C:\\dir"),
    a_symlink("Files/link", "dir\\b.txt"),
    a_reparse_point("Files/odd"),
    a_file("Hives/Software_Delta", b"hive"),
)


@pytest.fixture(scope="session", autouse=True)
def _system_mounts() -> None:
    check_system()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A store with the sealed layer ``base`` (``LAYER``) and the scratch ``scratch`` on it."""
    with opened_place(tmp_path) as place:
        place.import_layer("base", LAYER)
        place.driver.create_read_write("scratch", "base")
        yield place


@pytest.fixture
def root(place: Place) -> Path:
    """The scratch, mounted."""
    return place.mount("scratch")


def needs(*programs: str) -> None:
    """Fail where a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    assert not missing, f"not installed: {', '.join(missing)}; see tools/e2e-packages.txt"
