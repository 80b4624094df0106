"""File objects over file objects and descriptors: bounded, counted, joined, padded, by position.

All readers here are raw, blocking and for bytes. None of them closes what it stands on: whoever opened
that closes it. Content that ends before it should is an error and never a short file. This module
knows nothing of paths, formats or compression.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol

from winlayers.errors import Corrupt, InvalidArgument, Malformed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    class _RawFile(io.RawIOBase, BinaryIO): ...
else:
    _RawFile = io.RawIOBase

BLOCK_SIZE = 1 << 20


class RawReader(_RawFile):
    """Base of file objects for reading, so that they are a BinaryIO for type checkers too.

    A subclass defines ``readinto``, and ``read`` where it can do better than by way of ``readinto``.
    """

    def readable(self) -> bool:
        """Always."""
        return True


class RawWriter(_RawFile):
    """Base of file objects for writing; a subclass defines ``write``."""

    def writable(self) -> bool:
        """Always."""
        return True


class Readable(Protocol):
    """The one method that most readers need of their source."""

    def read(self, size: int, /) -> bytes:
        """Bytes, at most ``size``; none only at the end."""


class BoundedReader(RawReader):
    """The next ``size`` bytes of a file object, as a file object of their own."""

    def __init__(self, source: Readable, size: int, *, what: str = "content") -> None:
        """Begin at the present position of ``source``.

        Args:
            source: what to read; only ``read`` is used.
            size: bytes that belong to this reader.
            what: how an error names the content.
        """
        self._source = source
        self._size = size
        self._what = what
        self.remaining = size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, never past the bound.

        Raises:
            Malformed: the source ended before the bound.
        """
        if size is None or size < 0:
            return self.readall()
        wanted = min(size, self.remaining)
        if not wanted:
            return b""
        block = self._source.read(wanted)
        if not block:
            raise Malformed(
                self._what,
                f"ends {self.remaining} bytes before its {self._size}",
                offset=self._size - self.remaining,
            )
        self.remaining -= len(block)
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)

    def skip(self) -> None:
        """Read what is left of the bound, so that the source stands behind it.

        Raises:
            Malformed: the source ended before the bound.
        """
        while self.read(BLOCK_SIZE):
            pass


class CountingReader(RawReader):
    """A file object that counts what is read through it, in ``count``."""

    def __init__(self, source: Readable) -> None:
        """Begin at the present position of ``source``, with a count of 0."""
        self._source = source
        self.count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on and count."""
        if size is None or size < 0:
            return self.readall()
        block = self._source.read(size)
        self.count += len(block)
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer and count."""
        return read_into(self, buffer)


class CountingWriter(RawWriter):
    """A file object that counts what is written through it, in ``count``."""

    def __init__(self, target: BinaryIO) -> None:
        """Begin at the present position of ``target``, with a count of 0."""
        self._target = target
        self.count = 0

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of ``data``, in as many steps as the target needs, and count."""
        with memoryview(data) as view, view.cast("B") as flat:
            write_all(self._target, flat)
            self.count += len(flat)
            return len(flat)

    def flush(self) -> None:
        """Flush the target."""
        if not self.closed:
            self._target.flush()


class JoinedReader(RawReader):
    """Several file objects, one after the other."""

    def __init__(self, sources: Iterable[Readable]) -> None:
        """Begin with the first.

        Args:
            sources: what to read; an iterator is advanced only when the one before has ended.
        """
        self._sources = iter(sources)
        self._source = next(self._sources, None)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on; a read may end early at the border of two sources."""
        if size is None or size < 0:
            return self.readall()
        if not size:
            return b""
        while self._source is not None:
            block = self._source.read(size)
            if block:
                return block
            self._source = next(self._sources, None)
        return b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)


