"""Import and export of tars over any reader and writer, for backends that have no better way.

Both are ``layer.copying.copy_entries`` between a form of the backend's own and ``layer.backuptar``. The
import adds what a copy does not do: the tar is read to its end, whoever gave it confirms what was read,
and only then is the layer published. This module refuses to know where layers are kept.

Source: the order of the steps is that of moby/moby daemon/graphdriver/windows/windows.go (importLayer).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, Protocol, Self

from winlayers.backends.contract import ImportRequest, TarFacts
from winlayers.base.pipe import reader_of
from winlayers.errors import InvalidName, Malformed, TooLarge
from winlayers.formats.tar import TarSource
from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryReader, EntryWriter, LayerSummary, Part

_BLOCK_SIZE = 1 << 20


class LayerWriter(EntryWriter, Protocol):
    """An EntryWriter of a backend, which keeps what is known of the tar with the layer."""

    def commit(self, facts: TarFacts | None = None) -> LayerSummary:
        """Publish the layer.

        Args:
            facts: of the tar that the entries come from, or None.
        """


def import_tar(request: ImportRequest, writer: LayerWriter) -> LayerSummary:
    """Copy a tar into a writer; all of it or nothing.

    Args:
        request: what is to be imported.
        writer: a writer for that layer, which checks the laws that need all names.
    Returns:
        What the writer counted, with the facts of the tar.
    Raises:
        Malformed: the tar, or a layer that breaks a law; or no end marker, and nothing proves it whole.
        TooLarge: more bytes than the policy allows.
        WinlayersError: whatever ``request.confirm`` or the writer finds.
    """
    source = MeasuredTar(request.tar, request.policy.max_size)
    reader = BackupTarReader(
        source,
        base=not len(request.chain),
        lenient_names=request.policy.lenient_names,
        on_finding=request.report,
    )
    try:
        return copy_entries(reader, _ConfirmedWriter(request, writer, source, reader))
    except InvalidName as error:
        # To the reader it is a name that cannot be; to the import it is a layer that is not right.
        raise Malformed("layer tar", str(error), finding=error.finding) from error


def export_tar(reader: EntryReader) -> BinaryIO:
    """Make a tar of what a reader gives, as it is read.

    Args:
        reader: closed with the tar.
    Returns:
        The tar, in the dialect that loses nothing; to be closed by the caller.
    """

    def write(target: BinaryIO) -> None:
        try:
            copy_entries(reader, BackupTarWriter(target))
        finally:
            reader.close()

    return reader_of(write)


def confirm_tar(request: ImportRequest, size: int, *, has_end: bool) -> TarFacts:
    """Have whoever gave a tar confirm it, once it was read to its end.

    Args:
        request: what is being imported.
        size: bytes that were read.
        has_end: whether there was an end marker.
    Raises:
        Malformed: there was none, and nothing proves that the tar is whole.
        WinlayersError: whatever ``request.confirm`` finds.
    """
    facts = request.confirm(size)
    if not (has_end or facts.verified or request.policy.allow_unterminated):
        raise Malformed(
            "layer tar",
            "ends without an end marker, so it may have been cut at the border of an entry",
            offset=size,
            finding="tar-unterminated",
        )
    return facts


class MeasuredTar:
    """The tar of a request, counted, and not longer than it may be."""

    def __init__(self, tar: TarSource, max_size: int | None) -> None:
        self._tar = tar
        self._max_size = max_size
        self.size = 0

    def read(self, size: int = _BLOCK_SIZE, /) -> bytes | bytearray | memoryview:
        block = self._tar.read(size)
        self.size += len(block)
        if self._max_size is not None and self.size > self._max_size:
            raise TooLarge(f"the layer tar is larger than {self._max_size} bytes")
        return block

    def drain(self) -> None:
        """Read what follows the end marker: the digests cover it."""
        while self.read():
            pass


class _ConfirmedWriter:
    """An EntryWriter that commits only what the giver of the tar has confirmed."""

    def __init__(
        self,
        request: ImportRequest,
        writer: LayerWriter,
        source: MeasuredTar,
        reader: BackupTarReader,
    ) -> None:
        self._request = request
        self._writer = writer
        self._source = source
        self._reader = reader

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        self._writer.add(entry, parts)

    def link(self, entry: Entry) -> None:
        self._writer.link(entry)

    def remove(self, path: str) -> None:
        self._writer.remove(path)

    def commit(self) -> LayerSummary:
        self._source.drain()
        facts = confirm_tar(self._request, self._source.size, has_end=self._reader.end_marker > 0)
        return self._writer.commit(facts)

    def abort(self) -> None:
        self._writer.abort()

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.__exit__(*exc)
