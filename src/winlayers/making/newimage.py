"""An image of layers alone, made of no other: a config and a manifest of OCI's kind.

This module knows nothing of what is in the layers, and where they come from.

Source: OCI image-spec config.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from winlayers.errors import InvalidArgument, LimitExceeded
from winlayers.making.image import ImageLayer, MadeImage
from winlayers.making.settings import Edits, apply_edits
from winlayers.oci import mediatypes
from winlayers.oci.building import (
    build_config,
    build_manifest,
    describe,
    history_step,
    time_text,
)
from winlayers.oci.model import MAX_LAYERS
from winlayers.oci.platform import Platform


def new_image(
    layers: Sequence[tuple[ImageLayer, str]],
    platform: Platform,
    *,
    now_seconds: int,
    author: str = "",
    comment: str = "",
    edits: Edits | None = None,
) -> MadeImage:
    """An image of layers.

    Args:
        layers: the base layer first, made for ``mediatypes.OCI_MANIFEST``; each with what the history says of it.
        platform: what the image runs on.
        now_seconds: when, since 1970 UTC; that is when the image and its steps were made.
        author: who did it, for the history and for the image.
        comment: for the last entry of the history.
        edits: settings.
    Raises:
        InvalidArgument: there is no layer, or the platform is not one of Windows; see also ``settings.apply_edits``.
        LimitExceeded: there are more layers than an image may have.
    """
    if not layers:
        raise InvalidArgument("an image has to have a layer")
    if len(layers) > MAX_LAYERS:
        raise LimitExceeded(f"{len(layers)} layers are more than the {MAX_LAYERS} of an image")
    if platform.os != "windows":
        raise InvalidArgument(f"layers of Windows make no image for {platform}")
    created = time_text(now_seconds)
    steps = [
        history_step(
            created_by,
            created=created,
            author=author,
            comment=comment if number == len(layers) else "",
        )
        for number, (_, created_by) in enumerate(layers, 1)
    ]
    diff_ids = [layer.diff_id for layer, _ in layers]
    config = build_config(platform, diff_ids, history=steps, created=created, author=author)
    config = apply_edits(config, edits or Edits())
    manifest = build_manifest(
        describe(config.raw, mediatypes.OCI_CONFIG), [layer.descriptor for layer, _ in layers]
    )
    return MadeImage("new image", manifest, config, [layer for layer, _ in layers])
