"""Documents that are built and edited: their bytes, and what they keep."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.base.digest import Digest
from winlayers.errors import InvalidArgument, Malformed, TooLarge
from winlayers.oci import mediatypes
from winlayers.oci.building import (
    build_config,
    build_index,
    build_manifest,
    describe,
    edit_config,
    edit_index,
    edit_manifest,
    history_step,
    time_text,
)
from winlayers.oci.model import (
    Descriptor,
    Index,
    Manifest,
    parse_config,
    parse_document,
)
from winlayers.oci.platform import Platform

A = Digest("sha256", "a" * 64)
B = Digest("sha256", "b" * 64)
WINDOWS = Platform("windows", "amd64", "", "10.0.20348.1", ("win32k",))


def a_layer(**more: Any) -> Descriptor:
    return Descriptor(mediatypes.OCI_LAYER + "+gzip", B, 9, **more)


def a_manifest(**more: Any) -> Manifest:
    value = {
        "schemaVersion": 2,
        "strange": {"z": 1, "a": [None]},
        "config": {"size": 3, "mediaType": mediatypes.OCI_CONFIG, "digest": str(A), "x": 1},
        "Layers": [
            {"mediaType": "l", "digest": str(B), "size": 1, "annotations": {"b": "", "a": ""}}
        ],
        "annotations": {},
        **more,
    }
    document = parse_document(json.dumps(value, indent=3).encode())
    assert isinstance(document, Manifest)
    return document


def test_manifest_has_the_bytes_of_a_go_program() -> None:
    config = describe(b"{}", mediatypes.OCI_CONFIG)
    layer = a_layer(urls=("https://x/?a&b",), annotations={"z": "1", "a": "2"})
    manifest = build_manifest(config, [layer], annotations={"k": "v", "b": "<"})
    assert manifest.raw.decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        '"config":{"mediaType":"application/vnd.oci.image.config.v1+json",'
        '"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},'
        '"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",'
        f'"digest":"{B}","size":9,"urls":["https://x/?a\\u0026b"],'
        '"annotations":{"a":"2","z":"1"}}],"annotations":{"b":"\\u003c","k":"v"}}'
    )
    assert (manifest.config, manifest.layers) == (config, (layer,))


def test_manifest_of_docker_has_its_order() -> None:
    config = Descriptor(mediatypes.DOCKER_CONFIG, A, 2)
    manifest = build_manifest(config, [], media_type=mediatypes.DOCKER_MANIFEST)
    assert manifest.raw.decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        '"config":{"mediaType":"application/vnd.docker.container.image.v1+json",'
        f'"size":2,"digest":"{A}"}},"layers":[]}}'
    )


def test_index_has_platforms_in_go_order() -> None:
    entry = describe(b"x", mediatypes.OCI_MANIFEST, platform=WINDOWS, annotations={"n": "v"})
    index = build_index([entry, replace(entry, platform=Platform("linux", "arm", "v7"))])
    assert json.loads(index.raw)["manifests"][0]["platform"] == {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0.20348.1",
        "os.features": ["win32k"],
    }
    assert b'"platform":{"architecture":"amd64","os":"windows","os.version":"10.0' in index.raw
    assert b'"platform":{"architecture":"arm","os":"linux","variant":"v7"}' in index.raw
    assert index.manifests[0] == entry
    docker = build_index([entry], media_type=mediatypes.DOCKER_LIST, annotations={"a": "b"})
    assert b'manifest.v1+json","size":1,"digest"' in docker.raw
    assert docker.annotations == {"a": "b"}


def test_wrong_type_of_a_document_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not the type of a manifest"):
        build_manifest(a_layer(), [], media_type=mediatypes.OCI_INDEX)
    with pytest.raises(InvalidArgument, match="not the type of an index"):
        build_index([], media_type=mediatypes.OCI_MANIFEST)


def test_more_layers_than_are_taken_are_not_built() -> None:
    with pytest.raises(TooLarge):
        build_manifest(a_layer(), [a_layer()] * 129)


def test_edited_manifest_keeps_what_is_unknown_and_its_order() -> None:
    manifest = a_manifest()
    edited = edit_manifest(
        manifest, layers=[*manifest.layers, a_layer()], annotations={"b": "1", "a": "2"}
    )
    assert edited.raw.decode() == (
        '{"schemaVersion":2,"strange":{"z":1,"a":[null]},'
        f'"config":{{"size":3,"mediaType":"{mediatypes.OCI_CONFIG}","digest":"{A}","x":1}},'
        f'"Layers":[{{"mediaType":"l","digest":"{B}","size":1,"annotations":{{"b":"","a":""}}}},'
        f'{{"mediaType":"{mediatypes.OCI_LAYER}+gzip","digest":"{B}","size":9}}],'
        '"annotations":{"a":"2","b":"1"}}'
    )
    again = edit_manifest(edited, config=replace(manifest.config, size=4), annotations={})
    assert again.fields["config"] == {**manifest.fields["config"], "size": 4}
    assert "annotations" not in again.fields


def test_edit_that_changes_nothing_keeps_the_bytes() -> None:
    manifest = a_manifest()
    assert edit_manifest(manifest, config=manifest.config, layers=manifest.layers) is manifest
    index = build_index([describe(b"", mediatypes.OCI_MANIFEST, platform=WINDOWS)])
    assert edit_index(index, manifests=index.manifests, annotations={}) is index
    config = parse_config(b'{ "rootfs":{}, "created":null, "os.features":[], "config":{"a":1} }')
    same = edit_config(
        config,
        platform=config.platform,
        settings={"A": 1, "User": None},
        created="",
        author="",
    )
    assert same is config


def test_edited_index_keeps_platforms_with_unknown_fields() -> None:
    platform = {"OS": "windows", "architecture": "amd64", "features": ["sse4"]}
    entry = {"mediaType": mediatypes.DOCKER_MANIFEST, "digest": str(A), "size": 1}
    value = {"mediaType": mediatypes.DOCKER_LIST, "manifests": [{**entry, "platform": platform}]}
    index = parse_document(json.dumps(value).encode())
    assert isinstance(index, Index)
    (old,) = index.manifests
    assert old.platform is not None
    newer = replace(old, platform=replace(old.platform, os_version="10.0.1.2"))
    edited = edit_index(index, manifests=[newer])
    assert edited.fields["manifests"][0]["platform"] == {**platform, "os.version": "10.0.1.2"}


def test_config_has_the_bytes_of_a_go_program() -> None:
    config = build_config(
        WINDOWS,
        [A],
        history=[history_step("a && b", created=time_text(0)), history_step("", is_empty=True)],
        settings={"Labels": {"b": "1", "a": "2"}, "Zoo": 1, "Cmd": ["x"], "User": "u", "Art": 2},
        created=time_text(1_700_000_000),
        author="me",
    )
    assert config.raw.decode() == (
        '{"created":"2023-11-14T22:13:20Z","author":"me","architecture":"amd64","os":"windows",'
        '"os.version":"10.0.20348.1","os.features":["win32k"],'
        '"config":{"User":"u","Cmd":["x"],"Labels":{"a":"2","b":"1"},"Art":2,"Zoo":1},'
        f'"rootfs":{{"type":"layers","diff_ids":["{A}"]}},'
        '"history":[{"created":"1970-01-01T00:00:00Z","created_by":"a \\u0026\\u0026 b"},'
        '{"empty_layer":true}]}'
    )
    assert (config.platform, config.diff_ids) == (WINDOWS, (A,))


def test_smallest_config() -> None:
    config = build_config(Platform("windows", "arm64", "v8"), [])
    assert config.raw == (
        b'{"architecture":"arm64","os":"windows","variant":"v8","config":{},'
        b'"rootfs":{"type":"layers","diff_ids":[]}}'
    )


def test_edited_config_keeps_what_is_unknown_and_its_spelling() -> None:
    config = parse_config(
        b'{"rootfS":{"x":1,"diff_ids":[]}, "odd":1e2, "config":{"cmd":["a"],"user":"u"},'
        b' "os":"windows","os.version":"10.0.1.1"}'
    )
    edited = edit_config(
        config,
        platform=replace(config.platform, architecture="amd64", os_version=""),
        diff_ids=[A],
        history=[history_step("x", author="a", comment="c")],
        settings={"Env": ["A=b"], "Cmd": ["z"], "User": None},
        created="2024-01-01T00:00:00Z",
        author="b",
    )
    assert edited.raw.decode() == (
        f'{{"rootfS":{{"x":1,"diff_ids":["{A}"]}},"odd":100.0,'
        '"config":{"cmd":["z"],"Env":["A=b"]},"os":"windows","created":"2024-01-01T00:00:00Z",'
        '"author":"b","architecture":"amd64",'
        '"history":[{"created_by":"x","author":"a","comment":"c"}]}'
    )


def test_one_thing_alone_is_edited() -> None:
    config = build_config(WINDOWS, [A], settings={"User": "u"}, created="x", author="y")
    assert edit_config(config, created="z").fields == {**config.fields, "created": "z"}
    assert edit_config(config, author="z").fields == {**config.fields, "author": "z"}
    assert edit_config(config, settings={"User": None}).settings == {}
    assert edit_config(config, diff_ids=[B]).diff_ids == (B,)
    assert edit_config(config, history=[history_step("x")]).history == ({"created_by": "x"},)


def test_history_of_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(Malformed, match="makes 1 layers, and it has 0"):
        build_config(WINDOWS, [], history=[history_step("x")])


def test_time_is_written_in_utc() -> None:
    assert time_text(1_709_210_096) == "2024-02-29T12:34:56Z"
    assert time_text(253_402_300_799) == "9999-12-31T23:59:59Z"
    for seconds in (-1, 253_402_300_800):
        with pytest.raises(InvalidArgument, match="cannot have"):
            time_text(seconds)


_texts = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
_layers = st.builds(
    Descriptor,
    st.sampled_from([mediatypes.OCI_LAYER, mediatypes.DOCKER_FOREIGN_LAYER]),
    st.sampled_from([A, B]),
    st.integers(0, 2**63 - 1),
    st.lists(st.text(max_size=5), max_size=2).map(tuple),
    _texts,
)


@settings(derandomize=True, deadline=None)
@given(
    _layers, st.lists(_layers, max_size=3), _texts, st.sampled_from(sorted(mediatypes.MANIFESTS))
)
def test_built_manifest_has_what_it_was_built_of(
    config: Descriptor, layers: list[Descriptor], annotations: dict[str, str], media_type: str
) -> None:
    manifest = build_manifest(config, layers, media_type=media_type, annotations=annotations)
    assert (manifest.config, list(manifest.layers)) == (config, layers)
    assert (manifest.annotations, manifest.media_type) == (annotations, media_type)
    assert parse_document(manifest.raw, media_type) == manifest
    assert edit_manifest(manifest, layers=manifest.layers) is manifest
    shorter = edit_manifest(edit_manifest(manifest, layers=[*layers, config]), layers=layers)
    assert shorter.raw == manifest.raw
