"""Says that a disk is full, whoever noticed it: the system, or SQLite in its own words.

This module refuses to know what was being written.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winlayers.errors import NoSpace

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
# The second is of the memory that connections to one database share, which is a file.
_FULL_TO_SQLITE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


@contextmanager
def full_disk_told(folder: Path, option: str = "--root") -> Iterator[None]:
    """Make one error of all that mean a full disk.

    Args:
        folder: a folder on that disk, named in the message.
        option: what names another folder.
    Raises:
        NoSpace: from the ``with`` block, in place of an error of the system or of SQLite.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if not is_full(error):
            raise
        raise NoSpace(
            f"the disk of {folder} is full; free some space, or choose another {option}"
        ) from error


def is_full(error: Exception) -> bool:
    """Whether an error says that a disk, or a quota, is full."""
    if isinstance(error, sqlite3.Error):
        # Errors that the module itself raises have no code.
        return getattr(error, "sqlite_errorcode", None) in _FULL_TO_SQLITE
    return isinstance(error, OSError) and error.errno in _FULL
