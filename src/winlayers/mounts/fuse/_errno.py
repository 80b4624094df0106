"""From an error to the number that a program on the mount gets for it.

The kind of an error decides, by the table in ``errors``; a few leaves have a number of their own, because
programs act on the difference. Source: the error sections of POSIX for open, rename, rmdir and unlink.
"""

from __future__ import annotations

import errno

from winlayers.errors import (
    DirectoryNotEmpty,
    IsADirectory,
    NotADirectory,
    ReadOnlyFile,
    ReadOnlyView,
    TooManyLinks,
    WinlayersError,
    codes_of,
)

_LEAVES: dict[type[WinlayersError], int] = {
    DirectoryNotEmpty: errno.ENOTEMPTY,
    NotADirectory: errno.ENOTDIR,
    IsADirectory: errno.EISDIR,
    ReadOnlyView: errno.EROFS,
    ReadOnlyFile: errno.EACCES,
    TooManyLinks: errno.EMLINK,
}
_FINDINGS = {"name-too-long": errno.ENAMETOOLONG, "name-encoding": errno.EILSEQ}


def errno_of(error: Exception) -> int:
    """The number for an error, EIO for one that nobody foresaw.

    Args:
        error: what a verb of the tree, or the system below it, raised.
    """
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    if isinstance(error, UnicodeError):
        return errno.EILSEQ
    if isinstance(error, WinlayersError):
        for kind, number in _LEAVES.items():
            if isinstance(error, kind):
                return number
        if error.finding in _FINDINGS:
            return _FINDINGS[error.finding]
        return int(getattr(errno, codes_of(error).errno))
    return errno.EIO
