"""Media types: what they say of a layer."""

from __future__ import annotations

import pytest

from winlayers.oci import mediatypes
from winlayers.oci.mediatypes import compression_of, is_foreign, is_layer, layer_type

LAYERS = [
    ("application/vnd.oci.image.layer.v1.tar", "", False),
    ("application/vnd.oci.image.layer.v1.tar+gzip", "gzip", False),
    ("application/vnd.oci.image.layer.v1.tar+zstd", "zstd", False),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar", "", True),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip", True),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd", True),
    ("application/vnd.docker.image.rootfs.diff.tar", "", False),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip", False),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", "zstd", False),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar", "", True),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip", True),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.zstd", "zstd", True),
]


@pytest.mark.parametrize(("media_type", "compression", "foreign"), LAYERS)
def test_type_of_a_layer(media_type: str, compression: str, foreign: bool) -> None:
    assert is_layer(media_type)
    assert is_foreign(media_type) is foreign
    assert compression_of(media_type) == compression
    assert layer_type(media_type, compression, foreign=foreign) == media_type


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        mediatypes.OCI_MANIFEST,
        mediatypes.DOCKER_CONFIG,
        "application/vnd.oci.image.layer.v1.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar+xz",
        "application/vnd.docker.image.rootfs.diff.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "x application/vnd.oci.image.layer.v1.tar",
    ],
)
def test_type_of_something_else(media_type: str) -> None:
    assert not is_layer(media_type)
    assert not is_foreign(media_type)
    assert compression_of(media_type) == ""


def test_type_in_the_family_of_a_document() -> None:
    assert layer_type(mediatypes.OCI_MANIFEST, "zstd", foreign=False).endswith("v1.tar+zstd")
    assert layer_type(mediatypes.DOCKER_MANIFEST, "", foreign=True).endswith("foreign.diff.tar")


def test_documents_are_of_two_families() -> None:
    assert not mediatypes.MANIFESTS & mediatypes.INDEXES
    assert len(mediatypes.MANIFESTS | mediatypes.INDEXES) == 4
