"""The image of the store that layers stand on, found by the digests of their tars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from winlayers.cli.imagenames import STORE, ImageName
from winlayers.cli.session import Session
from winlayers.cli.storednames import familiar_name
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from winlayers.base.digest import Digest
    from winlayers.store.images import ImageRow

_SHOWN_COUNT = 5


def find_stored_base(session: Session, diff_ids: Sequence[Digest], flag: str) -> ImageName | None:
    """The image that has the first of these layers and no other; of several that with most.

    Args:
        session: whose store is searched; the image that was found is told.
        diff_ids: of the layers that may be those of the base, the base layer first.
        flag: the option that names the image instead.
    Returns:
        The name of it by its digest, as an index may have been pulled; None where there is none.
    Raises:
        InvalidArgument: several images have the same layers.
    """
    from winlayers.oci.model import chain_ids

    if not session.has_images:
        return None
    chain = [one.hex for one in chain_ids(diff_ids)]
    places = {layer_id: number for number, layer_id in enumerate(chain, 1)}
    rows = [
        row
        for row in session.open_images().images()
        if row.layer_ids and places.get(row.layer_ids[0]) == len(row.layer_ids)
    ]
    longest = max((len(row.layer_ids) for row in rows), default=0)
    fitting = {row.manifest: row for row in rows if len(row.layer_ids) == longest}
    if len(fitting) > 1:
        raise InvalidArgument(
            f"{len(fitting)} images have the layers that it stands on: {_shown(list(fitting.values()))}; "
            f"say by {flag} which one is meant"
        )
    for row in fitting.values():
        session.note(f"it stands on {familiar_name(row.name)}")
        return ImageName(STORE, str(row.manifest))
    return None


def _shown(rows: Sequence[ImageRow]) -> str:
    names = [familiar_name(row.name) for row in rows]
    more = len(names) - _SHOWN_COUNT
    return ", ".join(names[:_SHOWN_COUNT]) + (f" and {more} more" if more > 0 else "")
