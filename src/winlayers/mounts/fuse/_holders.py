"""Who uses a mount: processes that have something open below it, or work there.

Read from ``/proc`` alone, so that asking does not touch the mount, which may hang. Processes of others
cannot be looked into without privilege, and are left out. Source: proc(5), cwd, root, exe and fd.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_MAX_HOLDERS = 10


def holders_of(place: Path) -> list[str]:
    """Some processes that use a mount, each as ``NAME (PID)``.

    Args:
        place: the mount point, as the kernel has it.
    """
    below = f"{place}/"
    found = []
    for process in _PROC.glob("[0-9]*"):
        if any(link == str(place) or link.startswith(below) for link in _links_of(process)):
            found.append(f"{_name_of(process)} ({process.name})")
            if len(found) == _MAX_HOLDERS:
                break
    return found


def _links_of(process: Path) -> Iterator[str]:
    names = [process / "cwd", process / "root", process / "exe"]
    try:
        names.extend(process / "fd" / name for name in os.listdir(process / "fd"))
    except OSError:
        pass  # it ended, or is somebody else's
    for name in names:
        try:
            yield os.readlink(name)
        except OSError:
            continue


def _name_of(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process that ended"
