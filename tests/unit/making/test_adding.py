"""Images with other settings or one more layer, and the layers that are made for them."""

from __future__ import annotations

import errno
import gzip
import io
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_view,
    a_whiteout,
    layer_tar,
)
from tests.support.layeredimages import an_image, copied, layer_bytes
from tests.support.memoryimages import MemoryImages, make_image, put_image
from winlayers.backends.memory import MemoryReader
from winlayers.base.compression import Compression
from winlayers.errors import BlobNotFound, LimitExceeded, Malformed, NoSpace, Unsupported
from winlayers.making.adding import add_layer, edit_image
from winlayers.making.image import open_image
from winlayers.making.newlayer import Workbench
from winlayers.making.settings import Edits
from winlayers.oci import mediatypes
from winlayers.oci.building import edit_manifest
from winlayers.oci.model import Descriptor, digest_bytes
from winlayers.oci.platform import Platform

BASE = a_layer(a_file("Files/base.txt", b"base"))
OWN = a_layer(a_file("Files/own.txt", b"own"), a_directory("Hives"))


def test_edited_image_keeps_its_layers_and_reads_none() -> None:
    image = an_image(BASE, OWN)
    made = edit_image(image, Edits(user="a"), now_seconds=5, created_by="USER a")
    sink = copied(made)
    new = open_image(sink)
    assert new.manifest.layers == image.manifest.layers
    assert new.config.setting("User") == "a"
    assert new.config.history[-1] == {
        "created": "1970-01-01T00:00:05Z",
        "created_by": "USER a",
        "empty_layer": True,
    }
    assert sink.top is not None
    assert sink.top.digest == made.manifest.digest


def test_edit_that_changes_nothing_keeps_the_digest() -> None:
    image = an_image(BASE)
    made = edit_image(image, Edits(), now_seconds=5, created_by="nothing")
    assert made.manifest.raw == image.manifest.raw


def test_layers_that_the_sink_has_are_not_read() -> None:
    image = an_image(BASE, OWN)
    source = image.source
    assert isinstance(source, MemoryImages)
    source.opened.clear()
    edit_image(image, Edits(user="a"), now_seconds=5, created_by="x")
    assert source.opened == []


@pytest.mark.parametrize("is_docker", [False, True])
def test_added_layer_is_the_tar_of_the_entries(tmp_path: Path, is_docker: bool) -> None:
    image = an_image(BASE, is_docker=is_docker)
    with Workbench(tmp_path) as bench:
        layer = bench.layer_of_entries(MemoryReader(OWN), family=image.manifest.media_type)
        made = add_layer(
            image,
            layer,
            now_seconds=7,
            created_by="commit",
            author="me",
            comment="why",
            edits=Edits(env={"A": "b"}),
        )
        sink = copied(made)
    new = open_image(sink)
    assert layer_bytes(sink, 1) == layer_tar(OWN)
    assert new.manifest.layers[0] == image.manifest.layers[0]
    assert mediatypes.compression_of(new.manifest.layers[1].media_type) == "gzip"
    assert new.manifest.layers[1].media_type.startswith("application/vnd.docker") is is_docker
    assert new.config.setting("Env") == ["A=b"]
    assert new.config.fields["author"] == "me"
    assert new.config.history[-1] == {
        "created": "1970-01-01T00:00:07Z",
        "created_by": "commit",
        "author": "me",
        "comment": "why",
    }


def test_same_input_and_time_have_the_same_digest(tmp_path: Path) -> None:
    digests = set()
    for _ in range(2):
        image = an_image(BASE)
        with Workbench(tmp_path) as bench:
            layer = bench.layer_of_entries(MemoryReader(OWN), family=image.manifest.media_type)
            digests.add(add_layer(image, layer, now_seconds=7, created_by="x").manifest.digest)
    assert len(digests) == 1


