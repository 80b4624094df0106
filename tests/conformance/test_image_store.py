"""The store of images over every backend that keeps layers on disk."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.nativestore import native_backend
from tests.support.storeimages import a_tar, an_image, put_image
from winlayers.backends.contract import Backend
from winlayers.backends.portable.backend import PortableBackend
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.store.store import Store

IMAGE = an_image(
    [a_tar("base"), a_tar("upper", link_to="base"), a_tar("top", link_to="upper")], plain=[1]
)
SIBLING = an_image([a_tar("base"), a_tar("sibling")])
BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "portable": PortableBackend,
    "native": native_backend,
}


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    backend = BACKENDS[request.param](tmp_path)
    return Store(tmp_path, Driver(tmp_path, backend, InlineImporter(backend)))


def check_whole(store: Store) -> None:
    with store.open_source("app") as source:
        assert source.document(source.resolve()) == IMAGE.manifest.raw
        for one in (IMAGE.manifest.config, *IMAGE.manifest.layers):
            with source.open_blob(one) as file:
                assert file.read() == IMAGE.blobs[one.digest]
    for layer_id, diff_id in zip(IMAGE.layer_ids, IMAGE.config.diff_ids, strict=True):
        with store.driver.diff(layer_id) as tar:
            assert hashlib.sha256(tar.read()).hexdigest() == diff_id.hex


def test_image_comes_and_goes(store: Store) -> None:
    put_image(store, "app", IMAGE)
    put_image(store, "sibling", SIBLING)
    check_whole(store)
    assert set(store.untag("app").layer_ids) == set(IMAGE.layer_ids[1:])
    assert set(store.untag("sibling").layer_ids) == set(SIBLING.layer_ids)
    assert store.driver.layers() == []


def test_layers_that_come_at_the_same_time(store: Store) -> None:
    errors: list[Exception] = []
    with store.open_sink("app") as sink:
        sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)

        def put(number: int) -> None:
            one = IMAGE.manifest.layers[number]
            try:
                sink.put_blob(one, io.BytesIO(IMAGE.blobs[one.digest]))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=put, args=(number,)) for number in (2, 1, 0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert errors == []
        assert store.driver.layers() == sorted(IMAGE.layer_ids)
        config = IMAGE.manifest.config
        sink.put_blob(config, io.BytesIO(IMAGE.blobs[config.digest]))
        sink.put_document(IMAGE.manifest.raw, IMAGE.manifest.media_type)
        sink.commit(IMAGE.descriptor)
    check_whole(store)
