"""An image with other settings, or with one more layer.

This module knows nothing of what is in the layer, and where it comes from.

Source: moby/moby daemon/commit.go for what a commit changes.
"""

from __future__ import annotations

from winlayers.errors import LimitExceeded
from winlayers.making.image import BaseImage, ImageLayer, MadeImage, make_image
from winlayers.making.settings import Edits, add_step, apply_edits
from winlayers.oci.building import edit_config
from winlayers.oci.model import MAX_LAYERS


def edit_image(
    image: BaseImage,
    edits: Edits,
    *,
    now_seconds: int,
    created_by: str,
    author: str = "",
    comment: str = "",
) -> MadeImage:
    """An image with other settings; its layers are the same.

    Args:
        image: the old one.
        edits: what changes.
        now_seconds: when, since 1970 UTC; that is when the image was made.
        created_by: what the history says of it.
        author: who did it, for the history.
        comment: for the history.
    Returns:
        The new image; one with the digest of the old where the edits change nothing.
    Raises:
        InvalidArgument, Malformed: see ``settings.apply_edits``.
    """
    config = apply_edits(image.config, edits)
    if config is not image.config:
        config = add_step(
            config,
            created_by,
            now_seconds=now_seconds,
            author=author,
            comment=comment,
            is_empty=True,
        )
    return make_image(image, config, image.layers)


def add_layer(
    image: BaseImage,
    layer: ImageLayer,
    *,
    now_seconds: int,
    created_by: str,
    author: str = "",
    comment: str = "",
    edits: Edits | None = None,
) -> MadeImage:
    """An image with one more layer on the others.

    Args:
        image: the old one.
        layer: the new layer.
        now_seconds: when, since 1970 UTC; that is when the image was made.
        created_by: what the history says of it.
        author: who did it, for the history and for the image.
        comment: for the history.
        edits: settings that change with it, without an entry of their own.
    Raises:
        LimitExceeded: it has as many layers as an image may have.
        InvalidArgument, Malformed: see ``settings.apply_edits``.
    """
    if len(image.layers) >= MAX_LAYERS:
        raise LimitExceeded(
            f"{image.source.name} has {MAX_LAYERS} layers, and Windows takes no more; squash some of them"
        )
    config = apply_edits(image.config, edits or Edits())
    config = edit_config(config, diff_ids=(*config.diff_ids, layer.diff_id), author=author or None)
    config = add_step(config, created_by, now_seconds=now_seconds, author=author, comment=comment)
    return make_image(image, config, (*image.layers, layer))