def test_layer_can_be_left_uncompressed(tmp_path: Path) -> None:
    image = an_image(BASE)
    with Workbench(tmp_path, compression=Compression.NONE) as bench:
        layer = bench.layer_of_entries(MemoryReader(OWN), family=image.manifest.media_type)
        assert layer.descriptor.digest == layer.diff_id
        assert layer.descriptor.media_type == mediatypes.OCI_LAYER
        with layer.origin.open_blob(layer.descriptor, 512) as blob:
            assert blob.read() == layer_tar(OWN)[512:]


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    with Workbench(tmp_path) as bench:
        bench.layer_of_entries(MemoryReader(OWN), family=mediatypes.OCI_MANIFEST)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_layer_tar_keeps_its_bytes(tmp_path: Path, pack: type[bytes]) -> None:
    tar = layer_tar(a_layer(a_whiteout("Files/base.txt"), a_link("Files/l", "Files/base.txt")))
    tar += bytes(10240)  # what follows the end marker counts for the digest too
    with Workbench(tmp_path) as bench:
        layer = bench.layer_of_layer_tar(
            io.BytesIO(pack(tar)), a_view(BASE), family=mediatypes.OCI_MANIFEST
        )
        assert layer.diff_id == digest_bytes(tar)
        with layer.origin.open_blob(layer.descriptor) as blob:
            assert gzip.decompress(blob.read()) == tar


@pytest.mark.parametrize(
    ("tar", "reason"),
    [
        (layer_tar(BASE)[:-1024], "end marker"),
        (layer_tar(BASE)[:700], "tar"),
        (layer_tar([a_file("Files/a")]), "directory"),
        (layer_tar(a_layer(a_link("Files/l", "Files/no"))), "no 'Files/no'"),
        (layer_tar(a_layer(a_file("Files/a"), a_file("Files/A"))), "twice"),
    ],
)
def test_layer_tar_that_breaks_a_law_is_refused(tmp_path: Path, tar: bytes, reason: str) -> None:
    with Workbench(tmp_path) as bench, pytest.raises(Malformed, match=reason):
        bench.layer_of_layer_tar(io.BytesIO(tar), a_view(BASE), family=mediatypes.OCI_MANIFEST)


def test_image_with_all_layers_takes_no_more(tmp_path: Path) -> None:
    image = an_image(*[BASE] * 128)
    with Workbench(tmp_path) as bench:
        layer = bench.layer_of_entries(MemoryReader(OWN), family=image.manifest.media_type)
        with pytest.raises(LimitExceeded, match="squash"):
            add_layer(image, layer, now_seconds=0, created_by="x")


def test_image_of_linux_is_refused() -> None:
    endpoint = MemoryImages()
    put_image(endpoint, make_image([b"x"], platform=Platform("linux", "amd64")))
    with pytest.raises(Unsupported, match="not for Windows"):
        open_image(endpoint)


def test_made_image_has_only_its_own() -> None:
    made = edit_image(an_image(BASE), Edits(), now_seconds=0, created_by="x")
    other = Descriptor(mediatypes.OCI_LAYER, digest_bytes(b"other"), 5)
    with made:
        with pytest.raises(BlobNotFound):
            made.open_blob(other)
        with pytest.raises(BlobNotFound):
            made.document(other)
        assert made.document(made.resolve()) == made.manifest.raw
        assert "memory:" in made.name


def test_image_whose_manifest_has_other_layers_than_its_config_is_malformed() -> None:
    image = an_image(BASE, OWN)
    broken = MemoryImages()
    assert isinstance(image.source, MemoryImages)
    broken.blobs = image.source.blobs
    broken.add_document(edit_manifest(image.manifest, layers=image.manifest.layers[:1]))
    with pytest.raises(Malformed, match="1 layers, and its config 2"):
        open_image(broken)


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, NoSpace), (errno.EIO, OSError)], ids=["full", "other"]
)
def test_full_disk_is_told(tmp_path: Path, number: int, expected: type[Exception]) -> None:
    def write(target: BinaryIO) -> None:
        raise OSError(number, "as if the file of the layer could not be written")

    with Workbench(tmp_path) as bench, pytest.raises(expected) as caught:
        bench.layer_of_tar(write, family=mediatypes.OCI_MANIFEST)
    assert (str(tmp_path) in str(caught.value)) is (expected is NoSpace)
    assert list(tmp_path.iterdir()) == []
