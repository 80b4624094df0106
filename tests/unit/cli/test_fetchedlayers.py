"""Layers that are fetched to be looked into: several at once, in their order, all of them or none."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from tests.support.memoryimages import ImageParts, MemoryImages, put_image
from tests.unit.cli.images import an_image
from winlayers.backends.portable.loose import LooseLayer
from winlayers.base.digest import Digest
from winlayers.cli.fetchedlayers import MAX_AT_ONCE, fetch_layers
from winlayers.cli.session import Session
from winlayers.errors import BlobNotFound, Cancelled, DigestMismatch

COUNT = 9


@pytest.fixture
def image() -> ImageParts:
    """Of more layers than come at once."""
    return an_image(
        [layer_tar(a_layer(a_file(f"Files/{number}.txt", b"x"))) for number in range(COUNT)]
    )


@pytest.fixture
def source(image: ImageParts) -> MemoryImages:
    """Has the image."""
    images = MemoryImages()
    put_image(images, image)
    return images


def test_layers_come_in_their_order(
    source: MemoryImages, image: ImageParts, tmp_path: Path
) -> None:
    layers = image.manifest.layers
    with ExitStack() as stack:
        found = [
            stack.enter_context(layer)
            for layer in fetch_layers(Session(), source, layers, range(2, COUNT), tmp_path)
        ]
        labels = [layer.table.layer_id for layer in found]
        for number, layer in enumerate(found, 2):
            assert layer.view.lookup(f"Files/{number}.txt") is not None
    assert labels == [str(layer.digest) for layer in layers[2:]]
    assert list(tmp_path.iterdir()) == []


def test_some_come_at_once_and_no_more(
    source: MemoryImages, image: ImageParts, tmp_path: Path
) -> None:
    barrier = threading.Barrier(MAX_AT_ONCE)
    lock = threading.Lock()
    running = 0
    most = 0

    def meet(digest: Digest, offset: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(timeout=20)  # broken where fewer come at once
        with lock:
            running -= 1

    source.open_fault = meet
    numbers = range(2 * MAX_AT_ONCE)
    for layer in fetch_layers(Session(), source, image.manifest.layers, numbers, tmp_path):
        layer.close()
    assert most == MAX_AT_ONCE
    assert len(source.opened) == 2 * MAX_AT_ONCE


@pytest.mark.parametrize("number", [0, 3, COUNT - 1])
def test_first_error_stops_all_and_leaves_nothing(
    source: MemoryImages, image: ImageParts, tmp_path: Path, number: int
) -> None:
    layers = image.manifest.layers
    bad = layers[number].digest
    source.blobs[bad] = bytes(len(source.blobs[bad]))
    with pytest.raises(DigestMismatch, match=str(bad)):
        fetch_layers(Session(), source, layers, range(COUNT), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_layer_that_is_missing_is_told(
    source: MemoryImages, image: ImageParts, tmp_path: Path
) -> None:
    layers = image.manifest.layers
    del source.blobs[layers[1].digest]
    with pytest.raises(BlobNotFound):
        fetch_layers(Session(), source, layers, [0, 1], tmp_path)
    with pytest.raises(BlobNotFound):
        fetch_layers(Session(), source, layers, [1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cancelled_fetch_leaves_nothing(
    source: MemoryImages, image: ImageParts, tmp_path: Path
) -> None:
    session = Session()
    source.open_fault = lambda digest, offset: session.cancel.set()
    with pytest.raises(Cancelled):
        fetch_layers(session, source, image.manifest.layers, range(COUNT), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_interrupt_is_not_taken_for_an_error_of_a_layer(
    source: MemoryImages,
    image: ImageParts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = Future.result
    waited = []

    def interrupt(future: Future[LooseLayer], timeout: float | None = None) -> LooseLayer:
        waited.append(future)
        if len(waited) == 1:
            raise KeyboardInterrupt
        return wait(future, timeout)

    monkeypatch.setattr("winlayers.cli.fetchedlayers.Future.result", interrupt)
    del source.blobs[image.manifest.layers[COUNT - 1].digest]
    with pytest.raises(KeyboardInterrupt):
        fetch_layers(Session(), source, image.manifest.layers, range(COUNT), tmp_path)
    assert list(tmp_path.iterdir()) == []
