"""Staging of imports, and the removal of what a crash left of it.

    TMP/<layer id>.<random>        what is being made
    TMP/<layer id>.<random>.lock   held by the process that makes it

The system drops the lock when its process ends, so a staging folder whose lock is free is left over.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Self

from winlayers.base.atomic import publish
from winlayers.base.locking import FileLock
from winlayers.errors import AlreadyExists, LayerExists, StoreLocked

_LOCK_SUFFIX = ".lock"


class Staging:
    """A folder to make something in, removed at the end whatever happens.

    Args:
        tmp: the folder for all staging.
        name: what is made, for people who look.
    """

    def __init__(self, tmp: Path, name: str) -> None:
        self.path = tmp / f"{name}.{secrets.token_hex(8)}"
        self._lock = FileLock(self.path.with_name(self.path.name + _LOCK_SUFFIX))

    def __enter__(self) -> Self:
        self._lock.acquire()
        self.path.mkdir(mode=0o700)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.path.exists():
            shutil.rmtree(self.path)
        self._lock.path.unlink()
        self._lock.release()

    def publish(self, target: Path, *, sync: bool = True) -> None:
        """Give the folder its final name.

        Raises:
            LayerExists: something has it already.
        """
        try:
            publish(self.path, target, sync=sync)
        except AlreadyExists as error:
            raise LayerExists(f"layer {target.name} exists already") from error


def remove_leftovers(tmp: Path) -> list[str]:
    """Remove what no living process is making any more.

    Args:
        tmp: the folder for all staging.
    Returns:
        Names of the folders removed.
    """
    removed = []
    for path in sorted(tmp.iterdir()):
        if path.name.endswith(_LOCK_SUFFIX):
            if not path.with_suffix("").exists():
                _remove_unlocked(path)
        elif _remove_unlocked(path.with_name(path.name + _LOCK_SUFFIX)):
            removed.append(path.name)
    return removed


def _remove_unlocked(lock_path: Path) -> bool:
    """Remove the folder of a lock, and the lock, if nobody holds it."""
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout_seconds=0)
    except StoreLocked:
        return False
    folder = lock_path.with_suffix("")
    is_there = folder.exists()
    if folder.is_dir():
        shutil.rmtree(folder)
    elif is_there:
        folder.unlink()
    lock_path.unlink(missing_ok=True)
    lock.release()
    return is_there
