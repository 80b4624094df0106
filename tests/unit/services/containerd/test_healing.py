"""Layers that an engine wrote by itself: found in containerd's blobs, or told to lack something."""

from __future__ import annotations

import gzip

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from tests.support.containerd import Client, Stand, digest_of
from tests.support.snapshots import names_in, write
from winlayers.services.containerd.content import UNCOMPRESSED
from winlayers.services.containerd.snapshots import LOSSY

TAR = layer_tar(a_layer(a_file("Files/whole.txt", b"whole")))
OTHER = layer_tar(a_layer(a_file("Files/other.txt", b"other")))
CHAIN_ID = digest_of(TAR)
KEY = f"default/1/extract-1-abcd {CHAIN_ID}"
NAME = f"default/2/{CHAIN_ID}"


def commit_unfilled(stand: Stand, client: Client) -> list[str]:
    """Commit what an engine wrote through the mount; the names that the layer has."""
    client.call("Prepare", key=KEY)
    write(stand.snapshots, stand.snapshots.stat(KEY).number, "written.txt")
    client.call("Commit", key=KEY, name=NAME)
    return names_in(stand.snapshots, stand.snapshots.stat(NAME).number)


def test_layer_that_the_engine_wrote_is_healed(stand: Stand, client: Client) -> None:
    stand.content.put_layer(TAR)
    assert commit_unfilled(stand, client) == ["whole.txt"]
    assert LOSSY not in client.stat(NAME).labels


def test_layer_that_came_without_compression_is_healed(stand: Stand, client: Client) -> None:
    stand.content.put(TAR)  # containerd gives it no label
    assert commit_unfilled(stand, client) == ["whole.txt"]
    assert LOSSY not in client.stat(NAME).labels


def test_layer_without_a_blob_is_told_to_be_lossy(stand: Stand, client: Client) -> None:
    stand.content.put_layer(OTHER)
    assert commit_unfilled(stand, client) == ["written.txt"]
    assert client.stat(NAME).labels[LOSSY] == "true"


@pytest.mark.parametrize("label", ["rubbish", "sha256:1", f"sha512:{'0' * 128}"])
def test_label_that_is_no_diff_id_does_not_matter(stand: Stand, client: Client, label: str) -> None:
    stand.content.put(b"of somebody", labels={UNCOMPRESSED: label})
    stand.content.put_layer(TAR)
    assert commit_unfilled(stand, client) == ["whole.txt"]


@pytest.mark.parametrize("blob", [gzip.compress(OTHER), gzip.compress(TAR)[:-9], b"no layer"])
def test_blob_that_is_not_what_its_label_says_is_passed_over(
    stand: Stand, client: Client, blob: bytes
) -> None:
    stand.content.put(blob, labels={UNCOMPRESSED: CHAIN_ID})
    assert commit_unfilled(stand, client) == ["written.txt"]
    assert client.stat(NAME).labels[LOSSY] == "true"


def test_good_blob_is_found_behind_one_that_lies(stand: Stand, client: Client) -> None:
    stand.content.put(gzip.compress(OTHER), labels={UNCOMPRESSED: CHAIN_ID})
    stand.content.put_layer(TAR)
    assert commit_unfilled(stand, client) == ["whole.txt"]
