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
from contextlib import contextmanager
from typing import NamedTuple

from winlayers.errors import PathNotFound, WinlayersError
from winlayers.formats.filetime import ns_to_filetime
from winlayers.layer.entry import FILE_ATTRIBUTE_READONLY
from winlayers.layer.names import encode_name
from winlayers.layer.tree import FileKind, Stat, Tree
from winlayers.mounts.fuse import _xattrs
from winlayers.mounts.fuse._handles import FileHandle, FolderHandle, HandleTable, Listed
from winlayers.mounts.fuse._known import Known, above
from winlayers.mounts.fuse._posixstat import OWNER_WRITES, PosixStat, is_link, posix_stat

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
FALLOCATE_PLAIN = 0

#: Bytes that a file system counts its space in.
BLOCK_SIZE = 4096
MAX_NAME = 255
# Bytes of the quota that a name of the scratch's own counts for.
_NAME_COST = 1024
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
        first_ino: what numbers of files are counted from.
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
        first_ino: int = 0,
    ) -> None:
        self._tree = tree
        self._clock_ns = clock_ns
        self._disk_space = disk_space
        self._first_ino = first_ino
        self._handles = HandleTable()
        self.known = Known()

    def watch(self, on_stale: Callable[[set[str], bool], None]) -> None:
        """Have somebody be told of paths that the kernel shall forget; see ``Known.on_stale``."""
        self.known.on_stale = on_stale

    def has_others(self, path: str, number: int) -> bool:
        """Whether the kernel knows an open file by other paths too."""
        return self.known.has_others(path)

    def keeps_listing(self, path: str) -> bool:
        """Whether a listing of a folder is right until something happens in it."""
        return True

    # -- looking -----------------------------------------------------------------------------------

    def getattr(self, path: str | None, number: int | None = None) -> PosixStat:
        if number is not None:
            return self._stat_open(self._handles.file(number))
        assert path is not None
        if (hidden := self._handles.hidden(path)) is not None:
            return self._stat_open(hidden)
        self.known.check_type(path)
        told = self._tree.stat(path)
        if self._tree.is_writable:
            self.known.note(path, told)
        return self._posix(told)

    def opendir(self, path: str) -> int:
        return self._handles.add(FolderHandle(path))

    def readdir(self, number: int, offset: int) -> Iterator[Listed]:
        """What a folder has from a position on; read anew at its start."""
        handle = self._handles.folder(number)
        if offset == 0:
            path = handle.path
            handle.listing = self.known.listing(path, lambda: self._list(path))
        listing = handle.listing
        return map(listing.__getitem__, range(offset, len(listing)))

    def releasedir(self, path: str | None, number: int) -> None:
        self._handles.remove(number)

    def fsyncdir(self, path: str | None, datasync: int, number: int) -> None:
        self._tree.sync()

    def readlink(self, path: str) -> str:
        return self._tree.readlink(path)

    def statfs(self, path: str) -> Statvfs:
        """The quota, or the disk where there is none or less is free; nothing of what takes no writes.

        The kernel keeps no answer, so that ``FuseMounter.publish`` can ask: what is counted, others see.
        """
        self._tree.publish()
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
        self.known.changed(above(path))

    def mkdir(self, path: str, mode: int) -> None:
        self._tree.mkdir(path)
        self.known.changed(above(path))

    def unlink(self, path: str) -> None:
        if self._handles.hidden(path) is None:
            self._tree.unlink(path)
            self.known.removed(path)

    def rmdir(self, path: str) -> None:
        self._tree.rmdir(path)
        self.known.removed(path)

    def symlink(self, path: str, target: str) -> None:
        self._tree.symlink(target, path)
        self.known.changed(above(path))

    def link(self, path: str, target: str) -> None:
        made = self._tree.link(target, path)
        self.known.note_link(made.file_id, target, path)
        self.known.changed(path, above(path))

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise OSError(errno.EINVAL, "unknown flags of rename")
        if self._handles.is_hiding(old, new):
            self._tree.unlink(old)
            self._handles.hide(old, new)
            self.known.removed(old)
        elif flags & RENAME_EXCHANGE:
            self._tree.exchange(old, new)
            # No path has a NUL, so this one is nobody's.
            self._moved((old, "\0"), (new, old), ("\0", new))
        else:
            self._tree.rename(old, new, replace=not flags & RENAME_NOREPLACE)
            self.known.removed(new)
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
            self.known.changed(path)

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
        self.known.changed(path)

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._clock_ns()

    def listxattr(self, path: str) -> list[str]:
        return _xattrs.names(self._tree, path)

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        return _xattrs.read(self._tree, path, name)

    def setxattr(self, path: str, name: str, value: bytes, flags: int, position: int = 0) -> None:
        with self._watched_type(path):
            _xattrs.write(self._tree, path, name, value, flags)

    def removexattr(self, path: str, name: str) -> None:
        with self._watched_type(path):
            _xattrs.remove(self._tree, path, name)

    # -- contents ----------------------------------------------------------------------------------

    def create(self, path: str, mode: int, flags: int) -> int:
        number = self._open(path, flags, create=True)
        self.known.changed(path, above(path))
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
        self.known.changed(handle.path, wait=False)
        return len(data)

    def truncate(self, path: str | None, size: int, number: int | None = None) -> None:
        handle = self._handles.hidden(path) if path is not None else None
        if number is not None:
            handle = self._handles.file(number)
        if handle is not None:
            handle.content.truncate(size)
            self.known.changed(handle.path)
        else:
            assert path is not None
            self._tree.truncate(path, size)
            self.known.changed(path)

    def fallocate(self, path: str | None, mode: int, offset: int, size: int, number: int) -> None:
        """Have a file reach to an end; holes and the like are left to what programs do without."""
        if mode != FALLOCATE_PLAIN:
            raise OSError(errno.EOPNOTSUPP, "only plain allocation is supported")
        content = self._handles.file(number).content
        if offset + size > content.size:
            content.truncate(offset + size)
            self.known.changed(self._handles.path(path, number))

    def flush(self, path: str | None, number: int) -> None:
        handle = self._handles.file(number)
        if handle.writable:
            handle.content.flush()
            self.known.changed(handle.path)

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

    # -- inside ------------------------------------------------------------------------------------

    def _open(self, path: str, flags: int, *, create: bool) -> int:
        writable = create or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC))
        content = self._tree.open(
            path,
            writable=writable,
            create=create,
            exclusive=create and bool(flags & os.O_EXCL),
            truncate=bool(flags & os.O_TRUNC),
        )
        if flags & os.O_TRUNC:
            self.known.changed(path)
        return self._handles.add(FileHandle(path, content, writable))

    def _moved(self, *moves: tuple[str, str]) -> None:
        """Have all that is known by path follow renames."""
        for old, new in moves:
            self._handles.move(old, new)
        self.known.moved(*moves)

    @contextmanager
    def _watched_type(self, path: str) -> Iterator[None]:
        """Tell the kernel of a change, and if it made something of another type of a file."""
        before = self._tree.stat(path).kind
        yield
        if self._tree.stat(path).kind is not before:
            self.known.retyped(path)
        self.known.changed(path)

    def _stat_open(self, handle: FileHandle) -> PosixStat:
        return posix_stat(self._tree.fstat(handle.content), first_ino=self._first_ino)

    def _list(self, path: str) -> list[Listed]:
        stats = self._tree.scandir(path)
        if self._tree.is_writable:
            prefix = path.rstrip("/") + "/"
            for told in stats:
                self.known.note(prefix + told.name, told)
        return [Listed(encode_name(told.name), self._posix(told)) for told in stats]

    def _posix(self, told: Stat) -> PosixStat:
        link_size = self._link_size(told) if is_link(told) else None
        return posix_stat(told, link_size=link_size, first_ino=self._first_ino)

    def _link_size(self, told: Stat) -> int:
        """Bytes of a link's text, which programs make room for before they ask for it."""
        try:
            return len(self._tree.readlink(told.path).encode("utf-8", "surrogatepass"))
        except WinlayersError:
            return 0  # it cannot be read, which who reads it will be told
