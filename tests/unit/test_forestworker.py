"""What the process of all snapshots opens; without a mount."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.assembly import open_forest, open_store
from winlayers.config import Config
from winlayers.errors import IllegalState, LayerMounted, SnapshotNotFound
from winlayers.forestworker import StoreSource, open_source
from winlayers.layer.view import View
from winlayers.mounts.contract import ForestRequest
from winlayers.oci.model import Descriptor, digest_bytes
from winlayers.store.snapshots import Snapshots

TAR = layer_tar(a_layer(a_file("Files/a.txt", b"a")))


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    """A committed one ``base``, an active ``box`` on it, and the view ``looking``; 1, 2 and 3."""
    snapshots = open_store(Config(tmp_path / "store", reexec=False)).snapshots
    active = snapshots.prepare("extract")
    blob = Descriptor("application/vnd.oci.image.layer.v1.tar", digest_bytes(TAR), len(TAR))
    snapshots.fill(active.number, blob, io.BytesIO(TAR))
    snapshots.commit("base", "extract")
    snapshots.prepare("box", "base")
    snapshots.view("looking", "base")
    return snapshots


@pytest.fixture
def source(snapshots: Snapshots, tmp_path: Path) -> StoreSource:
    """As the process has it."""
    return open_source(ForestRequest(tmp_path / "store", None, tmp_path / "store/snapshots"))


def test_numbers_are_those_of_the_store(source: StoreSource) -> None:
    assert sorted(source.numbers()) == [1, 2, 3]
    assert [source.has(number) for number in (0, 1, 3, 4)] == [False, True, True, False]
    with pytest.raises(SnapshotNotFound):
        source.open(4)


def test_only_an_active_snapshot_takes_writes(source: StoreSource) -> None:
    for number, is_fixed in ((1, True), (2, False), (3, True)):
        shown = source.open(number)
        with shown.view as view:
            assert shown.is_fixed == is_fixed
            assert hasattr(view, "set_metadata") != is_fixed
            assert view.lookup("Files/a.txt") is not None


def test_active_snapshot_is_opened_by_one_at_a_time(source: StoreSource) -> None:
    with source.open(2).view, pytest.raises(LayerMounted):
        source.open(2)
    source.open(2).view.close()


def test_snapshot_that_becomes_a_layer_while_it_is_opened_is_shown(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    open_view = snapshots.open_view

    def open_late(number: int) -> View:
        asked.append(number)
        if len(asked) == 1:
            raise IllegalState("it is a sealed layer already")
        return open_view(number)

    monkeypatch.setattr(snapshots, "open_view", open_late)
    StoreSource(snapshots).open(1).view.close()
    assert asked == [1, 1]


def test_forest_is_where_the_store_looks_for_it(snapshots: Snapshots, tmp_path: Path) -> None:
    forest = open_forest(Config(tmp_path / "store"))
    assert forest.folder(7) == snapshots.shown_at / "7"
    assert forest.find() is None
