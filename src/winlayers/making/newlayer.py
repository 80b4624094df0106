"""New layers: a tar written once, compressed as it goes, and known by two digests at the end.

The compressed bytes go to a file without a name below a folder that is told, because a layer can only be named when
all of it is known. Gzip is written without time and name, so that one tar has one blob for each library that does it.
This module refuses to know where entries come from.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from winlayers.base.compression import Compression, open_compressor, open_decompressed
from winlayers.base.digest import Digest
from winlayers.base.fileobj import BLOCK_SIZE, PreadReader, RawWriter, write_all
from winlayers.base.progress import Cancel, Progress
from winlayers.errors import Malformed, NoSpace
from winlayers.layer.backuptar import BackupTarReader
from winlayers.layer.backuptarwriter import BackupTarWriter
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import EntryReader
from winlayers.layer.findings import Finding
from winlayers.layer.laws import Laws
from winlayers.layer.view import View
from winlayers.making.image import ImageLayer
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


class Workbench:
    """Makes layers, and holds them until it is closed.

    Args:
        folder: where their files are, which have no names.
        compression: of the blobs.
        level: see ``base.compression.open_compressor``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        compression: Compression = Compression.GZIP,
        level: int | None = None,
    ) -> None:
        self._folder = folder
        self._compression = compression
        self._level = level
        self._files = ExitStack()

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._folder

    def layer_of_entries(
        self,
        reader: EntryReader,
        *,
        family: str,
        on_loss: Callable[[Finding], None] = lambda finding: None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> ImageLayer:
        """Make a layer of what a reader gives.

        Args:
            reader: keeps the laws of ``layer.entry``; it stays open.
            family: media type of the manifest that the layer goes into.
            on_loss: called with each thing that a tar does not hold.
            progress: told the bytes of the parts.
            cancel: asked before each entry and each block of content.
        Raises:
            WinlayersError: whatever the reader or the tar finds.
        """

        def write(target: BinaryIO) -> None:
            writer = BackupTarWriter(target, on_loss=on_loss)
            copy_entries(reader, writer, progress=progress, cancel=cancel)

        return self.layer_of_tar(write, family=family)

    def layer_of_tar(self, write: Callable[[BinaryIO], None], *, family: str) -> ImageLayer:
        """Make a layer of a tar.

        Args:
            write: called once, with a file object that takes the tar.
            family: media type of the manifest that the layer goes into.
        Raises:
            NoSpace: the disk of the folder is full.
        """
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # closed with all of them
        self._files.enter_context(file)
        blob = _Digesting(file)
        try:
            with open_compressor(blob, self._compression, level=self._level) as compressor:
                tar = _Digesting(compressor)
                write(tar)
            file.flush()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise NoSpace(f"the disk of {self._folder}, where layers are made, is full") from error
        name = "" if self._compression is Compression.NONE else self._compression.value
        media_type = mediatypes.layer_type(family, name, foreign=False)
        descriptor = Descriptor(media_type, blob.digest, blob.size)
        return ImageLayer(descriptor, tar.digest, _FileOrigin(file.fileno()))

    def layer_of_layer_tar(
        self, source: BinaryIO, below: View, *, family: str, cancel: Cancel | None = None
    ) -> ImageLayer:
        """Make a layer of a layer tar that is there already; the tar keeps its bytes, and so its diff ID.

        Args:
            source: the tar, compressed or not, read to its end.
            below: what it will stand on.
            family: media type of the manifest that the layer goes into.
            cancel: asked before each entry.
        Raises:
            Malformed: it is damaged, has no end marker, or breaks a law of layers.
            InvalidName: a name that a layer cannot hold.
        """

        def write(target: BinaryIO) -> None:
            tee = _Tee(open_decompressed(source), target)
            _check_layer_tar(tee, below, cancel or Cancel())
            while tee.read(BLOCK_SIZE):
                pass

        return self.layer_of_tar(write, family=family)

    def close(self) -> None:
        """Throw the files away; images made of them cannot be read any more."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _FileOrigin:
    """A blob in an open file."""

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        return PreadReader(self._file, offset, descriptor.size - offset)


class _Tee:
    """Passes on what is read to whoever reads, and to a file."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source = source
        self._target = target

    def read(self, size: int, /) -> bytes:
        block = self._source.read(size)
        write_all(self._target, memoryview(block))
        return block


def _check_layer_tar(source: _Tee, below: View, cancel: Cancel) -> None:
    is_base = not below.layer_ids
    laws = Laws(is_base=is_base, find_below=below.lookup)
    reader = BackupTarReader(source, base=is_base)
    for entry in reader:
        cancel.check()
        laws.admit(entry)
        for part in reader.parts():
            laws.admit_part(entry, part)
    laws.finish()
    if not reader.end_marker:
        raise Malformed(
            "layer tar",
            "it ends without an end marker, so it may have been cut",
            offset=reader.tar_offset,
            finding="tar-unterminated",
        )


class _Digesting(RawWriter):
    """Passes bytes on, and digests them."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> Digest:
        return Digest("sha256", self._hash.hexdigest())

    def write(self, data: ReadableBuffer, /) -> int:
        with memoryview(data) as view, view.cast("B") as flat:
            write_all(self._target, flat)
            self._hash.update(flat)
            self.size += len(flat)
            return len(flat)
