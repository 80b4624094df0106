"""Images in memory: an endpoint that is both source and sink, with faults on demand, and images to put in it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Self

from winlayers.base.digest import Digest
from winlayers.errors import BlobNotFound, ImageNotFound
from winlayers.oci import mediatypes
from winlayers.oci.building import build_config, build_index, build_manifest, describe
from winlayers.oci.model import Descriptor, Index, Manifest, digest_bytes
from winlayers.oci.platform import Platform

WINDOWS = Platform("windows", "amd64", os_version="10.0.20348.2113")


class MemoryImages:
    """A source and a sink of one name.

    Attributes:
        documents: manifests and indexes.
        blobs: configs and layers.
        top: what the name leads to.
        opened: each blob that was opened, and from which byte.
        events: what a sink was asked for, in order.
        open_fault: called before a blob is opened, with its digest and the offset.
        cut_after: how many bytes a stream gives before the connection is lost; None for all.
    """

    def __init__(self, name: str = "memory:") -> None:
        self.name = name
        self.documents: dict[Digest, bytes] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.top: Descriptor | None = None
        self.opened: list[tuple[Digest, int]] = []
        self.events: list[str] = []
        self.open_fault: Callable[[Digest, int], None] = lambda digest, offset: None
        self.cut_after: int | None = None
        self.is_closed = False
        self._lock = threading.Lock()

    def resolve(self) -> Descriptor:
        if self.top is None:
            raise ImageNotFound(f"{self.name} leads to nothing")
        return self.top

    def document(self, descriptor: Descriptor) -> bytes:
        return self._of(self.documents, descriptor.digest)

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        with self._lock:
            self.opened.append((descriptor.digest, offset))
        self.open_fault(descriptor.digest, offset)
        rest = self._of(self.blobs, descriptor.digest)[offset:]
        return CutStream(rest, self.cut_after)

    def has_blob(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self.blobs

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        raw = io.BytesIO()
        while block := source.read(1000):
            raw.write(block)
        with self._lock:
            self.events.append(f"blob {descriptor.digest}")
            self.blobs[descriptor.digest] = raw.getvalue()

    def put_document(self, raw: bytes, media_type: str) -> None:
        digest = digest_bytes(raw)
        self.events.append(f"document {digest}")
        self.documents[digest] = raw

    def commit(self, descriptor: Descriptor) -> None:
        self.events.append(f"commit {descriptor.digest}")
        self.top = descriptor

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def add_document(self, document: Manifest | Index) -> None:
        """Put one there, and have the name lead to it."""
        self.documents[document.digest] = document.raw
        self.top = Descriptor(document.media_type, document.digest, len(document.raw))

    def _of(self, known: dict[Digest, bytes], digest: Digest) -> bytes:
        if digest not in known:
            raise BlobNotFound(f"{self.name} has no {digest}")
        return known[digest]


class CutStream(io.BytesIO):
    """A stream whose connection is lost after some bytes."""

    def __init__(self, raw: bytes, cut_after: int | None) -> None:
        super().__init__(raw)
        self._left = cut_after

    def read(self, size: int | None = -1, /) -> bytes:
        if self._left is None:
            return super().read(size)
        if not self._left:
            raise ConnectionResetError("the connection was lost")
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        block = super().read(wanted)
        self._left -= len(block)
        return block


@dataclass
class ImageParts:
    """An image, and what it is made of."""

    manifest: Manifest
    blobs: dict[Digest, bytes] = field(default_factory=dict)

    @property
    def descriptor(self) -> Descriptor:
        """Of the manifest."""
        return describe(self.manifest.raw, self.manifest.media_type)


def make_image(
    layers: Sequence[bytes],
    *,
    platform: Platform = WINDOWS,
    is_docker: bool = False,
    foreign: Sequence[int] = (),
) -> ImageParts:
    """An image of some layers.

    Args:
        layers: bytes that stand for tars; nobody looks into them.
        platform: of the config.
        is_docker: whether its documents are Docker's.
        foreign: numbers of the layers that are foreign.
    """
    family = mediatypes.DOCKER_LAYER if is_docker else mediatypes.OCI_LAYER
    config = build_config(platform, [digest_bytes(layer) for layer in layers])
    blobs = {digest_bytes(layer): layer for layer in layers} | {config.digest: config.raw}
    descriptors = [
        Descriptor(
            mediatypes.layer_type(family, mediatypes.GZIP, foreign=number in foreign),
            digest_bytes(layer),
            len(layer),
            (f"https://elsewhere.example/{number}",) if number in foreign else (),
        )
        for number, layer in enumerate(layers)
    ]
    manifest = build_manifest(
        describe(config.raw, mediatypes.DOCKER_CONFIG if is_docker else mediatypes.OCI_CONFIG),
        descriptors,
        media_type=mediatypes.DOCKER_MANIFEST if is_docker else mediatypes.OCI_MANIFEST,
    )
    return ImageParts(manifest, blobs)


def put_image(endpoint: MemoryImages, image: ImageParts) -> None:
    """Put an image there, and have the name lead to it."""
    endpoint.blobs |= image.blobs
    endpoint.add_document(image.manifest)


def put_index(
    endpoint: MemoryImages, images: Sequence[tuple[ImageParts, Platform | None]]
) -> Index:
    """Put images there, and have the name lead to an index of them."""
    for image, _ in images:
        put_image(endpoint, image)
    index = build_index(
        [
            describe(image.manifest.raw, image.manifest.media_type, platform=platform)
            for image, platform in images
        ]
    )
    endpoint.add_document(index)
    return index
