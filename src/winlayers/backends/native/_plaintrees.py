"""Folders of Windows gone through by plain calls: how much is in one, how it is called, and how it is removed.

What a layer holds stops plain calls: paths of more than 260 units, names that end in a dot, files that this account may
not read, or that are READONLY, and junctions, which Python 3.11 takes for folders and which lead to the disk of the
host. So paths are extended ones, no link is entered, and what a plain removal leaves goes by handles. This module does not
know layers.
"""

from __future__ import annotations

import os
from pathlib import Path

from winlayers.backends.native import _folder
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import (
    BACKUP,
    RESTORE,
    Access,
    open_file,
    privileges,
    system_path,
)
from winlayers.backends.sealed.staging import remove_tree

_STANDS_FOR_ANOTHER = 0x20000000  # of a tag: a link, and no file or folder that a filter completes


def count_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; what this account cannot look into counts for nothing.

    A file of several names counts under each. No link is followed.
    """
    size = 0
    waiting = [system_path(folder)]
    while waiting:
        try:
            found = os.scandir(waiting.pop())
        except OSError:
            continue  # not for this account, or gone meanwhile
        with found:
            for one in found:
                try:
                    status = one.stat(follow_symlinks=False)
                    if getattr(status, "st_reparse_tag", 0) & _STANDS_FOR_ANOTHER:
                        continue
                    if one.is_dir(follow_symlinks=False):
                        waiting.append(one.path)
                    else:
                        size += status.st_size
                except OSError:
                    continue
    return size


def is_called(folder: Path) -> bool:
    """Whether a folder that is there is called by exactly this name.

    Windows finds it by others too: in letters of other case, with dots and blanks at the end, by a short name.
    """
    return os.path.basename(os.path.realpath(folder)) == folder.name


def remove_staged(api: Libraries, path: Path) -> None:
    """Remove a folder that we have filled, or had Windows fill.

    Raises:
        PrivilegeMissing: plain calls do not remove it, and this account may not go past access checks.
        WindowsCallFailed: something does not go.
    """
    try:
        remove_tree(path)
    except OSError:
        with (
            privileges(api, BACKUP, RESTORE),
            open_file(api, path.parent, Access.GENERIC_READ, share=_folder.SHARE_ALL) as parent,
        ):
            _folder.remove_tree(api, parent, path.name)
