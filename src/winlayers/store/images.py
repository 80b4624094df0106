"""Images of the store as a source and as a sink, and what names lead to.

A name is kept whole (``docker.io/library/a:latest``). Whoever reads or writes has a lease: what it found or put stays
as long as that lasts, whatever others prune meanwhile. What was put and never got a name goes with a later prune.

This module refuses to know how a layer is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import BinaryIO, Self

from winlayers.backends.contract import ImportPolicy
from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel
from winlayers.errors import (
    BlobNotFound,
    DigestMismatch,
    ImageNotFound,
    InvalidReference,
    Malformed,
    WinlayersError,
)
from winlayers.layer.findings import Finding
from winlayers.oci import mediatypes
from winlayers.oci.model import (
    MAX_DOCUMENT_SIZE,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    parse_config,
    parse_document,
)
from winlayers.oci.platform import Platform
from winlayers.oci.reference import Reference
from winlayers.store.blobs import BlobFiles
from winlayers.store.catalog import Catalog, Records
from winlayers.store.layers import Layers, PlannedLayer, Work, plan_layers

_DIGITS = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")
_TOLD_COUNT = 5


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image that a name leads to; an index leads to as many as are in the store.

    Attributes:
        name: whole, with its tag or digest.
        digest: what the name leads to.
        manifest: the image's own digest; the same where the name leads to no index.
        config: digest of its config, which Docker calls the image ID.
        platform: what it runs on.
        created: when, as the config has it.
        size: bytes of its layers and config as they are pushed.
        layer_ids: of its layers in the driver, nearest first; none where it is not for Windows, or where not all
            are there: the bytes of a foreign one may be missing.
    """

    name: str
    digest: Digest
    manifest: Digest
    config: Digest
    platform: Platform
    created: str
    size: int
    layer_ids: tuple[str, ...]


class Images:
    """What names and digests lead to in one store.

    Args:
        catalog: says what there is.
        files: keeps documents and configs.
        layers: keeps layers.
    """

    def __init__(self, catalog: Catalog, files: BlobFiles, layers: Layers) -> None:
        self.catalog = catalog
        self.files = files
        self.layers = layers

    def rows(self) -> list[ImageRow]:
        """All images that have a name, sorted by it."""
        rows: list[ImageRow] = []
        with self.catalog.still() as records:
            known = records.documents()
            for name, digest in records.tags().items():
                for manifest in self._manifests(digest, known):
                    rows.append(self._row(records, name, digest, manifest))
        return rows

    def find(self, records: Records, name: str) -> Descriptor:
        """What a name or the beginning of a digest leads to.

        Args:
            records: of the catalog.
            name: an image's name, whole or as people write it; a digest of a document or config, or at least four
                of its first digits.
        Raises:
            ImageNotFound: nothing.
            InvalidReference: several things, or it is no name.
        """
        digest = self._tagged(records, name) or self._digest_by_prefix(records, name)
        found = None if digest is None else records.document(digest)
        if found is None:
            raise ImageNotFound(f"the store has no image {name!r}")
        return found

    def config_of(self, manifest: Manifest) -> ImageConfig | None:
        """The config of an image; None where it is that of something else.

        Raises:
            BlobNotFound: it is not in the store.
            Malformed: it is none.
        """
        if manifest.config.media_type not in mediatypes.CONFIGS:
            return None
        return parse_config(self.files.read(manifest.config.digest, limit=MAX_DOCUMENT_SIZE))

    def read(self, descriptor: Descriptor) -> Manifest | Index:
        """A document of the store."""
        raw = self.files.read(descriptor.digest, limit=MAX_DOCUMENT_SIZE)
        return parse_document(raw, descriptor.media_type)

    # -- inside --------------------------------------------------------------------------------------

    def _manifests(self, digest: Digest, known: dict[Digest, str]) -> list[Manifest]:
        """The images in the store that a document leads to, each once."""
        found: list[Manifest] = []
        seen: set[Digest] = set()
        waiting = [digest]
        while waiting:
            one = waiting.pop()
            if one in seen or one not in known:
                continue
            seen.add(one)
            document = self.read(Descriptor(known[one], one, 0))
            if isinstance(document, Manifest):
                found.append(document)
            else:
                waiting.extend(inner.digest for inner in reversed(document.manifests))
        return found

    def _row(self, records: Records, name: str, digest: Digest, manifest: Manifest) -> ImageRow:
        config = self.config_of(manifest)
        platform = config.platform if config else Platform("", "")
        planned = plan_layers(manifest, config) if config else ()
        layer_ids = tuple(one.layer_id for one in reversed(planned))
        if not all(self.layers.is_made(records, layer_id) for layer_id in layer_ids):
            layer_ids = ()
        return ImageRow(
            name,
            digest,
            manifest.digest,
            manifest.config.digest,
            platform,
            config.created if config else "",
            manifest.config.size + sum(layer.size for layer in manifest.layers),
            layer_ids,
        )

    def _tagged(self, records: Records, name: str) -> Digest | None:
        try:
            reference = Reference.parse(name)
        except InvalidReference:
            if _DIGITS.fullmatch(name):
                return None
            raise
        tags = records.tags()
        if reference.digest is None:
            return tags.get(str(reference.with_default_tag()))
        if reference.tag and tags.get(_tag_of(reference)) != reference.digest:
            return None
        return reference.digest

    def _digest_by_prefix(self, records: Records, name: str) -> Digest | None:
        match = _DIGITS.fullmatch(name)
        if match is None:
            return None
        found = set()
        for digest, media_type in records.documents().items():
            if digest.hex.startswith(match[1]):
                found.add(digest)
            elif media_type in mediatypes.MANIFESTS:
                document = self.read(Descriptor(media_type, digest, 0))
                is_meant = isinstance(document, Manifest) and document.config.digest.hex.startswith(
                    match[1]
                )
                found |= {digest} if is_meant else set()
        if len(found) > 1:
            told = ", ".join(sorted(map(str, found))[:_TOLD_COUNT])
            raise InvalidReference(
                f"{name!r} stands for {len(found)} images: {told}; give more digits"
            )
        return next(iter(found), None)


