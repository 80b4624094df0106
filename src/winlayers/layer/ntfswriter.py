"""Writes a part of a view onto a disk of NTFS that ntfs-3g has mounted, with all that NTFS has.

``layer.folder`` writes names, content, holes and hard links; this module adds the rest, by the attributes of
``layer.ntfs3g``, and alternate streams as ``FILE:STREAM``. What cannot be kept is reported:

    the time of change      ntfs-3g sets it itself                                        time-lost
    some attributes         those that a disk does not take from outside                  attributes-lost
    reparse data            of a file that has data too                                   reparse-lost
    streams                 of the folder that is written into, as it has no name here    stream-lost

Anything else that ntfs-3g refuses ends the writing. Folders and reparse points are finished when all is
written: nothing goes through a reparse point, and the times of a folder are no longer touched.

Source: ntfs-3g(8) and its page on extended attributes; each line above by what ntfs-3g 2022.10.3 did.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from winlayers.base.fileobj import copy
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.base.rooted import Parts, Root
from winlayers.errors import Malformed, Unsupported
from winlayers.layer import ntfs3g
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_NORMAL,
    FILE_ATTRIBUTE_REPARSE_POINT,
    Entry,
    EntryKind,
    attribute_names,
)
from winlayers.layer.findings import Finding
from winlayers.layer.folder import ExtractCounts, Extraction, Instead, empty_root
from winlayers.layer.view import NODE_IMPLIED, NODE_STREAMS, Node, View

# What ntfs-3g says to a value that it does not take.
_REFUSALS = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.E2BIG, errno.ERANGE, errno.EIO})
_MISSING = frozenset({errno.EOPNOTSUPP, errno.ENODATA})


def extract_to_ntfs(
    view: View,
    node: Node,
    destination: Path,
    *,
    on_loss: Callable[[Finding], None],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ExtractCounts:
    """Write a node, and all that is below it, with all that NTFS has.

    Args:
        view: where the node is from.
        node: a directory, whose content goes straight into the destination, which gets what else the
            directory has; or anything else, which goes there under its name.
        destination: an empty folder on a mount of ntfs-3g, or one that is not there yet.
        on_loss: called with each thing that is not written as it is.
        progress: told the bytes of content written.
        cancel: asked before each node and each block of content.
    Returns:
        What was written.
    Raises:
        AlreadyExists: the destination is not empty.
        Cancelled: ``cancel`` was set; what was written stays.
        Malformed: extended attributes of an entry do not parse.
        OSError: the system refuses to write.
        Unsupported: the destination is on no such mount, or ntfs-3g does not take a value.
    """
    destination.mkdir(exist_ok=True)
    with empty_root(destination) as root:
        _check_mount(root, destination)
        work = Extraction(view, node, root, on_loss, cancel or Cancel(), progress or NullProgress())
        keeper = _NtfsKeeper(work)
        work.run(keeper)
        if node.is_directory:
            keeper.finish(node, ())
        return work.counts


def _check_mount(root: Root, destination: Path) -> None:
    """Nothing else has the list of streams, and it only where ``FILE:STREAM`` is no file of its own."""
    try:
        root.xattr((), ntfs3g.STREAM_LIST)
    except OSError as error:
        if error.errno not in _MISSING:
            raise
        raise Unsupported(
            f"{destination} is not on a mount of ntfs-3g that shows alternate streams; mount the disk "
            "with: ntfs-3g -o streams_interface=windows,noatime DEVICE FOLDER"
        ) from error


class _NtfsKeeper:
    """Keeps all that NTFS has, for ``Extraction``."""

    def __init__(self, work: Extraction) -> None:
        self._work = work
        self._root = work.root

    def write_instead(self, node: Node, place: Parts) -> Instead:
        """Nothing: a link is a file or folder with reparse data."""
        return Instead.NOTHING

    def keep(self, node: Node, place: Parts) -> bool:
        """Everything, of what is complete by itself."""
        if node.kind is EntryKind.DIRECTORY or node.is_reparse_point:
            return True
        self.finish(node, place)
        return False

    def finish(self, node: Node, place: Parts) -> None:
        """Set everything, so that nothing that comes later changes what was set before."""
        if node.flags & NODE_IMPLIED or not node.row:
            return
        entry = self._work.view.entry(node)
        if node.flags & NODE_STREAMS:
            self._write_streams(node, place)
        if entry.ea:
            self._set(node, place, ntfs3g.EA, _packed_ea(node, entry.ea))
        if entry.security:
            self._set(node, place, ntfs3g.ACL, entry.security)
        self._set_times(node, place)
        self._set_attributes(node, place)
        if entry.reparse:
            self._set_reparse(node, entry, place)

    def _write_streams(self, node: Node, place: Parts) -> None:
        for part in self._work.view.parts(node):
            if not part.name:
                continue
            if not place:
                detail = f"alternate stream {part.name!r} of the folder that is written into"
                self._work.lose("stream-lost", node, detail)
                continue
            with (
                _explained(node, f"alternate stream {part.name!r}"),
                self._work.view.open(node, part.name) as source,
                self._root.create_file((*place[:-1], f"{place[-1]}:{part.name}")) as target,
            ):
                copy(source, target)

    def _set_times(self, node: Node, place: Parts) -> None:
        times = (node.creation_filetime, node.write_filetime, node.access_filetime)
        self._set(node, place, ntfs3g.TIMES, ntfs3g.pack_times(times))
        if node.change_filetime != node.write_filetime:
            self._work.lose("time-lost", node, "time of change")

    def _set_attributes(self, node: Node, place: Parts) -> None:
        self._set(node, place, ntfs3g.ATTRIBUTES, ntfs3g.pack_attributes(node.attributes))
        got = ntfs3g.unpack_attributes(self._root.xattr(place, ntfs3g.ATTRIBUTES))
        # NORMAL stands for no attribute at all, and NTFS has it where it likes to; that of a reparse point
        # comes with its data.
        lost = node.attributes & ~(got | FILE_ATTRIBUTE_NORMAL | FILE_ATTRIBUTE_REPARSE_POINT)
        if lost:
            self._work.lose("attributes-lost", node, ", ".join(attribute_names(lost)))

    def _set_reparse(self, node: Node, entry: Entry, place: Parts) -> None:
        if node.size:
            detail = f"it has {node.size:,} bytes of data, and ntfs-3g sets it without any only"
            self._work.lose("reparse-lost", node, detail)
            return
        self._set(node, place, ntfs3g.REPARSE, entry.reparse)

    def _set(self, node: Node, place: Parts, name: str, value: bytes) -> None:
        with _explained(node, name):
            self._root.set_xattr(place, name, value)


def _packed_ea(node: Node, ea: bytes) -> bytes:
    try:
        return ntfs3g.pack_ea(ea)
    except Malformed as error:
        raise Malformed(error.structure, error.reason, entry=node.path) from error


@contextmanager
def _explained(node: Node, what: str) -> Iterator[None]:
    """Say of what, where ntfs-3g refuses a value."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise Unsupported(
            f"{node.path!r}: ntfs-3g does not take its {what}: {error.strerror}"
        ) from error
