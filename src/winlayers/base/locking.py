"""Locks between processes, on a file: shared by many or exclusive to one.

The system holds the lock for an open file and drops it when the process ends, however that happens;
so no lock is ever left behind. The file stays, and holds the number of the process with the exclusive
lock, for messages only. Two locks on one path exclude each other within a process too. This module
knows nothing of what is locked.

A process that has the file open may find it removed and made anew by another before it gets the lock.
It would then hold a lock that nobody else sees; so after locking it looks whether the path still
leads to the file it has open, and starts over if not.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from winlayers.base.progress import Cancel
from winlayers.errors import InvalidArgument, StoreLocked

_FIRST_PAUSE_SECONDS = 0.005
_LAST_PAUSE_SECONDS = 0.1
_HOLDER_SIZE = 64

if sys.platform == "win32":
    import msvcrt

    # msvcrt knows exclusive locks of byte ranges only. Who shares locks one byte of many, whichever is
    # free; who wants all for himself locks all. The bytes lie far behind the text of the file.
    _RANGE_START = 1 << 30
    _RANGE_SIZE = 64

    def _try_lock(descriptor: int, *, shared: bool) -> int | None:
        size = 1 if shared else _RANGE_SIZE
        for place in range(_RANGE_START, _RANGE_START + _RANGE_SIZE, size):
            os.lseek(descriptor, place, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, size)
            except OSError:
                continue
            return place
        return None

    def _unlock(descriptor: int, place: int, *, shared: bool) -> None:
        os.lseek(descriptor, place, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1 if shared else _RANGE_SIZE)

else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool) -> int | None:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return 0

    def _unlock(descriptor: int, place: int, *, shared: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@dataclass(frozen=True, slots=True)
class _Held:
    """A lock: the open file, which of its bytes where bytes are locked, and who took it."""

    descriptor: int
    place: int
    shared: bool
    pid: int


class FileLock:
    """A lock on a path; held from ``acquire`` to ``release``, or within a ``with`` block.

    ``with FileLock(path):`` waits for the exclusive lock; for anything else,
    ``with FileLock(path).acquire(shared=True, timeout_seconds=5):``.
    """

    def __init__(self, path: Path) -> None:
        """Lock nothing yet.

        Args:
            path: the file, made when it is not there; its folder exists. It must not be a link.
        """
        self.path = path
        self._held: _Held | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._held is not None

    def acquire(
        self,
        *,
        shared: bool = False,
        timeout_seconds: float | None = None,
        cancel: Cancel | None = None,
    ) -> FileLock:
        """Wait for the lock and hold it.

        Args:
            shared: whether others may hold it too, if they share it as well.
            timeout_seconds: how long to wait; 0 tries once, None waits without end.
            cancel: asked while waiting.
        Returns:
            This object, for a ``with`` block.
        Raises:
            StoreLocked: others held it all the time; the message says who, where that is known.
            InvalidArgument: this object holds it already.
            Cancelled: the caller wanted no more of it.
            OSError: the file cannot be opened.
        """
        if self._held is not None:
            raise InvalidArgument(f"the lock on {self.path} is held by this object already")
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        while (held := self._try(shared=shared)) is None:
            if cancel is not None:
                cancel.check()
            left = pause if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise StoreLocked(self._refusal())
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)
        self._held = held
        return self

    def release(self) -> None:
        """Let go of the lock; nothing happens when it is not held."""
        held, self._held = self._held, None
        if held is not None:
            try:
                # A forked child has the file open too. Its copy of this object must not unlock for
                # the parent, and the parent must unlock although the child holds the file open.
                if held.pid == os.getpid():
                    _unlock(held.descriptor, held.place, shared=held.shared)
            finally:
                os.close(held.descriptor)

    def remove(self) -> None:
        """Let go of the lock, which this object holds alone, and remove its file.

        Who has opened the file meanwhile, and waits, finds it gone and makes a new one.
        """
        if sys.platform == "win32":
            # An open file stays there. Once it is closed, whoever opens it keeps it from being removed.
            self.release()
            with suppress(PermissionError):
                self.path.unlink(missing_ok=True)
        else:
            try:
                self.path.unlink(missing_ok=True)
            finally:
                self.release()

    def __enter__(self) -> FileLock:
        return self if self.is_held else self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    def _try(self, *, shared: bool) -> _Held | None:
        """Take the lock if it is free now."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            flags |= getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(self.path, flags, 0o600)
            is_kept = False
            try:
                place = _try_lock(descriptor, shared=shared)
                if place is None:
                    return None
                if self._is_at_path(descriptor):
                    _write_holder(descriptor, None if shared else os.getpid())
                    is_kept = True
                    return _Held(descriptor, place, shared, os.getpid())
                _unlock(descriptor, place, shared=shared)
            finally:
                if not is_kept:
                    os.close(descriptor)

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(descriptor))

    def _refusal(self) -> str:
        try:
            holder = self.path.read_bytes()[:_HOLDER_SIZE].decode("ascii", "replace").strip()
        except OSError:
            holder = ""
        who = f"process {holder}" if holder.isdigit() else "other processes"
        return f"{self.path} is locked by {who}; try again when it has ended"


def _write_holder(descriptor: int, pid: int | None) -> None:
    try:
        # Who shares the lock erases what the last exclusive holder left, as nobody holds it now.
        os.ftruncate(descriptor, 0)
        if pid is not None:
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, b"%d\n" % pid)
    except OSError as error:
        # It is for messages only: on a full disk one must be able to lock and remove things.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
