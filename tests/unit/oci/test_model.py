"""Manifests, indexes and configs: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from winlayers.base.digest import Digest
from winlayers.errors import Malformed, TooLarge, Unsupported
from winlayers.oci import mediatypes, model
from winlayers.oci.model import (
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    chain_ids,
    digest_bytes,
    parse_config,
    parse_document,
)
from winlayers.oci.platform import Platform

A = "sha256:" + "a" * 64
B = "sha256:" + "b" * 64


def a_descriptor(media_type: str = mediatypes.OCI_CONFIG, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": A, "size": 7, **more}


def a_manifest(**more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "config": a_descriptor(), "layers": [], **more}


def an_index(*manifests: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "manifests": list(manifests), **more}


def a_config(**more: Any) -> dict[str, Any]:
    rootfs = {"type": "layers", "diff_ids": [A, B]}
    return {"os": "windows", "architecture": "amd64", "rootfs": rootfs, **more}


def as_manifest(value: dict[str, Any], media_type: str = "") -> Manifest:
    document = parse_document(json.dumps(value).encode(), media_type)
    assert isinstance(document, Manifest)
    return document


def as_index(value: dict[str, Any], media_type: str = "") -> Index:
    document = parse_document(json.dumps(value).encode(), media_type)
    assert isinstance(document, Index)
    return document


def as_config(value: dict[str, Any]) -> ImageConfig:
    return parse_config(json.dumps(value).encode())


def test_manifest_keeps_bytes_and_unknown_fields() -> None:
    layer = a_descriptor(
        mediatypes.DOCKER_FOREIGN_LAYER + ".gzip",
        urls=["https://example.com/layer"],
        annotations={"k": "v"},
        strange=[1],
    )
    value = a_manifest(layers=[layer], annotations={"a": "b"}, subject={"x": 1})
    manifest = as_manifest(value)
    assert manifest.raw == json.dumps(value).encode()
    assert manifest.digest == digest_bytes(manifest.raw)
    assert manifest.media_type == mediatypes.OCI_MANIFEST
    assert manifest.config == Descriptor(mediatypes.OCI_CONFIG, Digest.parse(A), 7)
    assert not manifest.config.is_foreign
    assert manifest.annotations == {"a": "b"}
    assert manifest.fields["subject"] == {"x": 1}
    (read,) = manifest.layers
    assert read.is_foreign
    assert read.urls == ("https://example.com/layer",)
    assert read.annotations == {"k": "v"}
    assert read.fields == layer
    assert len({manifest, as_manifest(value)}) == 1


def test_index_has_platforms() -> None:
    windows = {
        "os": "windows",
        "architecture": "amd64",
        "os.version": "10.0.17763.1",
        "os.features": ["win32k"],
    }
    arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    index = as_index(
        an_index(
            a_descriptor(mediatypes.OCI_MANIFEST, platform=windows),
            a_descriptor(mediatypes.OCI_MANIFEST, platform=arm),
            a_descriptor(mediatypes.OCI_MANIFEST, platform=None),
        )
    )
    assert [one.platform for one in index.manifests] == [
        Platform("windows", "amd64", "", "10.0.17763.1", ("win32k",)),
        Platform("linux", "arm64", "v8"),
        None,
    ]
    assert index.digest == digest_bytes(index.raw)
    assert index.media_type == mediatypes.OCI_INDEX
    assert len({index, index}) == 1


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        ("", "", mediatypes.OCI_MANIFEST),
        ("", mediatypes.DOCKER_MANIFEST, mediatypes.DOCKER_MANIFEST),
        ("", "application/json; charset=utf-8", mediatypes.OCI_MANIFEST),
        (mediatypes.DOCKER_MANIFEST, "", mediatypes.DOCKER_MANIFEST),
        (mediatypes.DOCKER_MANIFEST, "text/plain", mediatypes.DOCKER_MANIFEST),
        (
            mediatypes.DOCKER_MANIFEST,
            mediatypes.DOCKER_MANIFEST + "; charset=x",
            mediatypes.DOCKER_MANIFEST,
        ),
    ],
)
def test_media_type_is_the_given_one_else_its_own_else_told_by_the_fields(
    own: str, given: str, expected: str
) -> None:
    value = a_manifest(mediaType=own) if own else a_manifest()
    assert as_manifest(value, given).media_type == expected


def test_index_by_its_own_media_type() -> None:
    index = as_index(an_index(mediaType=mediatypes.DOCKER_LIST))
    assert (index.media_type, index.manifests) == (mediatypes.DOCKER_LIST, ())


def test_names_are_matched_without_case() -> None:
    value = {
        "SchemaVersion": 2,
        "CONFIG": {"mediatype": "x", "Digest": A, "ſize": 1},
        "Layers": None,
    }
    manifest = as_manifest(value)
    assert (manifest.config.media_type, manifest.config.size, manifest.layers) == ("x", 1, ())


@pytest.mark.parametrize(
    "value",
    [
        {"schemaVersion": 1, "fsLayers": [], "signatures": []},
        {"schemaVersion": 1},
        {"fsLayers": []},
        {"mediaType": "application/vnd.docker.distribution.manifest.v1+json"},
    ],
)
def test_schema_1_is_refused_with_a_sentence(value: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="of schema 1"):
        parse_document(json.dumps(value).encode())


def test_schema_1_by_its_header_is_refused() -> None:
    with pytest.raises(Unsupported, match="of schema 1"):
        parse_document(b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws")


def test_document_that_is_no_image_is_refused_by_its_type() -> None:
    value = a_manifest(mediaType="application/vnd.oci.artifact.manifest.v1+json")
    with pytest.raises(Unsupported, match="artifact"):
        as_manifest(value)


@pytest.mark.parametrize(
    ("value", "media_type", "reason"),
    [
        ({}, "", "neither 'manifests' nor 'config'"),
        ({}, mediatypes.OCI_MANIFEST, "no 'config'"),
        (a_manifest(schemaVersion=3), "", "schemaVersion is 3"),
        (a_manifest(schemaVersion=True), "", "schemaVersion is True"),
        (a_manifest(schemaVersion=2.0), "", "schemaVersion is 2.0"),
        (a_manifest(mediaType=5), "", "'mediaType' is not a string"),
        (a_manifest(mediaType=mediatypes.OCI_MANIFEST), mediatypes.OCI_INDEX, "calls itself"),
        (a_manifest(manifests=[]), mediatypes.OCI_MANIFEST, "other kind"),
        (an_index(layers=[]), "", "other kind"),
        (an_index(config={}), "", "other kind"),
        (a_manifest(layers={}), "", "'layers' is not an array"),
        (a_manifest(layers=[1]), "", "not an object"),
        (a_manifest(config=[]), "", "'config' is not an object"),
        (a_manifest(annotations={"a": 1}), "", "value that is not a string"),
        (a_manifest(annotations=[]), "", "'annotations' is not an object"),
        (a_manifest(config=a_descriptor(size=-1)), "", "number of bytes"),
        (a_manifest(config=a_descriptor(size=True)), "", "number of bytes"),
        (a_manifest(config=a_descriptor(size=1.0)), "", "number of bytes"),
        (a_manifest(config=a_descriptor(size=1 << 63)), "", "number of bytes"),
        (a_manifest(config=a_descriptor(size=None)), "", "no 'size'"),
        (a_manifest(config=a_descriptor("")), "", "no 'mediaType'"),
        (a_manifest(config=a_descriptor(digest=None)), "", "no 'digest'"),
        (a_manifest(config=a_descriptor(digest="md5:00")), "", "'md5' is not known"),
        (a_manifest(config=a_descriptor(digest=A.upper())), "", "not known"),
        (a_manifest(config=a_descriptor(urls=[1])), "", "element that is not a string"),
        (a_manifest(config=a_descriptor(platform="x")), "", "'platform' is not an object"),
        (a_manifest(Config={}), "", "both 'config' and 'Config'"),
    ],
)
def test_malformed_document_says_why(value: dict[str, Any], media_type: str, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_document(json.dumps(value).encode(), media_type)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        a_manifest(schemaVersion=["x"] * 10_000),
        a_manifest(config=a_descriptor(digest="x" * 10_000)),
        an_index(mediaType="x" * 10_000),
    ],
)
def test_message_about_a_huge_value_is_short(value: dict[str, Any]) -> None:
    with pytest.raises((Malformed, Unsupported)) as caught:
        parse_document(json.dumps(value).encode())
    assert len(str(caught.value)) < 500


def test_entry_of_an_index_is_named_in_errors() -> None:
    with pytest.raises(Malformed, match="index, manifest 1, platform: 'os' is not a string"):
        as_index(an_index(a_descriptor("x"), a_descriptor("x", platform={"os": 1})))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (a_manifest(layers=[{}] * (model.MAX_LAYERS + 1)), "'layers' has 129"),
        (an_index(*[{}] * (model.MAX_MANIFESTS + 1)), "'manifests' has 10001"),
        (a_manifest(config=a_descriptor(urls=["x"] * 101)), "'urls' has 101"),
        (a_manifest(x="y" * model.MAX_DOCUMENT_SIZE), "bytes; at most 4194304"),
    ],
)
def test_document_past_a_limit_is_too_large(value: dict[str, Any], what: str) -> None:
    with pytest.raises(TooLarge) as caught:
        parse_document(json.dumps(value).encode())
    assert what in str(caught.value)


def test_config_is_read() -> None:
    value = a_config(
        created="2024-01-02T03:04:05Z",
        history=[{"created_by": "a"}, {"empty_layer": True}, {"empty_layer": False}],
        config={"Cmd": ["cmd"]},
        **{"os.version": "10.0.20348.1", "os.features": ["win32k"], "variant": "v1"},
    )
    config = as_config(value)
    assert config.platform == Platform("windows", "amd64", "v1", "10.0.20348.1", ("win32k",))
    assert config.diff_ids == (Digest.parse(A), Digest.parse(B))
    assert config.history == tuple(value["history"])
    assert config.settings == {"Cmd": ["cmd"]}
    assert config.created == "2024-01-02T03:04:05Z"
    assert config.fields == value
    assert config.digest == digest_bytes(config.raw)
    assert len({config, config}) == 1


def test_config_of_other_spelling_is_read() -> None:
    """The fields of a real image that was put together by hand."""
    config = as_config({"OS": "windows", "rootfS": {"diff_ids": [A]}, "config": {"user": "u"}})
    assert config.platform == Platform("windows", "")
    assert config.diff_ids == (Digest.parse(A),)
    assert config.setting("User") == "u"
    assert config.setting("Cmd") is None
    assert (config.history, config.created) == ((), "")


def test_setting_in_two_spellings_is_malformed() -> None:
    with pytest.raises(Malformed, match="both 'User' and 'user'"):
        as_config(a_config(config={"User": "a", "user": "b"})).setting("user")


@pytest.mark.parametrize("rootfs", [{"type": "layers+base"}, {"base_layer": "x"}])
def test_config_with_a_base_apart_is_refused(rootfs: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="before 2016"):
        as_config(a_config(rootfs=rootfs))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "no 'rootfs'"),
        (a_config(rootfs={"type": "tree"}), "its type is 'tree'"),
        (a_config(rootfs={"diff_ids": ["x"]}), "is not a digest"),
        (a_config(history=[{}, {}, {}]), "its history makes 3 layers, and it has 2"),
        (a_config(history=[{"empty_layer": 1}]), "neither true nor false"),
        (a_config(created=1), "'created' is not a string"),
        (a_config(config=[]), "'config' is not an object"),
        (a_config(os=[]), "'os' is not a string"),
    ],
)
def test_malformed_config_says_why(value: dict[str, Any], reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        as_config(value)
    assert reason in str(caught.value)


def test_config_with_too_many_layers_is_too_large() -> None:
    with pytest.raises(TooLarge, match="'diff_ids' has 129"):
        as_config(a_config(rootfs={"diff_ids": [A] * 129}))


def test_chain_ids_are_those_of_the_specification() -> None:
    first, second, third = chain_ids([Digest.parse(A), Digest.parse(B), Digest.parse(A)])
    assert first == Digest.parse(A)
    assert second == digest_bytes(f"{A} {B}".encode())
    assert third == digest_bytes(f"{second} {A}".encode())
    assert chain_ids([]) == ()