class StoreEndpoint:
    """What source and sink share: a name, and a lease as long as they are open.

    Args:
        images: of the store.
        name: what the user called it.
        beginning: the change of the catalog in which the lease begins.
    """

    def __init__(
        self, images: Images, name: str, beginning: AbstractContextManager[Records]
    ) -> None:
        self._images = images
        self._catalog = images.catalog
        self._layers = images.layers
        self._given = name
        with beginning as records:
            self._lease = records.add_lease()

    @property
    def name(self) -> str:
        """What the user called it, for messages."""
        return f"store:{self._given}"

    def close(self) -> None:
        """End the lease."""
        with self._catalog.clearing() as records:
            records.drop_lease(self._lease)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        _, error, _ = exc
        try:
            self.close()
        except WinlayersError as late:
            if not isinstance(error, BaseException):
                raise
            error.add_note(f"besides, the lease could not be ended: {late}")


class StoreSource(StoreEndpoint):
    """See ``oci.endpoint.ImageSource``.

    Args:
        images: of the store.
        name: of an image, or the beginning of a digest.
    """

    def __init__(self, images: Images, name: str) -> None:
        # Also on a full disk: to save an image elsewhere is a way to make room.
        super().__init__(images, name, images.catalog.clearing())

    def resolve(self) -> Descriptor:
        """What the name leads to; it stays while this is open.

        Raises:
            ImageNotFound: nothing.
            InvalidReference: several things.
        """
        with self._catalog.clearing() as records:
            found = self._images.find(records, self._given)
            records.hold(self._lease, str(found.digest))
        return found

    def document(self, descriptor: Descriptor) -> bytes:
        """The bytes of a manifest or index."""
        return self._images.files.read(descriptor.digest, limit=MAX_DOCUMENT_SIZE)

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """The bytes of a config or layer, as they came."""
        return self._layers.open_blob(descriptor.digest, offset)


