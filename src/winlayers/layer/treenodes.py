"""The nodes of a tree by their paths: what is there, what it is like, and whether it may be changed.

A tree is a directory of a view, the container's ``C:`` or the whole. What a name is like is remembered until
something of it, or in it, changes; so is the number of each file, which stays while the tree is open although
what is changed comes up from the layers below and lies elsewhere then.

The caller holds the lock of the tree, but for ``remembered``. This module refuses to know how anything is
changed.
"""

from __future__ import annotations

from typing import cast

from winlayers.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    NotFound,
    PathInUse,
    PathNotFound,
    ReadOnlyFile,
)
from winlayers.formats.reparse import TAG_MOUNT_POINT, TAG_SYMLINK, tag_of
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_READONLY,
    EntryKind,
)
from winlayers.layer.names import fold
from winlayers.layer.resolving import resolve_path, volume_of
from winlayers.layer.treerules import check_changeable, check_new_name, split_path
from winlayers.layer.treevalues import FileKind, Stat
from winlayers.layer.view import (
    NODE_LINKED,
    NODE_REPARSE,
    Node,
    Scratch,
    View,
    shown_attributes,
)

_LINK_KINDS = {TAG_SYMLINK: FileKind.SYMLINK, TAG_MOUNT_POINT: FileKind.JUNCTION}
# How many names are remembered; about 400 bytes each.
_REMEMBERED = 50_000


