"""The pack of a sealed layer: its exact uncompressed tar, written once, read by offset.

While a pack is written its bytes are looked at only once more, by the parser, in the memory they came in
(or, when the kernel moved them from a pipe, by positional reads of the pages just written). Flushing to
disk begins early, in a thread of its own: a last ``fsync`` of half a gigabyte would be waited for, one of
the last few megabytes is not. This module refuses to know what the bytes mean.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Protocol, runtime_checkable

from winlayers.backends.sealed.space import is_full
from winlayers.base.atomic import sync_file
from winlayers.errors import NoSpace, TooLarge
from winlayers.formats.tar import TarSource

# How many bytes are written between two flushes.
_SYNC_STEP = 16 << 20
# Space that is left free, so that the index and other programs still find some.
_RESERVE = 16 << 20
_READ_SIZE = 64 << 10


@runtime_checkable
class Spliceable(Protocol):
    """A source whose bytes the kernel can move into a file."""

    def splice_into(self, descriptor: int, size: int) -> int:
        """Move at most ``size`` bytes to the end of a file; how many, 0 at the end of the source."""


class PackWriter:
    """Writes a pack, flushing it as it grows.

    Args:
        path: the file to make; it must not be there.
        sync: whether to flush at all.
        max_size: limit on the bytes, or None.
    """

    def __init__(self, path: Path, *, sync: bool, max_size: int | None = None) -> None:
        self._path = path
        self._max_size = max_size
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self.descriptor = os.open(path, flags, 0o600)
        self.size = 0
        self._unsynced = 0
        self._sync = sync
        self._due = threading.Semaphore(0)
        self._ending = False
        self._sync_error: OSError | None = None
        self._thread = threading.Thread(
            target=self._flush_early, name="winlayers-sync", daemon=True
        )
        if sync:
            self._thread.start()

    def write(self, block: memoryview | bytes) -> None:
        """Append a block. Raises NoSpace where the disk is full."""
        view = memoryview(block)
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError as error:
            raise self._translated(error) from error
        self._account(len(block))

    def splice_from(self, source: Spliceable, size: int) -> int:
        """Append at most ``size`` bytes that the kernel moves; 0 at the end of the source."""
        try:
            moved = source.splice_into(self.descriptor, size)
        except OSError as error:
            raise self._translated(error) from error
        self._account(moved)
        return moved

    def finish(self) -> None:
        """Flush all to disk, as far as that was asked for."""
        if not self._sync:
            return
        self._end_thread()
        self._check_synced()
        try:
            sync_file(self.descriptor)
        except OSError as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Let go of the file, flushed or not; whether it is, only ``finish`` tells."""
        self._end_thread()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _end_thread(self) -> None:
        if self._thread.is_alive():
            self._ending = True
            self._due.release()
            self._thread.join()

    def _check_synced(self) -> None:
        """Fail if an early flush did. The system tells that only once, so the last one may succeed."""
        if self._sync_error is not None:
            raise self._translated(self._sync_error) from self._sync_error

    def _account(self, size: int) -> None:
        self.size += size
        self._unsynced += size
        if self._max_size is not None and self.size > self._max_size:
            raise TooLarge(
                f"the layer has more than {self._max_size} bytes, the limit that was set"
            )
        if self._unsynced >= _SYNC_STEP:
            self._unsynced = 0
            self._check_synced()
            self._check_space()
            self._due.release()

    def _check_space(self) -> None:
        """Stop before the disk is full to its last byte."""
        if not hasattr(os, "fstatvfs"):
            return
        disk = os.fstatvfs(self.descriptor)
        free = disk.f_bavail * disk.f_frsize
        if free < min(_RESERVE, disk.f_blocks * disk.f_frsize // 50):
            raise NoSpace(
                f"only {free} bytes are left on the disk of {self._path.parent}, after {self.size} bytes "
                "of the layer; free some space, or choose another --root"
            )

    def _flush_early(self) -> None:
        flush = getattr(os, "fdatasync", os.fsync)
        while True:
            self._due.acquire()
            if self._ending:
                return
            try:
                flush(self.descriptor)
            except OSError as error:
                self._sync_error = error
                return

    def _translated(self, error: OSError) -> Exception:
        if is_full(error):
            return NoSpace(
                f"the disk of {self._path.parent} is full after {self.size} bytes of the layer; free some "
                "space, or choose another --root"
            )
        return error


class PackingSource:
    """Gives the bytes of a tar to its parser while it writes them to the pack.

    Args:
        tar: where the bytes come from; ``read`` as in ``ImportRequest.tar``.
        pack: where they go.
    """

    def __init__(self, tar: TarSource, pack: PackWriter) -> None:
        self._tar = tar
        self._pack = pack
        self._splice = tar if isinstance(tar, Spliceable) else None
        self._view = memoryview(b"")
        self._position = 0

    def read(self, size: int = -1) -> bytes | memoryview:
        """At most ``size`` bytes, good until the next call; empty at the end."""
        if self._splice is not None:
            return self._read_back(size)
        if not self._view and not self._next_block():
            return b""
        count = len(self._view) if size < 0 else min(size, len(self._view))
        taken, self._view = self._view[:count], self._view[count:]
        return taken

    def skip(self, size: int) -> int:
        """Pass over bytes, which go to the pack like others; how many, fewer only at the end."""
        if self._splice is not None:
            return self._skip_spliced(size)
        left = size
        while left > len(self._view):
            left -= len(self._view)
            if not self._next_block():
                return size - left
        self._view = self._view[left:]
        return size

    def drain(self) -> None:
        """Write all that is left to the pack."""
        while self.skip(1 << 30):
            pass

    def _next_block(self) -> bool:
        block = self._tar.read(1 << 20)
        self._view = memoryview(block)
        self._pack.write(self._view)
        return bool(block)

    def _more(self, wanted: int) -> bool:
        """Have the pack hold ``wanted`` bytes, or all there are."""
        assert self._splice is not None
        while self._pack.size < wanted:
            if not self._pack.splice_from(self._splice, 1 << 20):
                return False
        return True

    def _read_back(self, size: int) -> bytes:
        if self._pack.size <= self._position:
            self._more(self._position + 1)
        # More than asked for is not read: the parser keeps a buffer of its own.
        count = min(size if size >= 0 else _READ_SIZE, _READ_SIZE, self._pack.size - self._position)
        data = pread(self._pack.descriptor, count, self._position)
        self._position += len(data)
        return data

    def _skip_spliced(self, size: int) -> int:
        target = self._position + size
        self._more(target)
        skipped = min(target, self._pack.size) - self._position
        self._position += skipped
        return skipped


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Read at an offset, without moving the file's position where the system can do that."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)
