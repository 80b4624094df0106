"""A tree of files with the verbs of a file system and the rules of Windows, over a View or a Scratch.

    tree = Tree(scratch, clock_ns=time.time_ns)         # the container's C:
    tree.mkdir("/app")
    with closing(tree.open("/app/a.txt", writable=True, create=True)) as content:
        content.write_at(0, b"text")

Paths are ``str`` with ``/``, relative to the root of the tree; one ``/`` before them is allowed, ``""`` is the
root. No verb follows a link: what lies below one is not there (``layer.resolving`` finds where it leads).

What Windows does, and this does for whoever writes through it: names have no case but keep theirs; what is
new inherits its descriptor and is marked ARCHIVE; READONLY keeps from writing and removing; what happens in a
directory is the time of its last write, what happens to a file that of its change. Reading changes no time.

Any thread may call. One lock is held while names and metadata are looked at; contents are read and written
outside of it. Each verb that changes something is whole or absent after a crash. This module refuses to know
how a scratch keeps what it is given, and where views come from.

Source: [MS-FSA] (what a file system of Windows does when it is asked), [MS-DTYP] 2.5.3.4 (inheritance).
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
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
    ReadOnlyView,
    TooManyLinks,
)
from winlayers.formats.filetime import ns_to_filetime
from winlayers.formats.reparse import (
    TAG_MOUNT_POINT,
    TAG_SYMLINK,
    MountPoint,
    SymbolicLink,
    parse_reparse,
    tag_of,
)
from winlayers.formats.security import (
    SecurityDescriptor,
    build_descriptor,
    inherit,
    parse_descriptor,
)
from winlayers.formats.sids import ALIASES, SYSTEM
from winlayers.layer import posixlinks
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_READONLY,
    FILE_ATTRIBUTE_REPARSE_POINT,
    Entry,
    EntryKind,
    Part,
)
from winlayers.layer.names import FILES, fold
from winlayers.layer.resolving import resolve_path, volume_of
from winlayers.layer.streamnames import check_stream_name
from winlayers.layer.treecontents import SealedContent, WatchedContent
from winlayers.layer.treerules import (
    MAX_LINKS,
    check_changeable,
    check_ea,
    check_filetimes,
    check_new_name,
    check_reparse_data,
    check_security,
    new_attributes,
    split_path,
)
from winlayers.layer.treevalues import FileKind, Space, Stat, StreamInfo
from winlayers.layer.view import (
    NODE_LINKED,
    NODE_REPARSE,
    Content,
    Metadata,
    Node,
    Scratch,
    View,
    shown_attributes,
)

__all__ = ["FileKind", "Space", "Stat", "StreamInfo", "Tree"]

ADMINISTRATORS = ALIASES["BA"]
_LINK_KINDS = {TAG_SYMLINK: FileKind.SYMLINK, TAG_MOUNT_POINT: FileKind.JUNCTION}
# How many names the tree remembers what they are; about 400 bytes each.
_REMEMBERED = 50_000
_REMEMBERED_DESCRIPTORS = 1_000


class Tree:
    """The verbs over one view.

    Args:
        view: what to show; a ``Scratch`` takes changes. It stays the caller's to close, and while the tree
            is used nobody else changes it.
        root: the directory of the view that is the root: the container's ``C:``, or ``""`` to show the
            layer as it is in the tar, where the top and the hives cannot be changed.
        clock_ns: nanoseconds since 1970, for the times of what happens.
        read_only: refuse changes, whatever the view takes.
    """

    def __init__(
        self,
        view: View,
        *,
        root: str = FILES,
        clock_ns: Callable[[], int],
        read_only: bool = False,
    ) -> None:
        self._view = view
        self._own = cast(Scratch, view) if hasattr(view, "set_metadata") else None
        self._scratch = None if read_only else self._own
        self._root = split_path(root)
        # Characters before the path of a stat in that of its node.
        self._root_size = len("/".join(self._root)) + 1 if root else 0
        self._clock_ns = clock_ns
        self._lock = RLock()
        self._numbers = {layer_id: number for number, layer_id in enumerate(view.layer_ids)}
        # By folded path; who changes something takes out what it was about.
        self._stats: dict[str, Stat] = {}
        # Of nodes that came up from a layer below: their number there, by the one they have now.
        self._kept_ids: dict[int, int] = {}
        # How many have a node of the scratch open for writing: what it is like changes under our hands.
        self._writers: dict[int, int] = {}
        self._descriptors: dict[tuple[bytes, bool], bytes] = {}
        if self._scratch is not None and view.lookup(FILES) is None:
            entry = self._new_entry(view.root(), EntryKind.DIRECTORY)
            self._scratch.create(view.root(), FILES, entry)

    @property
    def is_writable(self) -> bool:
        """Whether anything can be changed."""
        return self._scratch is not None

    # -- looking -----------------------------------------------------------------------------------

    def stat(self, path: str) -> Stat:
        """What is at a path.

        Raises:
            PathNotFound: nothing is.
        """
        key = _key(path)
        found = self._stats.get(key)
        if found is not None:
            return found
        with self._lock:
            node = self._find(path)
            stat = self._stat(node)
            self._remember(key, node, stat)
            return stat

    def scandir(self, path: str) -> list[Stat]:
        """What is in a directory, in folded order.

        Raises:
            PathNotFound: nothing is at the path.
            NotADirectory: something else is.
        """
        key = _key(path)
        prefix = key + "/" if key else ""
        with self._lock:
            directory = self._find(path)
            if not self._has_children(directory):
                raise NotADirectory(f"{path!r} is no directory")
            stats = []
            for node in self._view.list(directory):
                stat = self._stat(node)
                self._remember(prefix + node.folded, node, stat)
                stats.append(stat)
            return stats

    def security(self, path: str) -> bytes:
        """The security descriptor, self-relative; ``b""`` for none."""
        return self._entry(path).security

    def ea(self, path: str) -> bytes:
        """The extended attributes, as a list of FILE_FULL_EA_INFORMATION; ``b""`` for none."""
        return self._entry(path).ea

    def reparse(self, path: str) -> bytes:
        """The whole reparse buffer; ``b""`` for none."""
        return self._entry(path).reparse

    def readlink(self, path: str) -> str:
        """Where a symbolic link or junction leads, as POSIX text that is right inside a mount.

        Returns:
            A relative path from the link's directory, that never leads out of the tree.
        Raises:
            InvalidArgument: it is no link.
            Malformed: its reparse data does not parse.
        """
        with self._lock:
            node = self._find(path)
            data = self._view.entry(self._view.resolve(node)).reparse
        link = parse_reparse(data) if data else None
        if not isinstance(link, (SymbolicLink, MountPoint)):
            raise InvalidArgument(f"{path!r} is no symbolic link and no junction")
        place = node.path.split("/")
        return posixlinks.posix_target(link, place[volume_of(place) or 0 : -1])

    def streams(self, path: str) -> list[StreamInfo]:
        """The alternate streams, in folded order."""
        with self._lock:
            parts = self._view.parts(self._find(path))
            named = [part for part in parts if part.name]
            return [StreamInfo(p.name, p.size) for p in sorted(named, key=lambda p: fold(p.name))]

    def statfs(self) -> Space:
        """How much the tree may hold and holds."""
        if self._own is None:
            return Space(0, 0, 0)
        held, total = self._own.held_size, self._own.quota
        return Space(total, max(total - held, 0), held)

    # -- contents ----------------------------------------------------------------------------------

    def open(
        self,
        path: str,
        *,
        writable: bool = False,
        create: bool = False,
        exclusive: bool = False,
        truncate: bool = False,
        stream: str = "",
    ) -> Content:
        """Open the data of a file, or an alternate stream of a file or directory.

        Args:
            path: where it is.
            writable: to write too.
            create: make the file, or the stream, if it is not there.
            exclusive: with ``create``: refuse if it is there.
            truncate: with ``writable``: have nothing in it.
            stream: bare name of the alternate stream, ``""`` for the data.
        Returns:
            The content, the caller's to close.
        Raises:
            PathNotFound: there is no such file or stream.
            AlreadyExists: it is there, and ``exclusive``.
            IsADirectory: the data of a directory was asked for.
            ReadOnlyFile: it is marked READONLY, or lies where nothing can be changed.
            ReadOnlyView: the tree takes no changes.
            InvalidName: no file or stream can have this name.
            NoSpace: there is no room for a new one.
        """
        with self._lock:
            if writable or create:
                self._writable()
            node = self._lookup(path)
            if node is None:
                if not create:
                    raise PathNotFound(f"{path!r} is not there")
                node = self._make(path, EntryKind.FILE)
            elif create and exclusive and not stream:
                raise AlreadyExists(f"{path!r} exists already")
            if stream and create:
                node = self._with_stream(path, node, stream, exclusive=exclusive)
            elif not stream and node.kind is EntryKind.DIRECTORY:
                raise IsADirectory(f"{path!r} is a directory")
            if not writable:
                return self._open_to_read(node, stream)
            content = self._open_to_write(path, node, stream)
        try:
            if truncate:
                content.truncate(0)
        except BaseException:
            content.close()
            raise
        return content

    def truncate(self, path: str, size: int) -> None:
        """Have a file be as long as ``size`` bytes; what is new is zeros. Raises as ``open``."""
        if size < 0:
            raise InvalidArgument(f"{path!r} cannot have {size} bytes")
        content = self.open(path, writable=True)
        try:
            content.truncate(size)
        finally:
            content.close()

    def fstat(self, content: Content) -> Stat:
        """What an open content of this tree is like now, whether or not it still has a name."""
        with self._lock:
            node = content.node()
            return self._stat(node, is_open=True)

    def remove_stream(self, path: str, stream: str) -> None:
        """Take an alternate stream away.

        Raises:
            PathNotFound: there is no such file or stream.
            ReadOnlyFile: it is marked READONLY.
            InUse: the stream is open.
        """
        with self._lock:
            scratch = self._writable()
            node = self._changeable(path)
            if not stream or self._stream_of(node, stream) is None:
                raise PathNotFound(f"{path!r} has no alternate stream {stream!r}")
            self._check_not_read_only(path, node)
            with scratch.together():
                changed = scratch.set_metadata(node, Metadata(change_filetime=self._now()))
                scratch.delete_stream(changed, stream)
            self._changed(node, changed)

    # -- making and removing names -----------------------------------------------------------------

    def mkdir(self, path: str) -> Stat:
        """Make a directory.

        Raises:
            AlreadyExists: something has the name.
            PathNotFound, NotADirectory: its directory is not there, or is none.
            InvalidName: Windows does not allow the name.
            ReadOnlyFile, ReadOnlyView: nothing can be made there.
            NoSpace: there is no room.
        """
        with self._lock:
            return self._stat(self._make(path, EntryKind.DIRECTORY))

    def link(self, target: str, path: str) -> Stat:
        """Give a file one more name.

        Args:
            target: the file.
            path: the new name.
        Raises:
            IsADirectory: the target is a directory, or a link to one.
            TooManyLinks: it has 1,024 names.
            PathNotFound: the target is not there; and as ``mkdir``.
        """
        with self._lock:
            scratch = self._writable()
            node = self._changeable(target)
            if node.kind is EntryKind.DIRECTORY:
                raise IsADirectory(f"{target!r} is a directory, and has one name only")
            if scratch.link_count(node) >= MAX_LINKS:
                raise TooManyLinks(f"{target!r} has {MAX_LINKS} names, as many as NTFS allows")
            directory, name = self._new_place(path)
            with scratch.together():
                directory = self._touch(directory)
                own = scratch.set_metadata(node, Metadata(change_filetime=self._now()))
                made = scratch.link(own, directory, name)
            self._changed(node, own)
            self._stats.clear()
            return self._stat(made)

    def symlink(self, target: str, path: str, *, is_directory: bool | None = None) -> Stat:
        """Make a symbolic link.

        Args:
            target: POSIX text; an absolute one begins at ``C:``.
            path: the link.
            is_directory: whether it leads to a directory, as Windows wants to know; None to look.
        Raises:
            InvalidName: the target is empty, too long, or holds a NUL; and as ``mkdir``.
        """
        data = posixlinks.symbolic_link(target)
        with self._lock:
            if is_directory is None:
                is_directory = self._leads_to_directory(target, path)
            kind = EntryKind.DIRECTORY if is_directory else EntryKind.FILE
            return self._stat(self._make(path, kind, reparse=data))

    def junction(self, target: str, path: str) -> Stat:
        """Make a junction.

        Args:
            target: an absolute path, from ``C:``.
            path: the junction.
        Raises:
            InvalidArgument: the target is relative; and as ``mkdir``.
        """
        data = posixlinks.junction(target)
        with self._lock:
            return self._stat(self._make(path, EntryKind.DIRECTORY, reparse=data))

    def unlink(self, path: str) -> None:
        """Take the name of a file or link away. What has it open goes on.

        Raises:
            PathNotFound: nothing has the name.
            IsADirectory: a directory has it.
            ReadOnlyFile: the file is marked READONLY, or has a fixed place.
        """
        with self._lock:
            node = self._named(path)
            if self._has_children(node):
                raise IsADirectory(f"{path!r} is a directory")
            self._remove(path, node)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory.

        Raises:
            PathNotFound: nothing has the name.
            NotADirectory: something else has it.
            DirectoryNotEmpty: something is in it.
            ReadOnlyFile: it is marked READONLY, or has a fixed place.
        """
        with self._lock:
            node = self._named(path)
            if not self._has_children(node):
                raise NotADirectory(f"{path!r} is no directory")
            self._check_empty(path, node)
            self._remove(path, node)

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        """Move a file, link, or directory with all that is in it; or change the case of its name.

        Args:
            old: where it is.
            new: where it shall be.
            replace: put it in the place of a file by a file, of an empty directory by a directory.
        Raises:
            AlreadyExists: something has the new name, and not ``replace``.
            IsADirectory, NotADirectory: one is a directory and the other is not.
            DirectoryNotEmpty: the directory to be replaced has something in it.
            ReadOnlyFile: what is to be replaced is marked READONLY; or one has a fixed place.
            InvalidArgument: a directory into itself.
            PathNotFound, InvalidName: as ``mkdir``.
        """
        with self._lock:
            scratch = self._writable()
            node = self._named(old)
            directory, name = self._new_place(new)
            target = self._lookup(new)
            if target is not None and _is_same_name(node, target):
                if node.name == name:
                    return
            elif target is not None:
                if not replace:
                    raise AlreadyExists(f"{new!r} exists already")
                if (node.layer_id, node.row) == (target.layer_id, target.row):
                    return  # two names of one file
                self._check_replaceable(node, new, target)
            _check_not_below(node, directory)
            with scratch.together():
                if target is not None and not _is_same_name(node, target):
                    self._mark_change_of_other_names(scratch, target)
                if node.path.rpartition("/")[0] != directory.path:
                    self._touch(self._directory_of(node))
                directory = self._touch(directory)
                own = scratch.set_metadata(node, Metadata(change_filetime=self._now()))
                moved = scratch.rename(own, directory, name)
            self._keep_id(node, moved)
            self._stats.clear()

    def exchange(self, one: str, other: str) -> None:
        """Swap two names.

        Raises:
            InvalidArgument: one is in the other.
            PathNotFound, ReadOnlyFile: as ``rename``.
        """
        with self._lock:
            scratch = self._writable()
            first, second = self._named(one), self._named(other)
            if _is_same_name(first, second):
                return
            first_place, second_place = self._directory_of(first), self._directory_of(second)
            _check_not_below(first, second_place)
            _check_not_below(second, first_place)
            aside = self._free_name(second_place)
            with scratch.together():
                first_place = self._touch(first_place)
                second_place = self._touch(second_place)
                now = Metadata(change_filetime=self._now())
                own_first = scratch.set_metadata(first, now)
                own_second = scratch.set_metadata(second, now)
                moved = scratch.rename(own_first, second_place, aside)
                scratch.rename(own_second, self._directory_of(first), first.name)
                scratch.rename(moved, self._directory_of(second), second.name)
            self._keep_id(first, own_first)
            self._keep_id(second, own_second)
            self._stats.clear()

    # -- metadata ----------------------------------------------------------------------------------

    def set_security(self, path: str, descriptor: bytes) -> None:
        """Set the security descriptor, whole; what is below a directory keeps its own.

        Raises:
            InvalidArgument: it does not parse.
            PathNotFound, ReadOnlyFile, ReadOnlyView: there is nothing, or nothing that can be changed.
        """
        check_security(path, descriptor)
        self._set(path, Metadata(change_filetime=self._now(), security=descriptor))

    def set_attributes(self, path: str, attributes: int) -> None:
        """Set FILE_ATTRIBUTE_*; those that say what a file is or how it is stored stay as they are.

        Raises:
            InvalidArgument: not 32 bits; and as ``set_security``.
        """
        with self._lock:
            present = self._view.resolve(self._find(path)).attributes
            wanted = new_attributes(present, attributes)
            self._set(path, Metadata(change_filetime=self._now(), attributes=wanted))

    def set_times(
        self,
        path: str,
        *,
        creation: int | None = None,
        access: int | None = None,
        write: int | None = None,
        change: int | None = None,
    ) -> None:
        """Set times, in 100 ns since 1601-01-01 UTC; None leaves one, but for that of the change: now.

        Raises:
            InvalidArgument: one is out of range; and as ``set_security``.
        """
        check_filetimes(creation, access, write, change)
        times = Metadata(
            creation_filetime=creation,
            access_filetime=access,
            write_filetime=write,
            change_filetime=self._now() if change is None else change,
        )
        self._set(path, times)

    def set_ea(self, path: str, ea: bytes) -> None:
        """Set all extended attributes, ``b""`` for none.

        Raises:
            InvalidArgument: they do not parse, or are too long; and as ``set_security``.
        """
        check_ea(path, ea)
        self._set(path, Metadata(change_filetime=self._now(), ea=ea))

    def set_reparse(self, path: str, data: bytes) -> None:
        """Make a file or empty directory a reparse point, or with ``b""`` an ordinary one again.

        Raises:
            InvalidArgument: the data does not parse, or is not for this kind of file.
            DirectoryNotEmpty: something is in the directory; and as ``set_security``.
        """
        with self._lock:
            node = self._view.resolve(self._find(path))
            if data:
                is_directory = node.kind is EntryKind.DIRECTORY
                check_reparse_data(path, data, is_directory=is_directory)
                self._check_empty(path, node)
            attributes = node.attributes & ~FILE_ATTRIBUTE_REPARSE_POINT
            attributes |= FILE_ATTRIBUTE_REPARSE_POINT if data else 0
            now = self._now()
            self._set(path, Metadata(attributes, change_filetime=now, reparse=data))

    def sync(self) -> None:
        """Bring all that was changed to the disk."""
        if self._scratch is not None:
            self._scratch.sync()

    # -- inside: finding; the lock is held -----------------------------------------------------------

    def _place(self, path: str) -> list[str]:
        return [*self._root, *split_path(path)]

    def _lookup(self, path: str) -> Node | None:
        return self._view.lookup("/".join(self._place(path)))

    def _find(self, path: str) -> Node:
        node = self._lookup(path)
        if node is None:
            raise PathNotFound(f"{path!r} is not there")
        return node

    def _changeable(self, path: str) -> Node:
        """What is at a path, if a layer can change it."""
        node = self._find(path)
        check_changeable(self._place(path))
        return node

    def _named(self, path: str) -> Node:
        """What is at a path, if its name can be changed or taken away."""
        self._writable()
        node = self._find(path)
        if not split_path(path):
            raise PathInUse("the root of the tree cannot be renamed or removed")
        check_changeable(self._place(path), is_name=True)
        return node

    def _new_place(self, path: str) -> tuple[Node, str]:
        """The directory of a name that shall be made, and the name."""
        place = self._place(path)
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

    def _directory_of(self, node: Node) -> Node:
        directory = self._view.lookup(node.path.rpartition("/")[0])
        assert directory is not None, node.path
        return directory

    def _entry(self, path: str) -> Entry:
        with self._lock:
            return self._view.entry(self._view.resolve(self._find(path)))

    def _stream_of(self, node: Node, stream: str) -> Part | None:
        folded = fold(stream)
        for part in self._view.parts(node):
            if fold(part.name) == folded:
                return part
        return None

    def _leads_to_directory(self, target: str, path: str) -> bool:
        """Whether a new link will lead to a directory, as Windows will read its target."""
        place = self._place(path)
        volume = volume_of(place) or 0
        folder = [] if target.startswith("/") else place[volume:-1]
        try:
            start = "/".join(place[:volume])
            found = resolve_path(self._view, "/".join([*folder, target]), start=start)
        except (NotFound, InvalidArgument):
            return False  # it leads nowhere yet
        return found.kind is EntryKind.DIRECTORY

    def _free_name(self, directory: Node) -> str:
        taken = {node.folded for node in self._view.list(directory)}
        return next(name for n in range(len(taken) + 1) if fold(name := f"~{n}.tmp") not in taken)

    # -- inside: what things are -----------------------------------------------------------------------

    def _stat(self, node: Node, *, is_open: bool = False) -> Stat:
        shown = node if node.kind is not EntryKind.LINK else self._view.resolve(node)
        is_directory = shown.kind is EntryKind.DIRECTORY
        attributes = shown_attributes(shown) & ~FILE_ATTRIBUTE_DIRECTORY
        if shown.flags & NODE_REPARSE:
            kind = self._reparse_kind(shown)
        else:
            kind = FileKind.DIRECTORY if is_directory else FileKind.FILE
        link_count = 1
        if self._own is not None and (is_open or node.flags & NODE_LINKED):
            link_count = self._own.link_count(node)
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

    def _reparse_kind(self, node: Node) -> FileKind:
        tag = tag_of(self._view.entry(node).reparse)
        return _LINK_KINDS.get(tag, FileKind.REPARSE)

    def _has_children(self, node: Node) -> bool:
        """Whether it is a directory to list, which a link to one is not."""
        if node.kind is not EntryKind.DIRECTORY:
            return False
        return not node.is_reparse_point or self._reparse_kind(node) is FileKind.REPARSE

    def _file_id(self, node: Node) -> int:
        number = self._numbered(node)
        return self._kept_ids.get(number, number)

    def _numbered(self, node: Node) -> int:
        """A number of a node: where it lies; of a directory where the lowest of it lies.

        What is changed comes up into the scratch and lies elsewhere. The lowest of a directory never does;
        of files ``_keep_id`` remembers the first number.
        """
        if node.stack:
            layer, row = node.stack[-1]
        else:
            layer, row = self._numbers.get(node.layer_id, 0), node.row
        return row * max(len(self._numbers), 1) + layer + 1

    def _keep_id(self, before: Node, after: Node) -> None:
        kept, number = self._file_id(before), self._numbered(after)
        if kept != number:
            self._kept_ids[number] = kept

    def _remember(self, key: str, node: Node, stat: Stat) -> None:
        if self._writers and node.row in self._writers:
            return
        if len(self._stats) >= _REMEMBERED:
            self._stats.clear()
        self._stats[key] = stat

    def _forget(self, node: Node) -> None:
        """Take out what is remembered of a node and the directories on its way, which may have come up."""
        if node.flags & NODE_LINKED:
            self._stats.clear()
            return
        key = fold(node.path[self._root_size :])
        while key:
            self._stats.pop(key, None)
            key = key.rpartition("/")[0]
        self._stats.pop("", None)

    # -- inside: refusing --------------------------------------------------------------------------------

    def _writable(self) -> Scratch:
        if self._scratch is None:
            raise ReadOnlyView(
                "this tree cannot be changed; make a scratch on the layer to change it"
            )
        return self._scratch

    def _check_not_read_only(self, path: str, node: Node) -> None:
        if self._view.resolve(node).attributes & FILE_ATTRIBUTE_READONLY:
            raise ReadOnlyFile(f"{path!r} is marked READONLY")

    def _check_empty(self, path: str, node: Node) -> None:
        if self._view.list(node):
            raise DirectoryNotEmpty(f"{path!r} is a directory that is not empty")

    def _check_replaceable(self, node: Node, path: str, target: Node) -> None:
        if self._has_children(target):
            if not self._has_children(node):
                raise IsADirectory(f"{path!r} is a directory")
            self._check_empty(path, target)
        elif self._has_children(node):
            raise NotADirectory(f"{path!r} is no directory")
        self._check_not_read_only(path, target)

    # -- inside: changing ----------------------------------------------------------------------------------

    def _now(self) -> int:
        return ns_to_filetime(self._clock_ns())

    def _touch(self, directory: Node) -> Node:
        """Note that something happened in a directory."""
        now = self._now()
        times = Metadata(write_filetime=now, change_filetime=now)
        return self._writable().set_metadata(directory, times)

    def _set(self, path: str, metadata: Metadata) -> None:
        with self._lock:
            scratch = self._writable()
            node = self._changeable(path)
            self._changed(node, scratch.set_metadata(node, metadata))

    def _changed(self, before: Node, after: Node) -> None:
        self._keep_id(before, after)
        self._forget(before)

    def _make(self, path: str, kind: EntryKind, *, reparse: bytes = b"") -> Node:
        scratch = self._writable()
        directory, name = self._new_place(path)
        with scratch.together():
            directory = self._touch(directory)
            node = scratch.create(directory, name, self._new_entry(directory, kind, reparse))
        self._forget(node)
        return node

    def _new_entry(self, directory: Node, kind: EntryKind, reparse: bytes = b"") -> Entry:
        is_directory = kind is EntryKind.DIRECTORY
        now = self._now()
        return Entry(
            "",
            kind,
            (FILE_ATTRIBUTE_DIRECTORY if is_directory else FILE_ATTRIBUTE_ARCHIVE)
            | (FILE_ATTRIBUTE_REPARSE_POINT if reparse else 0),
            now,
            now,
            now,
            now,
            security=self._inherited(directory, is_directory=is_directory),
            reparse=reparse,
        )

    def _inherited(self, directory: Node, *, is_directory: bool) -> bytes:
        """The descriptor of what is made in a directory."""
        above = self._view.entry(directory).security
        known = self._descriptors.get((above, is_directory))
        if known is None:
            parent = parse_descriptor(above) if above else SecurityDescriptor()
            child = inherit(parent, is_directory=is_directory, owner=ADMINISTRATORS, group=SYSTEM)
            known = build_descriptor(child)
            if len(self._descriptors) >= _REMEMBERED_DESCRIPTORS:
                self._descriptors.clear()
            self._descriptors[above, is_directory] = known
        return known

    def _with_stream(self, path: str, node: Node, stream: str, *, exclusive: bool) -> Node:
        """A node that has an alternate stream, which is made if it is not there."""
        if self._stream_of(node, stream) is not None:
            if exclusive:
                raise AlreadyExists(f"{path!r} has an alternate stream {stream!r} already")
            return node
        scratch = self._writable()
        check_stream_name(stream, path)
        check_changeable(self._place(path))
        self._check_not_read_only(path, node)
        with scratch.together():
            own = scratch.set_metadata(node, Metadata(change_filetime=self._now()))
            scratch.create_stream(own, stream)
        self._changed(node, own)
        return self._find(path)

    def _remove(self, path: str, node: Node) -> None:
        scratch = self._writable()
        self._check_not_read_only(path, node)
        with scratch.together():
            self._mark_change_of_other_names(scratch, node)
            self._touch(self._directory_of(node))
            scratch.delete(node)
        self._forget(node)

    def _mark_change_of_other_names(self, scratch: Scratch, node: Node) -> None:
        if node.flags & NODE_LINKED:
            scratch.set_metadata(node, Metadata(change_filetime=self._now()))

    def _open_to_read(self, node: Node, stream: str) -> Content:
        if self._own is not None:
            return self._own.open_content(node, stream)
        return SealedContent(node, self._view.open(node, stream))

    def _open_to_write(self, path: str, node: Node, stream: str) -> Content:
        scratch = self._writable()
        check_changeable(self._place(path))
        self._check_not_read_only(path, node)
        content = scratch.open_content(node, stream, writable=True)
        own = content.node()
        self._changed(node, own)
        self._writers[own.row] = self._writers.get(own.row, 0) + 1
        return WatchedContent(content, lambda: self._let_go(own.row))

    def _let_go(self, row: int) -> None:
        with self._lock:
            self._writers[row] -= 1
            if not self._writers[row]:
                del self._writers[row]


def _key(path: str) -> str:
    """What a path is remembered under."""
    if "//" in path:
        path = "/".join(split_path(path))
    return fold(path.strip("/"))


def _is_same_name(one: Node, other: Node) -> bool:
    return fold(one.path) == fold(other.path)


def _check_not_below(node: Node, directory: Node) -> None:
    if (fold(directory.path) + "/").startswith(fold(node.path) + "/"):
        raise InvalidArgument(f"{node.path!r} cannot be moved into itself")
