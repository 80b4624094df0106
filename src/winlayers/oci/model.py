"""Manifests, indexes and configs: documents of JSON, read into values with their bytes kept.

A document is known by the digest of its bytes, so it is never written again from the values: ``raw`` is what is
stored and pushed. Values have what winlayers uses; ``fields`` has all there was, unknown ones too, in their order,
and is what an edited document is made of. Names of fields are matched exactly first and then without case, as Go
does: documents in the wild have ``rootfS``.

    manifest   schemaVersion, mediaType, config (a descriptor), layers (descriptors, the base layer first), annotations
    index      schemaVersion, mediaType, manifests (descriptors with a platform), annotations
    config     os, architecture, variant, os.version, os.features, created, config, rootfs {type, diff_ids}, history
    descriptor mediaType, digest, size, urls, annotations, platform

What two readers could take for different things is refused: a document that is a manifest and an index at once, or
whose own media type is not that under which it came. This module reads no blobs and knows nothing of layers.

Source: OCI image-spec manifest.md, image-index.md, config.md, descriptor.md; distribution/distribution manifest
schema 2; moby/moby image/image.go for ``os.version`` and ``os.features``, image/store.go for the count of steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from winlayers.base.digest import Digest
from winlayers.errors import InvalidArgument, Unsupported
from winlayers.oci import mediatypes
from winlayers.oci._json import JsonObject, malformed, read_object
from winlayers.oci.platform import Platform

MAX_DOCUMENT_SIZE = 4 << 20
"""Bytes of a manifest, index or config; distribution/distribution takes no larger manifest."""
MAX_LAYERS = 127 + 1
"""Layers of an image that are taken; Windows runs no more of them."""
MAX_MANIFESTS = 10_000
MAX_STEPS = 10_000
"""Entries of a history, most of which make no layer."""
MAX_URLS = 100
MAX_FEATURES = 100


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Points at a blob or a document.

    Attributes:
        media_type: what it is.
        digest: of its bytes.
        size: how many.
        urls: where else it is to be had; of foreign layers.
        annotations: by name.
        platform: of a manifest in an index.
        fields: all that the JSON object has, in its order.
    """

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_foreign(self) -> bool:
        """Whether it is a layer that is to be had from elsewhere."""
        return mediatypes.is_foreign(self.media_type)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image.

    Attributes:
        raw: its bytes.
        media_type: which of the two families.
        config: of the image.
        layers: the base layer first.
        annotations: by name.
        fields: all that the JSON object has.
    """

    raw: bytes = field(repr=False)
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def digest(self) -> Digest:
        """SHA-256 of the bytes: the name of the image where it lies."""
        return digest_bytes(self.raw)


@dataclass(frozen=True, slots=True)
class Index:
    """Images for several platforms.

    Attributes:
        raw: its bytes.
        media_type: which of the two families.
        manifests: in their order.
        annotations: by name.
        fields: all that the JSON object has.
    """

    raw: bytes = field(repr=False)
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def digest(self) -> Digest:
        """SHA-256 of the bytes."""
        return digest_bytes(self.raw)


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image is run with, and what it is made of.

    Attributes:
        raw: its bytes.
        platform: what it runs on.
        diff_ids: of its layers, the base layer first.
        history: a JSON object for each step, some of which made no layer (``empty_layer``).
        settings: the object ``config``: ``Entrypoint``, ``Env``, ``Labels`` and so on.
        created: when, as it stands there; ``""`` where nothing does.
        fields: all that the JSON object has.
    """

    raw: bytes = field(repr=False)
    platform: Platform
    diff_ids: tuple[Digest, ...]
    history: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    created: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def digest(self) -> Digest:
        """SHA-256 of the bytes: what Docker calls the image ID."""
        return digest_bytes(self.raw)

    def setting(self, name: str) -> Any:
        """One of ``settings`` by its name, whatever its case there; None where it is not there or is null.

        Args:
            name: as ``Entrypoint``.
        Raises:
            Malformed: it is there in two spellings.
        """
        return JsonObject(self.settings, "image config, 'config'").value(name)


def digest_bytes(raw: bytes) -> Digest:
    """SHA-256 of the bytes of a document."""
    return Digest("sha256", hashlib.sha256(raw).hexdigest())


