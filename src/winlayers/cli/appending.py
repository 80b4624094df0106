"""What ``winlayers append`` puts into a layer: a folder, a plain tar, or a layer tar that is taken as it is.

A layer tar is told by its records of Windows (``MSWINDOWS.*``), which stand with every entry of one, and with none of a
plain tar.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from winlayers.base.fileobj import JoinedReader
from winlayers.errors import InvalidArgument, Malformed

if TYPE_CHECKING:
    from winlayers.base.progress import Cancel, Progress
    from winlayers.layer.view import View
    from winlayers.making.appending import Times
    from winlayers.making.image import ImageLayer
    from winlayers.making.newlayer import Workbench
    from winlayers.making.plainfiles import PlainFile

KINDS = ("auto", "files", "layer")
_HEAD_SIZE = 64 << 10
_LOOKED_AT = 8


@dataclass(frozen=True, slots=True)
class Appending:
    """How layers are made.

    Attributes:
        workbench: makes them.
        family: media type of the manifest.
        times: of what has none, and the latest one.
        place: directory of the container that plain files go to.
        progress: told the bytes of plain files.
        cancel: asked now and then.
    """

    workbench: Workbench
    family: str
    times: Times
    place: str
    progress: Progress
    cancel: Cancel


def append_source(
    how: Appending, source: str, kind: str, below: View, deleted: Sequence[str] = ()
) -> ImageLayer:
    """Make a layer of a file or folder.

    Args:
        how: see there.
        source: path of a tar or folder, or ``-`` for a tar on standard input.
        kind: one of ``KINDS``.
        below: what the layer will stand on.
        deleted: paths of the container that go with it.
    Raises:
        InvalidArgument: what is asked for does not go with a layer tar.
        WinlayersError: what is wrong with the files.
    """
    if source != "-" and Path(source).is_dir():
        if kind == "layer":
            raise InvalidArgument(f"{source} is a folder, and no layer tar")
        return _layer_of_folder(how, Path(source), below, deleted)
    with _opened(source) as file:
        from winlayers.base.compression import open_decompressed

        tar = open_decompressed(file)
        head = _head_of(tar)
        whole = JoinedReader([io.BytesIO(head), tar])
        if kind == "layer" or (kind == "auto" and is_layer_tar(head)):
            if how.place or deleted:
                raise InvalidArgument(
                    f"{source} is a layer tar, which is taken as it is: --to and --delete are for plain files"
                )
            return how.workbench.layer_of_layer_tar(
                whole, below, family=how.family, cancel=how.cancel
            )
        return _layer_of_plain_tar(how, source, whole, below, deleted)


def append_deletions(how: Appending, below: View, deleted: Sequence[str]) -> ImageLayer:
    """Make a layer that only takes files away."""
    return _layer_of_files(how, iter(()), below, deleted)


def is_layer_tar(head: bytes) -> bool:
    """Whether the beginning of an uncompressed tar is that of a layer tar.

    Args:
        head: what is not cut off behind the first entries.
    """
    from winlayers.formats.tar import TarReader

    reader = TarReader(io.BytesIO(head))
    try:
        for _ in range(_LOOKED_AT):
            header = reader.next()
            if header is None:
                return False
            if any(name.startswith(b"MSWINDOWS.") for name in header.pax):
                return True
    except Malformed:
        return False  # cut off, or no tar, which is told by whoever reads it
    return False


def _layer_of_folder(
    how: Appending, folder: Path, below: View, deleted: Sequence[str]
) -> ImageLayer:
    from winlayers.base.rooted import Root
    from winlayers.making.plainfiles import files_of_folder

    with Root(folder) as root:
        return _layer_of_files(how, files_of_folder(root), below, deleted)


def _layer_of_plain_tar(
    how: Appending, source: str, tar: BinaryIO, below: View, deleted: Sequence[str]
) -> ImageLayer:
    from winlayers.making.plainfiles import files_of_tar

    try:
        return _layer_of_files(how, files_of_tar(tar), below, deleted)
    except Malformed as error:
        error.add_note(f"{source} is to be a tar, gzip, zstd or not compressed, or a folder.")
        raise


def _layer_of_files(
    how: Appending, files: Iterator[PlainFile], below: View, deleted: Sequence[str]
) -> ImageLayer:
    from winlayers.making.appending import AppendedFiles

    reader = AppendedFiles(files, below, how.times, place=how.place, deleted=deleted)
    try:
        return how.workbench.layer_of_entries(
            reader, family=how.family, progress=how.progress, cancel=how.cancel
        )
    finally:
        reader.close()


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        # Without a buffer of Python's own, so that nothing stands between the pipe and the inflater.
        descriptor = 0 if sys.stdin is None else sys.stdin.fileno()
        if os.isatty(descriptor):
            raise InvalidArgument("a tar does not come from a terminal; give a file, or use a pipe")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            yield file
        return
    with open(source, "rb", buffering=0) as file:
        yield file


def _head_of(tar: BinaryIO) -> bytes:
    head = b""
    while len(head) < _HEAD_SIZE and (block := tar.read(_HEAD_SIZE - len(head))):
        head += block
    return head
