"""Copies a layer from one written form to another: entries of any reader into any writer.

Every operation on whole layers is this with something around it. This module refuses to know any form.

Source: the loop is that of microsoft/hcsshim pkg/ociwclayer/import.go, without its tar.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from winlayers.base.fileobj import RawReader, read_into
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.layer.entry import EntryKind, EntryReader, EntryWriter, LayerSummary, Part

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def copy_entries(
    reader: EntryReader,
    writer: EntryWriter,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> LayerSummary:
    """Copy all entries, and commit.

    Args:
        reader: at its start; it stays open.
        writer: one that nothing was written to. It is committed at the end, aborted by any error.
        progress: told the bytes of the parts as they are copied; their sum is not known beforehand.
        cancel: asked before each entry and each block of content.
    Returns:
        What the writer counted.
    Raises:
        Cancelled: ``cancel`` was set.
        WinlayersError: whatever the reader or the writer finds.
    """
    watch = _Watch(progress or NullProgress(), cancel or Cancel())
    watch.progress.start("copying", None)
    try:
        with writer:
            for entry in reader:
                watch.cancel.check()
                if entry.kind is EntryKind.WHITEOUT:
                    writer.remove(entry.path)
                elif entry.kind is EntryKind.LINK:
                    writer.link(entry)
                else:
                    writer.add(entry, watch.parts(reader))
            return writer.commit()
    finally:
        watch.progress.finish()


class _Watch:
    """Opens parts so that each read tells the progress and asks whether to go on."""

    def __init__(self, progress: Progress, cancel: Cancel) -> None:
        self.progress = progress
        self.cancel = cancel

    def parts(self, reader: EntryReader) -> Iterator[tuple[Part, BinaryIO]]:
        for part in reader.parts():
            yield part, _WatchedReader(reader.open_part(part), self)


class _WatchedReader(RawReader):
    """The bytes of a part, watched."""

    def __init__(self, source: BinaryIO, watch: _Watch) -> None:
        self._source = source
        self._watch = watch

    def read(self, size: int | None = -1, /) -> bytes:
        self._watch.cancel.check()
        data = self._source.read(-1 if size is None else size)
        self._watch.progress.advance(len(data))
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return read_into(self, buffer)
