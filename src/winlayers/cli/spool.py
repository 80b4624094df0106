"""An archive that comes through a pipe or is compressed, kept as a plain file for as long as it is read.

Whoever looks for members of a tar needs to read it from the middle. The disk is never filled to its last byte: others
work on it too, and what is decompressed may be of any size.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from winlayers.cli.session import Session
from winlayers.cli.target import staging
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from winlayers.base.progress import Progress

STANDARD_INPUT = Path("-")

_STAGED = "winlayers-archive"  # what a crash leaves of it goes when the store is next opened
_ARCHIVE = "archive.tar"
_BLOCK_SIZE = 1 << 20
_ADVICE = (
    "have --tmpdir on another disk, or give an uncompressed archive as a FILE, which is not copied"
)


@contextmanager
def plain_archive(session: Session, file: Path) -> Iterator[Path]:
    """An archive as a plain file that can be read from the middle.

    Args:
        session: whose folder for temporary files is used, and which tells how far it is.
        file: the archive, plain or compressed; ``STANDARD_INPUT`` for standard input.
    Raises:
        InvalidArgument: standard input is a terminal.
        Malformed: what it is compressed with is damaged.
        NoSpace: the temporary file would fill the disk.
        OSError: it cannot be read.
    """
    if file == STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise InvalidArgument(
                "an archive does not come from a terminal; give a FILE, or a pipe"
            )
        with _spooled(session, sys.stdin.buffer) as path:
            yield path
        return
    with open(file, "rb", buffering=0) as source:
        if _is_plain(source):
            yield file
            return
        with _spooled(session, source) as path:
            yield path


def _is_plain(source: BinaryIO) -> bool:
    from winlayers.base.compression import Compression, detect
    from winlayers.base.fileobj import read_at

    if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
        return False
    return detect(read_at(source.fileno(), 0, 4)) is Compression.NONE


@contextmanager
def _spooled(session: Session, source: BinaryIO) -> Iterator[Path]:
    from winlayers.backends.sealed.staging import Staging
    from winlayers.base.compression import open_decompressed
    from winlayers.base.room import RoomReader
    from winlayers.cli.progress import shown

    with staging(session) as tmpdir, Staging(tmpdir, _STAGED) as staged:
        path = staged.path / _ARCHIVE
        with (
            open(path, "xb", buffering=0) as target,
            open_decompressed(source) as content,
            shown(session.progress, "keeping the archive", None) as progress,
        ):
            _keep(session, RoomReader(content, tmpdir, advice=_ADVICE), target, progress)
        yield path


def _keep(session: Session, content: BinaryIO, target: BinaryIO, progress: Progress) -> None:
    from winlayers.base.fileobj import write_all

    while block := content.read(_BLOCK_SIZE):
        session.cancel.check()
        write_all(target, memoryview(block))
        progress.advance(len(block))