class TreeNodes:
    """What is below one directory of a view.

    Args:
        view: the view.
        root: path of the directory; ``""`` for the whole.
    Attributes:
        scratch: the view, if it is a scratch.
    """

    def __init__(self, view: View, root: str) -> None:
        self._view = view
        self.scratch = cast(Scratch, view) if hasattr(view, "set_metadata") else None
        self._root = split_path(root)
        # Characters before the path of a stat in that of its node.
        self._root_size = len("/".join(self._root)) + 1 if root else 0
        self._numbers = {layer_id: number for number, layer_id in enumerate(view.layer_ids)}
        # By folded path; who changes something takes out what it was about.
        self._stats: dict[str, Stat] = {}
        # Of nodes that came up from a layer below: their number there, by the one they have now.
        self._kept_ids: dict[int, int] = {}
        # How many have a node of the scratch open for writing: what it is like changes under our hands.
        self._writers: dict[int, int] = {}

    # -- finding -----------------------------------------------------------------------------------

    def place(self, path: str) -> list[str]:
        """The components of a path of the tree, from the root of the view."""
        return [*self._root, *split_path(path)]

    def lookup(self, path: str) -> Node | None:
        """What is at a path of the tree, or None."""
        return self._view.lookup("/".join(self.place(path)))

    def find(self, path: str) -> Node:
        """What is at a path of the tree.

        Raises:
            PathNotFound: nothing is.
        """
        node = self.lookup(path)
        if node is None:
            raise PathNotFound(f"{path!r} is not there")
        return node

    def changeable(self, path: str) -> Node:
        """What is at a path, if a layer can change it.

        Raises:
            PathNotFound: nothing is.
            ReadOnlyFile: it has a fixed place.
        """
        node = self.find(path)
        check_changeable(self.place(path))
        return node

    def named(self, path: str) -> Node:
        """What is at a path, if its name can be changed or taken away.

        Raises:
            PathNotFound: nothing is.
            PathInUse: the root of the tree is.
            ReadOnlyFile: it has a fixed place.
        """
        node = self.find(path)
        if not split_path(path):
            raise PathInUse("the root of the tree cannot be renamed or removed")
        check_changeable(self.place(path), is_name=True)
        return node

    def new_place(self, path: str) -> tuple[Node, str]:
        """The directory of a name that shall be made, and the name.

        Raises:
            AlreadyExists: it is the root of the tree.
            PathNotFound, NotADirectory: there is no directory to make it in.
            InvalidName, ReadOnlyFile: as ``treerules.check_new_name``.
        """
        place = self.place(path)
        if len(place) == len(self._root):
            raise AlreadyExists("the root of the tree is there already")
        directory = self._view.lookup("/".join(place[:-1]))
        if directory is None:
            raise PathNotFound(f"the directory of {path!r} is not there")
        if directory.is_reparse_point:
            raise PathNotFound(f"{directory.path!r} is a reparse point, and not followed")
        if not directory.is_directory:
            raise NotADirectory(f"{directory.path!r} is no directory")
        check_new_name(place)
        return directory, place[-1]

    def directory_of(self, node: Node) -> Node:
        """The directory that a node of the view is in."""
        directory = self._view.lookup(node.path.rpartition("/")[0])
        assert directory is not None, node.path
        return directory

    def has_stream(self, node: Node, stream: str) -> bool:
        """Whether a node has an alternate stream of this name."""
        folded = fold(stream)
        return any(fold(part.name) == folded for part in self._view.parts(node))

    def leads_to_directory(self, target: str, path: str) -> bool:
        """Whether a link to be made leads to a directory, as Windows will read its target.

        Args:
            target: POSIX text.
            path: of the link.
        """
        place = self.place(path)
        volume = volume_of(place) or 0
        folder = [] if target.startswith("/") else place[volume:-1]
        try:
            start = "/".join(place[:volume])
            found = resolve_path(self._view, "/".join([*folder, target]), start=start)
        except (NotFound, InvalidArgument):
            return False  # it leads nowhere yet
        return found.kind is EntryKind.DIRECTORY

    def free_name(self, directory: Node) -> str:
        """A name that a directory does not have."""
        taken = {node.folded for node in self._view.list(directory)}
        return next(name for n in range(len(taken) + 1) if fold(name := f"~{n}.tmp") not in taken)

    # -- what things are -----------------------------------------------------------------------------

    def stat(self, node: Node, *, is_open: bool = False) -> Stat:
        """What a node is like.

        Args:
            node: of the view, as it was looked up.
            is_open: whether it was told by an open content, and may have no name any more.
        """
        shown = node if node.kind is not EntryKind.LINK else self._view.resolve(node)
        is_directory = shown.kind is EntryKind.DIRECTORY
        attributes = shown_attributes(shown) & ~FILE_ATTRIBUTE_DIRECTORY
        if shown.flags & NODE_REPARSE:
            kind = self._reparse_kind(shown)
        else:
            kind = FileKind.DIRECTORY if is_directory else FileKind.FILE
        link_count = 1
        if self.scratch is not None and (is_open or node.flags & NODE_LINKED):
            link_count = self.scratch.link_count(node)
        path = node.path[self._root_size :]
        return Stat(
            path,
            node.name if path else "",
            kind,
            attributes | FILE_ATTRIBUTE_DIRECTORY if is_directory else attributes,
            shown.creation_filetime,
            shown.access_filetime,
            shown.write_filetime,
            shown.change_filetime,
            shown.size,
            link_count,
            self._file_id(node),
            shown.layer_id,
            is_directory,
        )

    def has_children(self, node: Node) -> bool:
        """Whether it is a directory to list, which a link to one is not."""
        if node.kind is not EntryKind.DIRECTORY:
            return False
        return not node.is_reparse_point or self._reparse_kind(node) is FileKind.REPARSE

    def _reparse_kind(self, node: Node) -> FileKind:
        tag = tag_of(self._view.entry(node).reparse)
        return _LINK_KINDS.get(tag, FileKind.REPARSE)

    # -- remembering ---------------------------------------------------------------------------------

    def remembered(self, key: str) -> Stat | None:
        """What is remembered under a key (see ``key_of``). Any thread may ask."""
        return self._stats.get(key)

    def remember(self, key: str, node: Node, stat: Stat) -> None:
        """Remember what a node is like, unless it is being written."""
        if self._writers and node.row in self._writers:
            return
        if len(self._stats) >= _REMEMBERED:
            self._stats.clear()
        self._stats[key] = stat

    def forget(self, node: Node) -> None:
        """Take out what is remembered of a node and the directories on its way, which may have come up."""
        if node.flags & NODE_LINKED:
            self.forget_all()
            return
        key = fold(node.path[self._root_size :])
        while key:
            self._stats.pop(key, None)
            key = key.rpartition("/")[0]
        self._stats.pop("", None)

    def forget_all(self) -> None:
        """Take out everything: many paths may have changed."""
        self._stats.clear()

    def changed(self, before: Node, after: Node) -> None:
        """Note that a node was changed, and with that may have come up from a layer below."""
        self.keep_id(before, after)
        self.forget(before)

    def opened(self, row: int) -> None:
        """Note that a node of the scratch is open for writing, once more."""
        self._writers[row] = self._writers.get(row, 0) + 1

    def let_go(self, row: int) -> None:
        """Note that a node of the scratch was closed by one who had it open for writing."""
        self._writers[row] -= 1
        if not self._writers[row]:
            del self._writers[row]

    def keep_id(self, before: Node, after: Node) -> None:
        """Have a node go on with the number that it had."""
        kept, number = self._file_id(before), self._numbered(after)
        if kept != number:
            self._kept_ids[number] = kept

    def _file_id(self, node: Node) -> int:
        number = self._numbered(node)
        return self._kept_ids.get(number, number)

    def _numbered(self, node: Node) -> int:
        """A number of a node: where it lies; of a directory where the lowest of it lies, which stays."""
        if node.stack:
            layer, row = node.stack[-1]
        else:
            layer, row = self._numbers.get(node.layer_id, 0), node.row
        return row * max(len(self._numbers), 1) + layer + 1

    # -- refusing ------------------------------------------------------------------------------------

    def check_not_read_only(self, path: str, node: Node) -> None:
        """Raises ReadOnlyFile where a node is marked READONLY."""
        if self._view.resolve(node).attributes & FILE_ATTRIBUTE_READONLY:
            raise ReadOnlyFile(f"{path!r} is marked READONLY")

    def check_empty(self, path: str, node: Node) -> None:
        """Raises DirectoryNotEmpty where something is in a directory."""
        if self._view.list(node):
            raise DirectoryNotEmpty(f"{path!r} is a directory that is not empty")

    def check_replaceable(self, node: Node, path: str, target: Node) -> None:
        """See that a node can take another's place.

        Args:
            node: what shall be there.
            path: where.
            target: what is there.
        Raises:
            IsADirectory, NotADirectory: one is a directory and the other is not.
            DirectoryNotEmpty: something is in the one to be replaced.
            ReadOnlyFile: it is marked READONLY.
        """
        if self.has_children(target):
            if not self.has_children(node):
                raise IsADirectory(f"{path!r} is a directory")
            self.check_empty(path, target)
        elif self.has_children(node):
            raise NotADirectory(f"{path!r} is no directory")
        self.check_not_read_only(path, target)


def key_of(path: str) -> str:
    """What a path of a tree is remembered under."""
    if "//" in path:
        path = "/".join(split_path(path))
    return fold(path.strip("/"))
