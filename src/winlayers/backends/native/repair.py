"""Mends a store of Windows, as its check said: leftovers go, and ledgers that cannot be read.

It works where the store cannot even be opened, because something that was left does not go. What Windows does not
remove by its call for layers is removed name by name, each from the handle of its folder: so it does not matter that a
name ends in a dot, is a device's, holds control characters or makes too long a path, and no link is followed. What
needs no Windows is done on any system. This module removes no layer that is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from winlayers.backends.checking import StoreFinding
from winlayers.backends.native import _folder
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import BACKUP, RESTORE, Access, open_file, privileges
from winlayers.backends.native._journal import Journal
from winlayers.backends.native._ledger import remove_ledger
from winlayers.backends.native._plaintrees import remove_staged
from winlayers.backends.native.backend import LAYERS, LEDGERS, NativeBackend
from winlayers.backends.native.check import check_ledger
from winlayers.backends.sealed.staging import remove_leftovers
from winlayers.base.locking import FileLock
from winlayers.base.progress import Cancel
from winlayers.errors import InUse, LayerExists, StoreCorrupt, StoreLocked, WinlayersError

Report = Callable[[WinlayersError | OSError, str], None]


def repair_native_store(
    root: Path,
    findings: Iterable[StoreFinding],
    *,
    tmpdir: Path | None = None,
    can_call: bool,
    api: Libraries | None = None,
    report: Report,
    cancel: Cancel | None = None,
) -> None:
    """Do what the findings say that a repair does, but for mounts and orphans, which are the driver's.

    Args:
        root: the home of the store.
        findings: what was found, and can be repaired here.
        tmpdir: where imports stage, if not in ``ROOT/winlayers/tmp``.
        can_call: this is a Windows with calls for layers.
        api: its libraries.
        report: called with each error, and what could not be done; the repair goes on.
        cancel: asked before each step.
    """
    calls = (api or Libraries()) if can_call else None
    repair = _Repair(root, tmpdir, calls)
    steps = {
        "left-making": repair.undo_making,
        "left-removing": repair.end_removal,
        "ledger-orphaned": repair.remove_lost_ledger,
        "ledger-unreadable": repair.remove_ledger,
        "left-staging": repair.remove_staging,
    }
    for finding in findings:
        (cancel or Cancel()).check()
        step = steps.get(finding.code)
        if step is None:
            continue
        try:
            step(finding)
        except (WinlayersError, OSError) as error:
            report(error, f"{finding.path} is as it was: {finding.code}.")


class _Repair:
    """One step for each code."""

    def __init__(self, root: Path, tmpdir: Path | None, api: Libraries | None) -> None:
        own = root / LEDGERS
        self._layers = root / LAYERS
        self._ledgers, self._reading, self._making = own / "layers", own / "reading", own / "making"
        self._tmp = tmpdir or own / "tmp"
        self._journal = Journal(self._making)
        self._api = api
        self._backend = NativeBackend(root, tmpdir=tmpdir, api=api) if api else None

    def undo_making(self, finding: StoreFinding) -> None:
        """Have a layer that is half made be as it was before, or gone."""
        layer_id = finding.layer_id
        if not os.path.lexists(self._layers / layer_id):
            with self._journal.claiming(layer_id):
                self._end_entry(layer_id)
            return
        assert self._backend is not None, "only where Windows is here"
        try:
            self._backend.undo_half_made(layer_id)
        except LayerExists:
            raise
        except (WinlayersError, OSError) as error:
            with _noting_on_failure(error), self._journal.claiming(layer_id):
                # Also one that had been created: an empty folder is not worth to keep this one.
                self._remove_by_handle(layer_id)
                self._end_entry(layer_id)

    def end_removal(self, finding: StoreFinding) -> None:
        """Remove what is left of a layer."""
        assert self._backend is not None, "only where Windows is here"
        name = finding.path.name
        try:
            self._backend.destroy(name)
        except InUse:
            raise
        except (WinlayersError, OSError) as error:
            with _noting_on_failure(error):
                self._remove_by_handle(name)
                remove_ledger(self._ledgers / name)

    def remove_lost_ledger(self, finding: StoreFinding) -> None:
        """Remove a ledger, unless its layer has come meanwhile."""
        with self._claiming(finding.layer_id):
            if not os.path.lexists(self._layers / finding.layer_id):
                remove_ledger(finding.path)

    def remove_ledger(self, finding: StoreFinding) -> None:
        """Remove a ledger that cannot be read."""
        with self._claiming(finding.layer_id):
            try:
                check_ledger(finding.path)
            except StoreCorrupt:
                remove_ledger(finding.path)  # else it has been made again meanwhile

    def remove_staging(self, finding: StoreFinding) -> None:
        """Remove all that is staged and in use by no process."""
        api = self._api
        remove = None if api is None else lambda path: remove_staged(api, path)
        remove_leftovers(self._tmp, remove=remove)

    def _end_entry(self, layer_id: str) -> None:
        remove_ledger(self._ledgers / layer_id)
        self._journal.forget_unfinished(layer_id)
        if self._journal.names(layer_id):
            self._journal.end(layer_id)

    def _remove_by_handle(self, name: str) -> None:
        assert self._api is not None, "only where Windows is here"
        with (
            privileges(self._api, BACKUP, RESTORE),
            open_file(
                *(self._api, self._layers, Access.GENERIC_READ), share=_folder.SHARE_ALL
            ) as layers,
        ):
            _folder.remove_tree(self._api, layers, name)

    @contextmanager
    def _claiming(self, layer_id: str) -> Iterator[None]:
        """Have nobody make or read a layer meanwhile.

        Raises:
            InUse: somebody does.
        """
        for folder in (self._making, self._reading):
            folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._reading / f"{layer_id}.lock")
        with self._journal.claiming(layer_id):
            try:
                lock.acquire(timeout_seconds=0)
            except StoreLocked as error:
                raise InUse(f"layer {layer_id} is being read by another command") from error
            try:
                yield
            finally:
                lock.remove()


@contextmanager
def _noting_on_failure(first: BaseException) -> Iterator[None]:
    """Tell of the failure before, where the second try fails too."""
    try:
        yield
    except LayerExists:
        raise  # somebody makes it now
    except BaseException as error:
        error.add_note(f"before, Windows refused to remove it: {first}")
        raise
