"""Links of POSIX as links of Windows, and back.

    POSIX               symbolic link of Windows        shown again
    a/b, ../c           a\\b, ..\\c, relative             the same
    /Windows/x          C:\\Windows\\x                    from the link's directory: ../Windows/x

Windows takes a target apart as text: ``..`` takes away the name before it, and stops at the root of the
volume. POSIX walks it, so that it could leave a mount. What is shown therefore has each ``..`` at its front,
and no more of them than there are directories; a target that has them elsewhere is shown worked out. What
leads to another drive or a share is shown below a name that no layer can have, so that it leads nowhere.

This module refuses to know what is at the end of a link.

Source: [MS-FSCC] 2.1.2 (reparse data); "Symbolic Links" of the Win32 documentation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from winlayers.errors import InvalidArgument, InvalidName
from winlayers.formats.reparse import (
    MAX_REPARSE_SIZE,
    SYMLINK_FLAG_RELATIVE,
    MountPoint,
    SymbolicLink,
    build_reparse,
    link_to,
)
from winlayers.layer.names import fold

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_NT_DRIVE_C = re.compile(r"(?:\\\?\?\\|\\\\[?.]\\)?[Cc]:(?=\\|$)")
_NT_PREFIX = re.compile(r"\\\?\?\\|\\\\[?.]\\|\\\\")

#: What a target that is not in the layer is shown below; no name of Windows has a question mark.
ELSEWHERE = "??"


def symbolic_link(target: str) -> bytes:
    """The reparse data of a symbolic link.

    Args:
        target: as POSIX has it; ``C:\\x`` and ``C:/x`` are absolute as ``/x`` is.
    Raises:
        InvalidName: it is empty, holds a NUL, or is too long.
    """
    nt_path = _absolute(target)
    if nt_path is not None:
        return _built(link_to(nt_path, junction=False), target)
    text = target.replace("/", "\\")
    return _built(SymbolicLink(text, text, SYMLINK_FLAG_RELATIVE), target)


def junction(target: str) -> bytes:
    """The reparse data of a junction.

    Args:
        target: an absolute path: ``/x`` or ``C:\\x``.
    Raises:
        InvalidArgument: it is relative.
        InvalidName: it is empty, holds a NUL, or is too long.
    """
    nt_path = _absolute(target)
    if nt_path is None:
        raise InvalidArgument(f"{target!r}: the target of a junction has to be absolute")
    return _built(link_to(nt_path, junction=True), target)


def posix_target(link: SymbolicLink | MountPoint, folder: Sequence[str]) -> str:
    """The target of a link as POSIX text that leads there from the link's directory, and never out.

    Args:
        link: the link.
        folder: the components of its directory from the root of the volume.
    Returns:
        The text; never absolute, never empty.
    """
    name = (link.substitute_name or link.print_name).replace("/", "\\").partition("\0")[0]
    if isinstance(link, SymbolicLink) and link.flags & SYMLINK_FLAG_RELATIVE:
        components = name.split("\\")
        if _stays_inside(components, len(folder)):
            return "/".join(components)
        start = [] if name.startswith("\\") else list(folder)
        return _way(folder, _worked_out(start, components))
    drive = _NT_DRIVE_C.match(name)
    if drive is None and (not name.startswith("\\") or _NT_PREFIX.match(name)):
        rest = _NT_PREFIX.sub("", name, count=1)
        return f"{ELSEWHERE}/" + "/".join(_worked_out([], rest.split("\\")))
    rest = name[drive.end() :] if drive is not None else name
    return _way(folder, _worked_out([], rest.split("\\")))


def _absolute(target: str) -> str | None:
    """The path of Windows that an absolute target means, or None if it is relative."""
    if not target or "\0" in target:
        raise InvalidName(f"link target {target!r} is empty or holds a NUL")
    if target.startswith("/"):
        return "C:\\" + target.lstrip("/").replace("/", "\\")
    return target.replace("/", "\\") if _DRIVE.match(target) else None


def _built(link: SymbolicLink | MountPoint, target: str) -> bytes:
    data = build_reparse(link)
    if len(data) > MAX_REPARSE_SIZE:
        raise InvalidName(f"link target of {len(target)} characters is too long for Windows")
    return data


def _stays_inside(components: Sequence[str], depth: int) -> bool:
    """Whether POSIX and Windows agree on where a relative target leads, and it is inside."""
    ups = 0
    while ups < len(components) and components[ups] in (".", ".."):
        ups += 1
    climbed = components[:ups].count("..")
    return bool(components[0]) and climbed <= depth and ".." not in components[ups:]


def _worked_out(start: list[str], components: Sequence[str]) -> list[str]:
    """Where Windows goes from a directory: ``..`` takes away what is before it, down to the root."""
    inside = start
    for component in components:
        if component == "..":
            del inside[-1:]
        elif component not in ("", "."):
            inside.append(component)
    return inside


def _way(folder: Sequence[str], target: Sequence[str]) -> str:
    """The relative path from one directory to another place."""
    common = 0
    for ours, theirs in zip(folder, target, strict=False):
        if fold(ours) != fold(theirs):
            break
        common += 1
    return "/".join([".."] * (len(folder) - common) + list(target[common:])) or "."
