"""The loop of libfuse over ``_operations``: C structures in and out; the only module that imports mfusepy.

mfusepy declares libfuse's functions and structures, and calls an object's methods by their names. Its own
way from the structures to the methods is taken where that is enough. It is replaced here where it loses
something (flags of rename, handles of chmod and truncate, times that shall stay as they are), or where it
costs: a listing hands the attributes of all its names to the kernel at once (readdirplus), ``stat`` fills
the structure without a dictionary, and ``write`` hands on libfuse's buffer without a copy.

Importing this module fails where mfusepy or libfuse is not installed; who imports it says what is missing.
It knows nothing of trees. Source: libfuse's fuse.h and fuse_common.h; utimensat(2) for the two odd times.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import struct
from collections.abc import Callable
from operator import itemgetter
from threading import Condition, Thread, get_ident
from typing import TYPE_CHECKING, Any

import mfusepy

from winlayers.errors import WinlayersError
from winlayers.mounts.fuse._errno import errno_of
from winlayers.mounts.fuse._forest_operations import ForestOperations
from winlayers.mounts.fuse._operations import BLOCK_SIZE, MAX_NAME, Operations
from winlayers.mounts.fuse._posixstat import PosixStat
from winlayers.mounts.fuse._xattrs import NO_ATTRIBUTE

if TYPE_CHECKING:
    _Pointer = Any

VERSION = (mfusepy.fuse_version_major, mfusepy.fuse_version_minor)
"""Of libfuse."""
IS_LIBFUSE_3 = VERSION >= (3, 0)

_READDIR_PLUS = 1 << 0
_FILL_DIR_PLUS = 1 << 1
_CAP_CACHE_SYMLINKS = 1 << 23
_UTIME_NOW = (1 << 30) - 1
_UTIME_OMIT = (1 << 30) - 2
_NS = 10**9
# Labels and capabilities of Linux, which the kernel asks for at each write.
_SECURITY = b"security."
# How long an answer may wait for the kernel to forget.
_FORGET_SECONDS = 0.1
_log = logging.getLogger("winlayers.mounts")


class Loop(mfusepy.FUSE):  # type: ignore[misc]
    """Mounts, serves requests in threads of libfuse, and returns when the mount is gone.

    Args:
        operations: answers.
        path: where.
        on_ready: called once, when the kernel has the mount.
        is_fixed: whether what is shown never changes, so that the kernel may keep all of it.
        options: for libfuse, as ``-o`` takes them.
    Raises:
        RuntimeError: libfuse could not mount, and said why on standard error; or a signal ended it.
    """

    def __init__(
        self,
        operations: Operations | ForestOperations,
        path: str,
        *,
        on_ready: Callable[[], None],
        is_fixed: bool,
        options: dict[str, Any],
    ) -> None:
        self._answers = operations
        self._on_ready = on_ready
        self._is_fixed = is_fixed
        self._known_threads: set[int] = set()
        self._owner = (os.getuid(), os.getgid()) if hasattr(os, "getuid") else (0, 0)
        super().__init__(operations, path, foreground=True, errors="surrogatepass", **options)

    def _wrapper(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
        """Every call of libfuse comes through here; errors become numbers."""
        if (thread := get_ident()) not in self._known_threads:
            # Python makes a state for a thread that is not its own, and takes it apart, at every call, if
            # nobody says that there will be more of them. There are few threads, and they stay.
            self._known_threads.add(thread)
            ctypes.pythonapi.PyGILState_Ensure()
        try:
            return func(*args) or 0
        except (WinlayersError, OSError, UnicodeError) as error:
            return -errno_of(error)
        except Exception:
            # Nothing may be raised into libfuse, and one bad request must not end the mount.
            _log.exception("fault in %s", getattr(func, "__name__", func))
            return -errno.EIO

    # -- the connection ------------------------------------------------------------------------------

    def init_fuse_2(self, conn: _Pointer) -> None:
        self._on_ready()

    def init_fuse_3(self, conn: _Pointer, config: _Pointer) -> None:
        self._answers.watch(_Forgetter(_context().fuse).forget)
        config.contents.nullpath_ok = 1
        config.contents.use_ino = 1
        if self._is_fixed and conn.contents.capable & _CAP_CACHE_SYMLINKS:
            conn.contents.want |= _CAP_CACHE_SYMLINKS
        self._on_ready()

    # -- looking -------------------------------------------------------------------------------------

    def getattr_fuse_2(self, path: bytes, buf: _Pointer) -> None:
        self._fill(buf.contents, self._answers.getattr(_text(path)))

    def getattr_fuse_3(self, path: bytes | None, buf: _Pointer, fip: _Pointer) -> None:
        self._fill(buf.contents, self._answers.getattr(_path(path), _number(fip)))

    def fgetattr(self, path: bytes | None, buf: _Pointer, fip: _Pointer) -> None:
        self._fill(buf.contents, self._answers.getattr(_path(path), _number(fip)))

    def opendir(self, path: bytes, fip: _Pointer) -> None:
        info = fip.contents
        text = _text(path)
        info.fh = self._answers.opendir(text)
        if IS_LIBFUSE_3 and hasattr(info, "cache_readdir") and self._answers.keeps_listing(text):
            # The kernel drops a listing when something happened in the folder, or its time of writing changed.
            info.cache_readdir = info.keep_cache = 1

    def readdir_fuse_2(
        self, path: bytes | None, buf: _Pointer, filler: Any, offset: int, fip: _Pointer
    ) -> None:
        self._list(offset, fip, lambda name, told, end, whole: filler(buf, name, told, end))

    def readdir_fuse_3(
        self,
        path: bytes | None,
        buf: _Pointer,
        filler: Any,
        offset: int,
        fip: _Pointer,
        flags: int,
    ) -> None:
        plus = _FILL_DIR_PLUS if flags & _READDIR_PLUS else 0
        self._list(
            offset,
            fip,
            lambda name, told, end, whole: filler(buf, name, told, end, plus if whole else 0),
        )

    def statfs(self, path: bytes, buf: _Pointer) -> None:
        told = self._answers.statfs(_text(path))
        info = buf.contents
        info.f_bsize = info.f_frsize = BLOCK_SIZE
        info.f_blocks = told.total_blocks
        info.f_bfree = info.f_bavail = told.free_blocks
        info.f_files = info.f_ffree = info.f_favail = told.file_count
        info.f_namemax = MAX_NAME

    # -- names and metadata --------------------------------------------------------------------------

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> None:
        self._answers.rename(_text(old), _text(new), flags)

    def chmod_fuse_3(self, path: bytes | None, mode: int, fip: _Pointer) -> None:
        self._answers.chmod(_path(path), mode, _number(fip))

    def chown_fuse_3(self, path: bytes | None, uid: int, gid: int, fip: _Pointer) -> None:
        self._answers.chown(_path(path), uid, gid, _number(fip))

    def truncate_fuse_3(self, path: bytes | None, size: int, fip: _Pointer) -> None:
        self._answers.truncate(_path(path), size, _number(fip))

    def utimens_fuse_2(self, path: bytes | None, buf: _Pointer) -> None:
        self.utimens_fuse_3(path, buf, None)

    def utimens_fuse_3(self, path: bytes | None, buf: _Pointer, fip: _Pointer) -> None:
        now = self._answers.now_ns()
        access = _given_time(buf.contents.actime, now) if buf else now
        write = _given_time(buf.contents.modtime, now) if buf else now
        self._answers.utimens(_path(path), access, write, _number(fip))

    def getxattr(self, path: bytes, name: bytes, value: Any, size: int, *position: int) -> int:
        if name.startswith(_SECURITY):
            return -NO_ATTRIBUTE
        told: int = super().getxattr(path, name, value, size, *position)
        return told

    # -- contents ------------------------------------------------------------------------------------

    def open(self, path: bytes, fip: _Pointer) -> None:
        info = fip.contents
        info.fh = self._answers.open(_text(path), info.flags)
        self._spare_flush(info, path)

    def create(self, path: bytes, mode: int, fip: _Pointer) -> None:
        info = fip.contents
        info.fh = self._answers.create(_text(path), mode, info.flags)
        self._spare_flush(info, path)

    def read(self, path: bytes | None, buf: _Pointer, size: int, offset: int, fip: Any) -> int:
        data = self._answers.read(None, size, offset, fip.contents.fh)
        ctypes.memmove(buf, data, len(data))
        return len(data)

    def write(self, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        data = memoryview((ctypes.c_char * size).from_address(ctypes.addressof(buf.contents)))
        return self._answers.write(None, data.cast("B"), offset, fip.contents.fh)

    # -- inside --------------------------------------------------------------------------------------

    def _spare_flush(self, info: Any, path: bytes) -> None:
        """Have the kernel not tell of each close: writing has told errors, and the last one is told of."""
        if IS_LIBFUSE_3 and hasattr(info, "noflush"):
            info.noflush = not self._answers.has_others(_text(path), info.fh)

    def _list(self, offset: int, fip: Any, fill: Callable[[bytes, Any, int, bool], int]) -> None:
        """Hand names on until libfuse has no room; it comes back with the place where it stopped."""
        number = fip.contents.fh
        if offset < len(_DOTS):
            told = mfusepy.c_stat(st_mode=_FOLDER)
            for end, dots in enumerate(_DOTS[offset:], offset + 1):
                if fill(dots, told, end, True):
                    return
            offset = len(_DOTS)
        entries = self._answers.readdir(number, offset - len(_DOTS))
        for end, entry in enumerate(entries, offset + 1):
            if entry.filled is None:
                entry.filled = mfusepy.c_stat()
                self._fill(entry.filled, entry.stat)
            if fill(entry.name, entry.filled, end, entry.is_whole):
                return

    def _fill(self, told: Any, stat: PosixStat) -> None:
        values = (
            stat.mode,
            stat.ino,
            stat.link_count,
            *self._owner,
            stat.size,
            BLOCK_SIZE,
            stat.blocks,
            *divmod(stat.access_ns, _NS),
            *divmod(stat.write_ns, _NS),
            *divmod(stat.change_ns, _NS),
        )
        _LAYOUT.pack_into(told, 0, *_in_order(values))


# What is filled in of a ``struct stat``, in the order of ``_fill``.
_FILLED = (
    "st_mode",
    "st_ino",
    "st_nlink",
    "st_uid",
    "st_gid",
    "st_size",
    "st_blksize",
    "st_blocks",
)
_FILLED_TIMES = ("st_atimespec", "st_mtimespec", "st_ctimespec")


def _stat_layout() -> tuple[struct.Struct, list[int]]:
    """How a ``struct stat`` of this system is packed, and which of the values is the next in it.

    Filling it field by field takes three times as long, and listings fill thousands.
    """
    whole, time = mfusepy.c_stat, mfusepy.c_timespec
    places = [(getattr(whole, name).offset, getattr(whole, name).size, "HIQ") for name in _FILLED]
    for name in _FILLED_TIMES:
        start = getattr(whole, name).offset
        parts = (time.tv_sec, time.tv_nsec)
        places += [(start + part.offset, part.size, "hiq") for part in parts]
    order = sorted(range(len(places)), key=lambda index: places[index][0])
    form, end = "=", 0
    for index in order:
        offset, size, codes = places[index]
        form += f"{offset - end}x{codes[{2: 0, 4: 1, 8: 2}[size]]}"
        end = offset + size
    return struct.Struct(form), order


_LAYOUT, _order = _stat_layout()
_in_order = itemgetter(*_order)


class _Forgetter:
    """Has the kernel forget what it knows of paths.

    The kernel may wait for a request that is being answered while it forgets, so a thread of its own asks it
    to; who answers a request waits for that a while, so that nearly always nobody sees what is out of date.

    Args:
        fuse: libfuse's ``struct fuse``.
    """

    def __init__(self, fuse: int) -> None:
        self._fuse = ctypes.c_void_p(fuse)
        self._invalidate = mfusepy._libfuse.fuse_invalidate_path
        self._changed = Condition()
        self._pending: set[str] = set()
        self._asked = self._done = 0
        Thread(target=self._work, daemon=True).start()

    def forget(self, paths: set[str], wait: bool) -> None:
        with self._changed:
            self._pending |= paths
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            if wait:
                self._changed.wait_for(lambda: self._done >= mine, _FORGET_SECONDS)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending)
                paths, self._pending = self._pending, set()
                reached = self._asked
            for path in paths:
                # That the kernel knows no such path is as good.
                self._invalidate(self._fuse, path.encode("utf-8", "surrogatepass"))
            with self._changed:
                self._done = reached
                self._changed.notify_all()


_DOTS = (b".", b"..")
_FOLDER = 0o040755


def _context() -> Any:
    """libfuse's word on the request that is being answered."""
    return mfusepy._libfuse.fuse_get_context().contents


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogatepass")


def _path(path: bytes | None) -> str | None:
    return None if path is None else path.decode("utf-8", "surrogatepass")


def _number(fip: Any) -> int | None:
    """The number of the handle in libfuse's file info, if there is one."""
    return fip.contents.fh if fip else None


def _given_time(given: Any, now: int) -> int | None:
    if given.tv_nsec == _UTIME_NOW:
        return now
    if given.tv_nsec == _UTIME_OMIT:
        return None
    nanoseconds: int = given.tv_sec * _NS + given.tv_nsec
    return nanoseconds
