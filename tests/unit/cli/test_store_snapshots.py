"""What engines hold, as the command line shows it."""

from __future__ import annotations

import pytest

from tests.support.snapshots import apply_image, write
from tests.support.storeimages import a_tar
from tests.unit.cli.harness import Shell
from winlayers.assembly import open_store
from winlayers.config import Config
from winlayers.oci.model import chain_ids, digest_bytes

TARS = [a_tar("base"), a_tar("upper", link_to="base")]
CHAINS = [str(one) for one in chain_ids([digest_bytes(tar) for tar in TARS])]


@pytest.fixture
def held(bare: Shell) -> Shell:
    """A store with an image that an engine unpacked, a container on it, and one that does not run yet."""
    snapshots = open_store(Config(bare.root, reexec=False)).snapshots
    _, upper = apply_image(snapshots, TARS, "default/1/")
    box = snapshots.prepare("default/2/box", upper.key, {"a": "b"})
    write(snapshots, box.number, "new.txt")
    snapshots.prepare("default/3/fresh", upper.key)
    snapshots.prepare("empty")
    snapshots.view("7")
    return bare


def test_snapshots_are_listed(held: Shell) -> None:
    lines = held.run("store", "snapshots").lines
    assert lines[0].split() == ["NUMBER", "KEY", "KIND", "PARENT", "LAYER", "CREATED"]
    assert [line.split()[1:5] for line in lines[1:]] == [
        [f"default/1/{CHAINS[0]}", "committed", "-", CHAINS[0][7:]],
        [f"default/1/{CHAINS[1]}", "committed", f"default/1/{CHAINS[0]}", CHAINS[1][7:]],
        ["default/2/box", "active", f"default/1/{CHAINS[1]}", "snapshot-3-scratch"],
        ["default/3/fresh", "active", f"default/1/{CHAINS[1]}", "-"],
        ["empty", "active", "-", "-"],
        ["7", "view", "-", "-"],
    ]


def test_snapshots_are_listed_as_json_with_sizes(held: Shell) -> None:
    rows = held.run("store", "snapshots", "--json").rows
    assert rows[2]["labels"] == {"a": "b"}
    assert set(rows[0]) == {
        "number",
        "key",
        "kind",
        "parent",
        "layer",
        "created",
        "updated",
        "labels",
    }
    sized = held.run("store", "snapshots", "--size", "--json").rows
    assert [row["entries"] for row in sized] == [2, 3, 2, 0, 0, 0]
    assert [row["size"] > 0 for row in sized] == [True, True, True, False, False, False]
    assert held.run("store", "df", "--json").document["scratch_size"] > 0
    assert held.run("store", "snapshots", "--size").lines[0].split()[-1] == "SIZE"


def test_snapshot_is_a_target(held: Shell) -> None:
    upper = ["base.txt", "upper.lnk", "upper.txt"]
    for name, names in (
        ("default/2/box", ["base.txt", "new.txt", "upper.lnk", "upper.txt"]),
        ("3", ["base.txt", "new.txt", "upper.lnk", "upper.txt"]),
        ("default/3/fresh", upper),
        (f"default/1/{CHAINS[1]}", upper),
        ("1", ["base.txt"]),
    ):
        assert held.run("ls", f"snapshot:{name}").lines == names
    assert held.run("cat", "snapshot:3", "new.txt").out == b"new"
    for name, words in (("empty", "holds nothing"), ("none", "no snapshot"), ("99", "no snapshot")):
        assert words in held.run("ls", f"snapshot:{name}", code=10).err


def test_df_counts_snapshots_and_prune_leaves_them(held: Shell) -> None:
    usage = held.run("store", "df", "--json").document
    assert (usage["layer_count"], usage["snapshot_count"], usage["reclaimable_size"]) == (2, 6, 0)
    assert held.run("store", "df").lines[-1].split()[:2] == ["snapshots", "6"]
    before = held.run("layer", "ls", "-q").lines
    held.run("store", "prune")
    assert held.run("layer", "ls", "-q").lines == before


def test_without_snapshots_nothing_is_made(bare: Shell) -> None:
    assert "no snapshot" in bare.run("store", "snapshots").err
    assert "no snapshot" in bare.run("ls", "snapshot:1", code=10).err
    assert not bare.root.exists()
