"""The image of the store that layers stand on, found by the digests of their tars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from winlayers.cli.imagenames import STORE, ImageName
from winlayers.cli.session import Session
from winlayers.cli.storednames import familiar_name
from winlayers.errors import InvalidArgument, InvalidReference

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
    return _only(session, _with_most_layers(_stored_bases(session, diff_ids)), flag)


def find_old_base(
    session: Session, diff_ids: Sequence[Digest], new_base: tuple[ImageName, Digest], flag: str
) -> ImageName | None:
    """The image whose layers are to be those of another one: of several that of the same repository.

    Layers of a base that is taken for too high a one would be lost, so nothing is guessed.

    Args:
        session, diff_ids, flag: as ``find_stored_base``.
        new_base: the other image, and the digest of its manifest; it is the old one only if no other can be.
    Raises:
        InvalidArgument: several images may be meant.
    """
    rows = _stored_bases(session, diff_ids)
    name, digest = new_base
    rows = [row for row in rows if row.manifest != digest] or rows
    repository = _repository(name.place) if name.transport in ("docker", STORE) else ""
    same = [row for row in rows if repository and _repository(row.name) == repository]
    if same:
        rows = _with_most_layers(same)
    return _only(session, rows, flag)


def _stored_bases(session: Session, diff_ids: Sequence[Digest]) -> list[ImageRow]:
    """The images of the store that have the first of these layers and no other."""
    from winlayers.oci.model import chain_ids

    if not session.has_images:
        return []
    places = {one.hex: number for number, one in enumerate(chain_ids(diff_ids), 1)}
    return [
        row
        for row in session.open_images().images()
        if row.layer_ids and places.get(row.layer_ids[0]) == len(row.layer_ids)
    ]


def _with_most_layers(rows: Sequence[ImageRow]) -> list[ImageRow]:
    longest = max((len(row.layer_ids) for row in rows), default=0)
    return [row for row in rows if len(row.layer_ids) == longest]


def _only(session: Session, rows: Sequence[ImageRow], flag: str) -> ImageName | None:
    """The one image that all rows are names of."""
    images = {row.manifest: row for row in rows}
    if len(images) > 1:
        raise InvalidArgument(
            f"{len(images)} images have the layers that it stands on: {_shown(list(images.values()))}; "
            f"say by {flag} which one is meant"
        )
    for row in images.values():
        session.note(f"it stands on {familiar_name(row.name)}")
        return ImageName(STORE, str(row.manifest))
    return None


def _repository(name: str) -> str:
    """That of a name; ``""`` of what is none."""
    from winlayers.oci.reference import Reference

    try:
        return Reference.parse(name).name
    except InvalidReference:
        return ""


def _shown(rows: Sequence[ImageRow]) -> str:
    names = [familiar_name(row.name) for row in rows]
    more = len(names) - _SHOWN_COUNT
    return ", ".join(names[:_SHOWN_COUNT]) + (f" and {more} more" if more > 0 else "")
