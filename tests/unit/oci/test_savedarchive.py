"""Archives of the newest docker save: a layout that older engines read too."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.support.endpoints import an_image, an_index, copy, fill
from winlayers.base.digest import Digest
from winlayers.errors import BlobNotFound, Malformed, Unsupported
from winlayers.oci.building import build_manifest, describe
from winlayers.oci.dockerarchive import open_docker_archive
from winlayers.oci.savedarchive import SavedArchiveSink


def test_saved_image_keeps_its_manifest_and_is_named(tmp_path: Path) -> None:
    image, path = an_image("base", "delta"), tmp_path / "x.tar"
    with SavedArchiveSink(path, "tiny") as sink:
        copy(image, sink)
    with tarfile.open(path) as tar:
        member = tar.extractfile("manifest.json")
        assert member is not None
        [entry] = json.load(member)
    assert entry["RepoTags"] == ["tiny:latest"]
    assert entry["Layers"] == [f"blobs/sha256/{one.digest.hex}" for one in image.manifest.layers]
    with open_docker_archive(path, "tiny") as source:
        assert source.document(source.resolve()) == image.manifest.raw


def test_name_is_that_of_the_image_that_was_given_it_last(tmp_path: Path) -> None:
    old, new = an_image("old"), an_image("new")
    with SavedArchiveSink(tmp_path / "x.tar", "tiny") as sink:
        sink.add(fill(sink, old), "tiny")
        sink.commit(fill(sink, new))
    with open_docker_archive(tmp_path / "x.tar", "tiny") as source:
        assert source.document(source.resolve()) == new.manifest.raw


@pytest.mark.parametrize("is_config", [False, True])
def test_image_that_is_not_whole_is_refused(tmp_path: Path, is_config: bool) -> None:
    image = an_image("base")
    without: Digest = (image.manifest.config if is_config else image.manifest.layers[0]).digest
    with SavedArchiveSink(tmp_path / "x.tar") as sink:
        top = fill(sink, image, without=[without])
        with pytest.raises(BlobNotFound, match=without.hex):
            sink.commit(top)
    assert list(tmp_path.iterdir()) == []


def test_image_whose_config_has_other_layers_is_refused(tmp_path: Path) -> None:
    image, other = an_image("base"), an_image("base", "delta")
    manifest = build_manifest(other.manifest.config, image.manifest.layers)
    with SavedArchiveSink(tmp_path / "x.tar") as sink:
        fill(sink, image)
        config = other.manifest.config
        sink.put_blob(config, io.BytesIO(other.blobs[config.digest]))
        sink.put_document(manifest.raw, manifest.media_type)
        with pytest.raises(Malformed, match="its manifest has 1 layers, and its config 2"):
            sink.commit(describe(manifest.raw, manifest.media_type))
    assert list(tmp_path.iterdir()) == []


def test_index_is_refused(tmp_path: Path) -> None:
    image = an_index(an_image("base"))
    with SavedArchiveSink(tmp_path / "x.tar") as sink, pytest.raises(Unsupported, match="index"):
        copy(image, sink)
