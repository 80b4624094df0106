"""Images whose layers are layers of Windows, for tests of what is made of them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.builders import Layer, a_table, layer_tar
from tests.support.memoryimages import WINDOWS, MemoryImages
from winlayers.backends.memory import MemoryTable
from winlayers.base.digest import Digest
from winlayers.making.image import BaseImage, MadeImage, open_image
from winlayers.oci import mediatypes
from winlayers.oci.building import build_config, build_manifest, describe, history_step
from winlayers.oci.model import Descriptor
from winlayers.oci.platform import Platform
from winlayers.transfer.copying import copy_image


def an_image(
    *layers: Layer,
    platform: Platform = WINDOWS,
    settings: Mapping[str, Any] | None = None,
    is_docker: bool = False,
    name: str = "memory:",
) -> BaseImage:
    """An image of layers, the base layer first; each is a step of the history."""
    family = mediatypes.DOCKER_MANIFEST if is_docker else mediatypes.OCI_MANIFEST
    tars = [layer_tar(layer) for layer in layers]
    diff_ids = [Digest("sha256", hashlib.sha256(tar).hexdigest()) for tar in tars]
    history = [history_step(f"layer {number}") for number in range(len(layers))]
    config = build_config(platform, diff_ids, history=history, settings=settings)
    endpoint = MemoryImages(name)
    descriptors = []
    for tar in tars:
        blob = gzip.compress(tar, mtime=0)
        digest = Digest("sha256", hashlib.sha256(blob).hexdigest())
        endpoint.blobs[digest] = blob
        media_type = mediatypes.layer_type(family, mediatypes.GZIP, foreign=False)
        descriptors.append(Descriptor(media_type, digest, len(blob)))
    endpoint.blobs[config.digest] = config.raw
    config_type = mediatypes.DOCKER_CONFIG if is_docker else mediatypes.OCI_CONFIG
    endpoint.add_document(
        build_manifest(describe(config.raw, config_type), descriptors, media_type=family)
    )
    return open_image(endpoint)


def copied(made: MadeImage) -> MemoryImages:
    """The image where it was copied to, each blob checked on its way."""
    sink = MemoryImages("memory:copy")
    copy_image(made, sink)
    return sink


def layer_bytes(endpoint: MemoryImages, number: int) -> bytes:
    """The tar of a layer of what an endpoint has."""
    layer = open_image(endpoint).layers[number]
    tar = gzip.decompress(endpoint.blobs[layer.descriptor.digest])
    assert hashlib.sha256(tar).hexdigest() == layer.diff_id.hex
    return tar


def tables_of(layers: Sequence[Layer]) -> list[MemoryTable]:
    """Tables of layers that are given base first, nearest first."""
    return [a_table(f"L{number}", layer) for number, layer in enumerate(layers)][::-1]
