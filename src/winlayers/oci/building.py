"""New documents: manifests, indexes and configs from values, or from others with something changed.

What is built has the bytes that a Go program would write for it: no blanks, fields in the order of the OCI types (in
Docker's documents the size of a descriptor comes before its digest), maps sorted by name. What is edited keeps its
unknown fields, its order and its spelling; only what is changed is written anew. So the same input has the same
digest everywhere. Times are handed in; this module has no clock.

Source: OCI image-spec specs-go/v1 for the order of fields; distribution/distribution manifest/schema2 for Docker's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from winlayers.base.digest import Digest
from winlayers.errors import InvalidArgument
from winlayers.oci import mediatypes
from winlayers.oci._json import JsonObject, write_json
from winlayers.oci.model import (
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    digest_bytes,
    parse_config,
    parse_document,
)
from winlayers.oci.platform import Platform

_DOCKER_DESCRIPTOR = ("mediaType", "size", "digest")
_MAX_SECONDS = 253_402_300_799  # the last second of the year 9999
_SETTINGS = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
)


def describe(
    raw: bytes,
    media_type: str,
    *,
    platform: Platform | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """The descriptor of some bytes, as of a config or a manifest.

    Args:
        raw: the bytes.
        media_type: what they are.
        platform: of a manifest that goes into an index; that of its config, with version and features.
        annotations: by name.
    """
    return Descriptor(
        media_type,
        digest_bytes(raw),
        len(raw),
        annotations=dict(annotations or {}),
        platform=platform,
    )


def build_manifest(
    config: Descriptor,
    layers: Sequence[Descriptor],
    *,
    media_type: str = mediatypes.OCI_MANIFEST,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest.

    Args:
        config: of the image.
        layers: the base layer first.
        media_type: OCI's or Docker's; descriptors are taken as they are.
        annotations: by name.
    Raises:
        InvalidArgument: another media type.
        TooLarge: more layers than are taken.
    """
    if media_type not in mediatypes.MANIFESTS:
        raise InvalidArgument(f"{media_type!r} is not the type of a manifest")
    values: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type}
    values |= _manifest_values(media_type, config, layers, annotations or {})
    return _as_manifest(write_json(merge_fields({}, values)), media_type)


