"""Import, keep, read and export the layers of Windows container images, bit-exact, on any OS.

The names here are all that is public; each is imported when it is first asked for, so that a program pays
for what it uses. ``winlayers.errors`` has the errors. Everything else may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from winlayers._version import __version__

if TYPE_CHECKING:
    from winlayers import errors
    from winlayers.assembly import open_driver, open_store
    from winlayers.backends.contract import Backend, ImportPolicy
    from winlayers.base.digest import Digest
    from winlayers.base.progress import Cancel, Progress
    from winlayers.config import Config
    from winlayers.driver.driver import Driver
    from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
    from winlayers.layer.chain import Chain
    from winlayers.layer.changes import Change
    from winlayers.layer.check import check_layer
    from winlayers.layer.copying import copy_entries
    from winlayers.layer.entry import (
        Entry,
        EntryKind,
        EntryReader,
        EntryWriter,
        LayerSummary,
        Part,
    )
    from winlayers.layer.findings import Finding
    from winlayers.layer.tarheaders import Dialect
    from winlayers.layer.tree import Tree
    from winlayers.layer.view import Node, Scratch, View
    from winlayers.oci.reference import Reference
    from winlayers.store.store import Store
    from winlayers.transfer.copying import copy_image

__all__ = [
    "Backend",
    "BackupTarReader",
    "BackupTarWriter",
    "Cancel",
    "Chain",
    "Change",
    "Config",
    "Dialect",
    "Digest",
    "Driver",
    "Entry",
    "EntryKind",
    "EntryReader",
    "EntryWriter",
    "Finding",
    "ImportPolicy",
    "LayerSummary",
    "Node",
    "Part",
    "Progress",
    "Reference",
    "Scratch",
    "Store",
    "Tree",
    "View",
    "__version__",
    "check_layer",
    "copy_entries",
    "copy_image",
    "errors",
    "open_driver",
    "open_store",
]

_PLACES = {
    "Backend": "backends.contract",
    "BackupTarReader": "layer.backuptar",
    "BackupTarWriter": "layer.backuptar",
    "Cancel": "base.progress",
    "Chain": "layer.chain",
    "Change": "layer.changes",
    "Config": "config",
    "Dialect": "layer.tarheaders",
    "Digest": "base.digest",
    "Driver": "driver.driver",
    "Entry": "layer.entry",
    "EntryKind": "layer.entry",
    "EntryReader": "layer.entry",
    "EntryWriter": "layer.entry",
    "Finding": "layer.findings",
    "ImportPolicy": "backends.contract",
    "LayerSummary": "layer.entry",
    "Node": "layer.view",
    "Part": "layer.entry",
    "Progress": "base.progress",
    "Reference": "oci.reference",
    "Scratch": "layer.view",
    "Store": "store.store",
    "Tree": "layer.tree",
    "View": "layer.view",
    "check_layer": "layer.check",
    "copy_entries": "layer.copying",
    "copy_image": "transfer.copying",
    "errors": "",
    "open_driver": "assembly",
    "open_store": "assembly",
}


def __getattr__(name: str) -> Any:
    """A public name, imported now. Source: PEP 562."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'winlayers' has no attribute {name!r}")
    module = import_module(f"winlayers.{place or name}")
    value = getattr(module, name) if place else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
