"""Which layers a folder of Docker on Windows has, and which of them can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from winlayers.driver.attached import (
    AttachedLayer,
    attached_ids,
    attached_layer,
    is_attached,
    layers_folder,
)
from winlayers.errors import LayerNotFound, StoreCorrupt, Unsupported


def a_layer_folder(root: Path, layer_id: str, *parents: str, content: str = "Files") -> Path:
    folder = root / layer_id
    folder.mkdir(parents=True)
    if content == "sandbox.vhdx":
        (folder / content).touch()
    elif content:
        (folder / content).mkdir()
    paths = [f"C:\\ProgramData\\Docker\\windowsfilter\\{one}" for one in parents] or None
    (folder / "layerchain.json").write_text(json.dumps(paths))
    return folder


def test_layers_have_chains_kinds_and_other_ids(tmp_path: Path) -> None:
    base = a_layer_folder(tmp_path, "base")
    app = a_layer_folder(tmp_path, "app", "base")
    (app / "layerId").write_text("other")
    box = a_layer_folder(tmp_path, "box", "app", "base", content="sandbox.vhdx")
    bare = a_layer_folder(tmp_path, "bare", content="")
    (tmp_path / "box-removing").mkdir()
    (tmp_path / "file").touch()
    assert list(attached_ids(tmp_path)) == ["app", "bare", "base", "box"]
    found = {one: attached_layer(tmp_path, one) for one in attached_ids(tmp_path)}
    assert {one: (tuple(layer.chain), layer.kind) for one, layer in found.items()} == {
        "app": (("base",), "layer"),
        "bare": ((), "unknown"),
        "base": ((), "base"),
        "box": (("app", "base"), "scratch"),
    }
    assert found["base"] == AttachedLayer("base", base, found["base"].chain, "base")
    assert found["app"].other_id == "other"
    assert is_attached(base)
    assert is_attached(box)
    assert not is_attached(bare)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("layer", "stands on parents"), ("scratch", "sandbox.vhdx"), ("unknown", "no folder Files")],
)
def test_only_base_layers_are_read(tmp_path: Path, kind: str, told: str) -> None:
    base = attached_layer(a_layer_folder(tmp_path, "base").parent, "base")
    base.check_readable()
    with pytest.raises(Unsupported, match=told):
        AttachedLayer("x", tmp_path, base.chain, kind).check_readable()


def test_folder_above_will_do(tmp_path: Path) -> None:
    a_layer_folder(tmp_path / "windowsfilter", "base")
    assert layers_folder(tmp_path) == layers_folder(tmp_path / "windowsfilter")
    assert list(attached_ids(tmp_path)) == ["base"]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LayerNotFound, match="'none'"):
        attached_layer(tmp_path, "none")
    with pytest.raises(FileNotFoundError):
        list(attached_ids(tmp_path / "none"))


def test_chain_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (a_layer_folder(tmp_path, "base") / "layerchain.json").write_text("{")
    with pytest.raises(StoreCorrupt, match="layerchain"):
        attached_layer(tmp_path, "base")
