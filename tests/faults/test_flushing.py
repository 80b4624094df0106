"""Nothing gets its name before it is on the disk: what a loss of power leaves is whole.

All calls of a story are noted. A file is dirty from a call that changes it to the next flush of it, a
folder from a call that puts a name into it or takes one away to the next flush of the folder. When
something is renamed to where it is looked for, nothing in it may be dirty.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from tests.faults import scenes, sweeps
from tests.faults.forks import Nursery
from tests.faults.points import Call, Points, opens_for_writing, path_of

# Locks hold a number for messages only; the counts are in a database that looks after itself.
_UNFLUSHED = ("lock", "driver.db", "driver.db-journal")


class Disk:
    """What is dirty after the calls so far.

    Attributes:
        dirty: paths of files and folders.
        published: of each rename into the layers the target, and what of it was dirty then.
        order: the flushes, renames and removals.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.dirty: set[str] = set()
        self.published: list[tuple[str, list[str]]] = []
        self.order: list[str] = []

    def note(self, call: Call) -> None:
        """Take a call into account, before it is done."""
        name, args = call.name, call.args
        if call.is_done:
            return
        if name in ("write", "ftruncate"):
            self._touch(path_of(args[0]))
        elif name == "splice":
            self._touch(path_of(args[1]))
        elif name in ("open", "io.open") and opens_for_writing(call):
            self._make(args[0])
        elif name in ("mkdir", "sqlite.connect"):
            self._make(args[0], is_empty=True)
        elif name.startswith("sqlite.exec"):
            self._touch(args[0].path)
        elif name in ("unlink", "rmdir"):
            self.order.append(f"{name} {self._short(args[0])}")
            self._touch(os.path.dirname(args[0]))
            self.dirty -= self._within(args[0])
        elif name in ("fsync", "fdatasync"):
            path = path_of(args[0])
            self.dirty.discard(path)
            self.order.append(f"flush {self._short(path)}")
        elif name in ("rename", "replace"):
            self._rename(str(args[0]), str(args[1]))

    def _make(self, path: object, *, is_empty: bool = False) -> None:
        if not os.path.lexists(str(path)):
            self._touch(os.path.dirname(str(path)))
            if not is_empty:
                self._touch(str(path))

    def _within(self, path: object) -> set[str]:
        return {dirty for dirty in self.dirty if f"{dirty}/".startswith(f"{path}/")}

    def _touch(self, path: str) -> None:
        name = os.path.basename(path)
        if path.startswith(self._root) and name not in _UNFLUSHED and not name.endswith(".lock"):
            self.dirty.add(path)

    def _rename(self, source: str, target: str) -> None:
        inside = self._within(source)
        if "/windowsfilter/" in target and not target.endswith("-removing"):
            around = self.dirty & {os.path.dirname(target)}
            self.published.append((self._short(target), sorted(inside | around)))
        self.order.append(f"rename {self._short(target)}")
        self.dirty -= inside
        self.dirty |= {target + path[len(source) :] for path in inside}
        self.dirty |= {os.path.dirname(source), os.path.dirname(target)}

    def _short(self, path: object) -> str:
        """A path below the root, without random parts."""
        parts = str(path).removeprefix(self._root).strip("/").split("/")
        if parts[0] == "tmp" and len(parts) > 1:
            parts[1] = "lock" if parts[1].endswith(".lock") else "staging"
        return "/".join("temporary" if part.endswith(".tmp") else part for part in parts)

    def report(self) -> Disk:
        """The same with short names, without the folder of the staging that is gone."""
        self.dirty = {self._short(path) for path in self.dirty} - {"tmp"}
        return self


def watch(
    root: Path, before: tuple[sweeps.Story, ...], story: sweeps.Story, in_worker: bool
) -> Disk:
    """The calls of a story, or of its write-layer process, in a store that is there already."""
    scenes.make(root)
    for one in before:
        one(root)
    note = root.with_name("disk")
    disk = Disk(root)

    def act(call: Call) -> None:
        disk.note(call)
        note.write_bytes(pickle.dumps(disk))

    sweeps.run(story, root, act, in_worker=in_worker)
    kept: Disk = pickle.loads(note.read_bytes())
    return kept.report()


SEALED = [
    "flush tmp/staging/sealed/layer.tar",
    "flush tmp/staging/sealed/layer.json",
    "flush tmp/staging/sealed/index.db",
    "flush tmp/staging/sealed",
]
CHAIN = [
    "flush tmp/staging/temporary",
    "rename tmp/staging/layerchain.json",
    "flush tmp/staging",
]
WHOLE = [
    *SEALED, *CHAIN, "flush tmp/staging", "rename windowsfilter/new", "flush windowsfilter",
    "flush tmp",
]  # fmt: skip


@pytest.mark.parametrize(
    ("story", "in_worker"), [(scenes.import_new, False), (scenes.import_new_in_child, True)]
)
def test_import_is_on_the_disk_before_it_is_published(
    nursery: Nursery, tmp_path: Path, story: sweeps.Story, in_worker: bool
) -> None:
    disk = nursery.run(watch, tmp_path / "root", (), story, in_worker)
    assert disk.order[: len(WHOLE)] == WHOLE
    assert disk.published == [("windowsfilter/new", [])]
    assert disk.dirty == set()


def test_filled_layer_is_on_the_disk_before_it_is_published(
    nursery: Nursery, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    disk = nursery.run(watch, root, (scenes.create_new,), scenes.fill_new, False)
    assert disk.order == [
        *SEALED, *CHAIN, "rename windowsfilter/new/layerchain.json", "flush windowsfilter/new",
        "flush tmp/staging/sealed", "rename windowsfilter/new/sealed", "flush windowsfilter/new",
        "flush tmp/staging", "rmdir tmp/staging", "unlink tmp/lock",
    ]  # fmt: skip
    assert [target for target, _ in disk.published] == [
        "windowsfilter/new/layerchain.json",
        "windowsfilter/new/sealed",
    ]
    assert all(not dirty for _, dirty in disk.published)
    assert disk.dirty == set()


@pytest.mark.parametrize(
    "story", [scenes.create_new, scenes.create_scratch, scenes.write_new, scenes.rebuild_new]
)
def test_whatever_is_published_is_on_the_disk_before(
    nursery: Nursery, tmp_path: Path, story: sweeps.Story
) -> None:
    before = (scenes.import_new,) if story is scenes.rebuild_new else ()
    disk = nursery.run(watch, tmp_path / "root", before, story, False)
    assert disk.published
    assert all(not dirty for _, dirty in disk.published)
    assert disk.dirty == set()


def test_layer_leaves_for_good_before_anything_of_it_is_removed(
    nursery: Nursery, tmp_path: Path
) -> None:
    disk = nursery.run(watch, tmp_path / "root", (scenes.import_new,), scenes.remove_new, False)
    assert disk.order[:2] == ["rename windowsfilter/new-removing", "flush windowsfilter"]
    assert {one.split()[0] for one in disk.order[2:]} == {"unlink", "rmdir"}


def test_new_root_is_on_the_disk_before_it_is_used(nursery: Nursery, tmp_path: Path) -> None:
    root = tmp_path / "a" / "root"
    disk = nursery.run(watch_opening, tmp_path, root)
    assert disk.order == ["flush ", "flush a", "flush a/root", "flush a/root"]
    assert disk.dirty == set()


def watch_opening(above: Path, root: Path) -> Disk:
    disk = Disk(above)
    with Points(disk.note):
        scenes.open_store(root)
    return disk.report()