def parse_document(raw: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index.

    Args:
        raw: its bytes.
        media_type: under which it came, as of a descriptor or an HTTP header; what follows a semicolon does not
            count, nor does a type that says nothing, as ``application/json``.
    Returns:
        Which of the two goes by ``media_type``, else by the document's own, else by its fields.
    Raises:
        TooLarge: more bytes, layers or manifests than are taken.
        Unsupported: a manifest of schema 1, or something that is no image.
        Malformed: anything else that it should not be.
    """
    json = JsonObject(read_object(raw, "manifest", limit=MAX_DOCUMENT_SIZE), "manifest")
    _refuse_schema_1(json, media_type)
    chosen = _media_type_of(json, media_type.partition(";")[0].strip().lower())
    annotations = json.pairs("annotations")
    if chosen in mediatypes.INDEXES:
        index = JsonObject(json.fields, "index")
        _refuse_both(index, ("config", "layers"))
        entries = index.objects("manifests", limit=MAX_MANIFESTS)
        manifests = tuple(
            _parse_descriptor(entry, f"index, manifest {number}")
            for number, entry in enumerate(entries)
        )
        return Index(raw, chosen, manifests, annotations, json.fields)
    _refuse_both(json, ("manifests",))
    if "config" not in json:
        json.refuse("it has no 'config'")
    config = _parse_descriptor(json.object("config"), "manifest, config")
    layers = tuple(
        _parse_descriptor(entry, f"manifest, layer {number}")
        for number, entry in enumerate(json.objects("layers", limit=MAX_LAYERS))
    )
    return Manifest(raw, chosen, config, layers, annotations, json.fields)


def parse_config(raw: bytes) -> ImageConfig:
    """Read the config of an image.

    Args:
        raw: its bytes.
    Raises:
        TooLarge: more bytes, layers or steps than are taken.
        Unsupported: its files are not made of layers alone, as in Windows images before 2016.
        Malformed: anything else that it should not be, or its history has more layers than there are.
    """
    what = "image config"
    json = JsonObject(read_object(raw, what, limit=MAX_DOCUMENT_SIZE), what)
    if "rootfs" not in json:
        json.refuse("it has no 'rootfs': it is not that of an image")
    diff_ids = _parse_rootfs(JsonObject(json.object("rootfs"), "image config, rootfs"))
    history = json.objects("history", limit=MAX_STEPS)
    made = sum(not _is_empty(step) for step in history)
    if made > len(diff_ids):
        json.refuse(f"its history makes {made} layers, and it has {len(diff_ids)}")
    return ImageConfig(
        raw,
        _parse_platform(json),
        diff_ids,
        history,
        json.object("config"),
        json.text("created"),
        json.fields,
    )


def pair_layers(manifest: Manifest, config: ImageConfig) -> tuple[tuple[Descriptor, Digest], ...]:
    """Each layer of an image with its diff ID, the base layer first.

    Args:
        manifest: of the image.
        config: of the image.
    Raises:
        Malformed: they do not have the same number of layers.
    """
    counts = len(manifest.layers), len(config.diff_ids)
    if counts[0] != counts[1]:
        raise malformed("image", f"its manifest has {counts[0]} layers, and its config {counts[1]}")
    return tuple(zip(manifest.layers, config.diff_ids, strict=True))


def chain_ids(diff_ids: Iterable[Digest]) -> tuple[Digest, ...]:
    """What the stacks of layers are called that end with each of them.

    Args:
        diff_ids: the base layer first.
    Returns:
        As many; the first is the diff ID of the base layer.

    Source: OCI image-spec config.md, "Layer ChainID".
    """
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(digest_bytes(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def _refuse_schema_1(json: JsonObject, media_type: str) -> None:
    version = json.value("schemaVersion")
    is_old = ".distribution.manifest.v1+" in f"{media_type} {json.text('mediaType')}"
    if is_old or (version == 1 and type(version) is int) or "fsLayers" in json:
        raise Unsupported(
            "the manifest is of schema 1, which has no config and no checked digests; "
            "have the image pushed again by a present Docker, or pull it by another tag"
        )
    if version is not None and (type(version) is not int or version != 2):
        json.refuse(f"its schemaVersion is {version!r}, not 2")


def _media_type_of(json: JsonObject, given: str) -> str:
    known = mediatypes.MANIFESTS | mediatypes.INDEXES
    own = json.text("mediaType")
    if own and own not in known:
        raise Unsupported(
            f"a document of type {own[:200]!r} is neither a manifest nor an index of images"
        )
    if given in known:
        if own and own != given:
            json.refuse(f"it came as {given!r} and calls itself {own!r}")
        return given
    if own:
        return own
    if "manifests" in json:
        return mediatypes.OCI_INDEX
    if "config" not in json:
        json.refuse("it has neither 'manifests' nor 'config'")
    return mediatypes.OCI_MANIFEST


def _refuse_both(json: JsonObject, names: Iterable[str]) -> None:
    for name in names:
        if name in json:
            json.refuse(f"it has {name!r}, as the other kind of document does")


def _parse_descriptor(fields: Mapping[str, Any], what: str) -> Descriptor:
    json = JsonObject(fields, what)
    platform = JsonObject(json.object("platform"), f"{what}, platform")
    return Descriptor(
        json.needed_text("mediaType"),
        _parse_digest(json.needed_text("digest"), what),
        json.size("size"),
        json.texts("urls", limit=MAX_URLS),
        json.pairs("annotations"),
        _parse_platform(platform) if "platform" in json else None,
        fields,
    )


def _parse_digest(text: str, what: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidArgument as error:
        raise malformed(what, str(error)) from error


def _parse_platform(json: JsonObject) -> Platform:
    return Platform(
        json.text("os"),
        json.text("architecture"),
        json.text("variant"),
        json.text("os.version"),
        json.texts("os.features", limit=MAX_FEATURES),
    )


def _parse_rootfs(json: JsonObject) -> tuple[Digest, ...]:
    kind = json.text("type")
    if kind == "layers+base" or "base_layer" in json:
        raise Unsupported(
            "the image stands on a base layer that is not among its layers ('layers+base'), "
            "as Windows images did before 2016"
        )
    if kind not in ("", "layers"):
        json.refuse(f"its type is {kind!r}, not 'layers'")
    texts = json.texts("diff_ids", limit=MAX_LAYERS)
    return tuple(_parse_digest(text, "image config, rootfs") for text in texts)


def _is_empty(step: Mapping[str, Any]) -> bool:
    json = JsonObject(step, "image config, history")
    value = json.value("empty_layer")
    if value is not None and not isinstance(value, bool):
        json.refuse("'empty_layer' is neither true nor false")
    return bool(value)
