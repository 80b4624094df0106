"""The scratches of snapshots: made when they are first asked for, and gone when their snapshot is a layer or is gone.

A scratch is called ``snapshot-<number>-scratch``. One whose snapshot shows something else is left over: a crash left it,
or somebody used it when it was to go. Who mounts snapshots is known by the place alone: a folder for each number, of
which the free space is asked for to have what is pending written, and which is removed to have it let go.

This module refuses to know how a scratch becomes a layer.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from winlayers.base.locking import FileLock
from winlayers.driver.driver import Driver
from winlayers.errors import InUse, LayerNotFound, StoreLocked
from winlayers.store.catalog import Catalog
from winlayers.store.snapshotrows import Snapshot

FOLDER = "snapshots"
_SCRATCH = re.compile(r"snapshot-([0-9]+)-scratch")
# Nobody shows snapshots at the place, or does not any more.
_NOBODY_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENOTCONN, errno.ECONNABORTED)
_log = logging.getLogger("winlayers.store")


class Scratches:
    """The scratches of one store.

    Args:
        root: of the store.
        catalog: says which snapshot has one.
        locks: the folder for locks.
        driver: keeps them.
    """

    def __init__(self, root: Path, catalog: Catalog, locks: Path, driver: Driver) -> None:
        self.shown_at = root / FOLDER
        self._catalog = catalog
        self._locks = locks
        self._driver = driver
        # Numbers of those that somebody used when they were to go.
        self._left: set[int] = set()
        self._left_lock = threading.Lock()

    @contextmanager
    def locked(self, number: int) -> Iterator[None]:
        """Be the only one to make something of a snapshot."""
        lock = self._lock_of(number).acquire()
        try:
            yield
        finally:
            lock.remove()

    def make(self, number: int, *, is_locked: bool = False) -> str:
        """Make the scratch of a snapshot, if it is not there; its id in the driver.

        Args:
            number: of the snapshot.
            is_locked: the caller has the lock.
        Raises:
            SnapshotNotFound, IllegalState: see ``SnapshotRows.open_to_changes``.
        """
        if not is_locked:
            with self.locked(number):
                return self.make(number, is_locked=True)
        scratch = _scratch_id(number)
        with self._catalog.reading() as records:
            rows = records.snapshots
            parent = rows.parent_layer(rows.open_to_changes(number))
        if not self._driver.exists(scratch):
            self._driver.create_read_write(scratch, parent)
        try:
            with self._catalog.writing() as records:
                records.snapshots.open_to_changes(number)
                records.snapshots.show(number, scratch, is_filled=False)
        except BaseException:
            self._driver.remove(scratch)
            raise
        return scratch

    def drop(self, number: int) -> None:
        """Remove the scratch that a snapshot had, or keep in mind that somebody uses it."""
        scratch = _scratch_id(number)
        if not self._driver.exists(scratch):
            return
        self.let_go(number)
        try:
            self._driver.remove(scratch)
        except InUse as refusal:
            _log.info("scratch %s is still used: %s", scratch, refusal)
            with self._left_lock:
                self._left.add(number)

    def clean_up(self) -> None:
        """Try again to remove what somebody used when it was to go."""
        with self._left_lock:
            left, self._left = self._left, set()
        for number in left:
            self.drop(number)

    def recover(self) -> None:
        """Remove what is left over."""
        for layer_id in self._driver.layers():
            match = _SCRATCH.fullmatch(layer_id)
            if match:
                self._drop_orphan(int(match[1]))

    def size(self, found: Iterable[Snapshot]) -> int:
        """Bytes of disk that the scratches of some snapshots take."""
        size = 0
        for one in found:
            if is_scratch(one.layer_id):
                with suppress(LayerNotFound):  # it went meanwhile
                    size += self._driver.usage(one.layer_id).disk_size
        return size

    def publish(self, found: Snapshot) -> None:
        """Have what is pending in a mount be in the scratch."""
        # Where there is no such call, nothing shows snapshots either.
        if is_scratch(found.layer_id) and hasattr(os, "statvfs"):
            self._ask(os.statvfs, found.number)

    def let_go(self, number: int) -> None:
        """Have a mount let go of a snapshot."""
        self._ask(os.rmdir, number)

    # -- inside --------------------------------------------------------------------------------------

    def _drop_orphan(self, number: int) -> None:
        """Remove a scratch unless its snapshot has it, or may take it yet."""
        with self._catalog.reading() as records:
            found = records.snapshots.by_number(number)
        if found is not None and found.layer_id in ("", _scratch_id(number)):
            return
        lock = self._lock_of(number)
        try:
            lock.acquire(timeout_seconds=0)
        except StoreLocked:
            return  # somebody makes it, and will find the snapshot gone
        try:
            self.drop(number)
        finally:
            lock.remove()

    def _lock_of(self, number: int) -> FileLock:
        return FileLock(self._locks / f"{number}.snapshot.lock")

    def _ask(self, call: Callable[[Path], object], number: int) -> None:
        try:
            call(self.shown_at / str(number))
        except OSError as error:
            if error.errno not in (*_NOBODY_THERE, errno.EBUSY, errno.ENOTEMPTY):
                raise


def is_scratch(layer_id: str) -> bool:
    """Whether a layer is the scratch of a snapshot, by its id."""
    return _SCRATCH.fullmatch(layer_id) is not None


def _scratch_id(number: int) -> str:
    return f"snapshot-{number}-scratch"
