"""Which layers a data root of Docker has, and which of them can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builders import a_directory, a_layer, layer_tar
from tests.support.dockerroot import LAYERDB, LAYERS, a_layer_folder, record_layer
from winlayers.driver.attached import AttachedLayer, AttachedRoot, is_attached
from winlayers.errors import LayerNotFound, Malformed, StoreCorrupt, Unsupported
from winlayers.layer.chain import Chain

TAR = layer_tar(a_layer(a_directory("Files")))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a base layer, one on it, a container, and a folder with nothing."""
    for layer_id, parents in (("base", []), ("app", ["base"]), ("box", ["app", "base"])):
        folder = a_layer_folder(tmp_path, layer_id, *parents)
        if layer_id == "box":
            (folder / "sandbox.vhdx").touch()
        else:
            (folder / "Files").mkdir()
    a_layer_folder(tmp_path, "bare")
    return tmp_path


def test_layers_have_chains_kinds_and_other_ids(root: Path) -> None:
    (root / LAYERS / "app/layerId").write_text("other")
    (root / LAYERS / "box-removing").mkdir()
    (root / LAYERS / "file").touch()
    attached = AttachedRoot(root)
    assert list(attached.ids()) == ["app", "bare", "base", "box"]
    found = {one: attached.layer(one) for one in attached.ids()}
    assert {one: (tuple(layer.chain), layer.kind) for one, layer in found.items()} == {
        "app": (("base",), "layer"),
        "bare": ((), "unknown"),
        "base": ((), "base"),
        "box": (("app", "base"), "scratch"),
    }
    base = root / LAYERS / "base"
    assert found["base"] == AttachedLayer("base", base, Chain(), "base")
    assert found["app"].other_id == "other"
    assert is_attached(base)
    assert is_attached(root / LAYERS / "box")
    assert not is_attached(root / LAYERS / "bare")


@pytest.mark.parametrize(
    ("layer_id", "told"),
    [
        ("app", "stands on parents.*has no record of it beside the folder"),
        ("box", "in the disk sandbox"),
        ("bare", "no folder Files"),
    ],
)
def test_without_a_record_only_base_layers_are_read(root: Path, layer_id: str, told: str) -> None:
    attached = AttachedRoot(root)
    attached.layer("base").check_readable()
    with pytest.raises(Unsupported, match=told):
        attached.layer(layer_id).check_readable()


def test_layers_whose_tar_was_recorded_are_read(root: Path) -> None:
    base = record_layer(root, "base", TAR)
    app = record_layer(root, "app", TAR, base)
    record_layer(root, "box", TAR, app)
    attached = AttachedRoot(root)
    for layer_id, chain_id in (("base", base), ("app", app)):
        layer = attached.layer(layer_id)
        layer.check_readable()
        assert layer.frame is not None
        assert (str(layer.frame.diff_id), str(layer.frame.chain_id)) == (base, chain_id)
    with pytest.raises(Unsupported, match="in the disk sandbox"):
        attached.layer("box").check_readable()


def test_record_is_found_by_the_other_id(root: Path) -> None:
    (root / LAYERS / "app/layerID").write_text("other")
    record_layer(root, "other", TAR)
    assert AttachedRoot(root).layer("app").frame is not None


def test_record_without_a_frame_tells_the_diff_id_alone(root: Path) -> None:
    chain_id = record_layer(root, "app", TAR)
    (root / LAYERDB / chain_id.removeprefix("sha256:") / "tar-split.json.gz").unlink()
    layer = AttachedRoot(root).layer("app")
    assert layer.recorded is not None
    assert layer.frame is None
    with pytest.raises(Unsupported, match="layer database has not kept it"):
        layer.check_readable()


def test_both_folders_will_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_layer(root, "app", TAR)
    below = AttachedRoot(root / LAYERS)
    assert below.folder == AttachedRoot(root).folder
    assert below.layer("app") == AttachedRoot(root).layer("app")
    monkeypatch.chdir(root / LAYERS)
    assert AttachedRoot(Path()).layer("app").frame is not None


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LayerNotFound, match="'none'"):
        AttachedRoot(tmp_path).layer("none")
    with pytest.raises(FileNotFoundError):
        list(AttachedRoot(tmp_path / "none").ids())


def test_chain_or_record_that_cannot_be_read_is_told(root: Path) -> None:
    (root / LAYERS / "base/layerchain.json").write_text("{")
    with pytest.raises(StoreCorrupt, match="layerchain"):
        AttachedRoot(root).layer("base")
    chain_id = record_layer(root, "app", TAR)
    (root / LAYERDB / chain_id.removeprefix("sha256:") / "diff").write_text("none")
    with pytest.raises(Malformed, match="layer database of Docker"):
        AttachedRoot(root).layer("app")
