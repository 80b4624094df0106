"""Puts the parts of a store together; the one place that knows which parts there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from winlayers.backends.choice import PORTABLE, choose_backend, open_backend
from winlayers.config import BACKENDS, Config
from winlayers.driver.child import Child, start_child
from winlayers.driver.driver import Driver
from winlayers.driver.importing import ChildImporter, Importer, InlineImporter, SparingImporter
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from winlayers.mounts.contract import Mounter
    from winlayers.mounts.fuse.forest import Forest
    from winlayers.store.store import Store

# Write-layer processes for layers of images. Each wants a core beside the one that inflates, and 20 MiB of memory.
_CHILDREN = min(2, max(1, (os.cpu_count() or 1) // 2))


def open_driver(config: Config, *, start_child: Callable[[], Child] = start_child) -> Driver:
    """The driver over the store that a configuration names, recovered from any crash.

    Args:
        config: where and how.
        start_child: starts the process that an import runs in, where one is wanted.
    Returns:
        The driver. What crashed imports and removals left is gone.
    Raises:
        InvalidArgument: no such backend.
        IllegalState: the store was made by another backend.
        WrongPlatform, Unsupported: the backend cannot work here; says what it needs.
        UnknownOption: a storage option that does not parse.
    """
    if config.backend not in BACKENDS:
        raise InvalidArgument(
            f"there is no backend {config.backend!r}; choose one of {', '.join(BACKENDS)}"
        )
    chosen = choose_backend(config.backend, config.root)
    backend = open_backend(chosen, config.root, tmpdir=config.tmpdir, mounter=_open_mounter)
    importer: Importer = InlineImporter(backend)
    if config.reexec:
        in_child = ChildImporter(chosen, config.root, config.tmpdir, start_child)
        # On Windows the process is also there to hold privileges that this one does not.
        is_spared = chosen == PORTABLE
        importer = SparingImporter(in_child, importer, _CHILDREN) if is_spared else in_child
    driver = Driver(config.root, backend, importer, config.options)
    driver.cleanup()
    return driver


def open_store(config: Config, *, start_child: Callable[[], Child] = start_child) -> Store:
    """The images of the store that a configuration names, recovered from any crash.

    Args:
        config: where and how.
        start_child: see ``open_driver``.
    Returns:
        The store, over a driver of its own.
    Raises:
        UnknownFeature: a later winlayers made its catalog.
        StoreCorrupt: its catalog cannot be read.
        WinlayersError: as of ``open_driver``.
    """
    from winlayers.store.store import Store  # who wants layers only need not load it

    store = Store(config.root, open_driver(config, start_child=start_child))
    store.recover()
    return store


def open_forest(config: Config, *, shared: bool = False) -> Forest:
    """The file system that shows all snapshots of a store; nothing is started by this.

    Args:
        config: where the store is.
        shared: let other users in.
    """
    from winlayers.mounts.contract import ForestRequest
    from winlayers.mounts.fuse.forest import Forest
    from winlayers.store.scratches import FOLDER

    request = ForestRequest(config.root, config.tmpdir, config.root / FOLDER, shared)
    return Forest("winlayers.forestworker", request)


def _open_mounter() -> Mounter:
    from winlayers.mounts.fuse.mounter import FuseMounter

    return FuseMounter("winlayers.mountworker")
