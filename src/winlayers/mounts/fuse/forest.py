"""A forest from outside: one file system at one path that shows all snapshots of a store, each in a folder.

    forest = Forest("winlayers.forestworker", ForestRequest(root, None, root / "snapshots"))
    forest.start()                   # or found again, or mended
    forest.folder(7)                 # what engines bind where they want it
    forest.let_go(7)

It is served by a process of its own, which outlives the one that started it and needs no word from it: a
snapshot is looked for in the store when its folder is. So whoever comes later finds the forest by its path.
While anything of it is bound elsewhere it cannot be ended, because the process would go on for that.

This module refuses to know what snapshots are, and what engines do with folders.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from winlayers.base.locking import FileLock
from winlayers.base.processes import process_start_time
from winlayers.errors import InUse
from winlayers.mounts.contract import ForestRequest, MountInfo
from winlayers.mounts.fuse.mounter import FuseMounter
from winlayers.mounts.fuse.mountinfo import find_mount, mounts_of

_MAX_NAMED = 3
# Answers of rmdir to letting go: the folder stays, there is no such snapshot, or the forest is dead.
_GONE = (errno.ENOTEMPTY, errno.ENOENT, errno.ENOTCONN, errno.ECONNABORTED)


class Forest:
    """The forest of a store. Any process may use one, whoever started it.

    Args:
        worker: module whose ``run`` is the process that serves it.
        request: of which store, and where; the folder is made.
    """

    def __init__(self, worker: str, request: ForestRequest) -> None:
        self._mounter = FuseMounter(worker)
        self._request = request

    def start(self) -> MountInfo:
        """Have the forest be there: found if it is, mended if its process died, started if not.

        Raises:
            WinlayersError: as of ``FuseMounter.mount``.
        """
        path = self._request.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f"{path.name}.lock"):
            if (running := self.find()) is not None:
                return running
            self._mounter.mend(path)
            path.mkdir(mode=0o700, exist_ok=True)
            return self._mounter.mount(self._request)

    def find(self) -> MountInfo | None:
        """The forest, if it is there and its process lives."""
        mount = find_mount(self._request.path)
        started = None if mount is None else process_start_time(mount.pid)
        if mount is None or started is None:
            return None
        return MountInfo(mount.path, mount.pid, started)

    def folder(self, number: int) -> Path:
        """Where a snapshot is shown."""
        return self._request.path / str(number)

    def let_go(self, number: int) -> bool:
        """Have a snapshot be closed, so that others can open it, and be opened anew when it is asked for.

        To be done before a scratch is read for a commit, after a snapshot became something else, and after
        it was removed. What is bound elsewhere goes on.

        Args:
            number: the snapshot.
        Returns:
            Whether it is closed; if not, files of it are open, and it is closed when they are.
        """
        try:
            os.rmdir(self.folder(number))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            if error.errno not in _GONE:
                raise
        return True

    def publish(self, number: int) -> None:
        """Have what was done in a snapshot's folder be seen by who looks at it without the forest."""
        self._mounter.publish(self.folder(number))

    def end(self) -> None:
        """End the forest: all is written, and its process has ended.

        Raises:
            InUse: something of it is bound elsewhere, or somebody works in it.
        """
        if sys.platform == "linux" and (running := self.find()) is not None:
            bound = [one.path for one in mounts_of(running.pid) if one.path != running.path]
            if bound:
                named = ", ".join(str(path) for path in bound[:_MAX_NAMED])
                raise InUse(f"snapshots are mounted at {named}; unmount them first")
        self._mounter.unmount(self._request.path)
