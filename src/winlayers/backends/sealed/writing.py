"""Entries to a sealed layer, by way of a tar, which is then imported.

The tar is staged on the disk of the store, because an import wants to be read and entries want to be
written. Source of the form: ``layer.backuptar``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import BinaryIO, Self

from winlayers.backends.sealed.space import full_disk_told
from winlayers.backends.sealed.staging import Staging
from winlayers.errors import IllegalState
from winlayers.layer.backuptar import BackupTarWriter
from winlayers.layer.entry import Entry, LayerSummary, Part

_NAME = "layer.tar"


class SealedWriter:
    """See ``layer.entry.EntryWriter`` for what the methods do.

    Args:
        seal: imports the finished tar.
        staging: where the tar is staged; entered here, left by ``commit`` and ``abort``.
    """

    def __init__(self, seal: Callable[[BinaryIO], LayerSummary], staging: Staging) -> None:
        self._seal = seal
        with ExitStack() as stack:
            folder = stack.enter_context(staging).path
            self._file = open(folder / _NAME, "xb+")  # noqa: SIM115 - closed by commit or abort
            # Not the file itself: that would write what is still buffered, perhaps to a full disk.
            stack.callback(self._file.raw.close)
            self._staged = stack.pop_all()
        self._disk = folder.parent
        self._tar = BackupTarWriter(self._file)

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        self._check_open()
        with full_disk_told(self._disk):
            self._tar.add(entry, parts)

    def link(self, entry: Entry) -> None:
        self._check_open()
        with full_disk_told(self._disk):
            self._tar.link(entry)

    def remove(self, path: str) -> None:
        self._check_open()
        with full_disk_told(self._disk):
            self._tar.remove(path)

    def commit(self) -> LayerSummary:
        self._check_open()
        with self._staged, full_disk_told(self._disk):
            self._tar.commit()
            self._file.seek(0)
            return self._seal(self._file)

    def abort(self) -> None:
        self._staged.close()

    def _check_open(self) -> None:
        if self._file.closed:
            raise IllegalState("the writer was committed or aborted already")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()
