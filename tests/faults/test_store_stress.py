"""Several processes at once on one store, without an order: whatever happens first, nothing that is needed is lost.

base <- first <- top      "first"
base <- second            "second"

Where ``test_image_store`` stops one process at each point in turn, these run freely.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.forks import Actor, Bell, Nursery
from tests.faults.test_image_store import check_bytes, check_consistent, open_unrecovered
from tests.support.storeimages import a_tar, an_image, put_image
from winlayers.assembly import open_store
from winlayers.config import Config
from winlayers.errors import ImageNotFound
from winlayers.store.store import Store

_BASE = a_tar("base")
FIRST = an_image([_BASE, a_tar("first", link_to="base"), a_tar("top")], plain=[2])
SECOND = an_image([_BASE, a_tar("second", link_to="base")])
IMAGES = {"first": FIRST, "second": SECOND}
ROUNDS = 6


def at_once(root: Path, *works: Callable[[Path], int]) -> list[int]:
    """Let processes begin together; what each returned."""
    start = Bell()
    actors = [Actor(begin, start, work, root) for work in works]
    start.ring(len(actors))
    found = [actor.get() for actor in actors]
    start.close()
    return found


def begin(start: Bell, work: Callable[[Path], int], root: Path) -> int:
    assert start.wait()
    return work(root)


def pull_first(root: Path) -> int:
    put_image(open_unrecovered(root), "first", FIRST)
    return 1


def pull_second(root: Path) -> int:
    put_image(open_unrecovered(root), "second", SECOND)
    return 1


def prune(root: Path) -> int:
    """Collect again and again; how many layers went."""
    store = open_store(Config(root, reexec=False))
    return sum(len(store.prune().layer_ids) for _ in range(2 * ROUNDS))


def save_first(root: Path) -> int:
    """Read an image whole, again and again."""
    for _ in range(ROUNDS):
        read(open_unrecovered(root), "first")
    return ROUNDS


def read(store: Store, name: str) -> None:
    """All bytes of an image, as they are saved: what a source found stays as long as it is open."""
    image = IMAGES[name]
    with store.open_source(name) as source:
        assert source.document(source.resolve()) == image.manifest.raw
        for one in (image.manifest.config, *image.manifest.layers):
            with source.open_blob(one) as file:
                assert file.read() == image.blobs[one.digest]


def come_and_go(seed: int, root: Path) -> int:
    """Pull, read, remove and prune by chance; how often an image was not there."""
    chance = random.Random(seed)
    store = open_unrecovered(root)
    missed = 0
    for _ in range(ROUNDS):
        name = chance.choice(sorted(IMAGES))
        action = chance.choice(["pull", "pull", "read", "remove", "prune"])
        try:
            if action == "pull":
                put_image(store, name, IMAGES[name])
            elif action == "read":
                read(store, name)
            elif action == "remove":
                store.untag(name)
            else:
                store.prune()
        except ImageNotFound:
            missed += 1
    return missed


def check_whole(root: Path, *names: str) -> None:
    """These images are there, whole, and nothing else is."""
    store = open_store(Config(root, reexec=False))
    store.prune()
    check_consistent(root, store)
    rows = {row.name: row for row in store.images()}
    assert sorted(rows) == [f"docker.io/library/{name}:latest" for name in sorted(names)]
    for name in names:
        image = IMAGES[name]
        check_bytes(store, name, image, (image.manifest.config, *image.manifest.layers))
    assert set(store.driver.layers()) == {one for name in names for one in IMAGES[name].layer_ids}


def pull_four_times(root: Path) -> None:
    for _ in range(3):
        at_once(root, pull_first, pull_first, pull_first, pull_first)
        check_whole(root, "first")
        open_unrecovered(root).untag("first")


def pull_two_that_share(root: Path) -> None:
    for _ in range(3):
        at_once(root, pull_first, pull_second, pull_first, pull_second)
        check_whole(root, "first", "second")
        for name in IMAGES:
            open_unrecovered(root).untag(name)


def pull_while_others_prune(root: Path) -> None:
    for _ in range(3):
        at_once(root, pull_first, prune, pull_second, prune)
        check_whole(root, "first", "second")
        for name in IMAGES:
            open_unrecovered(root).untag(name)


def save_while_others_prune(root: Path) -> None:
    pull_first(root)
    assert at_once(root, save_first, prune, save_first, prune) == [ROUNDS, 0, ROUNDS, 0]
    check_whole(root, "first")


def remove_while_others_pull_it(root: Path) -> None:
    pull_first(root)
    at_once(root, *[partial(come_and_go, seed) for seed in range(4)])
    for name in IMAGES:
        put_image(open_unrecovered(root), name, IMAGES[name])
    check_whole(root, "first", "second")


STORIES = [
    pull_four_times,
    pull_two_that_share,
    pull_while_others_prune,
    save_while_others_prune,
    remove_while_others_pull_it,
]


@pytest.mark.parametrize("story", STORIES, ids=[story.__name__ for story in STORIES])
def test_several_processes_at_once(
    nursery: Nursery, tmp_path: Path, story: Callable[[Path], None]
) -> None:
    outcome = nursery.outcome(story, tmp_path / "root")
    assert outcome.is_good, outcome.trace
