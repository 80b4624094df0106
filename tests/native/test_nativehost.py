"""A base layer of Windows, found and read through the stand-in."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native._handles import BACKUP
from winlayers.backends.native._nativehost import open_base_folder
from winlayers.errors import InvalidArgument, PrivilegeMissing, WindowsCallFailed
from winlayers.layer.baselayer import walk_base_layer


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    layer = tmp_path / "layer"
    (layer / "Files" / "Windows").mkdir(parents=True)
    (layer / "Files" / "$Recycle.Bin").mkdir()
    (layer / "Files" / "$Recycle.Bin" / "gone").touch()
    (layer / "Files" / "a").write_bytes(b"content")
    os.link(layer / "Files" / "a", layer / "Files" / "Windows" / "b")
    (layer / "Files" / "z").symlink_to(tmp_path)
    (layer / "UtilityVM" / "Files").mkdir(parents=True)
    (layer / "UtilityVM" / "other").touch()
    (layer / "Hives").mkdir()
    return layer


def test_layer_is_walked(fake: Fake, layer: Path) -> None:
    with open_base_folder(fake.api, layer) as folder:
        found = list(walk_base_layer(folder))
    assert [one.path for one in found] == [
        *("Files", "Files/Windows", "Files/Windows/b", "Files/a", "Files/z"),
        *("UtilityVM", "UtilityVM/Files"),
    ]
    one = {each.path: each for each in found}
    assert one["Files/a"].size == 7
    assert one["Files/a"].link_id == one["Files/Windows/b"].link_id is not None
    assert one["Files"].link_id is one["Files/z"].link_id is None
    assert one["Files"].is_entered
    assert not one["Files/z"].is_entered
    assert one["Files"].size == one["Files/z"].size == 0


def test_backup_is_read_and_all_is_closed(fake: Fake, layer: Path) -> None:
    with open_base_folder(fake.api, layer) as folder:
        with folder.open_backup("Files/a") as stream:
            assert fake.live() == (0, 2)
            assert stream.read() == struct.pack("<IIQI", 1, 0, 7, 0) + b"content"
        assert (fake.live(), fake.contexts(), fake.privileges()) == ((0, 1), 0, 1)
        stream.close()
    assert fake.live() == (0, 0)


def test_what_is_not_there_is_none(fake: Fake, layer: Path) -> None:
    with open_base_folder(fake.api, layer) as folder:
        assert folder.find("Files/no") is None
        assert folder.find("no/no") is None


@pytest.mark.parametrize("use", ["find", "list", "open_backup"])
def test_nothing_outside_is_reached(fake: Fake, layer: Path, use: str) -> None:
    with open_base_folder(fake.api, layer) as folder:
        with pytest.raises(InvalidArgument):
            getattr(folder, use)("../layer")
        with pytest.raises(WindowsCallFailed) as caught:
            getattr(folder, use)("Files/z/layer")
    assert caught.value.code == 4395


def test_failure_to_read_leaves_nothing_open(fake: Fake, layer: Path) -> None:
    fake.fail("BackupRead", 1117)
    with open_base_folder(fake.api, layer) as folder:
        with (
            pytest.raises(WindowsCallFailed, match="BackupRead"),
            folder.open_backup("Files/a") as stream,
        ):
            stream.read()
        assert fake.live() == (0, 1)


def test_the_privilege_is_needed(fake: Fake, layer: Path) -> None:
    fake.set("FAKE_LACKS", BACKUP)
    with pytest.raises(PrivilegeMissing), open_base_folder(fake.api, layer):
        pass
    assert fake.calls().count("CreateFileW") == 0
