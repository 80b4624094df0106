"""Images of real layers for tests of the store: they can be imported, unlike those of ``memoryimages``."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.builders import a_file, a_layer, a_link, layer_tar
from winlayers.base.digest import Digest
from winlayers.oci import mediatypes
from winlayers.oci.building import build_config, build_manifest, describe
from winlayers.oci.model import Descriptor, ImageConfig, Manifest, chain_ids, digest_bytes
from winlayers.oci.platform import Platform
from winlayers.store.images import StoreSink
from winlayers.store.store import Store

WINDOWS = Platform("windows", "amd64", os_version="10.0.20348.2113")
LINUX = Platform("linux", "amd64")


@dataclass(frozen=True)
class RealImage:
    """An image with all its bytes.

    Attributes:
        manifest: of it.
        config: of it.
        blobs: config and layers, the base layer first.
        tars: the layers without compression, the base layer first.
    """

    manifest: Manifest
    config: ImageConfig
    blobs: dict[Digest, bytes] = field(repr=False)
    tars: tuple[bytes, ...] = field(repr=False)

    @property
    def descriptor(self) -> Descriptor:
        """Of the manifest."""
        return describe(self.manifest.raw, self.manifest.media_type)

    @property
    def layer_ids(self) -> tuple[str, ...]:
        """Of its layers in the driver, the base layer first."""
        return tuple(one.hex for one in chain_ids(self.config.diff_ids))


def a_tar(name: str, *, link_to: str = "") -> bytes:
    """The tar of a small layer with one file, and perhaps a link into a layer below."""
    held = [a_file(f"Files/{name}.txt", name.encode() * 100)]
    if link_to:
        held.append(a_link(f"Files/{name}.lnk", f"Files/{link_to}.txt"))
    return layer_tar(a_layer(*held))


def an_image(
    tars: Sequence[bytes],
    *,
    platform: Platform = WINDOWS,
    plain: Sequence[int] = (),
    foreign: Sequence[int] = (),
    label: str = "",
) -> RealImage:
    """An image of these tars, compressed but for those whose numbers are in ``plain``."""
    files = [
        tar if number in plain else gzip.compress(tar, mtime=0) for number, tar in enumerate(tars)
    ]
    settings = {"Labels": {"label": label}} if label else {}
    config = build_config(platform, [digest_bytes(tar) for tar in tars], settings=settings)
    layers = [
        Descriptor(
            mediatypes.layer_type(
                mediatypes.OCI_LAYER,
                "" if number in plain else mediatypes.GZIP,
                foreign=number in foreign,
            ),
            digest_bytes(file),
            len(file),
            ("https://elsewhere.example/layer",) if number in foreign else (),
        )
        for number, file in enumerate(files)
    ]
    manifest = build_manifest(describe(config.raw, mediatypes.OCI_CONFIG), layers)
    blobs = {config.digest: config.raw} | {digest_bytes(file): file for file in files}
    return RealImage(manifest, config, blobs, tuple(tars))


def put_blobs(sink: StoreSink, image: RealImage) -> None:
    """Put config and layers, one after the other, but for those that are there."""
    sink.expect(image.manifest.raw, image.config.raw)
    for one in (image.manifest.config, *image.manifest.layers):
        if not sink.has_blob(one):
            sink.put_blob(one, io.BytesIO(image.blobs[one.digest]))


def put_image(store: Store, name: str, image: RealImage) -> None:
    """Put an image into a store under a name."""
    with store.open_sink(name) as sink:
        put_blobs(sink, image)
        sink.put_document(image.manifest.raw, image.manifest.media_type)
        sink.commit(image.descriptor)
