"""The process of a forest whose snapshots are layers of a driver: snapshot 7 is the layer with the id ``7``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from winlayers.backends.portable.backend import PortableBackend
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.mounts.contract import ForestRequest
from winlayers.mounts.fuse.forestserver import Shown, run_and_exit


class LayerSource:
    """See ``SnapshotSource``."""

    def __init__(self, request: ForestRequest) -> None:
        self._backend = PortableBackend(request.home, tmpdir=request.tmpdir)
        self._driver = Driver(request.home, self._backend, InlineImporter(self._backend))

    def open(self, number: int) -> Shown:
        layer_id = str(number)
        if self._driver.usage(layer_id).kind != "scratch":
            return Shown(self._driver.view(layer_id), True)
        scratch = self._backend.scratch(layer_id, self._driver.chain(layer_id))
        scratch.gather(0.02)
        return Shown(scratch, False)

    def numbers(self) -> Sequence[int]:
        return sorted(int(layer_id) for layer_id in self._driver.layers() if layer_id.isdecimal())

    def has(self, number: int) -> bool:
        return self._driver.exists(str(number))


def run() -> NoReturn:
    """Run this process."""
    run_and_exit(LayerSource)
