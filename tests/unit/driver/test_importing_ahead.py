"""Layers whose parents come while they are read."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, a_link, layer_tar
from winlayers.assembly import open_driver
from winlayers.base.fileobj import RawReader
from winlayers.config import Config
from winlayers.errors import Malformed, ParentMissing
from winlayers.layer.chain import Chain

BASE = layer_tar(a_layer(a_file("Files/a.txt", b"a")))
CHILD = layer_tar(a_layer(a_link("Files/b.txt", "Files/a.txt")))


class EndingLate(RawReader):
    """A source that does something before it ends."""

    def __init__(self, content: bytes, before_end: Callable[[], object]) -> None:
        self._file = io.BytesIO(content)
        self._before_end = before_end
        self._has_ended = False

    def read(self, size: int | None = -1, /) -> bytes:
        block = self._file.read(size)
        if not block and not self._has_ended:
            self._has_ended = True
            self._before_end()
        return block


@pytest.mark.parametrize("reexec", [False, True])
def test_parent_may_come_until_the_source_ends(tmp_path: Path, reexec: bool) -> None:
    driver = open_driver(Config(tmp_path, reexec=reexec))
    assert driver.imports_ahead
    source = EndingLate(CHILD, lambda: driver.import_layer("base", "", io.BytesIO(BASE)))
    driver.import_layer("child", "base", source, coming=Chain(("base",)))
    assert driver.chain("child") == Chain(("base",))
    with driver.view("child") as view:
        node = view.lookup("Files/b.txt")
        assert node is not None
        assert view.open(node).read() == b"a"


def test_parent_that_does_not_come_is_missed(tmp_path: Path) -> None:
    driver = open_driver(Config(tmp_path, reexec=False))
    plain = layer_tar(a_layer(a_file("Files/b.txt", b"b")))
    for tar in (CHILD, plain):
        with pytest.raises(ParentMissing):
            driver.import_layer("child", "base", io.BytesIO(tar), coming=Chain(("base",)))
    assert driver.layers() == []


def test_link_to_what_a_late_parent_has_not_is_malformed(tmp_path: Path) -> None:
    driver = open_driver(Config(tmp_path, reexec=False))
    other = layer_tar(a_layer(a_file("Files/other.txt", b"a")))
    source = EndingLate(CHILD, lambda: driver.import_layer("base", "", io.BytesIO(other)))
    with pytest.raises(Malformed) as caught:
        driver.import_layer("child", "base", source, coming=Chain(("base",)))
    assert caught.value.finding == "link-target-missing"
    assert driver.layers() == ["base"]
