"""The driver on a store that somebody damaged: nothing leads out, and nothing stands in the way."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.assembly import open_driver
from winlayers.backends.portable.backend import PortableBackend
from winlayers.config import Config
from winlayers.driver.driver import Driver
from winlayers.errors import LayerNotFound, StoreCorrupt

TAR = layer_tar(a_layer(a_file("Files/a.txt", b"content")))


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    """A store of two base layers."""
    driver = open_driver(Config(tmp_path / "root", reexec=False))
    for layer_id in ("one", "two"):
        driver.import_layer(layer_id, "", io.BytesIO(TAR))
    return driver


def _folder(tmp_path: Path, layer_id: str) -> Path:
    return tmp_path / "root" / "windowsfilter" / layer_id


def test_other_id_that_leads_out_of_the_store_is_corrupt(driver: Driver, tmp_path: Path) -> None:
    (_folder(tmp_path, "one") / "layerID").write_text("../../evil")
    for use in (driver.exists, driver.get, driver.remove, driver.view):
        with pytest.raises(StoreCorrupt, match="layerID"):
            use("one")
    with pytest.raises(StoreCorrupt):
        driver.import_layer("one", "", io.BytesIO(TAR))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]


def test_layer_whose_chain_does_not_parse_can_be_removed(driver: Driver, tmp_path: Path) -> None:
    (_folder(tmp_path, "one") / "layerchain.json").write_bytes(b'["x')
    with pytest.raises(StoreCorrupt, match="one") as caught:
        driver.remove("two")  # nothing tells whether one stands on it
    assert any("or remove layer one" in note for note in caught.value.__notes__)
    driver.remove("one")
    driver.remove("two")
    assert driver.layers() == []


def test_rest_of_a_removal_that_cannot_be_removed_is_told_and_in_nobodys_way(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = _folder(tmp_path, "gone-removing")
    left.mkdir()

    def refuse(self: PortableBackend, layer_id: str) -> None:
        raise PermissionError(13, os.strerror(13), str(left))

    monkeypatch.setattr(PortableBackend, "destroy", refuse)
    done = driver.cleanup()
    assert [line.split(":")[0] for line in done] == ["could not remove gone-removing"]
    assert driver.layers() == ["one", "two"]
    with pytest.raises(LayerNotFound):
        driver.view("gone")
