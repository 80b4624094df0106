"""The native backend over the stand-in for the libraries of Windows (tests/native)."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

from tests.native.conftest import Fake, build_fake
from winlayers.backends.native.backend import NativeBackend


@functools.cache
def stand_in() -> Fake:
    """The stand-in, the same for all that a process of tests makes."""
    # What files have beside their data, by number of the file: one folder for all stores.
    stand_in_folders.append(tempfile.TemporaryDirectory(prefix="winlayers-fake-"))
    return Fake(build_fake())


stand_in_folders: list[tempfile.TemporaryDirectory[str]] = []


def native_backend(root: Path) -> NativeBackend:
    """An empty store of the native backend in a folder of its own."""
    os.makedirs(root, exist_ok=True)
    fake = stand_in()
    # Each time, as tests of the stand-in itself take settings back: layers of any content pass.
    fake.set("FAKE_BARE", "1")
    fake.set("FAKE_BACKUP_DIR", stand_in_folders[0].name)
    return NativeBackend(root, api=fake.api)
