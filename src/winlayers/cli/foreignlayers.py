"""Foreign layers of images that are not in a registry: fetched from their URLs where they are wanted and missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from winlayers.cli.registryoptions import RegistryOptions
from winlayers.cli.session import Session

if TYPE_CHECKING:
    from winlayers.oci.endpoint import ImageSource
    from winlayers.transfer.elsewhere import Elsewhere


def with_foreign_layers(session: Session, source: ImageSource) -> ImageSource:
    """The same source; closing it closes the one that is given.

    Args:
        session: whose proxies are used.
        source: may have images whose foreign layers it does not have.
    """
    from winlayers.transfer.elsewhere import SourceWithForeign

    return SourceWithForeign(source, lambda: _elsewhere(session))


def _elsewhere(session: Session) -> Elsewhere:
    from winlayers.distribution.foreign import ForeignLayers

    return ForeignLayers(RegistryOptions(no_creds=True).registries(session, ""))
