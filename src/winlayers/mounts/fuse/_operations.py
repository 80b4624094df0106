"""What libfuse asks, answered by the verbs of a tree.

Paths come as the kernel has them, from ``/``; where a call is about something open there may be a handle
instead of a path. Errors leave as they are, ``_errno`` makes numbers of them. What POSIX has and Windows
has not is taken without complaint where programs do not depend on it (owners, most bits of the mode), and
refused where they do (pipes, devices).

A file made with a mode that forbids writing gets no READONLY: who makes it is going to write it, and means
to be able to delete it. Only ``chmod`` sets it. This module knows nothing of ctypes and needs no libfuse.
Source: libfuse's fuse.h; rename(2), open(2), fallocate(2).
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from winlayers.errors import PathNotFound, WinlayersError
from winlayers.formats.filetime import ns_to_filetime
from winlayers.layer.entry import FILE_ATTRIBUTE_READONLY
from winlayers.layer.names import encode_name
from winlayers.layer.tree import FileKind, Stat, Tree
from winlayers.mounts.fuse import _xattrs
from winlayers.mounts.fuse._handles import FileHandle, FolderHandle, HandleTable, Listed
from winlayers.mounts.fuse._posixstat import OWNER_WRITES, PosixStat, is_link, posix_stat
from winlayers.mounts.fuse._twins import Twins

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
FALLOCATE_PLAIN = 0

#: Bytes that a file system counts its space in.
BLOCK_SIZE = 4096
MAX_NAME = 255
# Bytes of the quota that a name of the scratch's own counts for.
_NAME_COST = 1024
# Names whose listings are kept, at about 500 bytes each.
_MAX_LISTED = 50_000
_log = logging.getLogger("winlayers.mounts")


class Statvfs(NamedTuple):
    """What statvfs(3) tells, in blocks of ``BLOCK_SIZE``; ``file_count`` may still be made."""

    total_blocks: int
    free_blocks: int
    file_count: int


class Operations:
    """One tree, for libfuse.

    Args:
        tree: what to show.
        clock_ns: nanoseconds since 1970, for programs that set a time to now.
        disk_space: bytes that the disk has below the tree, all and free.
    """

    # Time as whole nanoseconds; and no path where there is a handle, which saves libfuse to build it.
    use_ns = True
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(
        self,
        tree: Tree,
        *,
        clock_ns: Callable[[], int],
        disk_space: Callable[[], tuple[int, int]],
    ) -> None:
        self._tree = tree
        self._clock_ns = clock_ns
        self._disk_space = disk_space
        self._handles = HandleTable()
        self._twins = Twins()
        # By path, until anything changes: a folder that was listed is often listed again.
        self._listings: dict[str, list[Listed]] = {}
        self._listed_count = 0
        # Files that setting an attribute made something of another type.
        self._retyped: set[str] = set()
        self.on_stale: Callable[[set[str], bool], None] = _nobody
        """Called with paths of which the kernel shall forget what it knows, and whether to wait for that."""

    # -- looking -----------------------------------------------------------------------------------

    def getattr(self, path: str | None, number: int | None = None) -> PosixStat:
        if number is not None:
            return self._stat_open(self._handles.file(number))
        assert path is not None
        if (hidden := self._handles.hidden(path)) is not None:
            return self._stat_open(hidden)
        if self._retyped:
            self._check_type(path)
        told = self._tree.stat(path)
        if self._tree.is_writable:
            self._note(path, told)
        return self._posix(told)

    def opendir(self, path: str) -> int:
        return self._handles.add(FolderHandle(path))

    def readdir(self, number: int, offset: int) -> Iterator[Listed]:
        """What a folder has from a position on; read anew at its start."""
        handle = self._handles.folder(number)
        if offset == 0:
            handle.listing = self._listed(handle.path)
        listing = handle.listing
        return map(listing.__getitem__, range(offset, len(listing)))

    def releasedir(self, path: str | None, number: int) -> None:
        self._handles.remove(number)

    def fsyncdir(self, path: str | None, datasync: int, number: int) -> None:
        self._tree.sync()

    def readlink(self, path: str) -> str:
        return self._tree.readlink(path)

    def statfs(self, path: str) -> Statvfs:
        """The quota, or the disk where there is none or less is free; nothing of what takes no writes."""
        if not self._tree.is_writable:
            return Statvfs(0, 0, 0)
        space = self._tree.statfs()
        total, free = self._disk_space()
        if space.total:
            total, free = space.total, min(space.free, free)
        return Statvfs(total // BLOCK_SIZE, free // BLOCK_SIZE, free // _NAME_COST)

    # -- names -------------------------------------------------------------------------------------

    def mknod(self, path: str, mode: int, device: int) -> None:
        if not stat.S_ISREG(mode):
            raise OSError(errno.EPERM, "Windows has files, folders and links only")
        self._tree.open(path, writable=True, create=True, exclusive=True).close()
        self._changed(_above(path))

    def mkdir(self, path: str, mode: int) -> None:
        self._tree.mkdir(path)
        self._changed(_above(path))

    def unlink(self, path: str) -> None:
        if self._handles.hidden(path) is None:
            self._tree.unlink(path)
            self._changed(path, _above(path))
            self._twins.remove(path)

    def rmdir(self, path: str) -> None:
        self._tree.rmdir(path)
        self._changed(path, _above(path))
        self._twins.remove(path)

    def symlink(self, path: str, target: str) -> None:
        self._tree.symlink(target, path)
        self._changed(_above(path))

    def link(self, path: str, target: str) -> None:
        made = self._tree.link(target, path)
        self._twins.note(made.file_id, target, path)
        self._changed(path, _above(path))

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise OSError(errno.EINVAL, "unknown flags of rename")
        if self._handles.is_hiding(old, new):
            self._tree.unlink(old)
            self._handles.hide(old, new)
            self._changed(old, _above(old))
            self._twins.remove(old)
        elif flags & RENAME_EXCHANGE:
            self._tree.exchange(old, new)
            # No path has a NUL, so this one is nobody's.
            self._moved((old, "\0"), (new, old), ("\0", new))
        else:
            self._tree.rename(old, new, replace=not flags & RENAME_NOREPLACE)
            self._changed(new)
            self._twins.remove(new)
            self._moved((old, new))

    # -- metadata ----------------------------------------------------------------------------------

    def chmod(self, path: str | None, mode: int, number: int | None = None) -> None:
        """Have READONLY follow the owner's write bit; of a folder it means nothing to Windows."""
        path = self._handles.path(path, number)
        if self._handles.hidden(path) is not None:
            return
        told = self._tree.stat(path)
        wanted = told.attributes & ~FILE_ATTRIBUTE_READONLY
        if not mode & OWNER_WRITES:
            wanted |= FILE_ATTRIBUTE_READONLY
        if told.kind is FileKind.FILE and wanted != told.attributes:
            self._tree.set_attributes(path, wanted)
            self._changed(path)

    def chown(self, path: str | None, uid: int, gid: int, number: int | None = None) -> None:
        """Nothing: owners of Windows are in the descriptor."""

    def utimens(
        self,
        path: str | None,
        access_ns: int | None,
        write_ns: int | None,
        number: int | None = None,
    ) -> None:
        """Set the times of access and of writing; None leaves one as it is."""
        path = self._handles.path(path, number)
        if self._handles.hidden(path) is not None:
            return
        self._tree.set_times(
            path,
            access=None if access_ns is None else ns_to_filetime(access_ns),
            write=None if write_ns is None else ns_to_filetime(write_ns),
        )
        self._changed(path)

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._clock_ns()

    def listxattr(self, path: str) -> list[str]:
        return _xattrs.names(self._tree, path)

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        return _xattrs.read(self._tree, path, name)

    def setxattr(self, path: str, name: str, value: bytes, flags: int, position: int = 0) -> None:
        before = self._tree.stat(path).kind
        _xattrs.write(self._tree, path, name, value, flags)
        self._tell_type(path, before)

    def removexattr(self, path: str, name: str) -> None:
        before = self._tree.stat(path).kind
        _xattrs.remove(self._tree, path, name)
        self._tell_type(path, before)

    # -- contents ----------------------------------------------------------------------------------

    def create(self, path: str, mode: int, flags: int) -> int:
        number = self._open(path, flags, create=True)
        self._changed(_above(path))
        return number

    def open(self, path: str, flags: int) -> int:
        if self._handles.hidden(path) is not None:
            # By way of /proc/self/fd.
            raise OSError(errno.ESTALE, "the file has no name any more")
        try:
            return self._open(path, flags, create=False)
        except PathNotFound as error:
            # The kernel opens what it has found; if that is gone under another spelling, this has it look.
            raise OSError(errno.ESTALE, str(error)) from error

    def read(self, path: str | None, size: int, offset: int, number: int) -> bytes:
        return self._handles.file(number).content.read_at(offset, size)

    def write(self, path: str | None, data: memoryview, offset: int, number: int) -> int:
        handle = self._handles.file(number)
        handle.content.write_at(offset, data)
        # Not waited for: the kernel may hold pages of another path that is written at the same time.
        self._changed(handle.path, wait=False)
        return len(data)

    def truncate(self, path: str | None, size: int, number: int | None = None) -> None:
        handle = self._handles.hidden(path) if path is not None else None
        if number is not None:
            handle = self._handles.file(number)
        if handle is not None:
            handle.content.truncate(size)
            self._changed(handle.path)
        else:
            assert path is not None
            self._tree.truncate(path, size)
            self._changed(path)

    def fallocate(self, path: str | None, mode: int, offset: int, size: int, number: int) -> None:
        """Have a file reach to an end; holes and the like are left to what programs do without."""
        if mode != FALLOCATE_PLAIN:
            raise OSError(errno.EOPNOTSUPP, "only plain allocation is supported")
        content = self._handles.file(number).content
        if offset + size > content.size:
            content.truncate(offset + size)
            self._changed(self._handles.path(path, number))

    def flush(self, path: str | None, number: int) -> None:
        handle = self._handles.file(number)
        if handle.writable:
            handle.content.flush()
            self._changed(handle.path)

    def fsync(self, path: str | None, datasync: int, number: int) -> None:
        self._handles.file(number).content.sync()

    def release(self, path: str | None, number: int) -> None:
        handle = self._handles.remove(number)
        if isinstance(handle, FileHandle):
            handle.content.close()

    def destroy(self, path: str) -> None:
        """Close what is still open when the mount ends."""
        for handle in self._handles.remove_all():
            try:
                handle.content.close()
            except (WinlayersError, OSError):
                # One that cannot be written must not keep the others from it.
                _log.exception("closing %s", handle.path)

    # -- what the kernel knows ---------------------------------------------------------------------

    def _note(self, path: str, told: Stat) -> None:
        """Remember a path that is not the only one of its file."""
        if told.link_count > 1 or path[1:] != told.path:
            self._twins.note(told.file_id, path, "/" + told.path)

    def _changed(self, *paths: str, wait: bool = True) -> None:
        """Forget listings, and have the kernel forget what it knows of the same files by other paths."""
        self._listings = {}
        if self._twins:
            stale = set[str]().union(*map(self._twins.others, paths))
            if stale:
                self.on_stale(stale, wait)

    def has_others(self, path: str) -> bool:
        """Whether the kernel knows the file by other paths too, and has to be told of changes."""
        return bool(self._twins) and bool(self._twins.others(path))

    def _moved(self, *moves: tuple[str, str]) -> None:
        """Have all that is known by path follow renames."""
        for old, new in moves:
            self._handles.move(old, new)
        self._listings = {}
        if not self._twins:
            return
        stale = set[str]()
        for old, new in moves:
            stale |= self._twins.others(old) | self._twins.others(_above(old))
            stale |= self._twins.others(_above(new))
            self._twins.move(old, new)
            # What lies below under other spellings is where it was only as far as the kernel knows.
            stale |= self._twins.below(old)
        if stale:
            self.on_stale(stale, True)

    def _tell_type(self, path: str, before: FileKind) -> None:
        """Note what the kernel would take for damage: that a file is of another type than before."""
        if self._tree.stat(path).kind is not before:
            self._retyped.add(path)
        self._changed(path)

    def _check_type(self, path: str) -> None:
        """Have the kernel look again, once, where it knows a file of another type."""
        if path in self._retyped:
            self._retyped.discard(path)
            raise OSError(errno.ESTALE, "the file is of another type now")

    # -- inside ------------------------------------------------------------------------------------

    def _open(self, path: str, flags: int, *, create: bool) -> int:
        # Which of the two is set where both are, is of no interest to a tree.
        writable = create or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC))
        content = self._tree.open(
            path,
            writable=writable,
            create=create,
            exclusive=create and bool(flags & os.O_EXCL),
            truncate=bool(flags & os.O_TRUNC),
        )
        return self._handles.add(FileHandle(path, content, writable))

    def _stat_open(self, handle: FileHandle) -> PosixStat:
        return posix_stat(self._tree.fstat(handle.content))

    def _listed(self, path: str) -> list[Listed]:
        known = self._listings.get(path)
        if known is not None:
            return known
        listings = self._listings
        stats = self._tree.scandir(path)
        if self._tree.is_writable:
            above = path.rstrip("/") + "/"
            for told in stats:
                self._note(above + told.name, told)
        listing = [Listed(encode_name(told.name), self._posix(told)) for told in stats]
        if self._listed_count > _MAX_LISTED:
            self._listed_count = 0
            listings.clear()
        self._listed_count += len(listing)
        # If something changed meanwhile, the table is another one now, and this is not kept.
        listings[path] = listing
        return listing

    def _posix(self, told: Stat) -> PosixStat:
        return posix_stat(told, link_size=self._link_size(told) if is_link(told) else None)

    def _link_size(self, told: Stat) -> int:
        """Bytes of a link's text, which programs make room for before they ask for it."""
        try:
            return len(self._tree.readlink(told.path).encode("utf-8", "surrogatepass"))
        except WinlayersError:
            return 0  # it cannot be read, which who reads it will be told


def _above(path: str) -> str:
    """The folder of a path."""
    return path.rpartition("/")[0] or "/"


def _nobody(paths: set[str], wait: bool) -> None:
    """Tells no kernel."""
