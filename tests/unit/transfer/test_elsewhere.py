"""Foreign layers that a source lacks: asked for elsewhere, and only these."""

from __future__ import annotations

import io
from typing import BinaryIO

import pytest

from tests.support.memoryimages import MemoryImages, make_image, put_image
from winlayers.errors import BlobNotFound, DigestMismatch, WinlayersError
from winlayers.oci.model import Descriptor, digest_bytes
from winlayers.transfer.copying import copy_image
from winlayers.transfer.elsewhere import SourceWithForeign

BASE, APP = b"the base layer", b"the layer of the app"


class Others:
    """Some layers that others keep."""

    def __init__(self, *layers: bytes) -> None:
        self.layers = {digest_bytes(layer): layer for layer in layers}
        self.asked: list[tuple[bytes, int]] = []
        self.begun = 0
        self.is_closed = False

    def begin(self) -> Others:
        """Count how often that was needed."""
        self.begun += 1
        return self

    def open(self, descriptor: Descriptor, offset: int, first: WinlayersError) -> BinaryIO:
        if descriptor.digest not in self.layers:
            raise first
        layer = self.layers[descriptor.digest]
        self.asked.append((layer, offset))
        return io.BytesIO(layer[offset:])

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def source() -> MemoryImages:
    """An image of a foreign layer, which is not there, and another."""
    images = MemoryImages()
    image = make_image([BASE, APP], foreign=[0])
    put_image(images, image)
    del images.blobs[digest_bytes(BASE)]
    return images


@pytest.mark.parametrize("foreign", ["keep", "upload"])
def test_missing_foreign_layer_comes_from_elsewhere(source: MemoryImages, foreign: str) -> None:
    others, sink = Others(BASE, APP), MemoryImages("sink:")
    with SourceWithForeign(source, others.begin) as opened:
        copied = copy_image(opened, sink, foreign=foreign)
        assert opened.name == source.name
    assert (digest_bytes(BASE) in sink.blobs, digest_bytes(APP) in sink.blobs) == (True, True)
    assert others.asked == [(BASE, 0)]
    assert bool(copied.rewritten) == (foreign == "upload")
    assert (others.is_closed, source.is_closed) == (True, True)


def test_layer_of_elsewhere_is_checked(source: MemoryImages) -> None:
    others = Others()
    others.layers[digest_bytes(BASE)] = bytes(len(BASE))
    with SourceWithForeign(source, others.begin) as opened, pytest.raises(DigestMismatch):
        copy_image(opened, MemoryImages("sink:"))


def test_nobody_is_asked_for_what_is_there_or_not_foreign(source: MemoryImages) -> None:
    others = Others(BASE, APP)
    with SourceWithForeign(source, others.begin) as opened:
        manifest = make_image([BASE, APP], foreign=[0]).manifest
        with opened.open_blob(manifest.layers[1], 4) as blob:
            assert blob.read() == APP[4:]
        del source.blobs[digest_bytes(APP)]
        with pytest.raises(BlobNotFound):
            opened.open_blob(manifest.layers[1])
        with pytest.raises(BlobNotFound):
            opened.open_blob(make_image([BASE]).manifest.layers[0])
    assert others.begun == 0
    assert source.is_closed


def test_layer_that_is_nowhere_is_missed_where_it_was_looked_for(source: MemoryImages) -> None:
    others = Others()
    with (
        SourceWithForeign(source, others.begin) as opened,
        pytest.raises(BlobNotFound, match="memory"),
    ):
        copy_image(opened, MemoryImages("sink:"))
    assert others.begun == 1


def test_source_is_closed_though_the_other_one_cannot_be(source: MemoryImages) -> None:
    class Stubborn(Others):
        def close(self) -> None:
            raise OSError("it will not close")

    opened = SourceWithForeign(source, Stubborn(BASE).begin)
    layer = make_image([BASE, APP], foreign=[0]).manifest.layers[0]
    opened.open_blob(layer).close()
    with pytest.raises(OSError, match="will not"):
        opened.close()
    assert source.is_closed