class StoreSink(StoreEndpoint):
    """See ``oci.endpoint.ImageSink`` and ``LayerSink``.

    Layers that were expected go into the driver as they come; others do when their manifest is put. A foreign layer may
    be missing: then it and what stands on it are not in the driver until it comes.

    Args:
        images: of the store.
        name: what the image will be called.
        policy: what imports of layers let pass.
        report: called with each finding that is no error, from any thread.
    Raises:
        InvalidReference: it is no name.
    """

    keeps_digests = True

    def __init__(
        self,
        images: Images,
        name: str,
        policy: ImportPolicy | None = None,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        self._reference = Reference.parse(name).with_default_tag()
        self._planned: dict[Digest, PlannedLayer] = {}
        super().__init__(images, name, images.catalog.writing())
        self._work = Work(self._lease, policy or ImportPolicy(), report)

    def expect(self, manifest_raw: bytes, config_raw: bytes) -> None:
        """The layers of this image will come.

        Args:
            manifest_raw: its manifest.
            config_raw: its config.
        Raises:
            Malformed, Unsupported: they do not fit together.
            NoSpace: the disk has no room for them, whatever they hold.
        """
        manifest = parse_document(manifest_raw)
        if not isinstance(manifest, Manifest):
            raise Malformed("image", "its manifest is an index")
        for planned in plan_layers(manifest, parse_config(config_raw)):
            self._planned.setdefault(planned.blob.digest, planned)
        self._layers.check_space(self._planned.values())

    def heed(self, cancel: Cancel) -> None:
        """See ``oci.endpoint.Waiting``."""
        self._work.cancel.follow(cancel)

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether a blob is there; if so, it stays while this is open, and so does the layer made of it."""
        planned = self._planned.get(descriptor.digest)
        with self._catalog.writing() as records:
            if planned is not None:
                records.hold(self._lease, planned.layer_id)
            if self._layers.has_file(records, descriptor.digest):
                records.hold(self._lease, str(descriptor.digest))
                return True
            holder = self._layers.holder_of(records, descriptor.digest)
            if holder is not None:
                records.hold(self._lease, holder.layer_id)
            return holder is not None

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """Take a config or layer; what came meanwhile by another way is not read.

        The layers of an image may come at the same time; whoever copies begins with the base layer.

        Args:
            descriptor: of it.
            source: its bytes.
        Raises:
            Corrupt, DigestMismatch: they are others.
            Malformed, ParentMissing, NoSpace: the layer cannot be made of them.
        """
        planned = self._planned.get(descriptor.digest)
        if planned is None:
            self._layers.keep_blob(descriptor, source, self._lease)
        else:
            self._layers.take(planned, source, self._work)

    def put_document(self, raw: bytes, media_type: str) -> None:
        """Take a manifest or index.

        Args:
            raw: its bytes.
            media_type: of it.
        Raises:
            BlobNotFound: something that the manifest needs is not there.
            Malformed, Unsupported: it is no such document, or its layers cannot be made.
        """
        document = parse_document(raw, media_type)
        if isinstance(document, Index):
            needed = [str(one.digest) for one in document.manifests]
            self._add_document(document, needed, ())
            return
        config = self._images.config_of(document)
        planned = self._make_layers(plan_layers(document, config) if config else ())
        blobs = [document.config, *document.layers]
        needed = [*(str(one.digest) for one in blobs), *(one.layer_id for one in planned)]
        self._add_document(document, needed, planned)

    def commit(self, descriptor: Descriptor) -> None:
        """Have the name lead to a document that was put.

        Raises:
            BlobNotFound: it is not there.
            DigestMismatch: the name says another digest.
        """
        wanted = self._reference.digest
        if wanted is not None and wanted != descriptor.digest:
            raise DigestMismatch(self.name, expected=str(wanted), actual=str(descriptor.digest))
        with self._catalog.writing() as records:
            if records.document(descriptor.digest) is None:
                raise BlobNotFound(f"document {descriptor.digest} was not put into the store")
            records.set_tag(_tag_of(self._reference), descriptor.digest)

    def _make_layers(self, planned: Iterable[PlannedLayer]) -> list[PlannedLayer]:
        """Make what did not come as a layer; up to a foreign one whose bytes are not there."""
        made: list[PlannedLayer] = []
        for one in planned:
            try:
                self._layers.make(one, self._work)
            except BlobNotFound:
                if not one.blob.is_foreign:
                    raise
                break
            made.append(one)
        return made

    def _add_document(
        self,
        document: Manifest | Index,
        needed: Iterable[str],
        planned: Iterable[PlannedLayer],
    ) -> None:
        made = {one.blob.digest for one in planned}
        with self._images.files.stage(self._lease) as staged:
            staged.write(document.raw)
            staged.finish()
            with self._catalog.writing() as records:
                holders: list[str] = []
                if isinstance(document, Manifest):
                    holders = self._check_there(records, document, made)
                for one in planned:
                    if not self._layers.is_made(records, one.layer_id):
                        raise BlobNotFound(f"layer {one.layer_id} was removed meanwhile")
                self._images.files.publish(staged, document.digest)
                records.add_blob(document.digest, len(document.raw))
                records.add_document(document.digest, document.media_type, [*needed, *holders])
                records.hold(self._lease, str(document.digest))

    def _check_there(self, records: Records, manifest: Manifest, made: set[Digest]) -> list[str]:
        """See that all blobs are there; ids of layers of other images whose tars are such blobs."""
        holders: list[str] = []
        for one in (manifest.config, *manifest.layers):
            if one.digest in made or self._layers.has_file(records, one.digest):
                continue
            holder = self._layers.holder_of(records, one.digest)
            if holder is not None:
                holders.append(holder.layer_id)
            elif not one.is_foreign:
                raise BlobNotFound(
                    f"manifest {manifest.digest} needs blob {one.digest}, which was not put into the store"
                )
        return holders


def _tag_of(reference: Reference) -> str:
    """How the store calls an image of this name; a digest counts only where there is no tag."""
    return str(replace(reference, digest=None) if reference.tag else reference)


def whole_name(name: str) -> str:
    """The name that the store keeps, of one as people write it.

    Raises:
        InvalidReference: it is no name.
    """
    return _tag_of(Reference.parse(name).with_default_tag())
