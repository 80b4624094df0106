"""The process that serves all snapshots of a store; ``mounts.fuse.forestserver`` does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Protocol, runtime_checkable

from winlayers.assembly import open_store
from winlayers.config import Config
from winlayers.errors import IllegalState, SnapshotNotFound
from winlayers.layer.view import View
from winlayers.mounts.contract import ForestRequest
from winlayers.mounts.fuse.forestserver import Shown, run_and_exit
from winlayers.store.snapshots import SnapshotKind, Snapshots

# How much later than it was answered a change may be seen by who does not look through the mount.
_DELAY_SECONDS = 0.02


@runtime_checkable
class _Gathers(Protocol):
    """A scratch that commits several changes at once."""

    def gather(self, delay_seconds: float | None) -> None: ...


class StoreSource:
    """See ``SnapshotSource``.

    Args:
        snapshots: of the store.
    """

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def open(self, number: int) -> Shown:
        """An active one is a scratch, unless a layer was made of it already."""
        is_fixed = self._snapshots.find(number).kind is not SnapshotKind.ACTIVE
        view = self._open_view(number)
        if not is_fixed and isinstance(view, _Gathers):
            view.gather(_DELAY_SECONDS)
        return Shown(view, is_fixed)

    def numbers(self) -> Sequence[int]:
        return [snapshot.number for snapshot in self._snapshots.walk()]

    def has(self, number: int) -> bool:
        try:
            self._snapshots.find(number)
        except SnapshotNotFound:
            return False
        return True

    def _open_view(self, number: int) -> View:
        try:
            return self._snapshots.open_view(number)
        except IllegalState:
            # It had no scratch, and became a layer while it was waited for to make one.
            return self._snapshots.open_view(number)


def open_source(request: ForestRequest) -> StoreSource:
    """The snapshots of the store that a request names."""
    return StoreSource(open_store(Config(request.home, request.tmpdir)).snapshots)


def run() -> NoReturn:
    """Run this process."""
    run_and_exit(open_source)


if __name__ == "__main__":
    run()
