"""Makes a sealed layer from entries: they are written as a tar, which is then imported.

The tar is staged on the disk of the store, because an import wants to be read and entries want to be
written. Source of the form: ``layer.backuptar``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Self

from winlayers.errors import IllegalState
from winlayers.layer.backuptar import BackupTarWriter
from winlayers.layer.entry import Entry, LayerSummary, Part


class SealedWriter:
    """See ``layer.entry.EntryWriter`` for what the methods do.

    Args:
        seal: imports the finished tar.
        tmpdir: where the tar is staged.
    """

    def __init__(self, seal: Callable[[BinaryIO], LayerSummary], tmpdir: Path) -> None:
        self._seal = seal
        self._file = TemporaryFile(dir=tmpdir)  # noqa: SIM115 - closed by commit or abort
        self._tar = BackupTarWriter(self._file)

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        self._check_open()
        self._tar.add(entry, parts)

    def link(self, entry: Entry) -> None:
        self._check_open()
        self._tar.link(entry)

    def remove(self, path: str) -> None:
        self._check_open()
        self._tar.remove(path)

    def commit(self) -> LayerSummary:
        self._check_open()
        with self._file:
            self._tar.commit()
            self._file.seek(0)
            return self._seal(self._file)

    def abort(self) -> None:
        self._file.close()

    def _check_open(self) -> None:
        if self._file.closed:
            raise IllegalState("the writer was committed or aborted already")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()
