"""``docker-archive:FILE[:name]``: images in one tar, as ``docker save`` writes and ``docker load`` takes them.

    manifest.json   an array; for each image Config (a path), RepoTags, Layers (paths, the base layer first) and, where
                    layers are foreign, LayerSources (diff ID: descriptor with urls)
    <config>        the config of an image; its digest is the image ID
    <layer>         a layer as a tar, or that compressed; also a link to another member

Such an archive has no manifest in the sense of ``model``, so the source makes one, of Docker's family. It has the bytes
that ``building.build_manifest`` gives, and so always the same digest for the same archive:

- the config is the member as it stands, of type ``application/vnd.docker.container.image.v1+json``;
- each layer is the member as it lies there. One that is not compressed has its diff ID for a digest, which is not
  computed: who reads it sees whether it is so. One that is compressed has the digest that its path gives
  (``blobs/sha256/<hex>``), else that of its bytes, which are read for that. Its type says how it is compressed;
- no layer is foreign, as its bytes are here. ``foreign_layers`` gives what LayerSources has.

Docker since 25 puts an OCI layout into the same tar. Where that has a manifest of the same config with all of its
layers, the source gives that one, so that digests are those of the image that was saved.

The sink writes manifest.json, configs as ``<hex>.json`` and layers as ``<diff ID>.tar``, not compressed, as every Docker
since 1.10 takes them. So what survives is the config, the image ID and the diff IDs, and not the manifest nor the
compressed layers. The same images make the same bytes. Before Docker 1.10 archives had no ``manifest.json``; such are
refused, and no ``repositories`` for them is written.

Source: moby/moby image/tarexport load.go and save.go for what is read and written.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from winlayers.base.compression import Compression, detect, open_decompressed
from winlayers.base.digest import Digest, DigestReader, digest_of
from winlayers.base.fileobj import CountingReader
from winlayers.base.room import RoomReader
from winlayers.base.rooted import Parts
from winlayers.errors import (
    BlobNotFound,
    Corrupt,
    DigestMismatch,
    ImageNotFound,
    InvalidArgument,
    InvalidReference,
    Malformed,
    Unsupported,
)
from winlayers.oci import mediatypes
from winlayers.oci._files import Files, Folder, clean_place, read_small, shown
from winlayers.oci._json import JsonObject, read_object, write_json
from winlayers.oci.archive import Staging, open_members
from winlayers.oci.building import build_manifest, describe
from winlayers.oci.layout import (
    BLOBS,
    INDEX_FILE,
    VERSION_FILE,
    blob_place,
    layout_name,
    open_at,
)
from winlayers.oci.model import (
    MAX_DOCUMENT_SIZE,
    MAX_LAYERS,
    MAX_URLS,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    pair_layers,
    parse_config,
    parse_document,
)
from winlayers.oci.reference import Reference

MAX_IMAGES = 10_000
"""Images of an archive, and names of an image."""

MANIFEST_FILE: Parts = ("manifest.json",)
_REPOSITORIES_FILE: Parts = ("repositories",)
_MAX_VISITS = 1000
_TOLD_COUNT = 20
_COMPRESSIONS = {Compression.NONE: "", Compression.GZIP: "gzip", Compression.ZSTD: "zstd"}


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image as ``manifest.json`` has it.

    Attributes:
        config: path of the config.
        names: what it is called, ``name:tag``.
        layers: paths of the layers, the base layer first.
        sources: by diff ID, where foreign layers came from.
    """

    config: str
    names: tuple[str, ...]
    layers: tuple[str, ...]
    sources: Mapping[str, Descriptor] = field(default_factory=dict, hash=False)


