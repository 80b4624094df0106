"""Turns "write into this file" into "read from this file".

The writing function runs in one thread of its own and hands its bytes over in blocks, a few MiB ahead
of the reader at most. It either ends or fails before the reader is told of the end; so an end of file
here means that everything was written. This module knows nothing of what is written.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from winlayers.base.fileobj import RawReader, RawWriter, Readable

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import ReadableBuffer, WriteableBuffer

BLOCK_SIZE = 1 << 18
"""Small writes are joined up to this many bytes before they are handed over."""

AHEAD_SIZE = 1 << 22
"""The writer waits while this many bytes have not been read, unless told otherwise."""


def reader_of(write: Callable[[BinaryIO], None], *, ahead_size: int = AHEAD_SIZE) -> PipeReader:
    """Read what a function writes, while it writes it.

    Args:
        write: called once, in a thread of its own, with a file object to write to. It sees
            BrokenPipeError when it writes on after the reader was closed, and should let it pass.
        ahead_size: it waits while this many bytes have not been read.
    Returns:
        A file object with what was written. What ``write`` raises is raised by the read that would
        have seen the end of the file. Closing it early makes ``write`` end.
    """
    return PipeReader(write, ahead_size)


def pass_on(source: Readable, target: BinaryIO) -> None:
    """Copy a file object to its end, in blocks of the size that is handed over as it is.

    Args:
        source: only ``read`` is used.
        target: only ``write`` is used.
    """
    while block := source.read(BLOCK_SIZE):
        target.write(block)


class PipeReader(RawReader):
    """The reading end; made by ``reader_of``.

    A read gives as much as it was asked for, except at the end or before an error.
    """

    def __init__(self, write: Callable[[BinaryIO], None], ahead_size: int) -> None:
        self._channel = _Channel(ahead_size)
        self._block = memoryview(b"")
        # The thread must not know this object: when it is forgotten, closing it ends the thread.
        self._thread = threading.Thread(
            target=_run, args=(write, self._channel), name="pipe-writer", daemon=True
        )
        self._thread.start()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Args:
            size: bytes at most; None or negative reads to the end.
        Returns:
            As many bytes, fewer at the end; nothing only at the end.
        Raises:
            Exception: whatever the writing function raised, once all it wrote has been read; any
                read after that raises it again.
        """
        if self.closed:
            raise ValueError("read of a closed file object")
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(BLOCK_SIZE), b""))
        parts: list[memoryview] = []
        while size and self._fill(tell_error=not parts):
            part = self._block[:size]
            self._block = self._block[size:]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer, and fill it except at the end; see ``read``."""
        if self.closed:
            raise ValueError("read of a closed file object")
        with memoryview(buffer) as view, view.cast("B") as flat:
            count, size = 0, len(flat)
            while count < size and self._fill(tell_error=not count):
                step = min(size - count, len(self._block))
                flat[count : count + step] = self._block[:step]
                self._block = self._block[step:]
                count += step
        return count

    def close(self) -> None:
        """End the writing function, wait for it, and let go of what was not read.

        Raises:
            Exception: whatever the writing function had raised before, unless a read has told it.
        """
        if self.closed:
            return
        super().close()
        untold = self._channel.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        if untold is not None:
            raise untold

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception as late:
            if error is None:
                raise
            error.add_note(f"besides, the writing end of a pipe failed: {late!r}")

    def _fill(self, *, tell_error: bool) -> bool:
        """Have a block to read from; False at the end, or at an error that is told later."""
        if not self._block:
            self._block = memoryview(self._channel.get(tell_error=tell_error))
        return len(self._block) > 0


class _PipeWriter(RawWriter):
    """The writing end, for the writing function."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self._pending = bytearray()

    def write(self, data: ReadableBuffer, /) -> int:
        if type(data) is bytes and len(data) == BLOCK_SIZE and not self._pending:
            self._channel.put(data)  # as it is: nobody can change it
            return BLOCK_SIZE
        with memoryview(data) as view, view.cast("B") as flat:
            size = len(flat)
            for start in range(0, size, BLOCK_SIZE):
                self._pending += flat[start : start + BLOCK_SIZE]
                if len(self._pending) >= BLOCK_SIZE:
                    self.flush()
        return size

    def __del__(self) -> None:
        """Hand nothing over: a file object that was forgotten in an error is not complete."""

    def flush(self) -> None:
        """Hand over what is pending, which may have to wait for the reader."""
        if self._pending:
            block = bytes(self._pending)
            self._pending.clear()
            self._channel.put(block)


class _Channel:
    """What both ends share: blocks on their way, and how each end has ended."""

    def __init__(self, ahead_size: int) -> None:
        self._ahead_size = ahead_size
        self._changed = threading.Condition()
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._is_written = False
        self._error: BaseException | None = None
        self._is_told = False
        self._is_closed = False

    def put(self, block: bytes) -> None:
        with self._changed:
            while self._size >= self._ahead_size and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                raise BrokenPipeError(errno.EPIPE, "the reading end of a pipe was closed")
            self._blocks.append(block)
            self._size += len(block)
            self._changed.notify_all()

    def get(self, *, tell_error: bool) -> bytes:
        with self._changed:
            while not self._blocks and not self._is_written:
                self._changed.wait()
            if self._blocks:
                block = self._blocks.popleft()
                self._size -= len(block)
                self._changed.notify_all()
                return block
            if self._error is not None and tell_error:
                self._is_told = True
                raise self._error
            return b""

    def end(self, error: BaseException | None) -> None:
        """The writing function has returned or raised."""
        with self._changed:
            self._is_written = True
            # After the reader went away an error says no more than that.
            self._error = None if self._is_closed else error
            self._changed.notify_all()

    def close(self) -> BaseException | None:
        """The reader goes away; returns the error that it was not told."""
        with self._changed:
            self._is_closed = True
            self._blocks.clear()
            self._changed.notify_all()
            return None if self._is_told else self._error


def _run(write: Callable[[BinaryIO], None], channel: _Channel) -> None:
    try:
        target = _PipeWriter(channel)
        write(target)
        target.flush()
    except BaseException as error:
        # Not swallowed: the reader raises it.
        channel.end(error)
    else:
        channel.end(None)
