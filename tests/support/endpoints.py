"""Small images in memory, and a plain copy of them into a sink: what the tests of endpoints work with."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Self

from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.base.digest import Digest, DigestReader
from winlayers.errors import BlobNotFound
from winlayers.oci import mediatypes
from winlayers.oci.building import build_config, build_index, build_manifest, describe
from winlayers.oci.endpoint import ImageSink, ImageSource
from winlayers.oci.model import Descriptor, Index, Manifest, digest_bytes, parse_document
from winlayers.oci.platform import Platform


@dataclass
class MemoryImage:
    """An image, or an index of them, with all that it names; an ``ImageSource`` too.

    Attributes:
        top: what the name leads to.
        documents: manifests and indexes.
        blobs: configs and layers.
    """

    top: Descriptor
    documents: dict[Digest, bytes] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    name: str = "memory"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""

    def resolve(self) -> Descriptor:
        return self.top

    def document(self, descriptor: Descriptor) -> bytes:
        return _got(self.documents, descriptor)

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        return io.BytesIO(_got(self.blobs, descriptor)[offset:])

    @property
    def manifest(self) -> Manifest:
        """Its manifest, where it is one image."""
        document = parse_document(self.documents[self.top.digest], self.top.media_type)
        assert isinstance(document, Manifest)
        return document


def an_image(
    *texts: str,
    platform: str = "windows/amd64:10.0.20348.1",
    compression: str = "gzip",
    media_type: str = mediatypes.OCI_MANIFEST,
    foreign: Mapping[int, str] | None = None,
) -> MemoryImage:
    """An image with a layer for each text.

    Args:
        texts: content of the one file of each layer, the base layer first.
        platform: as ``Platform.parse`` has it.
        compression: of the layers: ``gzip`` or none.
        media_type: OCI's or Docker's.
        foreign: URLs of those layers that are foreign, by their number.
    """
    foreign = foreign or {}
    tars = [layer_tar(a_layer(a_file("Files/a.txt", text.encode()))) for text in texts]
    contents = [gzip.compress(tar, mtime=0) if compression else tar for tar in tars]
    config = build_config(Platform.parse(platform), [digest_bytes(tar) for tar in tars])
    layers = [
        Descriptor(
            mediatypes.layer_type(media_type, compression, foreign=number in foreign),
            digest_bytes(content),
            len(content),
            (foreign[number],) if number in foreign else (),
        )
        for number, content in enumerate(contents)
    ]
    is_docker = media_type == mediatypes.DOCKER_MANIFEST
    config_type = mediatypes.DOCKER_CONFIG if is_docker else mediatypes.OCI_CONFIG
    manifest = build_manifest(describe(config.raw, config_type), layers, media_type=media_type)
    blobs = {digest_bytes(content): content for content in [config.raw, *contents]}
    top = describe(manifest.raw, media_type, platform=config.platform)
    return MemoryImage(top, {manifest.digest: manifest.raw}, blobs)


def an_index(*images: MemoryImage, media_type: str = mediatypes.OCI_INDEX) -> MemoryImage:
    """An index of images, or of indexes."""
    index = build_index([image.top for image in images], media_type=media_type)
    whole = MemoryImage(describe(index.raw, media_type))
    for image in images:
        whole.documents |= image.documents
        whole.blobs |= image.blobs
    whole.documents[index.digest] = index.raw
    return whole


def fill(sink: ImageSink, source: ImageSource, *, without: Iterable[Digest] = ()) -> Descriptor:
    """Put an image into a sink, all but the name that leads to it.

    Args:
        sink: where to.
        source: where from.
        without: blobs that are left out.
    Returns:
        What ``commit`` takes.
    """
    top = source.resolve()
    _fill(sink, source, top, frozenset(without))
    return top


def copy(source: ImageSource, sink: ImageSink) -> Descriptor:
    """Put an image into a sink, and have its name lead to it."""
    top = fill(sink, source)
    sink.commit(top)
    return top


def checked(content: bytes, descriptor: Descriptor) -> BinaryIO:
    """Bytes that raise at their end where they are not those of a descriptor."""
    return DigestReader(io.BytesIO(content), descriptor.digest)


def content_of(source: ImageSource, descriptor: Descriptor, offset: int = 0) -> bytes:
    """The bytes of a blob."""
    with source.open_blob(descriptor, offset) as file:
        return b"".join(iter(lambda: file.read(1 << 16), b""))


def _fill(
    sink: ImageSink, source: ImageSource, descriptor: Descriptor, without: frozenset[Digest]
) -> None:
    raw = source.document(descriptor)
    document = parse_document(raw, descriptor.media_type)
    if isinstance(document, Index):
        for one in document.manifests:
            _fill(sink, source, one, without)
    else:
        for blob in (document.config, *document.layers):
            if blob.digest not in without and not sink.has_blob(blob):
                with source.open_blob(blob) as file:
                    sink.put_blob(blob, DigestReader(file, blob.digest))
    sink.put_document(raw, document.media_type)


def _got(held: Mapping[Digest, bytes], descriptor: Descriptor) -> bytes:
    try:
        return held[descriptor.digest]
    except KeyError:
        raise BlobNotFound(f"no {descriptor.digest} in memory") from None
