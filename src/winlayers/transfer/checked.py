"""What comes from a source, checked by size and digest before anybody takes it for what it says.

Documents and configs are read whole, within their limit. A layer is a ``BlobReader``: a file object that opens the
blob again where it was cut, and never gives its last byte out before the digest of all of them has held. A cut is an
error that the source raises; where it says instead that there is no more, the blob is damaged there. This module knows
nothing of sinks.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from winlayers.base.digest import Digest
from winlayers.base.fileobj import RawReader, read_into
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.errors import (
    Busy,
    Corrupt,
    DigestMismatch,
    Malformed,
    RemoteFailure,
    TimedOut,
    TooLarge,
)
from winlayers.oci.endpoint import ImageSource, distrust
from winlayers.oci.model import (
    MAX_DOCUMENT_SIZE,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    parse_config,
    parse_document,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_CUTS = 5
"""How often in a row a blob may be cut without a byte between the cuts."""
MAX_CUTS_IN_ALL = 100
BLOCK_SIZE = 256 << 10

SPOILED = (Corrupt, Malformed)
"""What tells that other bytes came than should; another place may have the right ones."""

_FIRST_PAUSE_SECONDS = 0.2
#: What may go well when it is tried once more from where it stopped.
_CUTS = (ConnectionError, TimeoutError, RemoteFailure, TimedOut, Busy)


def read_document(source: ImageSource, descriptor: Descriptor) -> Manifest | Index:
    """Read a manifest or index.

    Args:
        source: where it is.
        descriptor: of it.
    Raises:
        BlobNotFound: it is not there.
        Corrupt, DigestMismatch: it is another one.
        TooLarge, Unsupported, Malformed: see ``oci.model.parse_document``.
    """
    what = f"document {descriptor.digest} of {source.name}"
    _check_limit(descriptor, what)
    raw = source.document(descriptor)
    if len(raw) != descriptor.size:
        raise Corrupt(f"{what} has {len(raw)} bytes, not {descriptor.size}")
    _check_digest(
        descriptor.digest, hashlib.new(descriptor.digest.algorithm, raw).hexdigest(), what
    )
    return parse_document(raw, descriptor.media_type)


def read_small_blob(
    source: ImageSource, descriptor: Descriptor, *, cancel: Cancel | None = None
) -> bytes:
    """Read a blob whole, as a config is.

    Args:
        source: where it is.
        descriptor: of it.
        cancel: asked now and then.
    Raises:
        BlobNotFound: it is not there.
        TooLarge: it is larger than a document may be.
        Corrupt, DigestMismatch: it is another one.
    """
    _check_limit(descriptor, f"blob {descriptor.digest} of {source.name}")
    while True:
        try:
            with BlobReader(source, descriptor, cancel=cancel) as reader:
                return reader.read()
        except SPOILED:
            if not distrust(source, descriptor):
                raise


def read_config(source: ImageSource, manifest: Manifest) -> ImageConfig:
    """Read the config of an image; see ``read_small_blob`` and ``oci.model.parse_config`` for what is raised."""
    return parse_config(read_small_blob(source, manifest.config))


class BlobReader(RawReader):
    """A blob of a source, as a file object to be read from its beginning to its end."""

    def __init__(
        self,
        source: ImageSource,
        descriptor: Descriptor,
        *,
        cancel: Cancel | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Begin before the first byte; the source is asked with the first ``read``.

        Args:
            source: where it is.
            descriptor: with the size and digest that it must have.
            cancel: asked before each block and between two attempts.
            progress: told of bytes; not begun or ended here.
        """
        self._source = source
        self._descriptor = descriptor
        self._cancel = cancel or Cancel()
        self._progress = progress or NullProgress()
        self._hash = hashlib.new(descriptor.digest.algorithm)
        self._stream: BinaryIO | None = None
        self._is_checked = False
        self._cuts = 0
        self._cuts_in_a_row = 0
        self.position = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Args:
            size: bytes at most; None or negative reads to the end.
        Raises:
            BlobNotFound: it is not there.
            Corrupt, DigestMismatch: it is longer or shorter, or another one; the last bytes are not given out.
            Cancelled: the flag is set.
            RemoteFailure, ConnectionError, TimeoutError: it was cut too often.
        """
        if size is None or size < 0:
            return self.readall()
        if self._is_checked or not size:
            return b""
        block = b""
        if self.position < self._descriptor.size:
            block = self._next_block(min(size, self._descriptor.size - self.position))
            self._hash.update(block)
            self.position += len(block)
        if self.position == self._descriptor.size:
            self._check_end()
        self._progress.advance(len(block))
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)

    def close(self) -> None:
        """Close the stream of the source."""
        self._drop()
        super().close()

    @property
    def _what(self) -> str:
        return f"blob {self._descriptor.digest} of {self._source.name}"

    def _next_block(self, size: int) -> bytes:
        while True:
            self._cancel.check()
            try:
                if self._stream is None:
                    self._stream = self._source.open_blob(self._descriptor, self.position)
                if block := self._stream.read(size):
                    self._cuts_in_a_row = 0
                    return block
                raise Corrupt(
                    f"{self._what} ended at byte {self.position} of {self._descriptor.size}"
                )
            except _CUTS as error:
                self._drop()
                if not getattr(error, "is_transient", True):
                    raise
                self._count_cut(error)
                self._pause()

    def _count_cut(self, error: Exception) -> None:
        self._cuts += 1
        self._cuts_in_a_row += 1
        if self._cuts_in_a_row >= MAX_CUTS or self._cuts >= MAX_CUTS_IN_ALL:
            error.add_note(
                f"{self._what} was given up at byte {self.position} after {self._cuts} cuts"
            )
            raise error

    def _pause(self) -> None:
        self._cancel.wait(_FIRST_PAUSE_SECONDS * 2 ** (self._cuts_in_a_row - 1))

    def _check_end(self) -> None:
        if self._stream is not None and self._stream.read(1):
            raise Corrupt(f"{self._what} has more than {self._descriptor.size} bytes")
        _check_digest(self._descriptor.digest, self._hash.hexdigest(), self._what)
        self._is_checked = True

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _check_limit(descriptor: Descriptor, what: str) -> None:
    if descriptor.size > MAX_DOCUMENT_SIZE:
        raise TooLarge(f"{what} has {descriptor.size} bytes; at most {MAX_DOCUMENT_SIZE} are taken")


def _check_digest(expected: Digest, hexdigest: str, what: str) -> None:
    if hexdigest != expected.hex:
        actual = f"{expected.algorithm}:{hexdigest}"
        raise DigestMismatch(what, expected=str(expected), actual=actual)
