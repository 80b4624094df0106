"""Mounts of ours as the kernel lists them: where, of which layer, and by which process.

Each mount is called ``winlayers:LAYER:PID`` as a source, so that everything about it can be asked of the
kernel alone. Source: proc(5), /proc/PID/mountinfo: fields are separated by blanks, blanks in them are
``\\040``; field 5 is the mount point, and after a lone ``-`` come type, source and options.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")
_SOURCE = re.compile(r"winlayers:([^:]*):(\d{1,10})")


@dataclass(frozen=True, slots=True)
class MountLine:
    """One mount of ours.

    Attributes:
        path: where.
        layer_id: of what.
        pid: the process that serves it.
    """

    path: Path
    layer_id: str
    pid: int


def mount_source(layer_id: str, pid: int) -> str:
    """What a mount is called as a source."""
    return f"winlayers:{layer_id}:{pid}"


def parse_mountinfo(content: bytes) -> list[MountLine]:
    """The mounts of ours in a list of the kernel's, the later the nearer to the top."""
    found = []
    for line in content.splitlines():
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.split(b" ")
        if len(fields) < 5 or len(kind) < 2:
            continue
        if (source := _SOURCE.fullmatch(_text(kind[1]))) is not None:
            found.append(MountLine(Path(_text(fields[4])), source[1], int(source[2])))
    return found


def mounts_of(pid: int) -> list[MountLine]:
    """Where what a process serves is mounted: its own mount, and what others have bound of it elsewhere."""
    content = _MOUNTINFO.read_bytes()
    return [one for one in parse_mountinfo(content) if one.pid == pid]


def find_mount(path: Path) -> MountLine | None:
    """The mount of ours at a path, dead or alive; None on systems without such a list.

    Args:
        path: where; links on the way are followed, the last component is not looked at.
    """
    try:
        content = _MOUNTINFO.read_bytes()
    except FileNotFoundError:
        return None
    place = canonical(path)
    return next((one for one in reversed(parse_mountinfo(content)) if one.path == place), None)


def canonical(path: Path) -> Path:
    """A path as the kernel lists it. The last component is left alone: a dead mount cannot be looked at."""
    absolute = Path(os.path.abspath(path))
    return Path(os.path.realpath(absolute.parent)) / absolute.name


def _text(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))