class DockerArchiveSource:
    """The images of an archive, one of which is meant."""

    def __init__(self, files: Files, name: str, image: str = "") -> None:
        """Look at an archive.

        Args:
            files: of the archive; closed with this object.
            name: what the user called it.
            image: which of its images, ``name:tag``; ``@`` and its number, from 0; ``""`` where it has only one.
        """
        self.name = name
        self._files = files
        self._image = image
        self._opened: _Opened | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the archive."""
        self._files.close()

    def images(self) -> tuple[ArchivedImage, ...]:
        """All images of the archive.

        Raises:
            ImageNotFound: it is no archive of images.
            Unsupported: it is one of Docker before 1.10.
            Malformed, TooLarge: ``manifest.json`` is not what it should be.
        """
        try:
            raw = read_small(self._files, MANIFEST_FILE, MAX_DOCUMENT_SIZE)
        except FileNotFoundError as error:
            if self._files.size(_REPOSITORIES_FILE) is not None:
                raise Unsupported(
                    f"{self.name} is an archive of Docker before 1.10; load and save it with a later one"
                ) from error
            raise ImageNotFound(f"{self.name}: there is no manifest.json in it") from error
        return _parse_images(raw)

    def resolve(self) -> Descriptor:
        """The manifest of the image that is meant; see the text of this module for what it is.

        Raises:
            ImageNotFound: there is none of this name, or several and no name was given.
            BlobNotFound: a file that it names is not there.
            Malformed: it has another number of layers than its config, or several images have this name.
        """
        return self._open().descriptor

    def document(self, descriptor: Descriptor) -> bytes:
        """See ``ImageSource``."""
        opened = self._open()
        if descriptor.digest != opened.descriptor.digest:
            raise BlobNotFound(f"{self.name} does not have {descriptor.digest}")
        return opened.raw

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """See ``ImageSource``."""
        opened = self._open()
        place = opened.places.get(descriptor.digest)
        if place is None:
            raise BlobNotFound(f"{self.name} does not have {descriptor.digest}")
        return open_at(self._files, place, descriptor, offset, self.name)

    def foreign_layers(self) -> Mapping[Digest, Descriptor]:
        """By diff ID, the foreign layers that the layers of this image were, with their URLs."""
        return self._open().foreign

    def _open(self) -> _Opened:
        with self._lock:
            if self._opened is None:
                self._opened = self._load(self._choose())
            return self._opened

    def _choose(self) -> ArchivedImage:
        images = self.images()
        found = _find_images(images, self._image)
        if len(found) == 1:
            return found[0]
        names = [image.names[0] if image.names else f"@{at}" for at, image in enumerate(images)]
        told = ", ".join(names[:_TOLD_COUNT]) + (", ..." if len(names) > _TOLD_COUNT else "")
        if self._image:
            raise ImageNotFound(f"{self.name}: there is no such image; there are: {told}")
        raise ImageNotFound(
            f"{self.name}: say which image by adding a colon and its name; there are: {told}"
            if names
            else f"{self.name}: there is no image in it"
        )

    def _load(self, image: ArchivedImage) -> _Opened:
        config_place = clean_place(image.config, "manifest.json")
        try:
            config = parse_config(read_small(self._files, config_place, MAX_DOCUMENT_SIZE))
        except FileNotFoundError as error:
            raise self._lacks(image.config) from error
        if len(image.layers) != len(config.diff_ids):
            raise Malformed(
                "manifest.json",
                f"it has {len(image.layers)} layers, and the config of the image {len(config.diff_ids)}",
            )
        foreign = {
            diff_id: image.sources[str(diff_id)]
            for diff_id in config.diff_ids
            if str(diff_id) in image.sources
        }
        return self._from_layout(config, foreign) or self._made(
            image, config, config_place, foreign
        )

    def _made(
        self,
        image: ArchivedImage,
        config: ImageConfig,
        config_place: Parts,
        foreign: Mapping[Digest, Descriptor],
    ) -> _Opened:
        """The image with a manifest made for it."""
        places = {config.digest: config_place}
        layers = []
        for path, diff_id in zip(image.layers, config.diff_ids, strict=True):
            place = clean_place(path, "manifest.json")
            layer = self._describe_layer(place, diff_id)
            places[layer.digest] = place
            layers.append(layer)
        config_descriptor = describe(config.raw, mediatypes.DOCKER_CONFIG)
        manifest = build_manifest(config_descriptor, layers, media_type=mediatypes.DOCKER_MANIFEST)
        descriptor = describe(manifest.raw, manifest.media_type, platform=config.platform)
        return _Opened(descriptor, manifest.raw, places, foreign)

    def _describe_layer(self, place: Parts, diff_id: Digest) -> Descriptor:
        try:
            file = self._files.open(place)
        except FileNotFoundError as error:
            raise self._lacks("/".join(place)) from error
        with file:
            compression = detect(file.read(4))
            digest = diff_id
            if compression is not Compression.NONE:
                file.seek(0)
                digest = _digest_in(place) or digest_of(file)
        media_type = mediatypes.layer_type(
            mediatypes.DOCKER_MANIFEST, _COMPRESSIONS[compression], foreign=False
        )
        return Descriptor(media_type, digest, self._files.size(place) or 0)

    def _from_layout(
        self, config: ImageConfig, foreign: Mapping[Digest, Descriptor]
    ) -> _Opened | None:
        """The image with the manifest that the layout in the archive has for its config, if it has one."""
        if self._files.size(VERSION_FILE) is None or self._files.size(INDEX_FILE) is None:
            return None
        raw = read_small(self._files, INDEX_FILE, MAX_DOCUMENT_SIZE)
        top = parse_document(raw, mediatypes.OCI_INDEX)
        # What waits are descriptors, so that one document at a time is in memory.
        pending = list(top.manifests[:_MAX_VISITS]) if isinstance(top, Index) else []
        seen: set[Digest] = set()
        while pending and len(seen) < _MAX_VISITS:
            entry = pending.pop()
            if entry.digest in seen:
                continue
            seen.add(entry.digest)
            document = self._document_of(entry)
            if isinstance(document, Index):
                pending += document.manifests[: _MAX_VISITS - len(pending)]
            elif document is not None and self._is_of(document, config):
                return self._kept(document, config, foreign)
        return None

    def _document_of(self, entry: Descriptor) -> Manifest | Index | None:
        if entry.media_type not in mediatypes.MANIFESTS | mediatypes.INDEXES:
            return None
        try:
            raw = read_small(self._files, blob_place(entry.digest), MAX_DOCUMENT_SIZE)
        except FileNotFoundError:
            return None  # an index may name images that were not saved
        if hashlib.new(entry.digest.algorithm, raw).hexdigest() != entry.digest.hex:
            raise Corrupt(f"{self.name}: {shown(blob_place(entry.digest))} has another digest")
        return parse_document(raw, entry.media_type)

    def _is_of(self, manifest: Manifest, config: ImageConfig) -> bool:
        """Whether it is a manifest of this config, and all of its layers are there."""
        return manifest.config.digest == config.digest and all(
            self._files.size(blob_place(layer.digest)) == layer.size for layer in manifest.layers
        )

    def _kept(
        self, manifest: Manifest, config: ImageConfig, foreign: Mapping[Digest, Descriptor]
    ) -> _Opened:
        blobs = (manifest.config, *manifest.layers)
        places = {blob.digest: blob_place(blob.digest) for blob in blobs}
        descriptor = describe(manifest.raw, manifest.media_type, platform=config.platform)
        return _Opened(descriptor, manifest.raw, places, foreign)

    def _lacks(self, path: str) -> BlobNotFound:
        return BlobNotFound(f"{self.name} does not have {path!r}, which its manifest.json names")


class DockerArchiveSink:
    """Takes images into a new archive."""

    keeps_digests = False
    """A manifest is not kept, so neither is its digest."""

    def __init__(self, path: Path, image: str = "") -> None:
        """Begin.

        Args:
            path: the file; one that is there stays until ``commit``, and is then replaced.
            image: what the image will be called; ``""`` for no name.
        Raises:
            InvalidReference: it is no name, or one with a digest.
            IsADirectory: a folder has this name.
            StoreLocked: another process writes this file.
        """
        self.name = layout_name(path, image, "docker-archive")
        self._image_name = repo_tag(image)
        self._manifests: dict[Digest, Manifest] = {}
        self._layers: dict[Digest, _StagedLayer] = {}
        self._images: dict[Digest, _StagedImage] = {}
        self._staging = Staging(path)
        self._folder = Folder(self._staging.folder, sync=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was gathered. Without ``commit`` the file is what it was."""
        self._folder.close()
        self._staging.close()

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See ``ImageSink``."""
        if mediatypes.is_layer(descriptor.media_type):
            return descriptor.digest in self._layers
        return self._folder.size(_config_place(descriptor.digest)) == descriptor.size

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """See ``ImageSink``; a layer is decompressed.

        Raises:
            Corrupt: it has more or fewer bytes than the descriptor says.
            Malformed: a layer cannot be decompressed.
            NoSpace: it would fill the disk.
        """
        if not mediatypes.is_layer(descriptor.media_type):
            self._folder.receive(_config_place(descriptor.digest), source, descriptor.size)
            return
        place: Parts = (f"{descriptor.digest.algorithm}-{descriptor.digest.hex}.layer",)
        raw = CountingReader(source)
        plain = DigestReader(
            RoomReader(
                open_decompressed(raw),
                self._staging.folder.parent,
                advice="have the archive on another disk",
            )
        )
        self._folder.receive(place, plain)
        if raw.count != descriptor.size:
            self._folder.remove(place)
            raise Corrupt(f"layer {descriptor.digest} has {raw.count} bytes, not {descriptor.size}")
        self._layers[descriptor.digest] = _StagedLayer(place, plain.digest)

    def put_document(self, raw: bytes, media_type: str) -> None:
        """See ``ImageSink``.

        Raises:
            Unsupported: it is an index.
        """
        manifest = parse_document(raw, media_type)
        if not isinstance(manifest, Manifest):
            raise Unsupported(
                f"{self.name} cannot have an index in it; choose one image with --platform, or use oci-archive:"
            )
        self._manifests[manifest.digest] = manifest

    def add(self, descriptor: Descriptor, image: str) -> None:
        """Have another image in the archive, which ``commit`` will write.

        Args:
            descriptor: of a manifest that was put.
            image: what it will be called; ``""`` for no name. An image may be added under several names; the last
                one who is given a name has it.
        Raises:
            InvalidReference: it is no name, or one with a digest.
            BlobNotFound: the manifest, its config or one of its layers was not put.
            Unsupported: such a layer is a foreign one.
            DigestMismatch: a layer is not the one that the config names.
        """
        self._add(descriptor, repo_tag(image))

    def commit(self, descriptor: Descriptor) -> None:
        """See ``ImageSink``; writes the archive with all images so far. Errors: see ``add``."""
        self._add(descriptor, self._image_name)
        raw = write_json([image.fields() for image in self._images.values()])
        self._folder.receive(MANIFEST_FILE, io.BytesIO(raw), len(raw))
        members = {MANIFEST_FILE: MANIFEST_FILE}
        members |= {image.config: image.config for image in self._images.values()}
        for image in self._images.values():
            members |= image.layers
        self._staging.publish(self._folder, list(members.items()))

    def _add(self, descriptor: Descriptor, name: str) -> None:
        manifest = self._manifests.get(descriptor.digest)
        if manifest is None:
            raise BlobNotFound(f"{self.name} was not given {descriptor.digest}")
        image = self._images.get(manifest.config.digest) or self._staged_image(manifest)
        if name:
            for other in self._images.values():
                other.names = [one for one in other.names if one != name]
            image.names.append(name)
        self._images[manifest.config.digest] = image

    def _staged_image(self, manifest: Manifest) -> _StagedImage:
        place = _config_place(manifest.config.digest)
        try:
            config = parse_config(read_small(self._folder, place, MAX_DOCUMENT_SIZE))
        except FileNotFoundError as error:
            raise BlobNotFound(
                f"{self.name} was not given the config {manifest.config.digest}"
            ) from error
        image = _StagedImage(place)
        for layer, diff_id in pair_layers(manifest, config):
            name: Parts = (f"{diff_id.hex}.tar",)
            image.paths.append("/".join(name))
            image.layers[name] = self._layer_place(layer, diff_id)
            if layer.is_foreign:
                image.sources[str(diff_id)] = source_fields(layer)
        return image

    def _layer_place(self, layer: Descriptor, diff_id: Digest) -> Parts:
        staged = self._layers.get(layer.digest)
        if staged is None and layer.is_foreign:
            raise Unsupported(
                f"{self.name} has to have the bytes of the foreign layer {layer.digest}, and they were not fetched"
            )
        if staged is None:
            raise BlobNotFound(f"{self.name} was not given the layer {layer.digest}")
        actual = staged.diff_id
        if diff_id.algorithm != actual.algorithm:
            with self._folder.open(staged.place) as file:
                actual = digest_of(file, diff_id.algorithm)
        if actual != diff_id:
            raise DigestMismatch(
                f"the tar of layer {layer.digest}", expected=str(diff_id), actual=str(actual)
            )
        return staged.place


@dataclass(frozen=True, slots=True)
class _Opened:
    """The image that is meant: its manifest, and where its blobs are."""

    descriptor: Descriptor
    raw: bytes
    places: Mapping[Digest, Parts]
    foreign: Mapping[Digest, Descriptor]


@dataclass(frozen=True, slots=True)
class _StagedLayer:
    """A layer that was put: where its tar is, and the digest of that."""

    place: Parts
    diff_id: Digest


@dataclass(slots=True)
class _StagedImage:
    """An image that will be written; ``layers`` are places by the names that they will have."""

    config: Parts
    names: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    layers: dict[Parts, Parts] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """What ``manifest.json`` says of it."""
        values: dict[str, Any] = {
            "Config": "/".join(self.config),
            "RepoTags": self.names,
            "Layers": self.paths,
        }
        return {**values, "LayerSources": self.sources} if self.sources else values


def open_docker_archive(path: Path, image: str = "") -> DockerArchiveSource:
    """Open the images in an archive.

    Args:
        path: the tar, plain or compressed.
        image: which of its images; see ``DockerArchiveSource``.
    Raises:
        ImageNotFound: there is no such file.
        Malformed: it is no tar.
    """
    name = layout_name(path, image, "docker-archive")
    return DockerArchiveSource(open_members(path, name), name, image)


def _parse_images(raw: bytes) -> tuple[ArchivedImage, ...]:
    # What is read is an object; as the value of a field, the array is read within the same limits.
    wrapped = b'{"images":' + raw + b"}"
    fields = read_object(
        wrapped, "manifest.json", limit=MAX_DOCUMENT_SIZE + len(wrapped) - len(raw)
    )
    json = JsonObject(fields, "manifest.json")
    if list(fields) != ["images"]:
        json.refuse("it is not one JSON array")
    return tuple(
        _parse_image(JsonObject(image, f"manifest.json, image {number}"))
        for number, image in enumerate(json.objects("images", limit=MAX_IMAGES))
    )


def _parse_image(json: JsonObject) -> ArchivedImage:
    sources = json.object("LayerSources")
    if not all(isinstance(source, dict) for source in sources.values()):
        json.refuse("'LayerSources' has a value that is not an object")
    return ArchivedImage(
        json.needed_text("Config"),
        json.texts("RepoTags", limit=MAX_IMAGES),
        json.texts("Layers", limit=MAX_LAYERS),
        {
            diff_id: _parse_source(JsonObject(source, "manifest.json, LayerSources"))
            for diff_id, source in sources.items()
        },
    )


def _parse_source(json: JsonObject) -> Descriptor:
    try:
        digest = Digest.parse(json.needed_text("digest"))
    except InvalidArgument as error:
        json.refuse(str(error))
    return Descriptor(
        json.needed_text("mediaType"),
        digest,
        json.size("size"),
        json.texts("urls", limit=MAX_URLS),
        fields=json.fields,
    )


def source_fields(layer: Descriptor) -> dict[str, Any]:
    """A foreign layer as Docker keeps it: of Docker's type, whatever the type that it came with."""
    compression = mediatypes.compression_of(layer.media_type)
    media_type = mediatypes.layer_type(mediatypes.DOCKER_MANIFEST, compression, foreign=True)
    return {
        "mediaType": media_type,
        "size": layer.size,
        "digest": str(layer.digest),
        "urls": list(layer.urls),
    }


