"""Nothing gets its name before it is on the disk: what a loss of power leaves is whole.

All calls of a story are noted. A file is dirty from the call that changes it to the next ``fsync`` of it,
a folder from the call that puts a name into it or takes one away to the next ``fsync`` of the folder.
When something is renamed to where it is looked for, nothing in it may be dirty.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults import scenes, sweeps
from tests.faults.forks import Nursery
from tests.faults.points import Call, Points, opens_for_writing, path_of


class Disk:
    """What is dirty, from the calls as they come; and the renames into the store, with what was then.

    Attributes:
        dirty: paths of files and folders.
        published: for each rename within or into the layers: its target, and what was dirty of it.
        order: of flushes and these renames.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.dirty: set[str] = set()
        self.published: list[tuple[str, list[str]]] = []
        self.order: list[str] = []

    def note(self, call: Call) -> None:
        name, args = call.name, call.args
        if call.is_done:
            return
        if name in ("write", "ftruncate"):
            self._touch(path_of(args[0]))
        elif name == "splice":
            self._touch(path_of(args[1]))
        elif name in ("open", "io.open") and opens_for_writing(call):
            if not os.path.lexists(args[0]):
                self._touch(os.fspath(args[0]))
                self._touch(os.path.dirname(args[0]))
        elif name == "sqlite.connect":
            if not os.path.exists(args[0]) and not str(args[0]).startswith("file:"):
                self._touch(os.path.dirname(args[0]))
        elif name.startswith("sqlite."):
            if not args[0].path.startswith("file:"):
                self._touch(args[0].path)
        elif name == "mkdir":
            if not os.path.isdir(args[0]):
                self._touch(os.path.dirname(args[0]))
        elif name in ("unlink", "rmdir"):
            self._touch(os.path.dirname(args[0]) or path_of_folder(call))
        elif name in ("fsync", "fdatasync"):
            path = path_of(args[0])
            self.dirty.discard(path)
            self.order.append(f"flush {self._short(path)}")
        elif name in ("rename", "replace"):
            self._rename(*map(os.fspath, args[:2]))

    def _touch(self, path: str) -> None:
        if path.startswith(self._root) and os.path.basename(path) not in _UNFLUSHED:
            self.dirty.add(path)

    def _rename(self, source: str, target: str) -> None:
        if "/windowsfilter/" in target and not target.endswith("-removing"):
            around = os.path.dirname(target)
            wrong = [p for p in self.dirty if f"{p}/".startswith(f"{source}/") or p == around]
            self.published.append((self._short(target), sorted(map(self._short, wrong))))
        self.order.append(f"rename {self._short(target)}")
        moved = {p for p in self.dirty if f"{p}/".startswith(f"{source}/")}
        self.dirty = self.dirty - moved | {target + p[len(source) :] for p in moved}
        self.dirty |= {os.path.dirname(source), os.path.dirname(target)}

    def _short(self, path: str) -> str:
        """The path below the root, without the random part of staging."""
        parts = os.path.relpath(path, self._root).split("/")
        if parts[0] == "tmp" and len(parts) > 1:
            parts[1] = "staging" + ("" if not parts[1].endswith(".lock") else ".lock")
        return "/".join("file" if part.endswith(".tmp") else part for part in parts)


# Locks hold a number for messages; the counts are in a database that looks after itself.
_UNFLUSHED = ("lock", "driver.db", "driver.db-journal")


def path_of_folder(call: Call) -> str:
    """The folder that a name given with ``dir_fd`` stands in; only what is thrown away is named so."""
    return ""


def watch(root: Path, before: tuple[sweeps.Story, ...], story: sweeps.Story) -> Disk:
    """A story's calls, in a store that is there already."""
    scenes.make(root)
    for one in before:
        one(root)
    disk = Disk(root)
    if story is scenes.import_new_in_child:
        # The pipe of the parent is no file: only the calls of the child are of interest.
        record = root.with_name("calls")
        with sweeps.forked_workers(lambda call: None):
            pass
        del record
    with Points(disk.note):
        story(root)
    disk.dirty = {disk._short(path) for path in disk.dirty if not path.endswith(".lock")}
    return disk
