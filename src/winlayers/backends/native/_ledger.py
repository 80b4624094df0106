"""What is kept of a layer of Windows beside it, so that nothing of its tar is lost.

    ROOT/winlayers/layers/<id>/index.db            the layer's entries, see ``sealed.index``
    ROOT/winlayers/layers/<id>/layer.json          digests, size and time of the import, see ``sealed.record``
    ROOT/winlayers/layers/<id>/tar-split.json.gz   the tar without the bodies that lie in the layer's folder

The folder of the layer itself is as Windows and Docker have it. From the frame and the files there, the tar is made
again to the byte; where a file is not what it was, its checksum tells. A body that no file of the layer is good for
(of a sparse entry, or of an entry that is no plain file) stays in the frame. This module does not call Windows.

Source: moby/moby layer/filestore.go (what Docker keeps, in the same form) and vbatts/tar-split.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from winlayers.backends.contract import TarFacts
from winlayers.backends.sealed.building import IndexBuilder
from winlayers.backends.sealed.record import RECORD, Record, read_record, write_record
from winlayers.base.atomic import sync_directory, sync_file
from winlayers.formats.tar import TarHeader, TarSource
from winlayers.formats.tarsplit import TarFramer
from winlayers.layer.findings import Finding
from winlayers.layer.names import WHITEOUT_PREFIX
from winlayers.layer.tarheaders import TYPE_REGULAR, has_reparse_record

INDEX = "index.db"
FRAME = "tar-split.json.gz"

_GZIP = 31  # zlib's number for a stream of gzip with the largest window
_FRAME_LEVEL = 4  # a third of the time of the usual 6, for a tenth more bytes


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one layer.

    Attributes:
        folder: where it is.
        record: what was imported.
    """

    folder: Path
    record: Record

    @property
    def index(self) -> Path:
        """The index."""
        return self.folder / INDEX

    @property
    def frame(self) -> Path:
        """The frame of the tar."""
        return self.folder / FRAME


def read_ledger(folder: Path) -> Ledger | None:
    """The ledger in a folder; None where there is none, or one whose removal was cut off.

    Raises:
        StoreCorrupt: its record cannot be read.
    """
    record = read_record(folder)
    return None if record is None else Ledger(folder, record)


class LedgerWriter:
    """Writes a ledger while the tar of a layer is read.

    It is the source that the reader of the tar reads from, and takes each header after it was read.

    Args:
        folder: where to, an empty folder.
        source: the tar.
        is_base: the layer has no parents.
        report: called with findings that are no errors.
        lenient_names: report names that only ``\\\\?\\`` paths can make, instead of refusing them.
        tolerant: report breaches of the laws too: the layer is there, whatever its tar says.
    """

    def __init__(
        self,
        folder: Path,
        source: TarSource,
        *,
        is_base: bool,
        report: Callable[[Finding], None],
        lenient_names: bool = False,
        tolerant: bool = False,
    ) -> None:
        self._folder = folder
        self._file: BinaryIO = open(folder / FRAME, "xb")  # noqa: SIM115 - closed by commit or close
        self._gzip = zlib.compressobj(_FRAME_LEVEL, zlib.DEFLATED, _GZIP)
        self._framer = TarFramer(source, self._write_line)
        self._builder = IndexBuilder(
            folder / INDEX,
            is_base=is_base,
            report=report,
            lenient_names=lenient_names,
            tolerant=tolerant,
        )

    def read(self, size: int = 1 << 20, /) -> bytes:
        """Read on in the tar."""
        return self._framer.read(size)

    def admit(self, header: TarHeader) -> None:
        """Take the header that was just read.

        Raises:
            Malformed: it breaks a law of layers.
        """
        self._framer.admit(header, by_name=_lies_in_a_file(header))
        self._builder.add(header)

    def finish(self, offset: int, find_in_parents: Callable[[str], bool | None]) -> None:
        """Read the tar to its end, and check what needs all names.

        Args:
            offset: where the archive ends in the tar, its end marker included.
            find_in_parents: see ``IndexBuilder.finish``.
        Raises:
            Malformed: it breaks a law of layers.
        """
        self._framer.end(offset)
        self._builder.finish(find_in_parents)

    @property
    def size(self) -> int:
        """Bytes of the unnamed data of all files."""
        return self._builder.size

    @property
    def entry_count(self) -> int:
        """How many entries were admitted."""
        return self._builder.entry_count

    def commit(self, facts: TarFacts, created_ns: int, *, sync: bool = True) -> Record:
        """Complete the ledger; its folder is to be published."""
        record = Record(facts.diff_id, facts.digest, facts.size, created_ns)
        self._builder.commit(record.facts())
        self._file.write(self._gzip.flush())
        self._file.flush()
        if sync:
            sync_file(self._file.fileno())
            _sync(self._folder / INDEX)
        self._file.close()
        write_record(self._folder, record, sync=sync)
        if sync:
            sync_directory(self._folder)
        return record

    def close(self) -> None:
        """Give up what was not committed."""
        with closing(self._file):
            self._builder.close()

    def _write_line(self, line: bytes) -> None:
        self._file.write(self._gzip.compress(line))


def _lies_in_a_file(header: TarHeader) -> bool:
    """Whether the body of an entry is what a plain file of the layer holds."""
    last = header.name.rpartition(b"/")[2].rpartition(b"\\")[2]
    return (
        header.typeflag == TYPE_REGULAR
        and header.sparse is None
        and not last.startswith(WHITEOUT_PREFIX.encode())
        and not has_reparse_record(header)
    )


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        sync_file(file.fileno())


def remove_ledger(folder: Path) -> None:
    """Remove a ledger, if there is one; without its record, which goes first, it is none."""
    if folder.is_dir():
        for name in sorted(os.listdir(folder), key=lambda name: name != RECORD):
            (folder / name).unlink()
        folder.rmdir()
