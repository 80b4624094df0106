"""A source whose foreign layers come from elsewhere where it does not have them itself.

Images on disk and in a store often have only the descriptor of such a layer, with its URLs. This module knows no
network: who opens URLs is handed in, and begun with the first layer that is missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import BinaryIO, Protocol, Self

from winlayers.base.progress import Cancel, LinkedCancel
from winlayers.errors import BlobNotFound, WinlayersError
from winlayers.oci.endpoint import ImageSource, distrust, heed
from winlayers.oci.model import Descriptor


class Elsewhere(Protocol):
    """Who has foreign layers; see ``distribution.foreign.ForeignLayers``."""

    def open(self, descriptor: Descriptor, offset: int, first: WinlayersError) -> BinaryIO:
        """The bytes of a layer from an offset on, or ``first`` raised where no URL has it."""

    def close(self) -> None: ...


class SourceWithForeign:
    """An ``ImageSource``."""

    def __init__(self, source: ImageSource, begin: Callable[[], Elsewhere]) -> None:
        """Ask for nothing yet.

        Args:
            source: asked first; closed with this object.
            begin: makes who is asked then, with the first layer that is missing.
        """
        self._source = source
        self._begin = begin
        self._lock = threading.Lock()
        self._elsewhere: Elsewhere | None = None
        self._cancel = LinkedCancel()

    @property
    def name(self) -> str:
        """That of the source."""
        return self._source.name

    def resolve(self) -> Descriptor:
        """See ``ImageSource``."""
        return self._source.resolve()

    def document(self, descriptor: Descriptor) -> bytes:
        """See ``ImageSource``."""
        return self._source.document(descriptor)

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """See ``ImageSource``.

        Raises:
            BlobNotFound: neither the source has it nor one of its URLs.
        """
        try:
            return self._source.open_blob(descriptor, offset)
        except BlobNotFound as error:
            if not (descriptor.is_foreign and descriptor.urls):
                raise
            return self._begun().open(descriptor, offset, error)

    def heed(self, cancel: Cancel) -> None:
        """See ``oci.endpoint.Waiting``."""
        self._cancel.follow(cancel)
        heed(self._source, cancel)

    def distrust(self, descriptor: Descriptor) -> bool:
        """See ``oci.endpoint.Mirrored``."""
        return distrust(self._source, descriptor)

    def close(self) -> None:
        """Close the source, and who was asked besides."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if self._elsewhere is not None:
                self._elsewhere.close()
        finally:
            self._source.__exit__(*exc)

    def _begun(self) -> Elsewhere:
        with self._lock:
            if self._elsewhere is None:
                self._elsewhere = self._begin()
                heed(self._elsewhere, self._cancel)
            return self._elsewhere
