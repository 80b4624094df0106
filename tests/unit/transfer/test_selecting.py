"""Which image a name means, and all that it leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.memoryimages import (
    WINDOWS,
    ImageParts,
    MemoryImages,
    make_image,
    put_image,
    put_index,
)
from winlayers.errors import BlobNotFound, ImageNotFound, Malformed, TooLarge
from winlayers.oci.building import build_index, build_manifest, describe
from winlayers.oci.choosing import Fit
from winlayers.oci.model import Index, digest_bytes
from winlayers.oci.platform import Platform
from winlayers.transfer import selecting
from winlayers.transfer.selecting import has_image_config, read_tree, select_image

LINUX = Platform("linux", "amd64")
OLD = Platform("windows", "amd64", os_version="10.0.17763.5000")


def test_single_image_is_taken_whatever_it_is() -> None:
    source = MemoryImages()
    image = make_image([b"one"], platform=LINUX)
    put_image(source, image)
    selected = select_image(source)
    assert selected.manifest == image.manifest
    assert selected.choice is None


def test_single_image_of_another_platform_is_refused_where_one_is_asked_for() -> None:
    source = MemoryImages("docker://here/it:tag")
    put_image(source, make_image([b"one"]))
    assert select_image(source, Platform.parse("windows/amd64:ltsc2022")).choice is None
    with pytest.raises(
        ImageNotFound, match="docker://here/it:tag is one image, for windows/amd64:10"
    ):
        select_image(source, LINUX)
    with pytest.raises(ImageNotFound, match=r"none for windows/amd64:10\.0\.17763"):
        select_image(source, Platform.parse("windows/amd64:ltsc2019"))


def test_index_gives_the_newest_windows_by_default() -> None:
    source = MemoryImages()
    images = [(make_image([b"l"], platform=LINUX), LINUX), (make_image([b"o"], platform=OLD), OLD)]
    new = make_image([b"n"])
    put_index(source, [*images, (new, WINDOWS)])
    selected = select_image(source)
    assert selected.manifest == new.manifest
    assert selected.choice is not None
    assert selected.choice.best.fit is Fit.NEWEST
    assert [one.descriptor.platform for one in selected.choice.left] == [LINUX]


def test_index_gives_the_build_that_is_wanted() -> None:
    source = MemoryImages()
    old = make_image([b"o"], platform=OLD)
    put_index(source, [(make_image([b"n"]), WINDOWS), (old, OLD)])
    assert select_image(source, Platform.parse("windows:ltsc2019")).manifest == old.manifest
    assert select_image(source, host_build=17763).manifest == old.manifest


def test_index_without_the_platform_says_what_it_has() -> None:
    source = MemoryImages()
    put_index(source, [(make_image([b"l"], platform=LINUX), LINUX)])
    with pytest.raises(ImageNotFound, match="it has linux/amd64"):
        select_image(source)


def test_configs_are_looked_into_where_the_index_is_silent() -> None:
    source = MemoryImages()
    old = make_image([b"o"], platform=OLD)
    put_index(
        source,
        [(make_image([b"l"], platform=LINUX), None), (make_image([b"n"]), None), (old, None)],
    )
    selected = select_image(source, Platform.parse("windows:ltsc2019"))
    assert selected.manifest == old.manifest
    assert selected.choice is not None
    assert selected.choice.best.fit is Fit.BUILD


def test_what_is_no_image_does_not_count_where_the_index_is_silent() -> None:
    source = MemoryImages()
    image = make_image([b"n"])
    raw = b"{}"
    source.blobs[digest_bytes(raw)] = raw
    artifact = build_manifest(describe(raw, "application/vnd.oci.empty.v1+json"), [])
    source.add_document(artifact)
    put_index(source, [(ImageParts(artifact), None), (image, None)])
    assert select_image(source).manifest == image.manifest


def test_index_in_an_index_is_followed() -> None:
    source = MemoryImages()
    image = make_image([b"n"])
    inner = put_index(source, [(image, WINDOWS)])
    outer = build_index([describe(inner.raw, inner.media_type)])
    source.add_document(outer)
    assert select_image(source).manifest == image.manifest
    documents = [document for _, document in read_tree(source, source.resolve())]
    assert documents == [image.manifest, inner, outer]


def nest(source: MemoryImages, index: Index, times: int) -> None:
    for _ in range(times):
        index = build_index([describe(index.raw, index.media_type)])
        source.add_document(index)


def test_indexes_too_deep_in_each_other_are_refused() -> None:
    source = MemoryImages()
    inner = put_index(source, [(make_image([b"n"]), WINDOWS)])
    nest(source, inner, selecting.MAX_DEPTH)
    with pytest.raises(Malformed, match="more than 4 deep"):
        select_image(source)
    with pytest.raises(Malformed, match="more than 4 deep"):
        read_tree(source, source.resolve())


def test_tree_has_what_is_named_twice_once() -> None:
    source = MemoryImages()
    image = make_image([b"n"])
    inner = put_index(source, [(image, WINDOWS), (image, None)])
    descriptor = describe(inner.raw, inner.media_type)
    outer = build_index([image.descriptor, descriptor, descriptor])
    source.add_document(outer)
    documents = [document for _, document in read_tree(source, source.resolve())]
    assert documents == [image.manifest, inner, outer]


def test_tree_has_limits_of_count_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    source = MemoryImages()
    index = put_index(source, [(make_image([b"n"]), WINDOWS), (make_image([b"o"]), OLD)])
    monkeypatch.setattr(selecting, "MAX_DOCUMENTS", 2)
    with pytest.raises(TooLarge, match="leads to 3 documents"):
        read_tree(source, source.resolve())
    monkeypatch.setattr(selecting, "MAX_DOCUMENTS", 3)
    monkeypatch.setattr(selecting, "MAX_DOCUMENTS_SIZE", len(index.raw))
    with pytest.raises(TooLarge, match=f"at most 3 of {len(index.raw)} bytes"):
        read_tree(source, source.resolve())


def test_tree_with_a_document_that_is_not_there_is_refused() -> None:
    source = MemoryImages()
    image = make_image([b"n"])
    put_index(source, [(image, WINDOWS)])
    del source.documents[image.manifest.digest]
    with pytest.raises(BlobNotFound):
        read_tree(source, source.resolve())


def test_attestation_is_no_image() -> None:
    manifest = make_image([b"n"]).manifest
    assert has_image_config(manifest)
    other = replace(manifest.layers[0], media_type="application/vnd.in-toto+json")
    assert not has_image_config(replace(manifest, layers=(other,)))
    assert not has_image_config(replace(manifest, config=replace(manifest.config, media_type="x")))
