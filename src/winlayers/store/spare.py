"""Room on the disk that is kept for the time when there is no other: SQLite can forget nothing without writing.

    ROOT/catalog.spare    bytes that mean nothing

Whoever looks, or gives room back, gets it as long as that takes. Who adds something does not, so that a disk which
was filled to its last byte can still be cleared. This module knows nothing of the catalog.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: In bytes: what the connections of a process share takes 32 KiB, and each page that a change touches 4 KiB.
SPARE_SIZE = 1 << 20


class Spare:
    """The spare room of one store.

    Args:
        path: its file; made where there is room.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            self._refill()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give the room up for a ``with`` block if the disk has no other, and take it again, as far as it goes."""
        if shutil.disk_usage(self._path.parent).free >= SPARE_SIZE:
            yield
            return
        self._path.unlink(missing_ok=True)
        try:
            yield
        finally:
            self._refill()

    def _refill(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            file = os.open(self._path, flags, 0o600)
            try:
                # Nothing that a disk could keep in less room.
                rest = memoryview(os.urandom(max(0, SPARE_SIZE - os.fstat(file).st_size)))
                while rest:
                    rest = rest[os.write(file, rest) :]
            finally:
                os.close(file)
        except OSError as error:
            # What was written up to here is kept; the next who needs it tries again.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