def edit_manifest(
    manifest: Manifest,
    *,
    config: Descriptor | None = None,
    layers: Sequence[Descriptor] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest with something changed; what is None stays. Where nothing changes, it is the old one.

    Args:
        manifest: the old one.
        config: of the image.
        layers: the base layer first.
        annotations: all of them, by name.
    Raises:
        TooLarge: more layers than are taken.
    """
    values = _manifest_values(
        manifest.media_type,
        config or manifest.config,
        manifest.layers if layers is None else layers,
        manifest.annotations if annotations is None else annotations,
    )
    fields = merge_fields(manifest.fields, values)
    if fields == manifest.fields:
        return manifest
    return _as_manifest(write_json(fields), manifest.media_type)


def build_index(
    manifests: Sequence[Descriptor],
    *,
    media_type: str = mediatypes.OCI_INDEX,
    annotations: Mapping[str, str] | None = None,
) -> Index:
    """An index.

    Args:
        manifests: with their platforms.
        media_type: OCI's, or that of Docker's list.
        annotations: by name.
    Raises:
        InvalidArgument: another media type.
        TooLarge: more manifests than are taken.
    """
    if media_type not in mediatypes.INDEXES:
        raise InvalidArgument(f"{media_type!r} is not the type of an index")
    values: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type}
    values |= _index_values(media_type, manifests, annotations or {})
    return _as_index(write_json(merge_fields({}, values)), media_type)


def edit_index(
    index: Index,
    *,
    manifests: Sequence[Descriptor] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Index:
    """An index with something changed; what is None stays. Where nothing changes, it is the old one.

    Args:
        index: the old one.
        manifests: all of them.
        annotations: all of them, by name.
    Raises:
        TooLarge: more manifests than are taken.
    """
    values = _index_values(
        index.media_type,
        index.manifests if manifests is None else manifests,
        index.annotations if annotations is None else annotations,
    )
    fields = merge_fields(index.fields, values)
    if fields == index.fields:
        return index
    return _as_index(write_json(fields), index.media_type)


def build_config(
    platform: Platform,
    diff_ids: Sequence[Digest],
    *,
    history: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
    created: str = "",
    author: str = "",
) -> ImageConfig:
    """A config.

    Args:
        platform: what the image runs on.
        diff_ids: of its layers, the base layer first.
        history: see ``history_step``.
        settings: what it is run with; see ``edit_config``.
        created: see ``time_text``.
        author: who made it.
    Raises:
        Malformed: the history makes more layers than there are.
        TooLarge: more layers or steps than are taken.
    """
    values = {
        "created": created or None,
        "author": author or None,
        **_platform_values(platform),
        "config": _merge_settings({}, settings or {}),
        "rootfs": {"type": "layers", "diff_ids": [str(one) for one in diff_ids]},
        "history": list(history) or None,
    }
    return parse_config(write_json(merge_fields({}, values)))


def edit_config(
    config: ImageConfig,
    *,
    platform: Platform | None = None,
    diff_ids: Sequence[Digest] | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
    created: str | None = None,
    author: str | None = None,
) -> ImageConfig:
    """A config with something changed; what is None stays. Where nothing changes, it is the old one.

    Args:
        config: the old one.
        platform: what the image runs on; a field that is empty goes.
        diff_ids: of all layers, the base layer first.
        history: all of it.
        settings: those that change, by name (``Entrypoint``, ``Env``, ``Labels``); None takes one away.
        created: see ``time_text``; ``""`` takes it away.
        author: ``""`` takes it away.
    Raises:
        Malformed: the history makes more layers than there are.
        TooLarge: more layers or steps than are taken.
    """
    old = JsonObject(config.fields, "image config")
    values: dict[str, Any] = {}
    if created is not None:
        values["created"] = created or None
    if author is not None:
        values["author"] = author or None
    if platform is not None:
        values |= _platform_values(platform)
    if settings is not None:
        values["config"] = _merge_settings(config.settings, settings)
    if diff_ids is not None:
        texts = [str(one) for one in diff_ids]
        values["rootfs"] = merge_fields(old.object("rootfs"), {"diff_ids": texts})
    if history is not None:
        values["history"] = list(history)
    fields = merge_fields(config.fields, values)
    return config if fields == config.fields else parse_config(write_json(fields))


def history_step(
    created_by: str,
    *,
    created: str = "",
    author: str = "",
    comment: str = "",
    is_empty: bool = False,
) -> dict[str, Any]:
    """An entry of a history.

    Args:
        created_by: the command.
        created: see ``time_text``.
        author: who made it.
        comment: anything.
        is_empty: whether it made no layer.
    """
    values = {
        "created": created or None,
        "created_by": created_by or None,
        "author": author or None,
        "comment": comment or None,
        "empty_layer": is_empty or None,
    }
    return merge_fields({}, values)


def time_text(seconds: int) -> str:
    """A time as documents have it, as ``2024-05-06T07:08:09Z``.

    Args:
        seconds: since 1970-01-01 UTC, as ``SOURCE_DATE_EPOCH`` has them.
    Raises:
        InvalidArgument: before 1970, or after the year 9999.
    """
    if not 0 <= seconds <= _MAX_SECONDS:
        raise InvalidArgument(f"{seconds} seconds since 1970 is a time that images cannot have")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def merge_fields(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object with some changed, each in its old place and spelling.

    Args:
        old: what it has.
        changes: by name; None takes a field away, but for an empty one; one that is equal is left as it stands; new
            ones come last.
    Raises:
        Malformed: a field is there in two spellings.
    """
    json = JsonObject(old, "document")
    merged = dict(old)
    for name, value in changes.items():
        key = json.key(name)
        if value is None:
            if key is not None and merged[key]:
                del merged[key]
        elif key is None:
            merged[name] = value
        elif merged[key] != value:
            merged[key] = value
    return merged


def _manifest_values(
    media_type: str,
    config: Descriptor,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    is_docker = media_type == mediatypes.DOCKER_MANIFEST
    return {
        "config": _descriptor_fields(config, is_docker=is_docker),
        "layers": [_descriptor_fields(layer, is_docker=is_docker) for layer in layers],
        "annotations": _sorted(annotations) or None,
    }


def _index_values(
    media_type: str, manifests: Sequence[Descriptor], annotations: Mapping[str, str]
) -> dict[str, Any]:
    is_docker = media_type == mediatypes.DOCKER_LIST
    return {
        "manifests": [_descriptor_fields(one, is_docker=is_docker) for one in manifests],
        "annotations": _sorted(annotations) or None,
    }


def _descriptor_fields(descriptor: Descriptor, *, is_docker: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "urls": list(descriptor.urls) or None,
        "annotations": _sorted(descriptor.annotations) or None,
        "platform": None,
    }
    if is_docker:
        values = {name: values[name] for name in _DOCKER_DESCRIPTOR} | values
    if descriptor.platform is not None:
        old = JsonObject(descriptor.fields, "descriptor").object("platform")
        values["platform"] = merge_fields(old, _platform_values(descriptor.platform))
    return merge_fields(descriptor.fields, values)


def _platform_values(platform: Platform) -> dict[str, Any]:
    return {
        "architecture": platform.architecture or None,
        "os": platform.os or None,
        "os.version": platform.os_version or None,
        "os.features": list(platform.os_features) or None,
        "variant": platform.variant or None,
    }


def _merge_settings(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    places = {name.lower(): place for place, name in enumerate(_SETTINGS)}
    names = sorted(changes, key=lambda name: (places.get(name.lower(), len(places)), name))
    return merge_fields(old, {name: _sorted(changes[name]) for name in names})


def _sorted(value: Any) -> Any:
    """Go writes a map sorted by name."""
    if not isinstance(value, Mapping):
        return value
    return {name: _sorted(value[name]) for name in sorted(value)}


def _as_manifest(raw: bytes, media_type: str) -> Manifest:
    document = parse_document(raw, media_type)
    assert isinstance(document, Manifest)
    return document


def _as_index(raw: bytes, media_type: str) -> Index:
    document = parse_document(raw, media_type)
    assert isinstance(document, Index)
    return document
