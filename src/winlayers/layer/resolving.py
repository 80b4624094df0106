"""From a path to a node of a view, through symbolic links and junctions; and from a pattern to nodes.

A view never follows a reparse point; this module does, as Windows would inside the container: targets
are read in the layer's own volume, ``..`` stops at its root, drives other than C: and shares are not
there. It refuses to know how views come about.

Source: [MS-FSCC] 2.1.2 (reparse data); "Symbolic Links" and "Reparse Points" of the Win32 documentation
(how targets are read, at most 63 reparse points on one path).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence

from winlayers.errors import PathNotFound
from winlayers.formats.reparse import (
    SYMLINK_FLAG_RELATIVE,
    MountPoint,
    SymbolicLink,
    parse_reparse,
    tag_of,
)
from winlayers.layer.names import FILES, UTILITY_VM, fold, split_user_path
from winlayers.layer.view import Node, View

#: Reparse points that Windows follows on one path before it gives up.
MAX_HOPS = 63

_NT_PREFIX = re.compile(r"\\(?:\?\?|\\[?.])\\")
_DRIVE = re.compile(r"([A-Za-z]):(?=\\|$)")


def resolve_path(view: View, path: str, *, start: str = FILES, follow_last: bool = True) -> Node:
    """The node that a path leads to.

    Args:
        view: where to look.
        path: as a person types it: ``/`` or ``\\``, with or without ``C:``, in any case.
        start: the directory of the view where the path begins; ``""`` for paths of the tar.
        follow_last: whether a symbolic link or junction at the end is followed too.
    Returns:
        The node; for a hard link what it shares, under the link's name and path. A reparse point that
        is no link is returned as it is.
    Raises:
        InvalidName: the path leads above the root or names another drive.
        PathNotFound: nothing is there; or it goes through something that is neither a directory nor a
            link, through a link to another volume, or through more than ``MAX_HOPS`` links.
        Malformed: the reparse data of a link does not parse.
    """
    components = [*split_user_path(start), *split_user_path(path)]
    for _ in range(MAX_HOPS + 1):
        node, used = _deepest(view, components)
        if used == len(components):
            node = view.resolve(node)
            if not follow_last or not node.is_reparse_point:
                return node
        elif not node.is_reparse_point:
            raise PathNotFound(f"{path!r}: {_missing(node, components[used], start)}")
        target = _target(view, node, components[:used])
        if target is None:
            if used == len(components):
                return node
            tag = tag_of(view.entry(node).reparse)
            raise PathNotFound(
                f"{path!r}: {node.path!r} is a reparse point with tag 0x{tag:08x}, not a link"
            )
        components = [*target, *components[used:]]
    raise PathNotFound(f"{path!r} goes through more than {MAX_HOPS} links")


def link_target(view: View, node: Node) -> str | None:
    """Where a symbolic link or junction leads, one step.

    Args:
        view: where it stands.
        node: any node of it.
    Returns:
        The path from the root of the view, spelled as the view has it as far as it is there; None if
        the node is no link.
    Raises:
        PathNotFound: it leads to another volume, or is in none itself.
        Malformed: its reparse data does not parse.
    """
    if not node.is_reparse_point:
        return None
    target = _target(view, node, node.path.split("/"))
    if target is None:
        return None
    found, used = _deepest(view, target)
    return "/".join([*found.path.split("/"), *target[used:]]) if used else "/".join(target)


def _deepest(view: View, components: Sequence[str]) -> tuple[Node, int]:
    """The last node on a path that is there, and how many components lead to it.

    What is there is there with all its parents, so halving finds the border.
    """
    whole = view.lookup("/".join(components))
    if whole is not None:
        return whole, len(components)
    found, there, missing = view.root(), 0, len(components)
    while missing - there > 1:
        middle = (there + missing) // 2
        node = view.lookup("/".join(components[:middle]))
        if node is None:
            missing = middle
        else:
            found, there = node, middle
    return found, there


def _missing(node: Node, name: str, start: str) -> str:
    """What is not there, with the directory as who typed the path knows it."""
    if start and fold(node.path + "/").startswith(fold(start) + "/"):
        below = node.path[len(start) + 1 :].replace("/", "\\")
        where = f"'C:\\{below}'"
    else:
        where = repr(node.path) if node.path else "the root of the layer"
    return f"{where} has no {name!r}" if node.is_directory else f"{where} is no directory"


def _target(view: View, node: Node, at: Sequence[str]) -> list[str] | None:
    """Where a reparse point leads.

    Args:
        view: where it stands.
        node: the reparse point.
        at: the components that lead to it, no link among them.
    Returns:
        Components from the root of the view, or None if it is not a link.
    Raises:
        PathNotFound: it leads out of the volume it is in, or is in none.
    """
    link = parse_reparse(view.entry(node).reparse)
    if not isinstance(link, (SymbolicLink, MountPoint)):
        return None
    volume = volume_of(at)
    if volume is None:
        raise PathNotFound(f"{node.path!r} is a link outside of any volume")
    # Some tools leave the substitute name out; Windows would not follow those, but means are clear.
    name = (link.substitute_name or link.print_name).replace("/", "\\").rstrip("\0")
    if isinstance(link, SymbolicLink) and link.flags & SYMLINK_FLAG_RELATIVE:
        inside = list(at[volume:-1])
        if name.startswith("\\"):
            inside = []
    else:
        inside, name = [], _on_drive_c(node, name)
    for component in name.split("\\"):
        if component == "..":
            del inside[-1:]
        elif component not in ("", "."):
            inside.append(component)
    return [*at[:volume], *inside]


def volume_of(at: Sequence[str]) -> int | None:
    """How many components lead to the root of the volume that a path is in; None if it is in none.

    Args:
        at: the components of a path from the root of a view.
    """
    if at and fold(at[0]) == fold(FILES):
        return 1
    if len(at) > 1 and (fold(at[0]), fold(at[1])) == (fold(UTILITY_VM), fold(FILES)):
        return 2
    return None


def _on_drive_c(node: Node, name: str) -> str:
    """An absolute target without its prefix and drive.

    Raises:
        PathNotFound: it leads to another drive, a volume by name, or a share.
    """
    rest = name
    if prefix := _NT_PREFIX.match(name):
        rest = name[prefix.end() :]
    drive = _DRIVE.match(rest)
    if drive is not None and drive[1] in "cC":
        return rest[drive.end() :]
    rooted = prefix is None and name.startswith("\\") and not name.startswith("\\\\")
    if rooted:
        return name
    raise PathNotFound(f"{node.path!r} is a link to {name!r}, which is not in the layer")


def glob_walk(view: View, start: Node, pattern: str) -> Iterator[Node]:
    """The nodes below a node whose path fits a pattern.

    ``*`` stands for any text and ``?`` for one character within a name, ``**`` alone between separators
    for any number of directories, none too. A pattern without a separator is looked for at every depth,
    one with a separator from ``start`` on. Case is not regarded; other characters stand for themselves.

    Args:
        view: where to look.
        start: directory that the paths are relative to; never among the results.
        pattern: for example ``*.dll``, ``Windows\\*\\drivers\\*.sys``, ``/Users/**/ntuser.dat``.
    Returns:
        The nodes, each directory before what is in it, siblings in folded order; no link is followed.
    Raises:
        InvalidName: the pattern leads above the root or names another drive.
    """
    steps = _steps(pattern)
    if not steps:
        return
    pending = [(iter(view.list(start)), _settled(steps, {0}))]
    while pending:
        nodes, places = pending[-1]
        for node in nodes:
            reached = _advanced(steps, places, node.folded)
            if len(steps) in reached:
                yield node
            if node.stack and any(place < len(steps) for place in reached):
                pending.append((iter(view.list(node)), reached))
                break
        else:
            pending.pop()


# A step of a pattern: None for ``**``, else what one name has to match.
_Steps = list[re.Pattern[str] | None]


def _steps(pattern: str) -> _Steps:
    components = list(split_user_path(pattern))
    if components and not re.search(r"[\\/]", pattern.rstrip("\\/")):
        components.insert(0, "**")
    if components and components[-1] == "**":
        components.append("*")  # what is in it, not the directory itself
    return [None if c == "**" else _name_pattern(c) for c in components]


def _name_pattern(component: str) -> re.Pattern[str]:
    # A bracket is an ordinary character in names of Windows.
    return re.compile(fnmatch.translate(fold(component).replace("[", "[[]")))


def _settled(steps: _Steps, places: set[int]) -> frozenset[int]:
    """The places in a pattern, with those that are reached because ``**`` may stand for nothing."""
    settled = set(places)
    for place in places:
        while place < len(steps) and steps[place] is None:
            place += 1
            settled.add(place)
    return frozenset(settled)


def _advanced(steps: _Steps, places: frozenset[int], folded: str) -> frozenset[int]:
    """Where one more name leads."""
    reached = set()
    for place in places:
        if place == len(steps):
            continue
        step = steps[place]
        if step is None:
            reached.add(place)
        elif step.match(folded):
            reached.add(place + 1)
    return _settled(steps, reached)
