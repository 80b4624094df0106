"""The layers of an image that another one is made of, opened to be looked into.

Those that the store has are read there, from the base layer up; what is above is fetched into the folder for
temporary files, and removed at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from winlayers.cli.fetchedlayers import fetch_layers
from winlayers.cli.session import Session
from winlayers.cli.target import staging

if TYPE_CHECKING:
    from winlayers.layer.merge import LayerTable
    from winlayers.making.image import BaseImage
    from winlayers.oci.model import ImageConfig


@contextmanager
def opened_tables(session: Session, image: BaseImage) -> Iterator[tuple[LayerTable, ...]]:
    """The layers of an image, nearest first, as long as the ``with`` block lasts.

    Args:
        session: whose store and folder for temporary files are used.
        image: its source is asked for those layers that the store does not have.
    """
    with ExitStack() as stack:
        stored = _stored_tables(session, image.config, stack)
        with staging(session) as tmpdir:
            blobs = image.manifest.layers
            missing = range(len(stored), len(blobs))
            fetched = [
                stack.enter_context(layer).table
                for layer in fetch_layers(session, image.source, blobs, missing, tmpdir)
            ]
        yield (*reversed(fetched), *stored)


def _stored_tables(
    session: Session, config: ImageConfig, stack: ExitStack
) -> tuple[LayerTable, ...]:
    """Of the layers that the store has, from the base layer up; nearest first."""
    from winlayers.layer.merge import MergedView
    from winlayers.oci.model import chain_ids

    if not session.has_store:
        return ()
    driver = session.open_driver()
    chain = [one.hex for one in chain_ids(config.diff_ids)]
    while chain and not driver.exists(chain[-1]):
        chain.pop()
    if not chain:
        return ()
    view = driver.view(chain[-1])
    stack.callback(view.close)
    tables = view.tables if isinstance(view, MergedView) else ()
    # The native backend shows a layer without tables of its own, so it is fetched as if it were elsewhere.
    return tables if len(tables) == len(chain) else ()
