"""Foreign layers from the URLs of their descriptors, without any login.

One URL after the other is asked; what is not there, or not given, or of another size, counts as not asked for. Digests
are left to whoever reads.

Source: OCI image-spec descriptor.md ("urls").
"""

from __future__ import annotations

from typing import BinaryIO, Self

from winlayers.base.progress import Cancel
from winlayers.distribution._http import Connections, shown
from winlayers.distribution.client import open_foreign
from winlayers.distribution.registries import Registries
from winlayers.distribution.retry import Patience
from winlayers.errors import (
    Corrupt,
    Denied,
    DistributionError,
    Malformed,
    NotFound,
    TooLarge,
    Unsupported,
    WinlayersError,
)
from winlayers.oci.model import Descriptor

PASSED_OVER = (NotFound, DistributionError, Denied, Corrupt, Malformed, TooLarge, Unsupported)
"""What one place may fail with, so that the next one is asked."""

MAX_TRIED = 8
"""URLs of one layer that are asked; real ones have one or two."""
_LONGEST_SECONDS = 60.0
"""After which no other URL is asked, as each may take long to answer nothing."""


class ForeignLayers:
    """The layers that others keep; a ``transfer.elsewhere.Elsewhere``."""

    def __init__(
        self,
        registries: Registries,
        *,
        connections: Connections | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Ask for nothing yet.

        Args:
            registries: what may be used; their logins are not.
            connections: to be used, and not closed here; None for own ones.
            patience: how often to try again.
        """
        self._is_own = connections is None
        self._connections = connections or Connections(registries)
        self._patience = patience or Patience()

    def heed(self, cancel: Cancel) -> None:
        """See ``oci.endpoint.Waiting``."""
        self._patience.cancel.follow(cancel)

    def open(self, descriptor: Descriptor, offset: int, first: WinlayersError) -> BinaryIO:
        """The bytes of a layer from an offset on; the caller closes.

        Args:
            descriptor: with URLs.
            offset: bytes to leave out.
            first: why it is not to be had from where it was looked for first; raised where no URL has it, with a note
                for each.
        Raises:
            Cancelled: the flag was set while it waited.
        """
        until = self._patience.now() + _LONGEST_SECONDS
        for number, url in enumerate(descriptor.urls):
            if number == MAX_TRIED or self._patience.now() >= until:
                first.add_note(f"{len(descriptor.urls) - number} more URLs were not asked")
                break
            try:
                return open_foreign(
                    self._connections,
                    url,
                    descriptor.digest,
                    descriptor.size,
                    offset,
                    self._patience,
                )
            except PASSED_OVER as error:
                first.add_note(f"from {shown(url)}: {error}")
        raise first

    def close(self) -> None:
        """Close the connections that were opened for it."""
        if self._is_own:
            self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
