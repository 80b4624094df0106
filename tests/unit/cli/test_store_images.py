"""What images of the store take of the disk, and what a prune gives back."""

from __future__ import annotations

import pytest

from tests.unit.cli.harness import Shell
from tests.unit.cli.images import put_layout


@pytest.fixture
def filled(bare: Shell) -> Shell:
    """A store with two images that share their base layer."""
    layout = put_layout(bare.folder / "layout")
    bare.run("pull", layout, "--as", "app:1")
    bare.run("pull", layout, "--as", "old:1", "--platform", "windows:ltsc2019")
    return bare


def test_df_counts_what_is_shared_and_what_can_go(filled: Shell) -> None:
    usage = filled.run("store", "df", "--json").document
    assert (usage["image_count"], usage["layer_count"]) == (2, 2)
    assert usage["blob_count"] == 2 + 2 + 2  # manifests, configs, layers
    assert 0 < usage["shared_size"] < usage["layer_size"]
    assert 0 < usage["compressed_size"] < usage["blob_size"]
    assert usage["reclaimable_size"] == 0
    lines = filled.run("store", "df").lines
    assert [line.split()[:2] for line in lines] == [
        ["WHAT", "COUNT"],
        ["layers", "2"],
        ["blobs", "6"],
        ["images", "2"],
    ]


def test_prune_removes_nothing_that_is_needed(filled: Shell) -> None:
    before = filled.run("store", "df", "--json").document
    gone = filled.run("store", "prune", "--json").document
    assert (gone["blobs"], gone["layers"]) == ([], [])
    assert filled.run("store", "df", "--json").document == before


def test_compressed_layers_go_when_asked_and_the_images_can_be_read(filled: Shell) -> None:
    before = filled.run("store", "df", "--json").document
    assert "removed 2 blobs" in filled.run("store", "prune", "--compressed").err
    after = filled.run("store", "df", "--json").document
    assert after["compressed_size"] == 0
    assert after["blob_size"] == before["blob_size"] - before["compressed_size"]
    assert filled.run("ls", "app:1").lines
    refused = filled.run("copy", "app:1", f"oci:{filled.folder}/out:1", code=10)
    assert "pull" in refused.err


def test_layers_stand_on_images(filled: Shell) -> None:
    filled.run("layer", "create", "work", "--parent", "app:1")
    assert len(filled.run("layer", "inspect", "work").document["chain"]) == 2
    filled.run("layer", "create", "other", "--parent", "nothing:1", code=10)
    assert "run.exe" in " ".join(filled.run("ls", "work", "/app").lines)
    assert "stays" in filled.run("rmi", "app:1").err  # the scratch stands on it
    assert "run.exe" in " ".join(filled.run("ls", "work", "/app").lines)


def test_without_images_nothing_is_made(bare: Shell) -> None:
    for command in ("df", "prune"):
        assert "no image" in bare.run("store", command).err
    assert not bare.root.exists()