class PaddedReader(RawReader):
    """A file object followed by zeros up to a multiple of a block size, as tar bodies are."""

    def __init__(self, source: Readable, block_size: int) -> None:
        """Begin at the present position of ``source``, which counts as a multiple.

        Args:
            source: what to read first.
            block_size: bytes; the whole is as long as the next multiple of it.
        """
        self._source = source
        self._block_size = block_size
        self._count = 0
        self._padding: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, in the source and then in the padding."""
        if size is None or size < 0:
            return self.readall()
        if not size:
            return b""
        if self._padding is None:
            block = self._source.read(size)
            if block:
                self._count += len(block)
                return block
            self._padding = -self._count % self._block_size
        zeros = bytes(min(size, self._padding))
        self._padding -= len(zeros)
        return zeros

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)


class SizedReader(RawReader):
    """What positional readers share: a size known beforehand, and a position of their own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._position = 0

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; a position past the end is allowed and reads nothing.

        Args:
            offset: bytes from where ``whence`` says.
            whence: ``os.SEEK_SET``, ``os.SEEK_CUR`` or ``os.SEEK_END``.
        Returns:
            The new position.
        Raises:
            InvalidArgument: before the start, or another ``whence``.
        """
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}
        if whence not in bases or bases[whence] + offset < 0:
            raise InvalidArgument(f"cannot seek to {offset} from {whence} in {self.size} bytes")
        self._position = bases[whence] + offset
        return self._position

    def tell(self) -> int:
        """The position, in bytes from the start."""
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on from the position."""
        left = max(self.size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        block = self.read_at(self._position, wanted) if wanted else b""
        self._position += len(block)
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer."""
        return read_into(self, buffer)

    @abstractmethod
    def read_at(self, position: int, size: int) -> bytes:
        """Read without moving; ``position + size`` lies within the content."""


class PreadReader(SizedReader):
    """A range of an open file, read by position, so that any number of readers share a descriptor."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        """Show ``size`` bytes from ``offset`` on.

        Args:
            descriptor: an open file; its own position is neither used nor kept.
            offset: where the range starts in the file, in bytes.
            size: bytes in the range.
        """
        super().__init__(size)
        self._descriptor = descriptor
        self._offset = offset

    def read_at(self, position: int, size: int) -> bytes:
        """Read without moving.

        Args:
            position: bytes from the start of the range.
            size: bytes; the range must hold them.
        Returns:
            Exactly ``size`` bytes.
        Raises:
            Corrupt: the file is shorter than the range.
        """
        return read_exactly_at(self._descriptor, self._offset + position, size)


class ExtentReader(SizedReader):
    """A sparse file whose pieces lie about in another file; what is between the pieces is zeros."""

    def __init__(self, descriptor: int, extents: Sequence[tuple[int, int, int]], size: int) -> None:
        """Show the pieces in their places.

        Args:
            descriptor: an open file that holds the pieces; its own position is not used.
            extents: (position here, offset in the file, size) of each piece, all in bytes,
                in rising order, not overlapping and within ``size``.
            size: bytes in the whole.
        Raises:
            InvalidArgument: the pieces are out of order, overlap or reach beyond the end.
        """
        super().__init__(size)
        end = 0
        for logical, _, length in extents:
            if logical < end or length < 0:
                raise InvalidArgument(f"extent at {logical} overlaps the one before it")
            end = logical + length
        if end > size:
            raise InvalidArgument(f"extents reach to {end}, beyond the end at {size}")
        self._descriptor = descriptor
        self._extents = extents
        self._starts = [extent[0] for extent in extents]

    def read_at(self, position: int, size: int) -> bytes:
        """Read without moving.

        Args:
            position: bytes from the start.
            size: bytes; the whole must hold them.
        Returns:
            Exactly ``size`` bytes, pieces and zeros.
        Raises:
            Corrupt: the file that holds the pieces is too short.
        """
        parts = []
        end = position + size
        index = max(bisect_right(self._starts, position) - 1, 0)
        while position < end:
            logical, source, length = self._extent_from(index)
            if position < logical:
                part = bytes(min(logical, end) - position)
            elif position < logical + length:
                skipped = position - logical
                wanted = min(length - skipped, end - position)
                part = read_exactly_at(self._descriptor, source + skipped, wanted)
            else:
                index += 1
                continue
            parts.append(part)
            position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _extent_from(self, index: int) -> tuple[int, int, int]:
        """The extent at ``index``; behind the last one an empty one at the end of the file."""
        return self._extents[index] if index < len(self._extents) else (self.size, 0, 0)


def write_all(target: BinaryIO, data: memoryview) -> None:
    """Write every byte, also to a raw file object that takes only some at a time.

    Args:
        target: where to write.
        data: bytes, of item size 1.
    Raises:
        BlockingIOError: the target does not block and takes nothing now.
    """
    while data:
        written = target.write(data)
        if not written:
            raise BlockingIOError(errno.EAGAIN, "a file that is written to must block")
        data = data[written:]


def copy(source: Readable, target: BinaryIO, *, block_size: int = BLOCK_SIZE) -> int:
    """Copy from the present position of ``source`` to its end.

    Args:
        source: what to read.
        target: where to write.
        block_size: bytes at a time.
    Returns:
        Bytes copied.
    """
    total = 0
    while block := source.read(block_size):
        write_all(target, memoryview(block))
        total += len(block)
    return total


def read_exactly_at(descriptor: int, offset: int, size: int) -> bytes:
    """Read from a place in an open file, whose position stays.

    Args:
        descriptor: an open file.
        offset: where, in bytes.
        size: bytes.
    Returns:
        Exactly ``size`` bytes.
    Raises:
        Corrupt: the file ends before.
    """
    block = _pread(descriptor, size, offset)
    if len(block) == size:
        return block
    parts = [block]
    got = len(block)
    while got < size:
        block = _pread(descriptor, size - got, offset + got)
        if not block:
            raise Corrupt(
                f"a file ends at byte {offset + got} where content reaches to byte {offset + size}"
            )
        parts.append(block)
        got += len(block)
    return b"".join(parts)


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Read from a place in an open file, whose position stays.

    Args:
        descriptor: an open file.
        offset: where, in bytes.
        size: bytes.
    Returns:
        At most ``size`` bytes; fewer only at the end of the file.
    """
    block = _pread(descriptor, size, offset)
    while block and len(block) < size:
        more = _pread(descriptor, size - len(block), offset + len(block))
        if not more:
            break
        block += more
    return block


def write_all_at(descriptor: int, offset: int, data: bytes | memoryview) -> None:
    """Write every byte to a place in an open file, whose position stays.

    Args:
        descriptor: a file open for writing.
        offset: where, in bytes.
        data: bytes, of item size 1.
    """
    view = memoryview(data)
    while view:
        written = _pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def read_into(reader: Readable, buffer: WriteableBuffer) -> int:
    """A ``readinto`` for a reader that only has ``read``.

    Args:
        reader: what to read from, once.
        buffer: where to.
    Returns:
        Bytes read; none only at the end.
    """
    with memoryview(buffer) as view, view.cast("B") as flat:
        block = reader.read(len(flat))
        flat[: len(block)] = block
        return len(block)


_SEEK_LOCK = threading.Lock()


def _seek_and_read(descriptor: int, size: int, offset: int) -> bytes:
    # Windows has no pread in Python. One lock for all files: a descriptor may be shared by readers
    # that know nothing of each other.
    with _SEEK_LOCK:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, offset, os.SEEK_SET)
        try:
            return os.read(descriptor, size)
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)


def _seek_and_write(descriptor: int, data: bytes | memoryview, offset: int) -> int:
    with _SEEK_LOCK:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, offset, os.SEEK_SET)
        try:
            return os.write(descriptor, data)
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)


_pread = getattr(os, "pread", _seek_and_read)
_pwrite = getattr(os, "pwrite", _seek_and_write)
