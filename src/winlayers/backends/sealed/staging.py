"""Staging of imports and of looks into bare tars, and the removal of what a crash left of it.

    TMP/<name>.<16 hex digits>        what is being made: the name is the id of a layer, or winlayers-look
    TMP/<name>.<16 hex digits>.lock   held by the process that makes it

The system drops the lock when its process ends, so a staging folder whose lock is free is left over.
Whatever else lies in TMP is not ours, and is left alone: it may be a folder that others use too.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from winlayers.base.atomic import publish
from winlayers.base.locking import FileLock
from winlayers.errors import AlreadyExists, LayerExists, StoreLocked

_LOCK_SUFFIX = ".lock"
_STAGED = re.compile(r"((.+)\.[0-9a-f]{16})(?:\.lock)?")
# Somebody else took something away, or put something there, while we removed it.
_MEANWHILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST})
_REMOVE_ATTEMPTS = 100


class Staging:
    """A folder to make something in, removed at the end whatever happens.

    Args:
        tmp: the folder for all staging.
        name: what is made, for people who look.
        remove: removes it, where that takes more than plain calls.
    """

    def __init__(self, tmp: Path, name: str, remove: Callable[[Path], None] | None = None) -> None:
        self.path = tmp / f"{name}.{os.urandom(8).hex()}"
        self._remove = remove or remove_tree
        self._lock = _lock_of(self.path)

    def __enter__(self) -> Self:
        self._lock.acquire()
        try:
            self.path.mkdir(mode=0o700)
        except BaseException:
            self._lock.remove()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._remove(self.path)
        except OSError as late:
            if error is None:
                raise
            error.add_note(f"besides, {self.path} could not be removed: {late}")
        finally:
            self._lock.remove()

    def publish(self, target: Path, *, sync: bool = True) -> None:
        """Give the folder its final name.

        Raises:
            LayerExists: something has it already.
        """
        try:
            publish(self.path, target, sync=sync)
        except AlreadyExists as error:
            raise LayerExists(f"layer {target.name} exists already") from error


def remove_leftovers(
    tmp: Path, name: str | None = None, remove: Callable[[Path], None] | None = None
) -> list[str]:
    """Remove what no living process is making any more.

    Args:
        tmp: the folder for all staging.
        name: only what this user made under this name, where others use the folder too; None for
            all that is staged there.
        remove: removes a folder, where that takes more than plain calls.
    Returns:
        Names of the folders removed.
    """
    found = {
        match[1]
        for shown in os.listdir(tmp)
        if (match := _STAGED.fullmatch(shown))
        and (name is None or (match[2] == name and _is_own(tmp / shown)))
    }
    return [
        folder for folder in sorted(found) if _remove_unlocked(tmp / folder, remove or remove_tree)
    ]


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with all in it, if it is there; others may be at it too.

    Args:
        path: what to remove; a link is removed, not followed.
    Raises:
        OSError: something cannot be removed.
    """
    for attempt in range(1, _REMOVE_ATTEMPTS + 1):
        try:
            if path.is_dir() and not path.is_symlink():
                _remove_folder(path)
            else:
                path.unlink(missing_ok=True)
            return
        except OSError as error:
            if error.errno not in _MEANWHILE or attempt == _REMOVE_ATTEMPTS:
                raise


def _remove_folder(path: Path) -> None:
    import shutil  # not at the top: what it brings along takes 3 ms, and an import rarely needs it

    try:
        shutil.rmtree(path)
    except (RecursionError, PermissionError, OSError) as error:
        is_deep = isinstance(error, RecursionError) or error.errno == errno.ENAMETOOLONG
        if sys.platform == "win32" or not (is_deep or isinstance(error, PermissionError)):
            raise
        _remove_flattened(os.fsencode(path))


def _remove_flattened(root: bytes) -> None:
    """Remove a folder of any depth, whatever its folders allow to their owner.

    Each folder below is first brought to right below the root, so that no path grows long.
    """
    pending = [root]
    while pending:
        folder = pending.pop()
        os.chmod(folder, 0o700)
        with os.scandir(folder) as found:
            entries = list(found)
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            place = entry.path
            if folder != root:
                os.chmod(place, 0o700)  # to move a folder is to write into it
                place = root + b"/" + os.urandom(16).hex().encode()
                os.rename(entry.path, place)
            pending.append(place)
        if folder != root:
            os.rmdir(folder)
    os.rmdir(root)


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder.with_name(folder.name + _LOCK_SUFFIX))


def _is_own(path: Path) -> bool:
    """Whether a path is this user's; where there are no such users, each has temporary folders of his own."""
    if sys.platform == "win32":
        return True
    try:
        return path.lstat().st_uid == os.geteuid()
    except FileNotFoundError:  # removed meanwhile
        return False


def _remove_unlocked(folder: Path, remove: Callable[[Path], None]) -> bool:
    """Remove a staging folder and its lock, if nobody holds that; whether there was a folder."""
    lock = _lock_of(folder)
    try:
        lock.acquire(timeout_seconds=0)
    except StoreLocked:
        return False
    try:
        is_there = os.path.lexists(folder)
        remove(folder)
    except BaseException:
        lock.release()
        raise
    lock.remove()
    return is_there
