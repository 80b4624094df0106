"""What is told of an image: its documents as JSON and as text.

This module opens nothing; whoever calls hands in the documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from winlayers.base.units import human_size
from winlayers.cli.output import table
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor, ImageConfig, Index, Manifest
from winlayers.oci.platform import BUILD_NAMES, Platform

_SHOWN_CREATED_BY = 45
_STEP_HEADS = ("CREATED", "CREATED BY", "SIZE", "LAYER", "COMMENT")
_MANIFEST_HEADS = ("DIGEST", "PLATFORM", "SIZE", "KIND")


def build_name(platform: Platform) -> str:
    """What people call a build of Windows, ``ltsc2022``, or ``""``."""
    if platform.os.lower() != "windows" or platform.build is None:
        return ""
    return BUILD_NAMES.get(platform.build, "")


def platform_json(platform: Platform) -> dict[str, Any]:
    """A platform, for programs."""
    return {
        "os": platform.os,
        "architecture": platform.architecture,
        "variant": platform.variant or None,
        "os_version": platform.os_version or None,
        "os_features": list(platform.os_features),
        "build": build_name(platform) or None,
    }


def image_json(
    name: str,
    top: Descriptor,
    descriptor: Descriptor,
    manifest: Manifest,
    config: ImageConfig,
    others: Sequence[Descriptor],
) -> dict[str, Any]:
    """All that is known of one image from its documents.

    Args:
        name: as it is called.
        top: what the name leads to.
        descriptor: of the manifest.
        manifest: of the image.
        config: of the image.
        others: the other manifests of the index.
    """
    diff_ids = [str(one) for one in config.diff_ids]
    diff_ids += [""] * (len(manifest.layers) - len(diff_ids))
    return {
        "name": name,
        "digest": str(top.digest),
        "manifest_digest": str(descriptor.digest),
        "media_type": manifest.media_type,
        "image_id": str(config.digest),
        "platform": platform_json(config.platform),
        "created": config.created or None,
        "size": sum(layer.size for layer in manifest.layers),
        "config": dict(config.settings),
        "annotations": dict(manifest.annotations),
        "layers": [
            {
                "digest": str(layer.digest),
                "diff_id": diff_id or None,
                "media_type": layer.media_type,
                "size": layer.size,
                "is_foreign": layer.is_foreign,
                "urls": list(layer.urls),
            }
            for layer, diff_id in zip(manifest.layers, diff_ids, strict=False)
        ],
        "other_platforms": [str(one.platform) for one in others if one.platform],
    }


def history_rows(manifest: Manifest, config: ImageConfig) -> Iterator[dict[str, Any]]:
    """The steps that an image was made by, the last one first; each with its layer, where it made one.

    Where the history tells less than all layers, those that are left come without words.
    """
    layers = list(manifest.layers)
    rows: list[dict[str, Any]] = []
    for step in config.history:
        is_empty = bool(step.get("empty_layer"))
        layer = layers.pop(0) if layers and not is_empty else None
        rows.append(_step(step, layer))
    rows.extend(_step({}, layer) for layer in layers)
    yield from reversed(rows)


def history_lines(rows: Iterator[dict[str, Any]], *, is_whole: bool) -> list[str]:
    """The steps as columns.

    Args:
        rows: of ``history_rows``.
        is_whole: whether long commands are shown to their end.
    """
    return table(
        [_STEP_HEADS, *(_step_cells(row, is_whole=is_whole) for row in rows)], right=frozenset({2})
    )


def manifest_rows(document: Manifest | Index, descriptor: Descriptor) -> Iterator[dict[str, Any]]:
    """What an index has, or the one manifest that it is.

    Args:
        document: read.
        descriptor: of it.
    """
    entries = document.manifests if isinstance(document, Index) else (descriptor,)
    for entry in entries:
        yield {
            "digest": str(entry.digest),
            "media_type": entry.media_type,
            "size": entry.size,
            "platform": platform_json(entry.platform) if entry.platform else None,
            "kind": _kind_of(entry),
            "annotations": dict(entry.annotations),
        }


def manifest_lines(rows: Iterator[dict[str, Any]]) -> list[str]:
    """What an index has, as columns."""
    return table([_MANIFEST_HEADS, *map(_manifest_cells, rows)], right=frozenset({2}))


def _step(step: Any, layer: Descriptor | None) -> dict[str, Any]:
    return {
        "created": _text(step, "created") or None,
        "created_by": _text(step, "created_by") or None,
        "comment": _text(step, "comment") or None,
        "author": _text(step, "author") or None,
        "size": layer.size if layer else 0,
        "layer": str(layer.digest) if layer else None,
    }


def _text(step: Any, name: str) -> str:
    value = step.get(name)
    return value if isinstance(value, str) else ""


def _step_cells(row: dict[str, Any], *, is_whole: bool) -> tuple[str, ...]:
    command = row["created_by"] or "-"
    if not is_whole and len(command) > _SHOWN_CREATED_BY:
        command = command[: _SHOWN_CREATED_BY - 1] + "…"
    layer = row["layer"] or "-"
    return (
        (row["created"] or "-")[:19].replace("T", " "),
        command,
        human_size(row["size"]),
        layer if is_whole else layer[:19],
        row["comment"] or "",
    )


def _kind_of(entry: Descriptor) -> str:
    if entry.media_type in mediatypes.INDEXES:
        return "index"
    return "attestation" if "vnd.docker.reference.type" in entry.annotations else "image"


def _manifest_cells(row: dict[str, Any]) -> tuple[str, ...]:
    platform = row["platform"]
    text = "-"
    if platform:
        parts = (platform["os"], platform["architecture"], platform["variant"])
        text = "/".join(filter(None, parts))
        text += f":{platform['os_version']}" if platform["os_version"] else ""
        text += f" ({platform['build']})" if platform["build"] else ""
    return (row["digest"], text, human_size(row["size"]), row["kind"])
