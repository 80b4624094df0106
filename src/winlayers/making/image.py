"""An image that something is made of, and the one that was made.

``BaseImage`` is an image of a source, its documents read and checked. ``MadeImage`` is a source itself: layers that
are unchanged are given from where they were, new ones from files of this process. So an image is made without a byte
of its old layers being read, and where it is copied to a place that has them, they are not read at all.

This module knows nothing of what is in layers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol, Self

from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel
from winlayers.errors import BlobNotFound, Unsupported
from winlayers.oci import mediatypes
from winlayers.oci.building import describe, edit_manifest
from winlayers.oci.endpoint import ImageSource, distrust, heed
from winlayers.oci.model import Descriptor, ImageConfig, Manifest, pair_layers
from winlayers.oci.platform import Platform
from winlayers.transfer.checked import read_config
from winlayers.transfer.selecting import has_image_config, select_image


class BlobOrigin(Protocol):
    """Where the bytes of a blob are to be had."""

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """See ``oci.endpoint.ImageSource``."""


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """A layer of an image, old or new.

    Attributes:
        descriptor: of the blob.
        diff_id: digest of the tar.
        origin: who has the blob.
    """

    descriptor: Descriptor
    diff_id: Digest
    origin: BlobOrigin


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that another one is made of.

    Attributes:
        source: where it is; it has to stay open as long as what is made of it is read.
        manifest: of it.
        config: of it.
    """

    source: ImageSource
    manifest: Manifest
    config: ImageConfig

    @property
    def layers(self) -> tuple[ImageLayer, ...]:
        """The base layer first."""
        return tuple(
            ImageLayer(descriptor, diff_id, self.source)
            for descriptor, diff_id in pair_layers(self.manifest, self.config)
        )


def open_image(source: ImageSource, platform: Platform | None = None) -> BaseImage:
    """Read the documents of an image.

    Args:
        source: opened for its name.
        platform: which image of an index; see ``transfer.selecting.select_image``.
    Raises:
        ImageNotFound, BlobNotFound: something is not there.
        Corrupt, DigestMismatch: something is not what its digest says.
        Unsupported: it is no image, or not one of Windows.
        Malformed: manifest and config do not fit together, or cannot be read.
    """
    return read_image(source, select_image(source, platform).manifest)


def read_image(source: ImageSource, manifest: Manifest) -> BaseImage:
    """Read the config of an image whose manifest is known.

    Args:
        source: that has it.
        manifest: of the image.
    Raises:
        BlobNotFound, Corrupt, DigestMismatch, Unsupported, Malformed: as ``open_image``.
    """
    if not has_image_config(manifest):
        raise Unsupported(f"{source.name} is no image with layers, so none can be made of it")
    config = read_config(source, manifest)
    pair_layers(manifest, config)  # which refuses what does not fit together
    if config.platform.os != "windows":
        raise Unsupported(f"{source.name} is an image for {config.platform}, not for Windows")
    return BaseImage(source, manifest, config)


class MadeImage:
    """An image that was made; see ``oci.endpoint.ImageSource`` for what the methods do.

    Attributes:
        manifest: of it.
        config: of it.
        layers: the base layer first.
    """

    def __init__(
        self, name: str, manifest: Manifest, config: ImageConfig, layers: Sequence[ImageLayer]
    ) -> None:
        self._name = name
        self.manifest = manifest
        self.config = config
        self.layers = tuple(layers)
        self._origins = {layer.descriptor.digest: layer.origin for layer in layers}

    @property
    def name(self) -> str:
        return self._name

    @property
    def descriptor(self) -> Descriptor:
        """Of the manifest."""
        return describe(self.manifest.raw, self.manifest.media_type)

    def as_base(self) -> BaseImage:
        """The image as one that the next is made of."""
        return BaseImage(self, self.manifest, self.config)

    def resolve(self) -> Descriptor:
        return self.descriptor

    def document(self, descriptor: Descriptor) -> bytes:
        if descriptor.digest != self.manifest.digest:
            raise BlobNotFound(f"{self._name} has no document {descriptor.digest}")
        return self.manifest.raw

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        if descriptor.digest == self.config.digest:
            return io.BytesIO(self.config.raw[offset:])
        origin = self._origins.get(descriptor.digest)
        if origin is None:
            raise BlobNotFound(f"{self._name} has no blob {descriptor.digest}")
        return origin.open_blob(descriptor, offset)

    def heed(self, cancel: Cancel) -> None:
        for origin in self._origins.values():
            heed(origin, cancel)

    def distrust(self, descriptor: Descriptor) -> bool:
        return distrust(self._origins.get(descriptor.digest), descriptor)

    def close(self) -> None:
        """Nothing is held here: sources and new layers are closed by whoever opened them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def make_image(
    image: BaseImage,
    config: ImageConfig,
    layers: Sequence[ImageLayer],
    *,
    annotations: Mapping[str, str] | None = None,
) -> MadeImage:
    """Put an image together; its manifest is the old one with what is changed.

    Args:
        image: the old one.
        config: the new one, whose diff IDs are those of ``layers``.
        layers: the base layer first; each may come from another image.
        annotations: all of the manifest's; None leaves the old ones.
    Raises:
        TooLarge: more layers than an image may have.
    """
    family = image.manifest.media_type
    config_descriptor = image.manifest.config
    if config.digest != config_descriptor.digest:
        # Not with the fields of the old one, which may hold annotations and bytes of that config.
        config_descriptor = describe(config.raw, config_descriptor.media_type)
    kept = [replace(layer, descriptor=_in_family(layer.descriptor, family)) for layer in layers]
    manifest = edit_manifest(
        image.manifest,
        config=config_descriptor,
        layers=[layer.descriptor for layer in kept],
        annotations=annotations,
    )
    return MadeImage(f"image made of {image.source.name}", manifest, config, kept)


def _in_family(descriptor: Descriptor, family: str) -> Descriptor:
    """The descriptor of a layer as documents of Docker or OCI have it."""
    is_docker = family.startswith("application/vnd.docker.")
    if descriptor.media_type.startswith("application/vnd.docker.") is is_docker:
        return descriptor
    media_type = mediatypes.layer_type(
        family,
        mediatypes.compression_of(descriptor.media_type),
        foreign=descriptor.is_foreign,
    )
    return replace(descriptor, media_type=media_type, fields={})
