"""Images of a registry as the two contracts of ``oci.endpoint`` have them.

A source asks mirrors first, then the registry itself; what a mirror lacks or spoils counts as not asked for, be it
that the digest of a blob tells so when all of it has been read. Layers that are to be had from elsewhere come from there only when no registry has them. A sink sends nothing that is there
already, nor what the registry can take from another of its repositories. This module does not check blobs by their
digests, and does not know which ones to copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import BinaryIO, Self, TypeVar

from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel
from winlayers.distribution._http import Connections
from winlayers.distribution._uploads import Upload
from winlayers.distribution.client import Document, RepositoryClient
from winlayers.distribution.foreign import PASSED_OVER, ForeignLayers
from winlayers.distribution.registries import Registries
from winlayers.distribution.retry import Patience
from winlayers.errors import (
    BlobNotFound,
    Corrupt,
    Denied,
    DistributionError,
    ImageNotFound,
    InvalidArgument,
    WinlayersError,
)
from winlayers.oci.model import Descriptor, digest_bytes, parse_document
from winlayers.oci.reference import Reference

Result = TypeVar("Result")

_KEPT_DOCUMENTS = 16


class RepositorySource:
    """An image of a registry; an ``ImageSource``."""

    def __init__(
        self, reference: Reference, registries: Registries, *, patience: Patience | None = None
    ) -> None:
        """Ask for nothing yet.

        Args:
            reference: the image.
            registries: what may be used.
            patience: how often to try again.
        """
        self._reference = reference.with_default_tag()
        self._connections = Connections(registries)
        self._patience = patience or Patience()
        self._foreign = ForeignLayers(
            registries, connections=self._connections, patience=self._patience
        )
        self._places = [
            RepositoryClient(
                host,
                repository,
                registries,
                connections=self._connections,
                patience=self._patience,
            )
            for host, repository in _places_of(reference, registries)
        ]
        self._lock = threading.Lock()
        self._documents: dict[Digest, bytes] = {}
        self._givers: dict[Digest, set[int]] = {}
        self._distrusted: dict[Digest, set[int]] = {}

    @property
    def name(self) -> str:
        """``docker://host/repository:tag``."""
        return f"docker://{self._reference}"

    @property
    def repository(self) -> tuple[str, str]:
        """Host and repository, for a sink that may take blobs over from there."""
        return self._reference.host, self._reference.repository

    def resolve(self) -> Descriptor:
        """What the name leads to; see ``ImageSource``.

        Raises:
            ImageNotFound: nothing.
            Malformed, Unsupported: it is no image.
        """

        def fetch(place: RepositoryClient) -> tuple[Document, str]:
            document = place.fetch_manifest(self._reference.digest or self._reference.tag)
            return document, parse_document(document.raw, document.media_type).media_type

        document, media_type = self._first(fetch)
        self._keep(document)
        return Descriptor(media_type, document.digest, len(document.raw))

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or index; see ``ImageSource``.

        Raises:
            BlobNotFound: it is not there.
            DigestMismatch, Corrupt: it is another one.
        """
        with self._lock:
            raw = self._documents.get(descriptor.digest)
        if raw is None:
            try:
                document = self._first(lambda place: place.fetch_manifest(descriptor.digest))
            except ImageNotFound as error:
                raise BlobNotFound(str(error)) from error
            self._keep(document)
            raw = document.raw
        if len(raw) != descriptor.size:
            raise Corrupt(
                f"manifest {descriptor.digest} of {self.name} has {len(raw)} bytes, "
                f"not {descriptor.size} as the index says"
            )
        return raw

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """A config or layer; see ``ImageSource``.

        Raises:
            BlobNotFound: it is not there.
            Corrupt: it has another size.
        """
        try:
            return self._first(
                lambda place: place.open_blob(descriptor.digest, descriptor.size, offset),
                descriptor.digest,
            )
        except (BlobNotFound, DistributionError, Denied) as error:
            if not descriptor.urls:
                raise
            return self._foreign.open(descriptor, offset, error)

    def distrust(self, descriptor: Descriptor) -> bool:
        """Ask no mirror that gave bytes of this blob for it again; see ``oci.endpoint.Mirrored``."""
        with self._lock:
            mirrors = self._givers.pop(descriptor.digest, set())
            self._distrusted.setdefault(descriptor.digest, set()).update(mirrors)
        return bool(mirrors)

    def heed(self, cancel: Cancel) -> None:
        """See ``oci.endpoint.Waiting``."""
        self._patience.cancel.follow(cancel)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _first(
        self, action: Callable[[RepositoryClient], Result], blob: Digest | None = None
    ) -> Result:
        """What the first place gives that has it; the registry itself comes last and its error counts.

        Of a blob it is remembered who gave it, and who is not to be asked for it.
        """
        notes: list[str] = []
        with self._lock:
            distrusted = set(self._distrusted.get(blob, ())) if blob else set()
        for number, place in enumerate(self._places[:-1]):
            if number in distrusted:
                notes.append(
                    f"from the mirror {place.host}: other bytes came than those of the digest"
                )
                continue
            try:
                result = action(place)
            except PASSED_OVER as error:
                notes.append(f"from the mirror {place.host}: {error}")
                continue
            if blob is not None:
                with self._lock:
                    self._givers.setdefault(blob, set()).add(number)
            return result
        try:
            return action(self._places[-1])
        except WinlayersError as error:
            for note in notes:
                error.add_note(note)
            raise

    def _keep(self, document: Document) -> None:
        with self._lock:
            while len(self._documents) >= _KEPT_DOCUMENTS:
                del self._documents[next(iter(self._documents))]
            self._documents[document.digest] = document.raw


class RepositorySink:
    """A name in a registry that an image is pushed to; an ``ImageSink``."""

    def __init__(
        self,
        reference: Reference,
        registries: Registries,
        *,
        mount_from: Sequence[str] = (),
        patience: Patience | None = None,
    ) -> None:
        """Ask for nothing yet.

        Args:
            reference: what the image is to be called.
            registries: what may be used.
            mount_from: repositories of the same host that may have blobs of the image.
            patience: how often to try again.
        """
        self._reference = reference.with_default_tag()
        self._patience = patience or Patience()
        self._client = RepositoryClient(
            reference.host, reference.repository, registries, patience=self._patience
        )
        self._mount_from = [one for one in mount_from if one != reference.repository]
        self._lock = threading.Lock()
        self._begun: dict[Digest, Upload] = {}
        self._last: tuple[Digest, bytes, str] | None = None

    @property
    def name(self) -> str:
        """``docker://host/repository:tag``."""
        return f"docker://{self._reference}"

    def heed(self, cancel: Cancel) -> None:
        """See ``oci.endpoint.Waiting``."""
        self._patience.cancel.follow(cancel)

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether a blob is there, or was taken over from another repository; see ``ImageSink``.

        A foreign layer need not be there: it is to be had from its URLs, and is not passed on.
        """
        if descriptor.is_foreign and descriptor.urls:
            return True
        if self._client.has_blob(descriptor.digest):
            return True
        for repository in self._mount_from:
            try:
                upload = self._client.mount_blob(descriptor.digest, repository)
            except (Denied, DistributionError):
                continue  # not every account may read there; the bytes are sent then
            if upload is None:
                return True
            with self._lock:
                self._begun[descriptor.digest] = upload
        return False

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """Send a config or layer; see ``ImageSink``."""
        with self._lock:
            upload = self._begun.pop(descriptor.digest, None)
        if upload is None:
            upload = self._client.begin_upload(descriptor.digest)
        upload.run(source, descriptor.size, descriptor.digest)

    def put_document(self, raw: bytes, media_type: str) -> None:
        """Send a manifest or index under its digest; see ``ImageSink``."""
        digest = digest_bytes(raw)
        self._client.put_manifest(digest, raw, media_type)
        self._last = (digest, raw, media_type)

    def commit(self, descriptor: Descriptor) -> None:
        """Have the tag lead to a document; see ``ImageSink``.

        Raises:
            InvalidArgument: the name has a digest, and it is another one.
            BlobNotFound: no such document was put.
        """
        wanted = self._reference.digest
        if wanted is not None and wanted != descriptor.digest:
            raise InvalidArgument(
                f"{self.name} can only be the image of that digest, and this one has {descriptor.digest}"
            )
        if not self._reference.tag:
            return
        if self._last is not None and self._last[0] == descriptor.digest:
            raw, media_type = self._last[1:]
        else:
            raw, media_type = self._fetch(descriptor), descriptor.media_type
        self._client.put_manifest(self._reference.tag, raw, media_type)

    def _fetch(self, descriptor: Descriptor) -> bytes:
        try:
            return self._client.fetch_manifest(descriptor.digest).raw
        except ImageNotFound as error:
            raise BlobNotFound(str(error)) from error

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _places_of(reference: Reference, registries: Registries) -> list[tuple[str, str]]:
    """Host and repository of each mirror, and of the registry itself, in the order of asking."""
    places: list[tuple[str, str]] = []
    for mirror in registries.settings(reference.host).mirrors:
        host, _, prefix = mirror.rstrip("/").partition("/")
        repository = f"{prefix}/{reference.repository}" if prefix else reference.repository
        mirrored = Reference(host, repository)  # which checks both
        places.append((mirrored.host, mirrored.repository))
    return [*places, (reference.host, reference.repository)]
