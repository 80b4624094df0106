"""What a crash left goes, whatever its names are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from winlayers.backends.checking import DriverFacts
from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.portable.check import check_store
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.driver.metadata import read_layer_chain, read_layer_id


def newlines(folder: Path) -> None:
    (folder / "a\nb").mkdir()
    (folder / "a\nb" / "\r\x07\x1b[31m").write_bytes(b"x")


def long_names(folder: Path) -> None:
    for name in ("n" * 255, "\u00e4" * 127):
        (folder / name).mkdir()
        (folder / name / name).write_bytes(b"x")


def no_texts(folder: Path) -> None:
    path = os.fsencode(folder) + b"/\xff\xfe\x80"
    os.mkdir(path)
    with open(path + b"/\xc3\x28", "xb") as file:
        file.write(b"x")


def read_only(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "x").write_bytes(b"x")
    (folder / "in" / "x").chmod(0o400)


def of_windows(folder: Path) -> None:
    for name in ("dot.", "blank ", "con", "a:b", "a<b"):
        (folder / name).mkdir()


def links(folder: Path) -> None:
    (folder / "link").symlink_to("/")
    (folder / "loop").symlink_to("loop")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows makes no such names")
@pytest.mark.parametrize("leave", [newlines, long_names, no_texts, read_only, of_windows, links])
def test_leftovers_of_any_name_are_removed(tmp_path: Path, leave: Callable[[Path], None]) -> None:
    backend = PortableBackend(tmp_path)
    facts = DriverFacts(read_layer_chain, read_layer_id)
    removing, staged = (
        tmp_path / "windowsfilter/old-removing",
        tmp_path / "tmp/new.0123456789abcdef",
    )
    for folder in (removing, staged):
        folder.mkdir(parents=True)
        leave(folder)
    assert [one.code for one in check_store(tmp_path, facts)] == ["left-removing", "left-staging"]
    Driver(tmp_path, backend, InlineImporter(backend)).cleanup()
    assert not os.path.lexists(removing)
    assert not os.path.lexists(staged)
    assert list(check_store(tmp_path, facts)) == []
