"""The utility VM of a layer: the small Windows in which Hyper-V containers run.

A layer that changes it begins with its parent's: each plain file is a second name of the parent's file,
so that only what is changed takes room. Changing a file means to make it anew, never to write into it.
Real copies are needed for folders, links, and the files that Windows itself changes after the import.

    UtilityVM/Files/...                                      hard links
    UtilityVM/Files/EFI/Microsoft/Boot/BCD{,.LOG,.LOG1,.LOG2}  copies

This module knows folders on disk only, no entries.

Source: microsoft/hcsshim internal/wclayer/legacy.go (cloneTree).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from winlayers.errors import Unsupported
from winlayers.layer.names import FILES, MUTATED_FILES, UTILITY_VM
from winlayers.layer.transportfolder import is_real_directory

#: Of ``MUTATED_FILES``, below ``UtilityVM/Files``.
_PREFIX = f"{UTILITY_VM}/{FILES}/"
_COPIED = frozenset(path.removeprefix(_PREFIX).encode() for path in MUTATED_FILES)
# What a file system says that has no hard links, or none there.
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP})


def clone_utility_vm(source: Path, target: Path) -> None:
    """Make a folder with the same files as another.

    Args:
        source: ``UtilityVM/Files`` of the parent.
        target: the same of the new layer; must not be there.
    Raises:
        FileExistsError: ``target`` is there.
        FileNotFoundError: ``source`` is not there.
        Unsupported: a junction, or what only other systems have.
    """
    # Bytes, because names need not be text for the host.
    root, copy_root = os.fsencode(source), os.fsencode(target)
    os.mkdir(copy_root)
    folders = [b""]
    for folder in folders:  # grows while it is gone through; parents come first
        for found in sorted(os.scandir(os.path.join(root, folder)), key=lambda item: item.name):
            below = os.path.join(folder, found.name)
            place = os.path.join(copy_root, below)
            if is_real_directory(found.stat(follow_symlinks=False)):
                os.mkdir(place)
                folders.append(below)
            elif found.is_symlink():
                os.symlink(os.readlink(found.path), place)
            else:
                _clone_file(found.path, place, is_copied=below.replace(b"\\", b"/") in _COPIED)
    # Last, and children first: making files in a folder changes its time.
    for folder in reversed(folders):
        shutil.copystat(os.path.join(root, folder), os.path.join(copy_root, folder))


def _clone_file(source: bytes, target: bytes, *, is_copied: bool) -> None:
    if not stat.S_ISREG(os.lstat(source).st_mode):
        what = "neither a plain file nor a plain folder"
        raise Unsupported(f"{os.fsdecode(source)!r} is {what}, and cannot be cloned here")
    if not is_copied:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return
    shutil.copy2(source, target, follow_symlinks=False)
