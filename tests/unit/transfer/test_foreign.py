"""Foreign layers made ordinary: nothing else changes, and what needs no change stays as it was."""

from __future__ import annotations

import json

import pytest

from tests.support.memoryimages import WINDOWS, MemoryImages, make_image, put_image, put_index
from winlayers.oci import mediatypes
from winlayers.oci.model import Index, Manifest
from winlayers.transfer.foreign import ordinary, without_foreign_layers
from winlayers.transfer.selecting import read_tree


@pytest.mark.parametrize(
    ("is_docker", "media_type"),
    [
        (False, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (True, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ],
)
def test_foreign_layer_becomes_ordinary(*, is_docker: bool, media_type: str) -> None:
    image = make_image([b"base", b"update"], is_docker=is_docker, foreign=[0])
    ((descriptor, document),) = without_foreign_layers([(image.descriptor, image.manifest)])
    assert isinstance(document, Manifest)
    assert descriptor.digest == document.digest != image.manifest.digest
    assert descriptor.size == len(document.raw)
    assert [layer.media_type for layer in document.layers] == [media_type] * 2
    assert document.layers[0].digest == image.manifest.layers[0].digest
    assert document.layers[0].urls == ()
    assert "urls" not in json.loads(document.raw)["layers"][0]
    assert document.config == image.manifest.config


def test_documents_without_foreign_layers_stay_as_they_are() -> None:
    source = MemoryImages()
    put_index(source, [(make_image([b"a"]), WINDOWS)])
    documents = read_tree(source, source.resolve())
    assert without_foreign_layers(documents) == documents
    layer = make_image([b"a"]).manifest.layers[0]
    assert ordinary(layer) is layer


def test_index_names_the_new_manifest_and_the_others_as_before() -> None:
    source = MemoryImages()
    plain, foreign = make_image([b"plain"]), make_image([b"foreign"], foreign=[0])
    put_index(source, [(plain, WINDOWS), (foreign, WINDOWS)])
    *manifests, (descriptor, index) = without_foreign_layers(read_tree(source, source.resolve()))
    assert isinstance(index, Index)
    assert descriptor.digest == index.digest
    assert [one.digest for one in index.manifests] == [one.digest for one, _ in manifests]
    assert index.manifests[0].digest == plain.manifest.digest
    assert index.manifests[1].digest != foreign.manifest.digest
    assert [one.platform for one in index.manifests] == [WINDOWS, WINDOWS]


def test_unpacked_foreign_layer_becomes_ordinary() -> None:
    source = MemoryImages()
    put_image(source, make_image([b"a"], foreign=[0]))
    _, manifest = read_tree(source, source.resolve())[0]
    assert isinstance(manifest, Manifest)
    assert ordinary(manifest.layers[0]).media_type == f"{mediatypes.OCI_LAYER}+gzip"