def _find_images(images: Sequence[ArchivedImage], wanted: str) -> list[ArchivedImage]:
    if not wanted:
        return list(images)
    if wanted.startswith("@"):
        number = wanted[1:]
        is_there = number.isascii() and number.isdigit() and int(number[:6]) < len(images)
        return [images[int(number)]] if is_there and len(number) <= 6 else []
    whole = _whole_name(wanted)
    found = {
        image.config: image
        for image in images
        if any(name == wanted or _whole_name(name) == whole for name in image.names)
    }
    if len(found) > 1:
        raise Malformed("manifest.json", f"{wanted!r} stands for {len(found)} different images")
    return list(found.values())


def _whole_name(name: str) -> str:
    try:
        return str(Reference.parse(name).with_default_tag())
    except InvalidReference:
        return name


def repo_tag(image: str) -> str:
    """How an archive calls an image: as people write it, with a tag.

    Args:
        image: a name; ``""`` gives ``""``.
    Raises:
        InvalidReference: it is no name, or one with a digest.
    """
    if not image:
        return ""
    reference = Reference.parse(image).with_default_tag()
    if reference.digest is not None:
        raise InvalidReference(
            f"{image!r} has a digest; an image in an archive has a name and a tag"
        )
    return reference.familiar()


def _config_place(digest: Digest) -> Parts:
    return (f"{digest.hex}.json",)


def _digest_in(place: Parts) -> Digest | None:
    if len(place) != 3 or place[0] != BLOBS:
        return None
    try:
        return Digest(place[1], place[2])
    except InvalidArgument:
        return None
