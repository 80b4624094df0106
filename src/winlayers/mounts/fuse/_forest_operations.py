"""What libfuse asks of a forest: a file system whose root has a folder for each snapshot.

    /            the numbers of the snapshots, listed; nothing can be made or changed there
    /7           what snapshot 7 shows, the container's C:
    /7/dir/x     answered by the ``Operations`` of that tree, as /dir/x

Trees are opened when something in them is first asked for (``_trees``). A handle is the slot of its tree and
the tree's own number for it; files of all trees have numbers of their own. Names and links stay in their tree:
between two it is as between two disks.

Removing the folder of a snapshot *lets go* of it: its tree is closed, and opened anew when it is asked for.
The folder goes only where the source has no such snapshot any more; otherwise it stays and removing it fails
with ENOTEMPTY, so that what is bound to it elsewhere goes on. While files are open it fails with EBUSY, and the
tree is let go of when they are closed.

This module knows nothing of stores, ctypes and libfuse.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from winlayers.errors import NotFound, PathNotFound, WinlayersError
from winlayers.layer.names import FILES
from winlayers.layer.tree import Tree
from winlayers.layer.view import View
from winlayers.mounts.fuse._handles import FolderHandle, HandleTable, Listed
from winlayers.mounts.fuse._operations import BLOCK_SIZE, Operations, Statvfs
from winlayers.mounts.fuse._posixstat import PosixStat
from winlayers.mounts.fuse._trees import MAX_IDLE, Opened, OpenTree, OpenTrees

#: Bits of a file's number that its tree gives; those above are the number of the snapshot.
INO_BITS = 40
#: The first number that no snapshot can have, as numbers of files have 64 bits.
MAX_NUMBER = 1 << (64 - INO_BITS)
# Bits of a handle that its tree gives; those above are the slot, 0 for the root.
_HANDLE_BITS = 32
_HANDLE_MASK = (1 << _HANDLE_BITS) - 1
_ROOT_INO = 1
_FOLDER_MODE = stat.S_IFDIR | 0o755
_log = logging.getLogger("winlayers.mounts")


class Shown(NamedTuple):
    """What a snapshot shows.

    Attributes:
        view: the view; a scratch takes writes. The forest closes it.
        is_fixed: refuse writes, whatever the view takes.
        root: the directory of the view that is shown.
    """

    view: View
    is_fixed: bool
    root: str = FILES


class SnapshotSource(Protocol):
    """Where snapshots come from. Any thread may call."""

    def open(self, number: int) -> Shown:
        """What a snapshot shows now.

        Raises:
            NotFound: there is none of that number.
        """

    def numbers(self) -> Sequence[int]:
        """Those that there are, in the order to list them."""

    def has(self, number: int) -> bool:
        """Whether there is one of that number."""


class ForestOperations:
    """All snapshots of a source, for libfuse; with the methods of ``Operations``.

    Args:
        source: where they come from.
        clock_ns: nanoseconds since 1970, for what happens in trees.
        monotonic: seconds, for how long trees are idle.
        disk_space: bytes that the disk has below the trees, all and free.
        max_idle: trees in which nothing is open that are kept.
    """

    use_ns = True
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(
        self,
        source: SnapshotSource,
        *,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        disk_space: Callable[[], tuple[int, int]],
        max_idle: int = MAX_IDLE,
    ) -> None:
        self._source = source
        self._clock_ns = clock_ns
        self._disk_space = disk_space
        self._trees = OpenTrees(self._open_tree, clock=monotonic, max_idle=max_idle)
        self._root_handles = HandleTable()
        self._on_stale: Callable[[set[str], bool], None] = _nobody
        now = clock_ns()
        self._root_stat = PosixStat(_FOLDER_MODE, _ROOT_INO, 1, 0, 0, now, now, now)

    def watch(self, on_stale: Callable[[set[str], bool], None]) -> None:
        """See ``Operations``."""
        self._on_stale = on_stale

    def has_others(self, path: str, number: int) -> bool:
        """See ``Operations``."""
        known = self._trees.of_slot(number >> _HANDLE_BITS).operations.known
        return known.has_others("/" + path[1:].partition("/")[2])

    def keeps_listing(self, path: str) -> bool:
        """See ``Operations``; snapshots come and go without a word to the kernel."""
        return path != "/"

    def tire(self) -> None:
        """Let go of what nobody has used for a while."""
        self._trees.tire()

    # -- looking -----------------------------------------------------------------------------------

    def getattr(self, path: str | None, number: int | None = None) -> PosixStat:
        if number is not None:
            tree = self._trees.of_slot(number >> _HANDLE_BITS)
            return tree.operations.getattr(None, number & _HANDLE_MASK)
        assert path is not None
        if path == "/":
            return self._root_stat
        snapshot, below = _place(path)
        with self._trees.enter(snapshot) as operations:
            return operations.getattr(below)

    def opendir(self, path: str) -> int:
        if path == "/":
            return self._root_handles.add(FolderHandle(path))
        snapshot, below = _place(path)
        tree = self._trees.enter(snapshot)
        return self._kept(tree, lambda operations: operations.opendir(below))

    def readdir(self, number: int, offset: int) -> Iterator[Listed]:
        slot, inner = number >> _HANDLE_BITS, number & _HANDLE_MASK
        if slot:
            return self._trees.of_slot(slot).operations.readdir(inner, offset)
        handle = self._root_handles.folder(inner)
        if offset == 0:
            # What is in them is not looked at: a listing shall open no trees.
            handle.listing = [self._listed(one) for one in self._source.numbers()]
        return map(handle.listing.__getitem__, range(offset, len(handle.listing)))

    def releasedir(self, path: str | None, number: int) -> None:
        if number >> _HANDLE_BITS:
            tree = self._trees.of_slot(number >> _HANDLE_BITS)
            tree.operations.releasedir(None, number & _HANDLE_MASK)
            self._trees.leave(tree)
        else:
            self._root_handles.remove(number)

    def fsyncdir(self, path: str | None, datasync: int, number: int) -> None:
        if number >> _HANDLE_BITS:
            tree = self._trees.of_slot(number >> _HANDLE_BITS)
            tree.operations.fsyncdir(None, datasync, number & _HANDLE_MASK)

    def readlink(self, path: str) -> str:
        snapshot, below = _place(path)
        with self._trees.enter(snapshot) as operations:
            return operations.readlink(below)

    def statfs(self, path: str) -> Statvfs:
        """As of the tree, whose changes others see then; of the root, those of all open trees."""
        if path != "/":
            snapshot, below = _place(path)
            with self._trees.enter(snapshot) as operations:
                return operations.statfs(below)
        for tree in self._trees.opened():
            tree.operations.statfs("/")
        total, free = self._disk_space()
        return Statvfs(total // BLOCK_SIZE, free // BLOCK_SIZE, 0)

    # -- names -------------------------------------------------------------------------------------

    def mknod(self, path: str, mode: int, device: int) -> None:
        snapshot, below = _new_place(path)
        with self._trees.enter(snapshot) as operations:
            operations.mknod(below, mode, device)

    def mkdir(self, path: str, mode: int) -> None:
        snapshot, below = _new_place(path)
        with self._trees.enter(snapshot) as operations:
            operations.mkdir(below, mode)

    def unlink(self, path: str) -> None:
        snapshot, below = _new_place(path)
        with self._trees.enter(snapshot) as operations:
            operations.unlink(below)

    def rmdir(self, path: str) -> None:
        """Remove a directory of a tree; or let go of a tree, see the module."""
        snapshot, below = _place(path)
        if below != "/":
            with self._trees.enter(snapshot) as operations:
                operations.rmdir(below)
            return
        stale = self._known_folders(snapshot)
        self._trees.let_go(snapshot)
        if self._source.has(snapshot):
            # Not waited for: the kernel holds the folder until it is answered.
            self._on_stale(stale, False)
            raise OSError(errno.ENOTEMPTY, "the snapshot was let go of, and goes on to be shown")

    def symlink(self, path: str, target: str) -> None:
        snapshot, below = _new_place(path)
        with self._trees.enter(snapshot) as operations:
            operations.symlink(below, target)

    def link(self, path: str, target: str) -> None:
        snapshot, below, below_target = _two_places(path, target)
        with self._trees.enter(snapshot) as operations:
            operations.link(below, below_target)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        snapshot, below, below_new = _two_places(old, new)
        with self._trees.enter(snapshot) as operations:
            operations.rename(below, below_new, flags)

    # -- metadata ----------------------------------------------------------------------------------

    def chmod(self, path: str | None, mode: int, number: int | None = None) -> None:
        tree, below, inner = self._entered(path, number)
        with tree as operations:
            operations.chmod(below, mode, inner)

    def chown(self, path: str | None, uid: int, gid: int, number: int | None = None) -> None:
        tree, below, inner = self._entered(path, number)
        with tree as operations:
            operations.chown(below, uid, gid, inner)

    def utimens(
        self,
        path: str | None,
        access_ns: int | None,
        write_ns: int | None,
        number: int | None = None,
    ) -> None:
        tree, below, inner = self._entered(path, number)
        with tree as operations:
            operations.utimens(below, access_ns, write_ns, inner)

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._clock_ns()

    def listxattr(self, path: str) -> list[str]:
        if path == "/":
            return []
        snapshot, below = _place(path)
        with self._trees.enter(snapshot) as operations:
            return operations.listxattr(below)

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        if path == "/":
            raise OSError(errno.ENOTSUP, "the root of a forest has no extended attributes")
        snapshot, below = _place(path)
        with self._trees.enter(snapshot) as operations:
            return operations.getxattr(below, name, position)

    def setxattr(self, path: str, name: str, value: bytes, flags: int, position: int = 0) -> None:
        snapshot, below = _place(path)
        with self._trees.enter(snapshot) as operations:
            operations.setxattr(below, name, value, flags, position)

    def removexattr(self, path: str, name: str) -> None:
        snapshot, below = _place(path)
        with self._trees.enter(snapshot) as operations:
            operations.removexattr(below, name)

    # -- contents ----------------------------------------------------------------------------------

    def create(self, path: str, mode: int, flags: int) -> int:
        snapshot, below = _new_place(path)
        tree = self._trees.enter(snapshot)
        return self._kept(tree, lambda operations: operations.create(below, mode, flags))

    def open(self, path: str, flags: int) -> int:
        snapshot, below = _place(path)
        tree = self._trees.enter(snapshot)
        return self._kept(tree, lambda operations: operations.open(below, flags))

    def read(self, path: str | None, size: int, offset: int, number: int) -> bytes:
        tree = self._trees.of_slot(number >> _HANDLE_BITS)
        return tree.operations.read(None, size, offset, number & _HANDLE_MASK)

    def write(self, path: str | None, data: memoryview, offset: int, number: int) -> int:
        tree = self._trees.of_slot(number >> _HANDLE_BITS)
        return tree.operations.write(None, data, offset, number & _HANDLE_MASK)

    def truncate(self, path: str | None, size: int, number: int | None = None) -> None:
        tree, below, inner = self._entered(path, number)
        with tree as operations:
            operations.truncate(below, size, inner)

    def fallocate(self, path: str | None, mode: int, offset: int, size: int, number: int) -> None:
        tree = self._trees.of_slot(number >> _HANDLE_BITS)
        tree.operations.fallocate(None, mode, offset, size, number & _HANDLE_MASK)

    def flush(self, path: str | None, number: int) -> None:
        tree = self._trees.of_slot(number >> _HANDLE_BITS)
        tree.operations.flush(None, number & _HANDLE_MASK)

    def fsync(self, path: str | None, datasync: int, number: int) -> None:
        tree = self._trees.of_slot(number >> _HANDLE_BITS)
        tree.operations.fsync(None, datasync, number & _HANDLE_MASK)

    def release(self, path: str | None, number: int) -> None:
        tree = self._trees.of_slot(number >> _HANDLE_BITS)
        try:
            tree.operations.release(None, number & _HANDLE_MASK)
        finally:
            self._trees.leave(tree)

    def destroy(self, path: str) -> None:
        """Let go of all when the mount ends."""
        self._trees.close_all()

    # -- inside ------------------------------------------------------------------------------------

    def _open_tree(self, number: int) -> Opened:
        if not number:
            raise OSError(errno.EROFS, "nothing can be changed in the root of a forest")
        try:
            shown = self._source.open(number)
        except NotFound as error:
            raise PathNotFound(f"there is no snapshot {number}") from error
        except WinlayersError:
            # Who asks gets a number only.
            _log.exception("opening snapshot %d", number)
            raise
        try:
            tree = Tree(
                shown.view,
                root=shown.root,
                clock_ns=self._clock_ns,
                read_only=shown.is_fixed,
            )
        except BaseException:
            shown.view.close()
            raise
        operations = Operations(
            tree,
            clock_ns=self._clock_ns,
            disk_space=self._disk_space,
            first_ino=number << INO_BITS,
        )
        above = f"/{number}"
        operations.watch(lambda paths, wait: self._on_stale({above + path for path in paths}, wait))
        return Opened(operations, shown.view.close)

    def _kept(self, tree: OpenTree, make: Callable[[Operations], int]) -> int:
        """A handle that a tree makes, which was entered for it and is left when the handle is released."""
        try:
            return tree.slot << _HANDLE_BITS | make(tree.operations)
        except BaseException:
            self._trees.leave(tree)
            raise

    def _entered(
        self, path: str | None, number: int | None
    ) -> tuple[OpenTree, str | None, int | None]:
        """The tree that a call is about, entered; the path there and the handle."""
        if number is None:
            assert path is not None
            snapshot, below = _place(path)
            return self._trees.enter(snapshot), below, None
        tree = self._trees.of_slot(number >> _HANDLE_BITS)
        self._trees.stay(tree)
        return tree, None if path is None else _place(path)[1], number & _HANDLE_MASK

    def _listed(self, number: int) -> Listed:
        return Listed(b"%d" % number, self._root_stat._replace(ino=number << INO_BITS), False)

    def _known_folders(self, number: int) -> set[str]:
        """What the kernel keeps listings of, in a tree and of the tree."""
        tree = self._trees.find(number)
        listed = set() if tree is None else tree.operations.known.listed()
        return {f"/{number}{path}".rstrip("/") for path in (*listed, "/")}


def _place(path: str) -> tuple[int, str]:
    """The snapshot of a path, 0 for the root, and the path in it.

    Raises:
        PathNotFound: no snapshot can have this name.
    """
    name, _, below = path[1:].partition("/")
    if not name:
        return 0, "/"
    if not (name.isascii() and name.isdecimal() and len(name) < 10 and name[0] != "0"):
        raise PathNotFound(f"{name!r} is no snapshot")
    number = int(name)
    if number >= MAX_NUMBER:
        raise PathNotFound(f"{name!r} is no snapshot")
    return number, "/" + below


def _new_place(path: str) -> tuple[int, str]:
    """The snapshot of a name that is made or taken away, and the path in it.

    Raises:
        OSError: EROFS, it would be a name of the root.
    """
    if "/" not in path[1:]:
        raise OSError(errno.EROFS, "nothing can be made in the root of a forest")
    return _place(path)


def _two_places(path: str, other: str) -> tuple[int, str, str]:
    """The snapshot of two paths, and those in it.

    Raises:
        OSError: EXDEV, they are of two; EROFS, one is of the root.
    """
    number, below = _new_place(path)
    number_other, below_other = _new_place(other)
    if number != number_other:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return number, below, below_other


def _nobody(paths: set[str], wait: bool) -> None:
    """Tells no kernel."""
