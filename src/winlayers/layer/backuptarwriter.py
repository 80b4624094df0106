"""Writes a layer tar; ``backuptar`` has the form, and the way back.

This module knows what follows what in the tar of one entry: its header, its data, its alternate streams.
It refuses to know headers from within, and the order of entries.

Source: microsoft/hcsshim pkg/ociwclayer/export.go, microsoft/go-winio backuptar/tar.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import BinaryIO, Self

from winlayers.base.fileobj import BLOCK_SIZE, CountingWriter
from winlayers.errors import IllegalState, InvalidArgument, InvalidName, Malformed, Unsupported
from winlayers.formats.tar import TarWriter
from winlayers.layer.entry import STREAM_ATTRIBUTE_SPARSE, Entry, LayerSummary, Part
from winlayers.layer.findings import Finding
from winlayers.layer.laws import is_opaque_marker
from winlayers.layer.names import WHITEOUT_PREFIX
from winlayers.layer.streamnames import check_stream_name
from winlayers.layer.tarencoder import HeaderEncoder
from winlayers.layer.tarheaders import Dialect

_NOT_IN_NAME = re.compile(r"[\0:\\]")


class BackupTarWriter:
    """Writes entries as a layer tar; see ``layer.entry.EntryWriter``.

    Entries are written as they come; order and laws are those of whoever gives them. An abort leaves the
    tar without an end marker; throwing it away is the caller's.
    """

    def __init__(
        self,
        target: BinaryIO,
        *,
        dialect: Dialect = Dialect.FULL,
        on_loss: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        """Begin at the present position of ``target``.

        Args:
            target: file object that takes the tar; it is not closed.
            dialect: see ``Dialect``.
            on_loss: called with each thing that the tar does not hold.
        """
        self._target = CountingWriter(target)
        self._tar = TarWriter(self._target)
        self._encoder = HeaderEncoder(dialect, on_loss)
        self._entries = TarEntryWriter(self._tar, self._encoder)
        self._report = on_loss
        self._size = 0
        self._entry_count = 0
        self._is_open = True

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """Add a file or directory.

        Args:
            entry: kind FILE or DIRECTORY.
            parts: the data, which has the size of the entry, then alternate streams; each is read to its
                end.
        Raises:
            InvalidName: a name that a layer tar cannot hold.
            InvalidArgument: parts that do not fit the entry.
            Malformed: a part of another size than it said, or EAs or reparse data that do not parse.
            Unsupported: what the original cannot write (GO).
        """
        self._begin(entry.path)
        self._entries.write(entry, parts)
        self._size += entry.size

    def link(self, entry: Entry) -> None:
        """Add a hard link, which holds no content of its own.

        Raises:
            InvalidName: a name that a layer tar cannot hold.
        """
        self._begin(entry.path)
        _check_path(entry.target)
        self._tar.add(self._encoder.link_header(entry))

    def remove(self, path: str) -> None:
        """Add a whiteout.

        Args:
            path: what is gone. A last name ``.wh..opq`` makes it opaque; that is reported, because
                Windows does not know it.
        Raises:
            InvalidName: a name that a layer tar cannot hold.
        """
        if is_opaque_marker(path):
            folder = path.rpartition("/")[0]
            self._begin(folder)
            detail = "is passed on, but Windows does not know it"
            self._report(Finding("whiteout-opaque", folder, detail))
        else:
            self._begin(path, is_whiteout=True)
        self._tar.add(self._encoder.whiteout_header(path))

    def commit(self) -> LayerSummary:
        """Write the end marker.

        Returns:
            What was counted; digests are left to the owner of the target.
        """
        self._check_open()
        self._is_open = False
        self._tar.close()
        return LayerSummary(self._size, self._entry_count, tar_size=self._target.count)

    def abort(self) -> None:
        """Write nothing more."""
        self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def _begin(self, path: str, *, is_whiteout: bool = False) -> None:
        """Count an entry, after a look at its name."""
        self._check_open()
        _check_path(path, is_whiteout=is_whiteout)
        self._entry_count += 1

    def _check_open(self) -> None:
        if not self._is_open:
            raise IllegalState("the tar was committed or aborted before")


class TarEntryWriter:
    """Writes one file or directory after another into a tar.

    Args:
        target: stands between two entries, and is left there.
        encoder: makes the headers; its dialect decides about the streams too, and they use its report.
    """

    def __init__(self, target: TarWriter, encoder: HeaderEncoder) -> None:
        self._target = target
        self._encoder = encoder

    def write(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """Write an entry with its parts.

        Args:
            entry: kind FILE or DIRECTORY; its path is not checked.
            parts: see ``BackupTarWriter.add``.
        Raises:
            InvalidArgument, InvalidName, Malformed, Unsupported: see ``BackupTarWriter.add``.
        """
        pending = iter(parts)
        first = next(pending, None)
        data = first if first is not None and not first[0].name else None
        size = 0 if data is None else data[0].size
        if size != entry.size:
            raise InvalidArgument(f"{entry.path!r} has {entry.size} bytes, its data {size}")
        header = self._encoder.file_header(entry, has_data=data is not None)
        self._target.add(header)
        if data is not None:
            self._copy(entry, *data)
        streams = pending if first is None or data is not None else chain((first,), pending)
        for part, source in streams:
            if not part.name:
                reason = "has data twice, or behind an alternate stream"
                raise InvalidArgument(f"{entry.path!r} {reason}")
            if self._is_carried(entry, part, has_data=data is not None):
                self._target.add(self._encoder.stream_header(header, part))
                self._copy(entry, part, source)

    def _is_carried(self, entry: Entry, part: Part, *, has_data: bool) -> bool:
        """Whether an alternate stream is written; what is not is reported."""
        check_stream_name(part.name, entry.path)
        if self._encoder.dialect is Dialect.FULL:
            return True
        if not has_data:
            detail = f"alternate stream {part.name!r} of what has no data"
            self._encoder.report(Finding("stream-lost", entry.path, detail))
        elif part.attributes & STREAM_ATTRIBUTE_SPARSE:
            what = "tar of sparse alternate data streams is unsupported"
            raise Unsupported(f"{entry.path}: {what}")
        return has_data

    def _copy(self, entry: Entry, part: Part, source: BinaryIO) -> None:
        """Write the body of the present tar entry."""
        what = f"part {part.name!r}" if part.name else "data"
        left = part.size
        while left:
            data = source.read(min(left, BLOCK_SIZE))
            if not data:
                raise Malformed(what, f"ends {left} bytes early", entry=entry.path)
            self._target.write(data)
            left -= len(data)
        if source.read(1):
            raise Malformed(what, f"goes on after {part.size} bytes", entry=entry.path)


def _check_path(path: str, *, is_whiteout: bool = False) -> None:
    """Refuse a path that would read back as something else."""
    names = path.split("/")
    for number, name in enumerate(names, 1):
        if name in ("", ".", "..") or _NOT_IN_NAME.search(name):
            raise InvalidName(f"{path!r} cannot be written: component {name!r}")
        # A whiteout of a name that begins as whiteouts do has the prefix twice, and is one still.
        if name.startswith(WHITEOUT_PREFIX) and not (is_whiteout and number == len(names)):
            raise InvalidName(f"{path!r} cannot be written: {name!r} would be a whiteout")
