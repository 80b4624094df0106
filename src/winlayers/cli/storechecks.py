"""The checks of a store and their repairs, of whichever backend keeps it: what ``store check`` asks for.

What is wrong is the backends' to say; here is what has to be done in which order, and with which parts. This module
prints nothing but what it is about to do, and errors that do not end the repair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from winlayers.backends.checking import DriverFacts, StoreFinding
from winlayers.backends.choice import NATIVE, choose_backend
from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.portable.check import CURED_BY_INDEX, check_store
from winlayers.cli.session import LAYERS, Session
from winlayers.driver.driver import Driver
from winlayers.driver.metadata import read_layer_chain, read_layer_id
from winlayers.driver.mounting import MountTable
from winlayers.errors import DigestMismatch, WinlayersError


class StoreCheck(Protocol):
    """What one backend has looked at, and mended."""

    def look(self, *, deep: bool) -> Iterator[StoreFinding]:
        """Find what is wrong; nothing is changed."""

    def repair(self, found: Iterable[StoreFinding]) -> bool:
        """Mend what can be mended; whether all that was read for it is what was imported."""


def open_check(session: Session) -> StoreCheck:
    """The check of the backend that made the store.

    Raises:
        IllegalState: another backend than that is wanted.
    """
    chosen = choose_backend(session.backend, session.home)
    return NativeCheck(session) if chosen == NATIVE else PortableCheck(session)


class PortableCheck:
    """Of a store of the portable backend. See ``StoreCheck`` for the methods."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def look(self, *, deep: bool) -> Iterator[StoreFinding]:
        session = self._session
        return check_store(
            session.home,
            _facts(session),
            tmpdir=session.config().tmpdir,
            deep=deep,
            progress=session.progress,
            cancel=session.cancel,
        )

    def repair(self, found: Iterable[StoreFinding]) -> bool:
        session = self._session
        driver = session.open_driver()  # opening removes what is left over
        backend = PortableBackend(session.home, tmpdir=session.config().tmpdir)
        damaged = {one.layer_id for one in found if one.code in CURED_BY_INDEX}
        is_sound = True
        # Parents first: links into them are looked up while an index is made.
        for layer_id in sorted(damaged, key=lambda one: len(_chain(session, one))):
            session.cancel.check()
            try:
                session.note(f"making the index of {layer_id} again")
                backend.rebuild_index(layer_id, driver.chain(layer_id))
            except DigestMismatch as error:
                is_sound = False
                error.add_note("Its index is made, so that what is left of it can be read.")
                session.report_error(error)
            except WinlayersError as error:
                error.add_note(f"The index of layer {layer_id} could not be made again.")
                session.report_error(error)
        return is_sound


class NativeCheck:
    """Of a store of Windows. See ``StoreCheck`` for the methods."""

    def __init__(self, session: Session) -> None:
        from winlayers.backends.native.presence import has_layer_calls

        self._session = session
        self._can_call = has_layer_calls()

    def look(self, *, deep: bool) -> Iterator[StoreFinding]:
        from winlayers.backends.native.check import check_native_store

        session = self._session
        return check_native_store(
            session.home,
            _facts(session),
            tmpdir=session.config().tmpdir,
            deep=deep,
            can_call=self._can_call,
            progress=session.progress,
            cancel=session.cancel,
        )

    def repair(self, found: Iterable[StoreFinding]) -> bool:
        from winlayers.backends.native.repair import repair_native_store

        session = self._session
        wanted = [one for one in found if one.is_repairable]
        # A mount that is dead cannot be taken away by Windows, and would keep the store from being opened.
        mounts = MountTable(session.home / "driver.db")
        for one in wanted:
            if one.code == "mount-dead":
                mounts.remove(one.layer_id)
        repair_native_store(
            session.home,
            wanted,
            tmpdir=session.config().tmpdir,
            can_call=self._can_call,
            report=self._report,
            cancel=session.cancel,
        )
        orphans = [one.layer_id for one in wanted if one.code == "layer-orphaned"]
        if orphans:
            self._remove(orphans)
        return True

    def _remove(self, layer_ids: Iterable[str]) -> None:
        """Remove layers of which nothing is needed, those first that stand on others."""
        session = self._session
        try:
            driver: Driver = session.open_driver()
        except (WinlayersError, OSError) as error:
            self._report(error, "The store could not be opened, so no orphan was removed.")
            return
        for layer_id in sorted(layer_ids, key=lambda one: -len(_chain(session, one))):
            session.cancel.check()
            session.note(f"removing {layer_id}")
            try:
                driver.remove(layer_id)
            except (WinlayersError, OSError) as error:
                self._report(error, f"Layer {layer_id} could not be removed.")

    def _report(self, error: WinlayersError | OSError, note: str) -> None:
        error.add_note(note)
        self._session.report_error(error)


def _facts(session: Session) -> DriverFacts:
    mounts = MountTable(session.home / "driver.db").all()
    return DriverFacts(
        read_layer_chain, read_layer_id, tuple((one.layer_id, one.mount) for one in mounts)
    )


def _chain(session: Session, layer_id: str) -> tuple[str, ...]:
    try:
        return read_layer_chain(_folder(session, layer_id)).layer_ids
    except WinlayersError:
        return ()


def _folder(session: Session, layer_id: str) -> Path:
    return session.home / LAYERS / layer_id
