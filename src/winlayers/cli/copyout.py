"""A part of a view into a folder of the system that may have something in it already.

``layer.folder.extract`` writes into a folder of its own beside what is there; then all of it is moved to its
place. So nothing is changed where writing fails, and what comes from a layer never gets through a link.

    DIR/.winlayers-cp-….tmp/   gone at the end, whatever happens
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from winlayers.base.progress import Cancel, Progress
from winlayers.base.rooted import Parts, Root
from winlayers.errors import InvalidName, IsADirectory, NotADirectory
from winlayers.formats.filetime import filetime_to_ns
from winlayers.layer.findings import Finding
from winlayers.layer.folder import ExtractCounts, extract
from winlayers.layer.view import Node, View

# Any file system keeps times between 1970 and 2038.
_SAFE_TIMES = range(2**31 * 10**9)


def copy_out(
    view: View,
    node: Node,
    folder: Path,
    name: str,
    *,
    on_loss: Callable[[Finding], None],
    cancel: Cancel,
    progress: Progress,
) -> ExtractCounts:
    """Write a node, and all below it, in the place of what is there.

    Args:
        view: where the node is from.
        node: what is copied, no link.
        folder: where it comes to; it exists.
        name: what it is called there; ``""`` for what is in the node, which is a directory.
        on_loss: called with each thing that is not written as it is.
        cancel: asked before each node and each block of content.
        progress: told the bytes of content written.
    Returns:
        What was written.
    Raises:
        IsADirectory, NotADirectory: a file would take the place of a folder, or the reverse. What was
            moved before stays.
        OSError: the system refuses to write.
    """
    with Root(folder) as root:
        staging = f".winlayers-cp-{secrets.token_hex(8)}.tmp"
        root.mkdir((staging,))
        try:
            counts = extract(
                view,
                node if node.is_directory else replace(node, name=name),
                folder / staging,
                on_loss=on_loss,
                symlinks=True,
                cancel=cancel,
                progress=progress,
            )
            if node.is_directory:
                _settle_folder(root, (staging,), node, name)
            elif not root.exists((staging, name)):
                raise InvalidName(f"this system holds no file that is called {name!r}")
            else:
                _move(root, (staging, name), (name,))
        finally:
            if root.exists((staging,)):
                root.remove_tree((staging,))
    return counts


def _settle_folder(root: Root, written: Parts, node: Node, name: str) -> None:
    place = (name,) if name else ()
    if not place or (root.exists(place) and _is_folder(root, place)):
        _merge(root, written, place)
        return
    if root.exists(place):
        raise NotADirectory(f"{name!r} is no folder, and a folder is to be copied there")
    root.rename(written, place)
    write_ns = filetime_to_ns(node.write_filetime)
    if write_ns in _SAFE_TIMES:
        root.utime(place, access_ns=filetime_to_ns(node.access_filetime), modify_ns=write_ns)


def _merge(root: Root, source: Parts, target: Parts) -> None:
    """Move all that is in a folder into another."""
    pending = [(source, target)]
    while pending:
        here, there = pending.pop()
        for name in root.list(here):
            old, new = (*here, name), (*there, name)
            if _is_folder(root, old) and root.exists(new):
                if not _is_folder(root, new):
                    raise NotADirectory(
                        f"{'/'.join(new)!r} is no folder, and a folder is to be copied there"
                    )
                pending.append((old, new))
            else:
                _move(root, old, new)


def _move(root: Root, old: Parts, new: Parts) -> None:
    if root.exists(new) and _is_folder(root, new):
        raise IsADirectory(
            f"{'/'.join(new)!r} is a folder, and something else is to be copied there"
        )
    root.rename(old, new)


def _is_folder(root: Root, parts: Parts) -> bool:
    return stat.S_ISDIR(root.stat(parts).st_mode)
