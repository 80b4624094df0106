"""Makes foreign layers ordinary: the blobs stay as they are, the documents that name them become others.

A foreign layer is one that a registry does not have, but another place by a URL. Made ordinary it is pushed like any
other; its manifest, and every index above that, is written anew and has another digest. Nothing else in them changes.

Source: OCI image-spec layer.md, "Non-Distributable Layers".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from winlayers.base.digest import Digest
from winlayers.oci import mediatypes
from winlayers.oci.building import edit_index, edit_manifest
from winlayers.oci.model import Descriptor, Index, Manifest

Documents = list[tuple[Descriptor, Manifest | Index]]


def without_foreign_layers(documents: Iterable[tuple[Descriptor, Manifest | Index]]) -> Documents:
    """The same documents with no foreign layers in them.

    Args:
        documents: what is named before what names it.
    Returns:
        As many, in the same order; those that need no change as they were.
    """
    changed: dict[Digest, Descriptor] = {}
    rewritten: Documents = []
    for descriptor, document in documents:
        new = _rewrite(document, changed)
        if new is not document:
            moved = replace(descriptor, digest=new.digest, size=len(new.raw))
            changed[descriptor.digest] = moved
            descriptor = moved
        rewritten.append((descriptor, new))
    return rewritten


def ordinary(layer: Descriptor) -> Descriptor:
    """The descriptor of a layer once it is no foreign one."""
    if not layer.is_foreign:
        return layer
    compression = mediatypes.compression_of(layer.media_type)
    media_type = mediatypes.layer_type(layer.media_type, compression, foreign=False)
    return replace(layer, media_type=media_type, urls=())


def _rewrite(document: Manifest | Index, changed: dict[Digest, Descriptor]) -> Manifest | Index:
    if isinstance(document, Manifest):
        if not any(layer.is_foreign for layer in document.layers):
            return document
        return edit_manifest(document, layers=[ordinary(layer) for layer in document.layers])
    if not any(one.digest in changed for one in document.manifests):
        return document
    return edit_index(
        document,
        manifests=[
            replace(one, digest=changed[one.digest].digest, size=changed[one.digest].size)
            if one.digest in changed
            else one
            for one in document.manifests
        ],
    )
