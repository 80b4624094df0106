"""A plain tar, as ``winlayers cp`` takes it from standard input and gives it on standard output.

Its names are relative to what is copied, as those of ``docker cp`` are. What only NTFS has may be told by
records ``SCHILY.xattr.NAME``, which ``tar --xattrs`` writes and reads too; ``copyxattrs`` has the names. A tar
from outside is not trusted: names that lead elsewhere are refused.

Source: POSIX.1-2024, pax; star(5) for SCHILY.xattr; docker/cli container_cp.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import BinaryIO

from winlayers.base.progress import Cancel, Progress
from winlayers.base.rooted import Parts
from winlayers.cli import copyxattrs
from winlayers.cli.copyitems import CopyCounts, Item, ItemKind
from winlayers.errors import InvalidArgument, Malformed, PathNotFound
from winlayers.formats.filetime import filetime_to_ns
from winlayers.formats.tar import (
    TarFormat,
    TarHeader,
    TarReader,
    TarSource,
    TarTarget,
    TarWriter,
)
from winlayers.layer import ntfs3g
from winlayers.layer.entry import FILE_ATTRIBUTE_READONLY, EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.losses import Form, losses_of
from winlayers.layer.names import decode_name, encode_name, split_tar_name
from winlayers.layer.tarheaders import (
    FILE_TYPES,
    TYPE_DIRECTORY,
    TYPE_GLOBAL,
    TYPE_LINK,
    TYPE_REGULAR,
    TYPE_SYMLINK,
)
from winlayers.layer.tree import Tree
from winlayers.layer.view import NODE_LINKED, Node, View, walk

_BLOCK_SIZE = 1 << 20

XATTR_RECORD = b"SCHILY.xattr."
_KINDS = {
    TYPE_DIRECTORY: ItemKind.DIRECTORY,
    TYPE_SYMLINK: ItemKind.SYMLINK,
    TYPE_LINK: ItemKind.HARD_LINK,
    **dict.fromkeys(FILE_TYPES, ItemKind.FILE),
}


class TarItems:
    """A tar as items, from where ``source`` stands to the end of the archive.

    Iterating raises:
        InvalidName: a name is absolute, or leads out by ``..``; carries the code of the finding.
        Malformed: the tar is damaged, or has no end marker and so may be cut.

    Args:
        source: the uncompressed tar.
    """

    is_directory = True

    def __init__(self, source: BinaryIO | TarSource) -> None:
        self._reader = TarReader(source)

    def __iter__(self) -> Iterator[Item]:
        """The items; each is read to its end, or skipped, when the next is asked for."""
        for header in self._reader:
            if header.typeflag != TYPE_GLOBAL:
                yield self._item(header)
        if not self._reader.end_marker:
            raise Malformed(
                "tar",
                "it ends without an end marker, so it may have been cut",
                offset=self._reader.offset,
                finding="tar-unterminated",
            )

    def _item(self, header: TarHeader) -> Item:
        kind = _KINDS.get(header.typeflag, ItemKind.OTHER)
        shares: Parts = ()
        if kind is ItemKind.HARD_LINK:
            shares = split_tar_name(header.linkname)
        return Item(
            split_tar_name(header.name),
            kind,
            header.mtime_ns,
            header.atime_ns,
            header.size if kind is ItemKind.FILE else 0,
            decode_name(header.linkname) if kind is ItemKind.SYMLINK else "",
            shares,
            _xattrs(header),
            open=self._reader.open_body,
        )


def _xattrs(header: TarHeader) -> dict[str, bytes]:
    found = {}
    for key, value in header.pax.items():
        if key.startswith(XATTR_RECORD):
            name = decode_name(key.removeprefix(XATTR_RECORD))
            if ntfs3g.is_known(name):
                found[name] = value
    return found


class TarCopy:
    """One copy of a part of a view into a tar.

    Args:
        view: where the files are.
        target: takes the tar; left open.
        start: what is copied.
        keep: tell what only NTFS has too.
        on_loss: called with each thing that the tar does not tell.
        cancel: asked before each file and each block of content.
        progress: told the bytes of content written.
    """

    def __init__(
        self,
        view: View,
        target: BinaryIO | TarTarget,
        start: Node,
        *,
        keep: bool,
        on_loss: Callable[[Finding], None],
        cancel: Cancel,
        progress: Progress,
    ) -> None:
        self._view = view
        # Times of a copy are those of the source, so no clock is asked.
        self._tree = Tree(view, root="", clock_ns=lambda: 0, read_only=True)
        self._writer = TarWriter(target)
        self._start = start
        self._keep = keep
        self._on_loss = on_loss
        self._cancel = cancel
        self._progress = progress
        # Files that have several names, and the name of each in the tar.
        self._named: dict[tuple[str, int], bytes] = {}
        self.counts = CopyCounts()

    def run(self, name: str) -> None:
        """Write all, and the end of the tar.

        Args:
            name: of the start in the tar; ``""`` leaves it out and has what is in it at the top.
        """
        nodes: Iterator[Node] = iter((self._start,)) if name else iter(())
        if self._start.is_directory:
            nodes = chain(nodes, walk(self._view, self._start))
        above = len(self._start.path)
        for node in nodes:
            self._cancel.check()
            self._add(node, (name + node.path[above:]).lstrip("/"))
        self._writer.close()

    def _add(self, node: Node, name: str) -> None:
        try:
            found = self._view.resolve(node)
        except PathNotFound as error:
            self._on_loss(Finding("link-target-missing", node.path, str(error)))
            return
        raw_name = encode_name(name)
        key = found.layer_id, found.row
        if (first := self._named.get(key)) is not None:
            header = _bare_header(found, raw_name)
            header.typeflag, header.linkname = TYPE_LINK, first
            self._writer.add(header)
            self.counts.links += 1
            return
        if node.kind is EntryKind.LINK or node.flags & NODE_LINKED:
            self._named[key] = raw_name
        header = self._header(found, raw_name)
        if self._keep:
            self._tell_ntfs(header, node)
        else:
            entry = replace(self._view.entry(found), path=node.path)
            for finding in losses_of(entry, self._view.parts(found), form=Form.FOLDER):
                self._on_loss(finding)
        self._writer.add(header)
        if header.size:
            self._copy(found)

    def _header(self, node: Node, raw_name: bytes) -> TarHeader:
        """What a tar says of a node, hard links resolved; it is counted."""
        header = _bare_header(node, raw_name)
        if (target := self._link_target(node)) is not None:
            header.typeflag, header.linkname, header.mode = TYPE_SYMLINK, target, 0o777
            self.counts.links += 1
        elif node.kind is EntryKind.DIRECTORY:
            header.typeflag, header.name, header.mode = TYPE_DIRECTORY, raw_name + b"/", 0o755
            self.counts.directories += 1
        else:
            header.size = node.size
            self.counts.files += 1
            self.counts.size += node.size
        return header

    def _link_target(self, node: Node) -> bytes | None:
        if not node.is_reparse_point:
            return None
        try:
            return encode_name(self._tree.readlink(node.path))
        except (InvalidArgument, Malformed):
            return None  # it is no link, or none that can be read; the losses tell

    def _tell_ntfs(self, header: TarHeader, node: Node) -> None:
        values, left_out = copyxattrs.collect(self._tree, self._tree.stat(node.path))
        for name, value in values.items():
            header.pax[XATTR_RECORD + encode_name(name)] = value
        for stream in left_out:
            self._on_loss(
                Finding(
                    "stream-lost", node.path, f"{stream!r} is too big for an extended attribute"
                )
            )

    def _copy(self, node: Node) -> None:
        with self._view.open(node) as source:
            while block := source.read(_BLOCK_SIZE):
                self._cancel.check()
                self._writer.write(block)
                self._progress.advance(len(block))


def _bare_header(node: Node, raw_name: bytes) -> TarHeader:
    can_write = not node.attributes & FILE_ATTRIBUTE_READONLY
    return TarHeader(
        raw_name,
        TYPE_REGULAR,
        mode=0o644 if can_write else 0o444,
        mtime_ns=filetime_to_ns(node.write_filetime),
        format=TarFormat.PAX,
    )
