"""TARGETs that are images: looked into layer by layer, over each other as in a container, without being pulled.

An image of the store shows the layers that the driver has. Of any other, the documents are read first; where the
store has its layers already, those are shown. Otherwise all layers are fetched and indexed in the folder for temporary
files, and removed at the end.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from winlayers.cli.openimage import OpenImage, open_image
from winlayers.cli.registryoptions import RegistryOptions
from winlayers.cli.session import Session
from winlayers.errors import ImageNotFound, InvalidReference, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from winlayers.backends.sealed.packed import SealedTable
    from winlayers.layer.view import View


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """The layers of an image that is not in the store.

    Attributes:
        view: all of them.
        tables: of each, the topmost first.
        close: removes them.
    """

    view: View
    tables: tuple[SealedTable, ...]
    close: Callable[[], None]


def open_image_layers(session: Session, text: str, *, tmpdir: Path) -> FetchedImage | str:
    """Open an image to be looked into.

    Args:
        session: whose store and environment are used.
        text: the name of the image.
        tmpdir: for layers that are not in the store; a folder that is there.
    Returns:
        Its layers, or the id of the layer of the store that stands for them all.
    Raises:
        ImageNotFound, BlobNotFound: it, or a part of it, is not there.
        Unsupported: it is something else than an image.
    """
    with open_image(session, text, RegistryOptions()) as image:
        _check_layers(text, image)
        return _layer_in_store(session, image) or _fetch_all(session, image, tmpdir)


def layer_of_image(session: Session, name: str) -> str | None:
    """The id of the layer that stands for an image of the store; None where the store has none of this name."""
    if not session.has_images:
        return None
    try:
        with open_image(session, f"store:{name}", RegistryOptions()) as image:
            _check_layers(name, image)
            return _layer_in_store(session, image)
    except (ImageNotFound, InvalidReference):
        return None


def _check_layers(text: str, image: OpenImage) -> None:
    from winlayers.transfer.selecting import has_image_config

    manifest = image.selected.manifest
    if not has_image_config(manifest) or not manifest.layers:
        raise Unsupported(f"{text} has no layers of files to look into")


def _layer_in_store(session: Session, image: OpenImage) -> str | None:
    """The driver's layer that stands for the whole image, where there is one."""
    from winlayers.oci.model import chain_ids

    if not session.has_store:
        return None
    chain = chain_ids(image.config().diff_ids)
    if not chain or not session.open_driver().exists(chain[-1].hex):
        return None
    return chain[-1].hex


def _fetch_all(session: Session, image: OpenImage, tmpdir: Path) -> FetchedImage:
    from winlayers.cli.fetchedlayers import fetch_layers
    from winlayers.layer.merge import MergedView

    blobs = image.selected.manifest.layers
    with ExitStack() as stack:
        layers = [
            stack.enter_context(layer)
            for layer in fetch_layers(session, image.source, blobs, range(len(blobs)), tmpdir)
        ]
        tables = tuple(layer.table for layer in reversed(layers))
        return FetchedImage(MergedView(tables), tables, stack.pop_all().close)
