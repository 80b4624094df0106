"""One pass over the tar of a layer: its ledger is written, and a writer gets its entries.

Source: the order of the steps is that of moby/moby daemon/graphdriver/windows/windows.go (importLayer).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.backends.contract import ImportRequest, TarFacts
from winlayers.backends.native._ledger import LedgerWriter
from winlayers.backends.tarcopy import MeasuredTar, confirm_tar
from winlayers.base.blocks import BlockPump
from winlayers.errors import InvalidName, Malformed
from winlayers.formats.tar import TarReader
from winlayers.layer.backuptar import BackupTarReader
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryWriter, LayerSummary, Part

FindInParents = Callable[[str], bool | None]


def import_tar(
    request: ImportRequest, folder: Path, writer: EntryWriter, find_in_parents: FindInParents
) -> LayerSummary:
    """Write the entries of a tar, and its ledger; the writer commits last.

    Args:
        request: what is imported.
        folder: an empty folder for the ledger.
        writer: makes the layer; committed, or aborted by any error.
        find_in_parents: see ``IndexBuilder.finish``.
    Returns:
        What was counted.
    Raises:
        Malformed: the tar, or a layer that breaks a law; or no end marker, and nothing proves it whole.
        WinlayersError: whatever ``request.confirm`` or the writer finds.
    """
    source = MeasuredTar(request.tar, request.policy.max_size)
    ledger = LedgerWriter(
        folder,
        source,
        is_base=not len(request.chain),
        report=request.report,
        lenient_names=request.policy.lenient_names,
    )
    with closing(ledger):
        # What is odd is reported once, by the ledger.
        reader = BackupTarReader(
            ledger,
            base=not len(request.chain),
            lenient_names=request.policy.lenient_names,
            on_header=ledger.admit,
        )

        def finish() -> TarFacts:
            ledger.finish(reader.tar_offset, find_in_parents)
            facts = confirm_tar(request, source.size, has_end=reader.end_marker > 0)
            ledger.commit(facts, time.time_ns(), sync=request.policy.sync)
            return facts

        ending = _ConfirmedWriter(writer, finish)
        try:
            copy_entries(reader, ending)
        except InvalidName as error:
            # To the reader it is a name that cannot be; to the import it is a layer that is not right.
            raise Malformed("layer tar", str(error), finding=error.finding) from error
        facts = ending.facts
        return LayerSummary(
            ledger.size, ledger.entry_count, facts.diff_id, facts.digest, facts.size
        )


def adopt_tar(tar: BinaryIO, folder: Path, *, is_base: bool) -> None:
    """Make the ledger of a layer that is there already.

    Args:
        tar: the layer as its tar; read to its end.
        folder: an empty folder for the ledger.
        is_base: the layer has no parents.
    Raises:
        Malformed: it is no tar.
    """
    with (
        BlockPump(tar) as pump,
        closing(
            LedgerWriter(folder, pump, is_base=is_base, report=lambda finding: None, tolerant=True)
        ) as ledger,
    ):
        reader = TarReader(ledger)
        for header in reader:
            ledger.admit(header)
        ledger.finish(reader.offset, lambda target: True)
        diff_id = str(pump.diff_id)
        ledger.commit(TarFacts(pump.size, diff_id, diff_id, verified=True), time.time_ns())


class _ConfirmedWriter:
    """An EntryWriter that commits once the ledger is complete."""

    def __init__(self, writer: EntryWriter, finish: Callable[[], TarFacts]) -> None:
        self._writer = writer
        self._finish = finish
        self.facts: TarFacts

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        self._writer.add(entry, parts)

    def link(self, entry: Entry) -> None:
        self._writer.link(entry)

    def remove(self, path: str) -> None:
        self._writer.remove(path)

    def commit(self) -> LayerSummary:
        self.facts = self._finish()
        return self._writer.commit()

    def abort(self) -> None:
        self._writer.abort()

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.__exit__(*exc)
