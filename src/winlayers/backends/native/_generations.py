"""Which of the two generations of layer calls a host is asked with.

Both are there on most hosts. The first is what the original uses for everything, so it is asked first; the second
serves a host that has given up the first. Only calls that mean the same in both are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from winlayers.backends.native import _hcs, _storage
from winlayers.backends.native._dlls import Libraries
from winlayers.errors import Unsupported


class Generation(Enum):
    """A generation, by the library that has it."""

    VMCOMPUTE = "vmcompute"
    COMPUTESTORAGE = "computestorage"


_PROOF = {
    Generation.VMCOMPUTE: ("ImportLayer", "ExportLayer", "DestroyLayer"),
    Generation.COMPUTESTORAGE: ("HcsImportLayer", "HcsExportLayer", "HcsDestroyLayer"),
}


def generations(api: Libraries) -> tuple[Generation, ...]:
    """The generations that a host exports, the one to be asked first at the head.

    Raises:
        WrongPlatform: it is no Windows.
    """
    return tuple(one for one, names in _PROOF.items() if all(map(api.has, names)))


def generation(api: Libraries) -> Generation:
    """The generation that a host is asked with.

    Raises:
        Unsupported: it has neither.
    """
    found = generations(api)
    if not found:
        raise Unsupported(
            "this Windows has no calls for layers: it needs the Windows feature Containers"
        )
    return found[0]


def import_layer(api: Libraries, layer: str, folder: str, parents: Sequence[str]) -> None:
    """Make a layer on parents out of a folder in transport form, without its tombstones."""
    match generation(api):
        case Generation.VMCOMPUTE:
            _hcs.import_layer(api, layer, folder, parents)
        case Generation.COMPUTESTORAGE:
            _storage.import_layer(api, layer, folder, parents)


def export_layer(
    api: Libraries, layer: str, folder: str, parents: Sequence[str], *, writable: bool
) -> None:
    """Write what a layer changes into an empty folder, as transport form.

    Args:
        api: the libraries.
        layer: path of its folder.
        folder: where to.
        parents: paths of the folders of its parents, nearest first.
        writable: it is a scratch; the first generation finds that out by itself.
    """
    match generation(api):
        case Generation.VMCOMPUTE:
            _hcs.export_layer(api, layer, folder, parents)
        case Generation.COMPUTESTORAGE:
            options = _storage.WRITABLE if writable else _storage.SEALED
            _storage.export_layer(api, layer, folder, parents, options=options)


def destroy(api: Libraries, layer: str) -> None:
    """Remove the folder of a layer, with placeholders in it that no other program could delete."""
    match generation(api):
        case Generation.VMCOMPUTE:
            _hcs.destroy(api, layer)
        case Generation.COMPUTESTORAGE:
            _storage.destroy(api, layer)
