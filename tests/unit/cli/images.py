"""Images made of the two small layers of the harness, in a folder of the OCI layout."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from tests.support.memoryimages import WINDOWS, ImageParts, MemoryImages, put_index
from tests.unit.cli.harness import APP, BASE
from winlayers.oci import mediatypes
from winlayers.oci.building import build_config, build_manifest, describe, history_step
from winlayers.oci.layout import LayoutSink
from winlayers.oci.model import digest_bytes
from winlayers.oci.platform import Platform
from winlayers.transfer.copying import copy_image

OLD = Platform("windows", "amd64", os_version="10.0.17763.1")
LINUX = Platform("linux", "amd64")


def an_image(layers: Sequence[bytes] = (BASE, APP), platform: Platform = WINDOWS) -> ImageParts:
    """An image of real layers, compressed, with a history."""
    blobs = [gzip.compress(layer, mtime=0) for layer in layers]
    steps = [
        history_step("Apply image 10.0.20348.1", created="2024-01-01T00:00:00Z"),
        history_step("ENV NAME=value", is_empty=True),
        *(history_step("COPY run.exe /app " + "x" * 60, comment="a comment") for _ in layers[1:]),
    ]
    config = build_config(
        platform,
        [digest_bytes(layer) for layer in layers],
        history=steps,
        settings={"Entrypoint": ["cmd.exe"], "Env": ["NAME=value"]},
        created="2024-01-02T03:04:05Z",
    )
    manifest = build_manifest(
        describe(config.raw, mediatypes.OCI_CONFIG),
        [describe(blob, f"{mediatypes.OCI_LAYER}+gzip") for blob in blobs],
    )
    return ImageParts(manifest, {digest_bytes(one): one for one in [*blobs, config.raw]})


def put_layout(folder: Path, tag: str = "multi") -> str:
    """A layout with an index of two builds of Windows and a Linux, the newer one with both layers; its name."""
    source = MemoryImages()
    put_index(
        source,
        [
            (an_image([BASE], OLD), OLD),
            (an_image(), WINDOWS),
            (an_image([BASE], LINUX), LINUX),
        ],
    )
    with LayoutSink(folder, tag) as sink:
        copy_image(source, sink, all_platforms=True)
    return f"oci:{folder}:{tag}"
