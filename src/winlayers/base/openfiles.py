"""Files that somebody has open, where that keeps them from being removed, renamed and replaced: on Windows.

There a folder goes file by file, so that one which is open leaves half of it. Who asks first leaves all as it was.
Elsewhere nothing is ever kept by being open. Who has a file open is not known here.
Source: sharing and access of CreateFileW, Win32 documentation: to rename takes the access DELETE, which others must
share.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from winlayers.errors import InUse

_IS_WINDOWS: bool = sys.platform == "win32"


def check_closed(path: Path) -> None:
    """Refuse what is open, or holds something that is; a removal after this may still come too late.

    Args:
        path: a file or a folder; nothing is asked of what is not there.
    Raises:
        InUse: the first file that somebody has open.
        OSError: of another kind.
    """
    if not _IS_WINDOWS:
        return
    if not path.is_dir():
        _check_file(path)
    for parent, _, names in os.walk(path):
        for name in names:
            _check_file(Path(parent, name))


def _check_file(path: Path) -> None:
    try:
        os.rename(path, path)
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise InUse(f"{path} is open; try again when nobody reads or writes it") from error
