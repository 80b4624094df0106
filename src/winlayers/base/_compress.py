"""The ways to compress: gzip in blocks that threads share, zstd by a library with threads of its own.

This is the half for writing of ``compression``.
"""

from __future__ import annotations

import struct
import zlib
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from winlayers.base._compression_libraries import deflating_library, import_zstd
from winlayers.base.fileobj import RawWriter, write_all

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor
    from types import ModuleType, TracebackType

    from _typeshed import ReadableBuffer

BLOCK_SIZE = 1 << 20
"""Bytes of content at a time."""

# No name, no time, unknown system: the same content gives the same bytes.
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_DEFLATE_WINDOW_SIZE = 1 << 15
_DEFLATE_END = b"\x03\0"


class Compressor(RawWriter):
    """A file object that compresses what is written; made by ``open_compressor``.

    ``close`` ends the compressed stream and leaves the target open. Leaving a ``with`` block by an
    error, or forgetting the object, does not end it: a stream that is cut short is told from a whole one.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        self.abort()

    def write(self, data: ReadableBuffer, /) -> int:
        """Take all of ``data``.

        Args:
            data: content of any size; it may be changed as soon as this returns.
        Returns:
            The size of ``data``.
        """
        if self.closed:
            raise ValueError("write to a closed file object")
        with memoryview(data) as view, view.cast("B") as flat:
            for start in range(0, len(flat), BLOCK_SIZE):
                self._compress(flat[start : start + BLOCK_SIZE])
            return len(flat)

    def close(self) -> None:
        """Compress what is pending and end the stream; a second call does nothing."""
        if self.closed:
            return
        try:
            self._finish()
        finally:
            self.abort()

    def abort(self) -> None:
        """Stop where it is; the target holds a part of a stream."""
        if not self.closed:
            super().close()
            self._stop()

    @abstractmethod
    def _compress(self, block: memoryview) -> None:
        """Take a block of at most 1 MiB."""

    def _finish(self) -> None:
        """Write what is pending and what ends the stream."""

    def _stop(self) -> None:
        """Let go of what was held; nothing is written."""


class PlainWriter(Compressor):
    def _compress(self, block: memoryview) -> None:
        write_all(self._target, block)


class ZstdWriter(Compressor):
    """One zstd frame with a checksum; the library has threads of its own."""

    def __init__(self, target: BinaryIO, level: int, threads: int) -> None:
        super().__init__(target)
        zstd = import_zstd()
        parameter = zstd.CompressionParameter
        _, most = parameter.nb_workers.bounds()
        options = {
            parameter.compression_level: level,
            parameter.checksum_flag: 1,
            parameter.nb_workers: min(threads, most) if threads > 1 else 0,
        }
        self._compressor = zstd.ZstdCompressor(options=options)

    def _compress(self, block: memoryview) -> None:
        write_all(self._target, memoryview(self._compressor.compress(block)))

    def _finish(self) -> None:
        write_all(self._target, memoryview(self._compressor.flush()))


class GzipWriter(Compressor):
    """One gzip member, deflated in blocks of 1 MiB that threads share.

    Each block knows the 32 KiB before it and ends at a byte border, so that the blocks joined are one
    deflate stream. Blocks are cut by size alone, whatever the sizes of the writes.
    """

    def __init__(self, target: BinaryIO, level: int, threads: int) -> None:
        super().__init__(target)
        self._library = deflating_library(level)
        self._level = level
        self._threads = max(threads, 1)
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._window = b""
        self._crc = 0
        self._size = 0
        write_all(target, memoryview(_GZIP_HEADER))

    def _compress(self, block: memoryview) -> None:
        room = BLOCK_SIZE - len(self._block)
        self._block += block[:room]
        if len(self._block) == BLOCK_SIZE:
            self._submit()
            self._block += block[room:]

    def _submit(self) -> None:
        block = bytes(self._block)
        self._block.clear()
        self._crc = self._library.crc32(block, self._crc)
        self._size += len(block)
        if self._pool is None:
            # Imported late: most runs compress nothing.
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, "deflate")
        self._pending.append(
            self._pool.submit(_deflate, self._library, self._level, block, self._window)
        )
        self._window = block[-_DEFLATE_WINDOW_SIZE:]
        while len(self._pending) > self._threads:
            self._write_next()

    def _write_next(self) -> None:
        write_all(self._target, memoryview(self._pending.popleft().result()))

    def _finish(self) -> None:
        if self._block:
            self._submit()
        while self._pending:
            self._write_next()
        trailer = struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)
        write_all(self._target, memoryview(_DEFLATE_END + trailer))

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _deflate(library: ModuleType, level: int, block: bytes, window: bytes) -> bytes:
    compressor = library.compressobj(
        level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, window
    )
    compressed: bytes = compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return compressed
