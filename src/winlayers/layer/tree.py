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

from winlayers.errors import (
    AlreadyExists,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    PathNotFound,
    ReadOnlyView,
    TooManyLinks,
)
from winlayers.formats.filetime import ns_to_filetime
from winlayers.formats.reparse import (
    MountPoint,
    SymbolicLink,
    parse_reparse,
)
from winlayers.layer import posixlinks
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_REPARSE_POINT,
    Entry,
    EntryKind,
)
from winlayers.layer.names import FILES, fold
from winlayers.layer.newentries import NewEntries
from winlayers.layer.resolving import volume_of
from winlayers.layer.streamnames import check_stream_name
from winlayers.layer.treecontents import SealedContent, WatchedContent
from winlayers.layer.treenodes import TreeNodes, key_of
from winlayers.layer.treerules import (
    MAX_LINKS,
    check_changeable,
    check_ea,
    check_filetimes,
    check_reparse_data,
    check_security,
    new_attributes,
)
from winlayers.layer.treevalues import FileKind, Space, Stat, StreamInfo
from winlayers.layer.view import (
    NODE_LINKED,
    Content,
    Metadata,
    Node,
    Scratch,
    View,
)

__all__ = ["FileKind", "Space", "Stat", "StreamInfo", "Tree"]


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
        self._nodes = TreeNodes(view, root)
        self._new = NewEntries()
        self._scratch = None if read_only else self._nodes.scratch
        self._clock_ns = clock_ns
        self._lock = RLock()
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
        key = key_of(path)
        found = self._nodes.remembered(key)
        if found is not None:
            return found
        with self._lock:
            node = self._nodes.find(path)
            stat = self._nodes.stat(node)
            self._nodes.remember(key, node, stat)
            return stat

    def scandir(self, path: str) -> list[Stat]:
        """What is in a directory, in folded order.

        Raises:
            PathNotFound: nothing is at the path.
            NotADirectory: something else is.
        """
        key = key_of(path)
        prefix = key + "/" if key else ""
        with self._lock:
            directory = self._nodes.find(path)
            if not self._nodes.has_children(directory):
                raise NotADirectory(f"{path!r} is no directory")
            stats = []
            for node in self._view.list(directory):
                stat = self._nodes.stat(node)
                self._nodes.remember(prefix + node.folded, node, stat)
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
            node = self._nodes.find(path)
            data = self._view.entry(self._view.resolve(node)).reparse
        link = parse_reparse(data) if data else None
        if not isinstance(link, (SymbolicLink, MountPoint)):
            raise InvalidArgument(f"{path!r} is no symbolic link and no junction")
        place = node.path.split("/")
        return posixlinks.posix_target(link, place[volume_of(place) or 0 : -1])

    def streams(self, path: str) -> list[StreamInfo]:
        """The alternate streams, in folded order."""
        with self._lock:
            parts = self._view.parts(self._nodes.find(path))
            named = [part for part in parts if part.name]
            return [StreamInfo(p.name, p.size) for p in sorted(named, key=lambda p: fold(p.name))]

    def statfs(self) -> Space:
        """How much the tree may hold and holds."""
        if self._nodes.scratch is None:
            return Space(0, 0, 0)
        held, total = self._nodes.scratch.held_size, self._nodes.scratch.quota
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
            node = self._nodes.lookup(path)
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
            return self._nodes.stat(node, is_open=True)

    def remove_stream(self, path: str, stream: str) -> None:
        """Take an alternate stream away.

        Raises:
            PathNotFound: there is no such file or stream.
            ReadOnlyFile: it is marked READONLY.
            InUse: the stream is open.
        """
        with self._lock:
            scratch = self._writable()
            node = self._nodes.changeable(path)
            if not stream or not self._nodes.has_stream(node, stream):
                raise PathNotFound(f"{path!r} has no alternate stream {stream!r}")
            self._nodes.check_not_read_only(path, node)
            with scratch.together():
                changed = scratch.set_metadata(node, Metadata(change_filetime=self._now()))
                scratch.delete_stream(changed, stream)
            self._nodes.changed(node, changed)

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
            return self._nodes.stat(self._make(path, EntryKind.DIRECTORY))

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
            node = self._nodes.changeable(target)
            if node.kind is EntryKind.DIRECTORY:
                raise IsADirectory(f"{target!r} is a directory, and has one name only")
            if scratch.link_count(node) >= MAX_LINKS:
                raise TooManyLinks(f"{target!r} has {MAX_LINKS} names, as many as NTFS allows")
            directory, name = self._nodes.new_place(path)
            with scratch.together():
                directory = self._touch(directory)
                own = scratch.set_metadata(node, Metadata(change_filetime=self._now()))
                made = scratch.link(own, directory, name)
            self._nodes.changed(node, own)
            self._nodes.forget_all()
            return self._nodes.stat(made)

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
                is_directory = self._nodes.leads_to_directory(target, path)
            kind = EntryKind.DIRECTORY if is_directory else EntryKind.FILE
            return self._nodes.stat(self._make(path, kind, reparse=data))

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
            return self._nodes.stat(self._make(path, EntryKind.DIRECTORY, reparse=data))

    def unlink(self, path: str) -> None:
        """Take the name of a file or link away. What has it open goes on.

        Raises:
            PathNotFound: nothing has the name.
            IsADirectory: a directory has it.
            ReadOnlyFile: the file is marked READONLY, or has a fixed place.
        """
        with self._lock:
            self._writable()
            node = self._nodes.named(path)
            if self._nodes.has_children(node):
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
            self._writable()
            node = self._nodes.named(path)
            if not self._nodes.has_children(node):
                raise NotADirectory(f"{path!r} is no directory")
            self._nodes.check_empty(path, node)
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
            node = self._nodes.named(old)
            directory, name = self._nodes.new_place(new)
            target = self._nodes.lookup(new)
            if target is not None and _is_same_name(node, target):
                if node.name == name:
                    return
            elif target is not None:
                if not replace:
                    raise AlreadyExists(f"{new!r} exists already")
                if (node.layer_id, node.row) == (target.layer_id, target.row):
                    return  # two names of one file
                self._nodes.check_replaceable(node, new, target)
            _check_not_below(node, directory)
            with scratch.together():
                if target is not None and not _is_same_name(node, target):
                    self._mark_change_of_other_names(scratch, target)
                if node.path.rpartition("/")[0] != directory.path:
                    self._touch(self._nodes.directory_of(node))
                directory = self._touch(directory)
                own = scratch.set_metadata(node, Metadata(change_filetime=self._now()))
                moved = scratch.rename(own, directory, name)
            self._nodes.keep_id(node, moved)
            self._nodes.forget_all()

    def exchange(self, one: str, other: str) -> None:
        """Swap two names.

        Raises:
            InvalidArgument: one is in the other.
            PathNotFound, ReadOnlyFile: as ``rename``.
        """
        with self._lock:
            scratch = self._writable()
            first, second = self._nodes.named(one), self._nodes.named(other)
            if _is_same_name(first, second):
                return
            first_place = self._nodes.directory_of(first)
            second_place = self._nodes.directory_of(second)
            _check_not_below(first, second_place)
            _check_not_below(second, first_place)
            aside = self._nodes.free_name(second_place)
            with scratch.together():
                first_place = self._touch(first_place)
                second_place = self._touch(second_place)
                now = Metadata(change_filetime=self._now())
                own_first = scratch.set_metadata(first, now)
                own_second = scratch.set_metadata(second, now)
                moved = scratch.rename(own_first, second_place, aside)
                scratch.rename(own_second, self._nodes.directory_of(first), first.name)
                scratch.rename(moved, self._nodes.directory_of(second), second.name)
            self._nodes.keep_id(first, own_first)
            self._nodes.keep_id(second, own_second)
            self._nodes.forget_all()

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
            present = self._view.resolve(self._nodes.find(path)).attributes
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
            node = self._view.resolve(self._nodes.find(path))
            if data:
                is_directory = node.kind is EntryKind.DIRECTORY
                check_reparse_data(path, data, is_directory=is_directory)
                self._nodes.check_empty(path, node)
            attributes = node.attributes & ~FILE_ATTRIBUTE_REPARSE_POINT
            attributes |= FILE_ATTRIBUTE_REPARSE_POINT if data else 0
            now = self._now()
            self._set(path, Metadata(attributes, change_filetime=now, reparse=data))

    def sync(self) -> None:
        """Bring all that was changed to the disk."""
        if self._scratch is not None:
            self._scratch.sync()

    def publish(self) -> None:
        """Have others who look at the scratch see all that was changed until now."""
        if self._scratch is not None:
            self._scratch.publish()

    # -- inside; the lock is held -----------------------------------------------------------------------

    def _entry(self, path: str) -> Entry:
        with self._lock:
            return self._view.entry(self._view.resolve(self._nodes.find(path)))

    def _writable(self) -> Scratch:
        if self._scratch is None:
            raise ReadOnlyView(
                "this tree cannot be changed; make a scratch on the layer to change it"
            )
        return self._scratch

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
            node = self._nodes.changeable(path)
            self._nodes.changed(node, scratch.set_metadata(node, metadata))

    def _make(self, path: str, kind: EntryKind, *, reparse: bytes = b"") -> Node:
        scratch = self._writable()
        directory, name = self._nodes.new_place(path)
        with scratch.together():
            directory = self._touch(directory)
            node = scratch.create(directory, name, self._new_entry(directory, kind, reparse))
        self._nodes.forget(node)
        return node

    def _new_entry(self, directory: Node, kind: EntryKind, reparse: bytes = b"") -> Entry:
        above = self._view.entry(directory).security
        return self._new.entry(kind, above, self._now(), reparse)

    def _with_stream(self, path: str, node: Node, stream: str, *, exclusive: bool) -> Node:
        """A node that has an alternate stream, which is made if it is not there."""
        if self._nodes.has_stream(node, stream):
            if exclusive:
                raise AlreadyExists(f"{path!r} has an alternate stream {stream!r} already")
            return node
        scratch = self._writable()
        check_stream_name(stream, path)
        check_changeable(self._nodes.place(path))
        self._nodes.check_not_read_only(path, node)
        with scratch.together():
            own = scratch.set_metadata(node, Metadata(change_filetime=self._now()))
            scratch.create_stream(own, stream)
        self._nodes.changed(node, own)
        return self._nodes.find(path)

    def _remove(self, path: str, node: Node) -> None:
        scratch = self._writable()
        self._nodes.check_not_read_only(path, node)
        with scratch.together():
            self._mark_change_of_other_names(scratch, node)
            self._touch(self._nodes.directory_of(node))
            scratch.delete(node)
        self._nodes.forget(node)

    def _mark_change_of_other_names(self, scratch: Scratch, node: Node) -> None:
        if node.flags & NODE_LINKED:
            scratch.set_metadata(node, Metadata(change_filetime=self._now()))

    def _open_to_read(self, node: Node, stream: str) -> Content:
        if self._nodes.scratch is not None:
            return self._nodes.scratch.open_content(node, stream)
        return SealedContent(node, self._view.open(node, stream))

    def _open_to_write(self, path: str, node: Node, stream: str) -> Content:
        scratch = self._writable()
        check_changeable(self._nodes.place(path))
        self._nodes.check_not_read_only(path, node)
        content = scratch.open_content(node, stream, writable=True)
        own = content.node()
        self._nodes.changed(node, own)
        self._nodes.opened(own.row)
        return WatchedContent(content, lambda: self._let_go(own.row))

    def _let_go(self, row: int) -> None:
        with self._lock:
            self._nodes.let_go(row)


def _is_same_name(one: Node, other: Node) -> bool:
    return fold(one.path) == fold(other.path)


def _check_not_below(node: Node, directory: Node) -> None:
    if (fold(directory.path) + "/").startswith(fold(node.path) + "/"):
        raise InvalidArgument(f"{node.path!r} cannot be moved into itself")
