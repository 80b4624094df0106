"""Where images come from and go to: the two contracts that every transport has.

The words: an endpoint is opened for one *name* (a reference, a folder with a tag, a file). A source resolves the name
to a descriptor, gives documents (manifests, indexes) by descriptor and blobs (configs, layers) as streams. A sink takes
blobs first, then the manifests that name them, the one that the name leads to last: whoever looks meanwhile sees the
old image or the new one, never half of one.

Three life stories:

* copy: ``source.resolve`` → ``source.document`` → for each blob ``sink.has_blob``, or ``sink.put_blob`` of
  ``source.open_blob`` → ``sink.put_document`` from the leaves up → ``sink.commit``;
* inspect: ``resolve`` → ``document`` → ``open_blob`` of the config alone;
* look inside: as inspect, then ``open_blob`` of the layers that are wanted.

Digests and sizes are checked by whoever calls (``transfer``), as the bytes go by; an endpoint may check too.
Any thread may call ``open_blob``, ``has_blob`` and ``put_blob``, several at once.
"""

from __future__ import annotations

from typing import BinaryIO, Protocol, Self, runtime_checkable

from winlayers.base.progress import Cancel
from winlayers.oci.model import Descriptor


class ImageSource(Protocol):
    """Where images come from. Errors: ImageNotFound, BlobNotFound, Malformed, DistributionError, OSError."""

    @property
    def name(self) -> str:
        """What the user called it, for messages (``docker://host/repo:tag``); no password is in it."""

    def resolve(self) -> Descriptor:
        """What the name leads to: a manifest or an index.

        Raises:
            ImageNotFound: nothing.
        """

    def document(self, descriptor: Descriptor) -> bytes:
        """The bytes of a manifest or index, at most ``model.MAX_DOCUMENT_SIZE``; not checked by digest.

        Raises:
            BlobNotFound: it is not there.
            TooLarge: it is larger.
        """

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """The bytes of a config or layer from an offset on; the caller closes.

        A foreign layer comes from where blobs are, else from its URLs.

        Raises:
            BlobNotFound: it is not there.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class ImageSink(Protocol):
    """Where images go. Errors: NoSpace, DistributionError, OSError, Unsupported."""

    @property
    def name(self) -> str:
        """As for a source."""

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether it has a blob already, or can get it without our help (a mount from another repository)."""

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """Take a config or layer, read to its end; all of it or nothing.

        Args:
            descriptor: with the size and digest that it must have.
            source: its bytes, which raise where they are not those of the digest, at the latest at their end.
        """

    def put_document(self, raw: bytes, media_type: str) -> None:
        """Take a manifest or index whose blobs are all there."""

    def commit(self, descriptor: Descriptor) -> None:
        """Have the name lead to a document that was put; to stay."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class LayerSink(Protocol):
    """A sink that wants to know what layers are made of before they come: the store imports them."""

    def expect(self, manifest_raw: bytes, config_raw: bytes) -> None:
        """The layers of this image will come; ``put_blob`` of one waits for the one below where it has to."""


@runtime_checkable
class Waiting(Protocol):
    """A source or sink that waits: for the next attempt, or for somebody else."""

    def heed(self, cancel: Cancel) -> None:
        """End all waits with ``Cancelled`` once this flag is set, until another one is given."""


@runtime_checkable
class Mirrored(Protocol):
    """A source that has its blobs from several places."""

    def distrust(self, descriptor: Descriptor) -> bool:
        """Ask no longer for a blob where its bytes came from, as they are not those of its digest.

        Returns:
            Whether there is another place to ask.
        """


def heed(endpoint: object, cancel: Cancel) -> None:
    """Have a source or sink end its waits with a flag, where it is one that waits."""
    if isinstance(endpoint, Waiting):
        endpoint.heed(cancel)


def distrust(source: object, descriptor: Descriptor) -> bool:
    """Whether a blob that came damaged may come from another place of its source; see ``Mirrored``."""
    return isinstance(source, Mirrored) and source.distrust(descriptor)
