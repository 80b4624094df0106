"""An image of layers alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builders import a_directory, a_file, a_layer
from tests.support.layeredimages import copied, layer_bytes
from tests.support.memoryimages import WINDOWS
from winlayers.backends.memory import MemoryReader
from winlayers.errors import InvalidArgument, LimitExceeded
from winlayers.making.image import ImageLayer, open_image
from winlayers.making.newimage import new_image
from winlayers.making.newlayer import Workbench
from winlayers.making.settings import Edits
from winlayers.oci import mediatypes
from winlayers.oci.model import MAX_LAYERS
from winlayers.oci.platform import Platform

BASE = a_layer(a_file("Files/base.txt", b"base"))
OWN = a_layer(a_file("Files/own.txt", b"own"), a_directory("Hives"))


def layers_in(bench: Workbench) -> list[tuple[ImageLayer, str]]:
    """Two layers with their steps."""
    family = mediatypes.OCI_MANIFEST
    made = [bench.layer_of_entries(MemoryReader(layer), family=family) for layer in (BASE, OWN)]
    return [(made[0], "base"), (made[1], "own")]


def test_image_of_layers_has_them_with_a_history(tmp_path: Path) -> None:
    with Workbench(tmp_path) as bench:
        layers = layers_in(bench)
        made = new_image(
            layers,
            WINDOWS,
            now_seconds=5,
            author="somebody",
            comment="why",
            edits=Edits(user="ContainerUser"),
        )
        sink = copied(made)
    image = open_image(sink)
    assert image.config.platform == WINDOWS
    assert image.config.setting("User") == "ContainerUser"
    assert [layer.diff_id for layer in image.layers] == [layer.diff_id for layer, _ in layers]
    assert b"Files/own.txt" in layer_bytes(sink, 1)
    time = "1970-01-01T00:00:05Z"
    assert image.config.history == (
        {"created": time, "created_by": "base", "author": "somebody"},
        {"created": time, "created_by": "own", "author": "somebody", "comment": "why"},
    )
    assert image.config.fields["author"] == "somebody"


def test_same_layers_have_the_same_digest(tmp_path: Path) -> None:
    digests = set()
    for _ in range(2):
        with Workbench(tmp_path) as bench:
            digests.add(new_image(layers_in(bench), WINDOWS, now_seconds=5).manifest.digest)
    assert len(digests) == 1


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    with Workbench(tmp_path) as bench:
        layers = layers_in(bench)
        with pytest.raises(InvalidArgument, match="has to have a layer"):
            new_image([], WINDOWS, now_seconds=0)
        with pytest.raises(InvalidArgument, match="linux"):
            new_image(layers, Platform("linux", "amd64"), now_seconds=0)
        with pytest.raises(LimitExceeded, match=f"{MAX_LAYERS + 1} layers"):
            new_image([layers[0]] * (MAX_LAYERS + 1), WINDOWS, now_seconds=0)
