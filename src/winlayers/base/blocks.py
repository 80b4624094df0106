"""Reads a compressed stream in blocks, so that inflating, hashing and using the bytes overlap.

Three threads pass a few reused buffers in a ring: the first only inflates (the slowest step, so nothing
else is in it), the second digests the compressed and the uncompressed bytes, the third is the caller.
Buffers are page-aligned, so that they can be given to a pipe without copying. This module refuses to know
what the bytes mean.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, Self, cast

from winlayers.base.compression import Compression, open_decompressed
from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.errors import Cancelled, TooLarge

BLOCK_SIZE = 1 << 20
_BUFFER_COUNT = 6
_LOWER_PRIORITY = 10
# How long to wait for a block before asking again whether anybody still wants it.
_PAUSE_SECONDS = 0.1


class _Stop:
    """End of the stream, or the error that ended it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Stoppable:
    """A source that is asked for nothing more once somebody has said so.

    Args:
        source: the source; where it has ``readinto``, which saves a copy, so has this.
        check: called before each read; raises to stop.
    """

    def __init__(self, source: BinaryIO, check: Callable[[], None]) -> None:
        self._read = source.read
        self._check = check
        # Who derives from RawIOBase and defines only ``read`` has one that is not to be called.
        if getattr(type(source), "readinto", io.RawIOBase.readinto) is not io.RawIOBase.readinto:
            fill: Callable[[memoryview], int | None] = cast(Any, source).readinto

            def readinto(buffer: memoryview) -> int | None:
                check()
                return fill(buffer)

            self.readinto = readinto

    def read(self, size: int) -> bytes:
        self._check()
        return self._read(size)


class BlockPump:
    """Blocks of the uncompressed stream of a file that may be compressed.

    Every block but the last has ``BLOCK_SIZE`` bytes. ``size``, ``diff_id`` and ``digest`` are known once
    ``take`` or ``read`` has given the end.

    Args:
        source: file object at its start; only ``read`` is needed.
        compression: of the source, or None to find it by its first bytes.
        max_size: limit on the uncompressed bytes, or None.
        progress: told the compressed bytes read.
        cancel: asked before each read of the source, and while waiting for one that gives nothing.
    Raises:
        Malformed: from ``take`` and ``read``, for compressed bytes that are damaged.
        TooLarge: likewise, past ``max_size``.
        Cancelled: likewise, when ``cancel`` was set.
    """

    def __init__(
        self,
        source: BinaryIO,
        *,
        compression: Compression | None = None,
        max_size: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self._source = cast(BinaryIO, _Stoppable(source, self._check))
        self._compression = compression
        self._max_size = max_size
        self._progress = progress or NullProgress()
        self._cancel = cancel or Cancel()
        self._free: SimpleQueue[mmap.mmap | None] = SimpleQueue()
        self._inflated: SimpleQueue[tuple[mmap.mmap, int] | bytes | _Stop] = SimpleQueue()
        self._ready: SimpleQueue[tuple[mmap.mmap, int] | _Stop] = SimpleQueue()
        self._tar_hash = hashlib.sha256()
        self._file_hash = hashlib.sha256()
        self._is_plain = False
        self._ended = False
        self._closing = threading.Event()
        self._held: mmap.mmap | None = None
        self._view = memoryview(b"")
        self.size = 0
        for _ in range(_BUFFER_COUNT):
            self._free.put(mmap.mmap(-1, BLOCK_SIZE))
        self._threads = [
            threading.Thread(target=step, name=f"winlayers-{name}", daemon=True)
            for step, name in ((self._inflate, "inflate"), (self._digest, "digest"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def diff_id(self) -> Digest:
        """Digest of all uncompressed bytes; only after the end."""
        return Digest("sha256", self._tar_hash.hexdigest())

    @property
    def digest(self) -> Digest:
        """Digest of the source as it was given; only after the end."""
        return self.diff_id if self._is_plain else Digest("sha256", self._file_hash.hexdigest())

    def take(self) -> tuple[mmap.mmap, int] | None:
        """The next block and its size, or None at the end. The caller gives the buffer back."""
        if self._ended:
            return None
        item = self._next_ready()
        if isinstance(item, _Stop):
            self._ended = True
            if item.error is not None:
                raise item.error
            return None
        self.size += item[1]
        return item

    def give_back(self, buffer: mmap.mmap) -> None:
        """Return a buffer that ``take`` gave."""
        self._free.put(buffer)

    def read(self, size: int = -1, /) -> memoryview:
        """The next bytes, at most ``size``, good until the next call; empty at the end."""
        if not self._view:
            if self._held is not None:
                self.give_back(self._held)
                self._held = None
            block = self.take()
            if block is None:
                return memoryview(b"")
            self._held, count = block
            self._view = memoryview(self._held)[:count]
        if size < 0 or size >= len(self._view):
            taken, self._view = self._view, memoryview(b"")
        else:
            taken, self._view = self._view[:size], self._view[size:]
        return taken

    def close(self) -> None:
        """Stop the threads, wherever they are. Nothing more can be read."""
        self._ended = True
        self._closing.set()
        self._free.put(None)
        self._inflated.put(_Stop())
        for thread in self._threads:
            # One that waits for a source which gives nothing (a silent pipe) is left to itself.
            thread.join(timeout=1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check(self) -> None:
        """Go on, or stop here."""
        self._cancel.check()
        if self._closing.is_set():
            raise Cancelled("closed before its end")

    def _next_ready(self) -> tuple[mmap.mmap, int] | _Stop:
        while True:
            try:
                return self._ready.get(timeout=_PAUSE_SECONDS)
            except Empty:
                self._cancel.check()

    def _inflate(self) -> None:
        try:
            with open_decompressed(
                self._source, compression=self._compression, on_raw=self._on_raw
            ) as stream:
                self._is_plain = stream.compression is Compression.NONE
                self._fill_blocks(stream.readinto)
            self._inflated.put(_Stop())
        except BaseException as error:
            self._inflated.put(_Stop(error))

    def _fill_blocks(self, readinto: Callable[[memoryview], int]) -> None:
        total = 0
        while (buffer := self._free.get()) is not None:
            self._check()
            view = memoryview(buffer)
            filled = 0
            while filled < BLOCK_SIZE and (count := readinto(view[filled:])):
                filled += count
            if not filled:
                return
            total += filled
            if self._max_size is not None and total > self._max_size:
                raise TooLarge(
                    f"the uncompressed layer has more than {self._max_size} bytes, the limit that was set"
                )
            self._inflated.put((buffer, filled))

    def _on_raw(self, chunk: bytes) -> None:
        self._progress.advance(len(chunk))
        if not self._is_plain:
            self._inflated.put(chunk)

    def _digest(self) -> None:
        try:
            lower_priority()
            while not isinstance(item := self._inflated.get(), _Stop):
                if isinstance(item, bytes):
                    self._file_hash.update(item)
                else:
                    buffer, count = item
                    self._tar_hash.update(memoryview(buffer)[:count])
                    self._ready.put(item)
            self._ready.put(item)
        except BaseException as error:
            self._ready.put(_Stop(error))


def lower_priority() -> None:
    """Let the calling thread give way to the others of the process, on Linux.

    Inflating is what everything else waits for. Elsewhere priorities belong to whole processes, and
    nothing happens.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWER_PRIORITY)
