"""All that a mount tells of what is in it, to be compared with what another tells."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

#: Said by another attribute already.
_NOT_COMPARED = frozenset({"system.winlayers_sddl"})


def tell_all(root: Path) -> dict[str, dict[str, object]]:
    """What is told of each path below a folder, and of the folder: contents, times, attributes."""
    told = {}
    for parent, folders, files in os.walk(root):
        for name in ["", *folders, *files] if parent == str(root) else [*folders, *files]:
            path = Path(parent, name)
            told[str(path.relative_to(root))] = tell(path)
    return told


def tell(path: Path) -> dict[str, object]:
    """What is told of one path; no link is followed."""
    status = os.lstat(path)
    told: dict[str, object] = {"mode": status.st_mode, "written": status.st_mtime_ns}
    if stat.S_ISLNK(status.st_mode):
        told["target"] = os.readlink(path)
        names = [name for name in os.listxattr(path, follow_symlinks=False) if name[0] == "s"]
    else:
        names = os.listxattr(path)
    if stat.S_ISREG(status.st_mode):
        told["size"] = status.st_size
        told["content"] = _digest(path)
    for name in names:
        if name not in _NOT_COMPARED:
            told[name] = os.getxattr(path, name, follow_symlinks=False)
    return told


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
