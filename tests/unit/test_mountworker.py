"""The worker opens what it is asked for: a sealed layer for good, a scratch to write or to look at."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from winlayers.backends.portable.backend import PortableBackend
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.errors import LayerMounted, LayerNotFound
from winlayers.mounts.contract import MountRequest
from winlayers.mountworker import open_view


@pytest.fixture
def home(tmp_path: Path) -> Path:
    backend = PortableBackend(tmp_path)
    driver = Driver(tmp_path, backend, InlineImporter(backend))
    driver.create("base")
    driver.create_read_write("scratch", "base")
    return tmp_path


def test_layer_that_is_no_scratch_never_changes(home: Path) -> None:
    view, is_fixed = open_view(MountRequest(home, None, "base", (), home / "mnt"))
    with closing(view):
        assert is_fixed


def test_scratch_is_written_by_one_and_looked_at_by_others(home: Path) -> None:
    request = MountRequest(home, None, "scratch", ("base",), home / "mnt")
    view, is_fixed = open_view(request)
    with closing(view):
        assert not is_fixed
        with pytest.raises(LayerMounted):
            open_view(request)
        looking = MountRequest(home, None, "scratch", ("base",), home / "mnt", read_only=True)
        other, is_fixed = open_view(looking)
        with closing(other):
            assert is_fixed


def test_layer_that_is_not_there_is_told(home: Path) -> None:
    with pytest.raises(LayerNotFound):
        open_view(MountRequest(home, None, "none", (), home / "mnt"))
