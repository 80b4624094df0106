"""Layers from the URLs of their descriptors: from the first that has them, without a login, and from nowhere else."""

from __future__ import annotations

import pytest

from tests.support.registry import Registry, describe_blob, status
from winlayers.distribution.credentials import Credentials
from winlayers.distribution.foreign import MAX_TRIED, ForeignLayers
from winlayers.distribution.registries import HostSettings, Registries
from winlayers.distribution.retry import Patience
from winlayers.errors import BlobNotFound
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor

BLOB = bytes(range(256)) * 40


def foreign(*urls: str) -> Descriptor:
    return describe_blob(BLOB, mediatypes.DOCKER_FOREIGN_LAYER, urls=urls)


def test_layer_comes_from_the_first_url_that_has_it(
    registry: Registry, registries: Registries, patience: Patience
) -> None:
    registry.files["/layer"] = BLOB
    registry.files["/short"] = BLOB[1:]
    settings = HostSettings(True, credentials=Credentials("me", "s3cret"))
    known = registries.with_host(registry.host, settings)
    urls = [f"{registry.url}/{name}" for name in ("gone", "short", "layer", "never")]
    with (
        ForeignLayers(known, patience=patience) as layers,
        layers.open(foreign(*urls), 100, BlobNotFound("not in the layout")) as blob,
    ):
        assert blob.read() == BLOB[100:]
    assert [one.path for one in registry.requests][-1] == "/layer"
    assert {one.authorization for one in registry.requests} == {""}


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "http://me:s3cret@127.0.0.1:1/x",
        "http://",
        "http://127.0.0.1:99999/x",
        "http://127.0.0.1:1/a\r\nX: y",
        "//127.0.0.1/x",
        "layer.tar",
        "",
    ],
)
def test_hostile_urls_lead_nowhere(registries: Registries, patience: Patience, url: str) -> None:
    first = BlobNotFound("not in the layout")
    with (
        ForeignLayers(registries, patience=patience) as layers,
        pytest.raises(BlobNotFound) as raised,
    ):
        layers.open(foreign(url), 0, first)
    assert raised.value is first
    (note,) = first.__notes__
    assert "s3cret" not in note
    assert "\n" not in note


def test_layer_is_read_from_any_offset(
    registry: Registry, registries: Registries, patience: Patience
) -> None:
    registry.files["/layer"] = BLOB
    with ForeignLayers(registries, patience=patience) as layers:
        url = f"{registry.url}/layer"
        with layers.open(foreign(url), 0, BlobNotFound("x")) as blob:
            assert blob.read(10) == BLOB[:10]
        with layers.open(foreign(url), 10, BlobNotFound("x")) as blob:
            assert blob.read() == BLOB[10:]


def test_few_of_many_urls_are_asked(
    registry: Registry, registries: Registries, patience: Patience
) -> None:
    first = BlobNotFound("not in the layout")
    urls = [f"{registry.url}/{number}" for number in range(100)]
    with ForeignLayers(registries, patience=patience) as layers, pytest.raises(BlobNotFound):
        layers.open(foreign(*urls), 0, first)
    assert len(registry.requests) == MAX_TRIED
    assert first.__notes__[-1] == f"{100 - MAX_TRIED} more URLs were not asked"


def test_no_other_url_is_asked_after_a_minute(
    registry: Registry, registries: Registries, patience: Patience
) -> None:
    first = BlobNotFound("not in the layout")
    registry.on("GET", "/0", status(503, Retry_After="50"), times=99)
    urls = [f"{registry.url}/{number}" for number in range(3)]
    with ForeignLayers(registries, patience=patience) as layers, pytest.raises(BlobNotFound):
        layers.open(foreign(*urls), 0, first)
    assert {one.path for one in registry.requests} == {"/0"}
    assert first.__notes__[-1] == "2 more URLs were not asked"
