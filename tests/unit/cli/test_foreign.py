"""Foreign layers of images on disk: fetched from a server on loopback when they are wanted."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator

import pytest

from tests.support.registry import Registry, serve_registry
from tests.unit.cli.harness import Shell
from tests.unit.cli.images import an_image
from winlayers.oci import mediatypes
from winlayers.oci.building import build_manifest, describe
from winlayers.oci.layout import LayoutSink
from winlayers.oci.model import Descriptor, Manifest

MANIFEST = str(an_image().manifest.digest)


@pytest.fixture
def server() -> Iterator[Registry]:
    """Has the base layer at one URL."""
    with serve_registry() as registry:
        image = an_image()
        registry.files["/base"] = image.blobs[image.manifest.layers[0].digest]
        yield registry


@pytest.fixture
def manifest(server: Registry) -> Manifest:
    """Of an image whose base layer is there alone."""
    image = an_image().manifest
    base = image.layers[0]
    media_type = mediatypes.layer_type(base.media_type, "gzip", foreign=True)
    urls = (f"{server.url}/gone", f"{server.url}/base")
    return build_manifest(
        image.config,
        [Descriptor(media_type, base.digest, base.size, urls=urls), *image.layers[1:]],
    )


@pytest.fixture
def layout(bare: Shell, manifest: Manifest) -> str:
    """That image, without its base layer."""
    image = an_image()
    with LayoutSink(bare.folder / "in", "app:1") as sink:
        for blob in (image.manifest.config, *image.manifest.layers[1:]):
            sink.put_blob(blob, io.BytesIO(image.blobs[blob.digest]))
        sink.put_document(manifest.raw, manifest.media_type)
        sink.commit(describe(manifest.raw, manifest.media_type))
    return f"oci:{bare.folder / 'in'}:app:1"


def paths(server: Registry) -> list[str]:
    """What the server was asked for."""
    return [one.path for one in server.requests]


def test_missing_foreign_layer_is_pulled(
    bare: Shell, layout: str, manifest: Manifest, server: Registry
) -> None:
    assert bare.run("inspect", layout).document["digest"] == str(manifest.digest)
    assert paths(server) == []
    assert bare.run("pull", layout, "--as", "app:1").lines == [str(manifest.digest)]
    assert paths(server) == ["/gone", "/base"]
    assert bare.run("cat", "app:1", "/Windows/win.ini").out == b"[fonts]"


def test_missing_foreign_layer_is_made_ordinary(bare: Shell, layout: str) -> None:
    there = f"oci:{bare.folder / 'out'}:plain"
    assert bare.run("copy", "--foreign", "upload", layout, there).lines == [MANIFEST]


def test_image_with_a_missing_foreign_layer_is_looked_into(bare: Shell, layout: str) -> None:
    assert bare.run("cat", layout, "/Windows/win.ini").out == b"[fonts]"


def test_archive_without_its_foreign_layer_is_loaded(
    bare: Shell, layout: str, manifest: Manifest
) -> None:
    archive = bare.folder / "in.tar"
    # A copy would have the layer, so the layout goes into the archive as it is.
    shutil.make_archive(str(bare.folder / "in"), "tar", bare.folder / "in")
    assert bare.run("load", str(archive)).lines == ["app:1"]
    (row,) = bare.run("images", "--json").rows
    assert row["digest"] == str(manifest.digest)


def test_layer_that_no_url_has_is_missed(bare: Shell, layout: str, server: Registry) -> None:
    del server.files["/base"]
    told = bare.run("pull", layout, "--as", "app:1", code=10).err
    assert "/gone" in told
    assert "/base" in told
    assert bare.run("images", "--names").lines == []


def test_layer_of_another_content_is_refused(bare: Shell, layout: str, server: Registry) -> None:
    server.files["/base"] = bytes(len(server.files["/base"]))
    bare.run("pull", layout, "--as", "app:1", code=15)
    assert bare.run("images", "--names").lines == []
