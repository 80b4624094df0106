"""Blobs as files: manifests, indexes, configs and compressed layers, each under its digest.

    ROOT/blobs/<algorithm>/<digits>          a blob, byte for byte as it came
    ROOT/blobs/tmp/<lease>.<16 hex digits>   one that is coming, of whoever has that lease

A blob is staged, brought to the disk and renamed. Whether one counts is decided by the catalog, not by its file;
so publishing and sweeping happen in transactions of the catalog, which the caller opens.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from winlayers.base.atomic import sync_directory, sync_file
from winlayers.base.digest import Digest
from winlayers.base.fileobj import RawReader, Readable, read_into
from winlayers.errors import BlobNotFound, Corrupt, NoSpace, TooLarge

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_flush = getattr(os, "fdatasync", os.fsync)

FOLDER = "blobs"
_ALGORITHMS = ("sha256", "sha512")
# Bytes after which the disk is made to begin, so that there is little to wait for at the end.
_SYNC_STEP = 16 << 20


class BlobFiles:
    """The files of one store.

    Args:
        root: of the store; the folders are made.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._tmp = self._folder / "tmp"
        self.locks = self._folder / "locks"
        """Where locks of layers that are being made lie."""
        for folder in (self._folder, self._tmp, self.locks, *self._places()):
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                sync_directory(folder.parent)

    def free_size(self) -> int:
        """Bytes that the disk has left."""
        return shutil.disk_usage(self._folder).free

    def stage(self, lease: int) -> StagedBlob:
        """Begin a blob.

        Args:
            lease: of whoever does; as long as it lasts, what is staged stays.
        """
        return StagedBlob(self._tmp / f"{lease}.{os.urandom(8).hex()}")

    def publish(self, staged: StagedBlob, digest: Digest) -> None:
        """Give a finished blob its name; one that is there is replaced by the same bytes."""
        target = self.path(digest)
        os.replace(staged.path, target)
        sync_directory(target.parent)

    def path(self, digest: Digest) -> Path:
        """Where a blob is, or would be."""
        return self._folder / digest.algorithm / digest.hex

    def open(self, digest: Digest) -> BinaryIO:
        """A blob, to be closed by the caller.

        Raises:
            BlobNotFound: it is not there.
        """
        try:
            return open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError as error:
            raise BlobNotFound(f"the store has no blob {digest}") from error

    def read(self, digest: Digest, *, limit: int) -> bytes:
        """A blob whole.

        Args:
            digest: of it.
            limit: how many bytes it may have.
        Raises:
            BlobNotFound: it is not there.
            TooLarge: it has more bytes.
        """
        with self.open(digest) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise TooLarge(f"blob {digest} has more than {limit} bytes")
        return content

    def sweep(self, known: Collection[Digest], leases: Collection[int]) -> int:
        """Remove what the catalog does not know; in a transaction that writes.

        Args:
            known: the blobs that count.
            leases: those that last.
        Returns:
            Bytes that this gave back.
        """
        names = {(digest.algorithm, digest.hex) for digest in known}
        size = 0
        for place in self._places():
            for entry in os.scandir(place):
                if (place.name, entry.name) not in names:
                    size += _remove(entry)
        lasting = {str(lease) for lease in leases}
        for entry in os.scandir(self._tmp):
            if entry.name.partition(".")[0] not in lasting:
                size += _remove(entry)
        return size

    def _places(self) -> list[Path]:
        return [self._folder / algorithm for algorithm in _ALGORITHMS]


class StagedBlob:
    """A blob that is coming: a file to write, removed at the end unless it was published."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unsynced = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = open(  # noqa: SIM115 - closed by ``finish`` or at the end of the block
            path, "xb", buffering=0, opener=lambda name, _: os.open(name, flags, 0o600)
        )

    def write(self, block: bytes) -> None:
        """Write on.

        Raises:
            NoSpace: the disk is full.
        """
        view = memoryview(block)
        self._unsynced += len(view)
        with _full_disk_told(self.path):
            while view:
                view = view[self._file.write(view) :]
            if self._unsynced >= _SYNC_STEP:
                self._unsynced = 0
                _flush(self._file.fileno())

    def finish(self) -> None:
        """Bring all of it to the disk, and close it.

        Raises:
            NoSpace: the disk is full.
        """
        if not self._file.closed:
            with _full_disk_told(self.path):
                sync_file(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as late:
            if error is None:
                raise
            error.add_note(f"besides, {self.path} could not be removed: {late}")


class SizedReader(RawReader):
    """A file object that has to have as many bytes as was told, and may be written down as it is read.

    What is read of it is checked for its size alone.
    """

    def __init__(
        self, source: Readable, size: int, *, what: str, staged: StagedBlob | None = None
    ) -> None:
        """Begin at the present position of ``source``.

        Args:
            source: what to read; only ``read`` is used.
            size: bytes that it must have.
            what: how an error names the content.
            staged: gets all bytes, and is finished at the end; or None.
        """
        self._source = source
        self._size = size
        self._what = what
        self._staged = staged
        self._position = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Raises:
            Corrupt: there are more bytes, or fewer.
        """
        if size is None or size < 0:
            return self.readall()
        block = self._source.read(size)
        self._position += len(block)
        if self._position > self._size or (size and not block and self._position < self._size):
            many = "more" if block else "fewer"
            raise Corrupt(f"{self._what} has {many} bytes than the {self._size} that were told")
        if self._staged is not None:
            self._staged.write(block)
            if size and not block:
                self._staged.finish()
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)


@contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoSpace(f"the disk of {path.parent} is full; free some space") from error


def _remove(entry: os.DirEntry[str]) -> int:
    """Remove a file that somebody else may be removing too; its size."""
    # What Windows does not let go, because somebody reads it, goes with the next sweep.
    with suppress(FileNotFoundError, *((PermissionError,) if sys.platform == "win32" else ())):
        size = entry.stat(follow_symlinks=False).st_size
        os.unlink(entry.path)
        return size
    return 0
