"""A store without a write-layer process, which its tests do not need."""

from __future__ import annotations

from pathlib import Path

import pytest

from winlayers.assembly import open_driver
from winlayers.config import Config
from winlayers.store.store import Store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root, open_driver(Config(root, reexec=False)))
