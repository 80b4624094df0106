"""Images on a disk that is really full: pulls are refused whole, and what is there can be read and cleared.

Where nothing may be mounted, ``test_image_store`` and ``tests/unit/store/test_spare`` are what there is.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
from pathlib import Path

import pytest

from tests.faults.forks import Actor, Nursery, Outcome
from tests.faults.test_full_disk import free_space, may_mount, mount_small_disk, only
from tests.faults.test_image_store import (
    NEW,
    OLD,
    check_bytes,
    check_consistent,
    look,
    make,
    open_unrecovered,
    prune,
    pull,
    pull_in_part,
    reopen,
    untag,
)
from tests.support.builders import a_file, a_layer, layer_tar
from tests.support.storeimages import a_tar, an_image, put_image

_DISK_SIZE = 8 << 20


def fill(disk: Path) -> None:
    """Take the disk to its last byte; again and again, into files of their own."""
    with (
        open(disk / f"fill{len(list(disk.iterdir()))}", "wb", buffering=0) as file,
        contextlib.suppress(OSError),
    ):
        while True:
            os.write(file.fileno(), bytes(4096))


def clear_full_disk(disk: Path) -> int:
    """Everything that gives room back, on a disk that is filled up again after each step."""
    mount_small_disk(disk, _DISK_SIZE)
    root = disk / "root"
    for story in (make, pull, pull_in_part):
        Actor(story, root).get()
    fill(disk)
    for step in (reopen, read_both, untag, prune, drop_compressed, drop_old):
        assert free_space(disk) < 4096
        Actor(step, root).get()
        fill(disk)
    store = open_unrecovered(root)
    check_consistent(root, store)
    assert store.images() == []
    assert store.driver.layers() == []
    return len(list((root / "blobs").rglob("?" * 64)))


def read_both(root: Path) -> None:
    store = open_unrecovered(root)
    assert len(store.images()) == 2
    for name, image in (("old", OLD), ("new", NEW)):
        check_bytes(store, name, image, (image.manifest.config, *image.manifest.layers))


def drop_compressed(root: Path) -> None:
    gone = open_unrecovered(root).prune(compressed=True)
    assert len(gone.blobs) == 2


def drop_old(root: Path) -> None:
    assert len(open_unrecovered(root).untag("old").layer_ids) == 2


def pull_with_ever_more_room(disk: Path) -> list[str]:
    """How a pull ends with nothing free, and with ever more, until it succeeds."""
    mount_small_disk(disk, _DISK_SIZE)
    root = disk / "root"
    Actor(make, root).get()
    errors = []
    for size in range(0, _DISK_SIZE, 16 << 10):
        with only(size, disk):
            outcome = Actor(pull, root).outcome()
            errors.append(outcome.error)
            # Also what it had done stays consistent, and is gone after the prune that is in this.
            assert Actor(look, root).get() == ("whole" if outcome.is_good else "absent")
        if outcome.is_good:
            break
    return errors


def pull_after_one_for_which_there_was_no_room(disk: Path) -> str:
    mount_small_disk(disk, _DISK_SIZE)
    root = disk / "root"
    Actor(make, root).get()
    with only(128 << 10, disk):
        assert Actor(pull, root).outcome().error == "NoSpace"
    Actor(pull, root).get()
    return str(Actor(look, root).get())


def pull_bomb(disk: Path, kind: str) -> Outcome:
    """A layer that is small as it comes, and larger than the disk when it is inflated."""
    mount_small_disk(disk, _DISK_SIZE)
    root = disk / "root"
    Actor(make, root).get()
    free = free_space(disk)
    outcome = Actor(put_bomb, root, kind).outcome()
    assert Actor(look, root).get() == "absent"
    assert free_space(disk) >= free - (64 << 10)
    return outcome


def put_bomb(root: Path, kind: str) -> None:
    """Pull an image with such a layer, in little memory."""
    tar = a_tar("base")
    if kind == "a large file":
        tar = layer_tar(a_layer(a_file("Files/zeros", bytes(4 * _DISK_SIZE))))
    elif kind == "much behind the end":
        tar += bytes(4 * _DISK_SIZE)
    else:
        tar = b"".join(map(a_header, range(60_000))) + bytes(1024)
    image = an_image([tar])
    assert sum(map(len, image.blobs.values())) < _DISK_SIZE // 4
    put_image(open_unrecovered(root), "new", image)


def a_header(number: int) -> bytes:
    """A folder in a tar, the first of which has all others."""
    info = tarfile.TarInfo(f"Files/{number}" if number else "Files")
    info.type = tarfile.DIRTYPE
    return info.tobuf(tarfile.USTAR_FORMAT)


if may_mount():

    def test_full_disk_can_be_listed_read_and_cleared(nursery: Nursery, tmp_path: Path) -> None:
        assert nursery.run(clear_full_disk, tmp_path / "disk") == 0

    def test_pull_with_ever_more_room_is_no_space_until_it_succeeds(
        nursery: Nursery, tmp_path: Path
    ) -> None:
        *refused, last = nursery.run(pull_with_ever_more_room, tmp_path / "disk")
        assert len(refused) >= 5
        assert set(refused) == {"NoSpace"}
        assert last == ""

    def test_pull_goes_on_when_there_is_room_again(nursery: Nursery, tmp_path: Path) -> None:
        state = nursery.run(pull_after_one_for_which_there_was_no_room, tmp_path / "disk")
        assert state == "whole"

    @pytest.mark.parametrize("kind", ["a large file", "much behind the end", "many folders"])
    def test_layer_that_inflates_beyond_the_disk_is_no_space(
        nursery: Nursery, tmp_path: Path, kind: str
    ) -> None:
        outcome = nursery.run(pull_bomb, tmp_path / "disk", kind)
        assert (outcome.error, outcome.exit) == ("NoSpace", 18), outcome
