"""Images of Windows as OCI layouts, made of small layers that have all that layers can have."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.builders import (
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_symlink,
    a_whiteout,
    layer_tar,
)
from winlayers.base.digest import Digest
from winlayers.oci import mediatypes
from winlayers.oci.building import build_config, build_index, build_manifest, describe
from winlayers.oci.layout import LayoutSink
from winlayers.oci.model import Descriptor, Manifest, digest_bytes
from winlayers.oci.platform import Platform

BASE = layer_tar(
    a_layer(
        a_file(
            "Files/Windows/System32/kernel32.dll", bytes(range(256)) * 4000, {"note": b"stream"}
        ),
        a_file("Files/Windows/win.ini", b"; for 16-bit app support\r\n"),
        a_link("Files/Windows/win2.ini", "Files/Windows/win.ini"),
        a_symlink("Files/link", "C:\\Windows\\win.ini"),
        a_junction("Files/Docs", "C:\\Windows"),
        a_directory("Files/empty"),
    )
)
APP = layer_tar(
    a_layer(
        a_file("Files/app/app.exe", b"MZ" + bytes(5000)),
        a_whiteout("Files/Windows/win2.ini"),
        a_file("Hives/System_Delta", b"regf"),
    )
)


@dataclass
class Image:
    """An image: its documents, and its blobs.

    Attributes:
        manifest: of it.
        blobs: config and layers, by digest.
        foreign: those of the blobs that are not to be put with the others.
    """

    manifest: Manifest
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    foreign: set[Digest] = field(default_factory=set)


def windows(build: str) -> Platform:
    """Windows of a build on amd64."""
    return Platform("windows", "amd64", os_version=f"10.0.{build}")


def an_image(*tars: bytes, platform: Platform, url: str = "", is_docker: bool = False) -> Image:
    """An image of layers.

    Args:
        tars: of the layers, the base layer first.
        platform: what it runs on.
        url: where the base layer is to be had, which makes it a foreign one.
        is_docker: documents of Docker's family, as the images of Microsoft have.
    """
    packed = [gzip.compress(tar, 6, mtime=0) for tar in tars]
    config = build_config(platform, [digest_bytes(tar) for tar in tars])
    family = mediatypes.DOCKER_LAYER if is_docker else mediatypes.OCI_LAYER
    layers = []
    for number, blob in enumerate(packed):
        is_foreign = bool(url) and number == 0
        kind = mediatypes.layer_type(family, mediatypes.GZIP, foreign=is_foreign)
        urls = (f"{url}/{digest_bytes(blob).hex}",) if is_foreign else ()
        layers.append(Descriptor(kind, digest_bytes(blob), len(blob), urls))
    config_type = mediatypes.DOCKER_CONFIG if is_docker else mediatypes.OCI_CONFIG
    manifest_type = mediatypes.DOCKER_MANIFEST if is_docker else mediatypes.OCI_MANIFEST
    manifest = build_manifest(describe(config.raw, config_type), layers, media_type=manifest_type)
    blobs = {digest_bytes(blob): blob for blob in packed} | {config.digest: config.raw}
    foreign = {layer.digest for layer in layers if layer.is_foreign}
    return Image(manifest, blobs, foreign)


def write_layout(folder: Path, tag: str, *images: Image, is_docker: bool = False) -> Digest:
    """Write an image, or an index of several, to a layout; what its tag leads to."""
    with LayoutSink(folder, tag) as sink:
        for image in images:
            for digest, blob in image.blobs.items():
                if digest not in image.foreign:
                    sink.put_blob(describe(blob, "application/octet-stream"), io.BytesIO(blob))
            sink.put_document(image.manifest.raw, image.manifest.media_type)
        if len(images) == 1:
            top = describe(images[0].manifest.raw, images[0].manifest.media_type)
        else:
            index = build_index(
                [
                    describe(
                        image.manifest.raw, image.manifest.media_type, platform=platform_of(image)
                    )
                    for image in images
                ],
                media_type=mediatypes.DOCKER_LIST if is_docker else mediatypes.OCI_INDEX,
            )
            sink.put_document(index.raw, index.media_type)
            top = describe(index.raw, index.media_type)
        sink.commit(top)
    return top.digest


def platform_of(image: Image) -> Platform:
    """What an image runs on, as its config says."""
    from winlayers.oci.model import parse_config

    return parse_config(image.blobs[image.manifest.config.digest]).platform
