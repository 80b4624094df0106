"""Says that a disk is full, whoever noticed it: the system, or SQLite in its own words.

This module refuses to know what was being written.
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from winlayers.errors import NoSpace

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
# The second is of the memory that connections to one database share, which is a file.
_FULL_TO_SQLITE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


# A class, as a generator takes three times as long and each operation of a mount enters one.
class full_disk_told:  # noqa: N801 - used as a function
    """Make one error of all that mean a full disk.

    Args:
        folder: a folder on that disk, named in the message.
        option: what names another folder.
    Raises:
        NoSpace: from the ``with`` block, in place of an error of the system or of SQLite.
    """

    __slots__ = ("_folder", "_option")

    def __init__(self, folder: Path, option: str = "--root") -> None:
        self._folder = folder
        self._option = option

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (OSError, sqlite3.Error)) and is_full(error):
            raise NoSpace(
                f"the disk of {self._folder} is full; free some space, or choose another {self._option}"
            ) from error


def is_full(error: Exception) -> bool:
    """Whether an error says that a disk, or a quota, is full."""
    if isinstance(error, sqlite3.Error):
        # Errors that the module itself raises have no code.
        return getattr(error, "sqlite_errorcode", None) in _FULL_TO_SQLITE
    return isinstance(error, OSError) and error.errno in _FULL
