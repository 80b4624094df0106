"""The layer calls of vmcompute, the first generation, as functions on folders.

A layer is named by the path of its folder: ids are paths, relative to nothing. Its parents go along as paths, nearest
first; Windows knows each by a GUID that only ``NameToGuid`` can make of the name of its folder. A scratch goes
through *created*, *activated* (its disk is there), *prepared* (it shows the merged view) and back; which moves are
legal is for the caller to know. Every Windows that runs containers has these calls.
Source: the published callers of vmcompute (``wclayer`` of hcsshim).
"""

from __future__ import annotations

import ctypes
import ntpath
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._strings import build_wide, read_units
from winlayers.backends.native._structures import DriverInfo, Guid, WcLayerDescriptor
from winlayers.errors import StoreCorrupt
from winlayers.formats.guid import build_guid, parse_guid

MAX_MOUNT_PATH: Final = 32768
"""How long a path of Windows can be, in units."""

_FILTER_DRIVER: Final = 1
# A home that is empty, not NULL, which Windows does not take: ids are whole paths then.
_NO_HOME: Final = build_wide("")
_HOME: Final = DriverInfo(_FILTER_DRIVER, ctypes.addressof(_NO_HOME))

# Windows lets preparations that overlap time out, whatever layers they are for.
_preparing = threading.Lock()


def create(api: Libraries, layer: str, parent: str = "") -> None:
    """Make the folder of a read-only layer, empty.

    Args:
        api: the libraries.
        layer: path of the folder, which is not there yet.
        parent: path of the nearest parent, or "".
    Raises:
        WindowsCallFailed: code 183 where the folder is there.
    """
    api.call("CreateLayer", _HOME, layer, parent)


def create_scratch(api: Libraries, layer: str, parents: Sequence[str]) -> None:
    """Make the folder of a scratch with its disk, ``sandbox.vhdx``.

    Args:
        api: the libraries.
        layer: path of the folder, which is not there yet.
        parents: paths of the folders of its parents, nearest first.
    """
    with _descriptors(api, parents) as parameters:
        api.call("CreateSandboxLayer", _HOME, layer, 0, *parameters)


def expand(api: Libraries, layer: str, size: int) -> None:
    """Let the disk of a scratch grow to a size in bytes; the scratch is not active."""
    api.call("ExpandSandboxSize", _HOME, layer, size)


def activate(api: Libraries, layer: str) -> None:
    """Attach the disk of a scratch; nothing happens to a read-only layer."""
    api.call("ActivateLayer", _HOME, layer)


def deactivate(api: Libraries, layer: str) -> None:
    """Detach the disk of a scratch."""
    api.call("DeactivateLayer", _HOME, layer)


def prepare(api: Libraries, layer: str, parents: Sequence[str]) -> None:
    """Have an active layer show what it looks like on its parents; one at a time in a process."""
    with _descriptors(api, parents) as parameters, _preparing:
        api.call("PrepareLayer", _HOME, layer, *parameters)


def unprepare(api: Libraries, layer: str) -> None:
    """The way back from ``prepare``."""
    api.call("UnprepareLayer", _HOME, layer)


def mount_path(api: Libraries, layer: str) -> str:
    """Where a layer shows; a volume for a scratch that is active.

    Returns:
        The path, or "" where Windows names none: the folder itself is meant then.
    Raises:
        WindowsCallFailed: Windows fails.
        StoreCorrupt: Windows says that the path is longer than any can be.
    """
    units = ctypes.c_size_t()
    api.call("GetLayerMountPath", _HOME, layer, ctypes.byref(units), None)
    if not units.value:
        return ""
    if units.value > MAX_MOUNT_PATH:
        raise StoreCorrupt(f"the path where {layer!r} shows has {units.value} units")
    # One more: no document says whether the NUL is counted.
    buffer = (ctypes.c_uint16 * (units.value + 1))()
    api.call("GetLayerMountPath", _HOME, layer, ctypes.byref(units), buffer)
    return read_units(buffer)


def exists(api: Libraries, layer: str) -> bool:
    """Whether Windows knows a layer in this folder."""
    found = ctypes.c_uint32()
    api.call("LayerExists", _HOME, layer, ctypes.byref(found))
    return found.value != 0


def destroy(api: Libraries, layer: str) -> None:
    """Remove the folder of a layer, with placeholders in it that no other program could delete."""
    api.call("DestroyLayer", _HOME, layer)


def export_layer(api: Libraries, layer: str, folder: str, parents: Sequence[str]) -> None:
    """Write what a layer changes into an empty folder, as transport form."""
    with _descriptors(api, parents) as parameters:
        api.call("ExportLayer", _HOME, layer, folder, *parameters)


def import_layer(api: Libraries, layer: str, folder: str, parents: Sequence[str]) -> None:
    """Make a layer on parents out of a folder in transport form, without its tombstones."""
    with _descriptors(api, parents) as parameters:
        api.call("ImportLayer", _HOME, layer, folder, *parameters)


def process_base_image(api: Libraries, layer: str) -> None:
    """Make out of the ``Files`` of a base layer what Windows needs beside them: hives, disks, ``layout``."""
    api.call("ProcessBaseImage", layer)


def process_utility_vm(api: Libraries, folder: str) -> None:
    r"""Make the disks of a utility VM.

    Args:
        api: the libraries.
        folder: ``UtilityVM`` in the folder of the layer. The boot configuration in its ``Files`` is rewritten: it
            must be no hard link to that of another layer.
    """
    api.call("ProcessUtilityImage", folder)


def name_to_guid(api: Libraries, name: str) -> uuid.UUID:
    """The id that Windows gives to a name; how is not known."""
    guid = Guid()
    api.call("NameToGuid", name, ctypes.byref(guid))
    return parse_guid(bytes(guid))


def layer_guid(api: Libraries, layer: str) -> uuid.UUID:
    """The id of the layer in a folder: that of the folder's name."""
    return name_to_guid(api, ntpath.basename(layer.rstrip("\\/")))


@contextmanager
def _descriptors(
    api: Libraries, parents: Sequence[str]
) -> Iterator[tuple[ctypes.Array[WcLayerDescriptor] | None, int]]:
    """The two parameters that stand for parents; they hold while the ``with`` lasts, as do their texts."""
    texts = [build_wide(parent) for parent in parents]
    array = (WcLayerDescriptor * len(parents))()
    for descriptor, parent, text in zip(array, parents, texts, strict=True):
        guid = layer_guid(api, parent)
        descriptor.layer_id = Guid.from_buffer_copy(build_guid(guid))
        descriptor.path = ctypes.addressof(text)
    yield (array if parents else None), len(parents)
