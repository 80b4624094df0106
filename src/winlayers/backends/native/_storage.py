"""The layer calls of computestorage, the second generation, as functions on folders and disks.

Parents go along as JSON, and the disk of a scratch as a handle that the caller holds. There is no order of states
here: a filter is attached to where a scratch shows, and detached.
Source: HcsImportLayer and the calls beside it in the Host Compute System reference.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._hcs import layer_guid
from winlayers.backends.native._strings import owned_text
from winlayers.formats.guid import format_guid

WRITABLE = '{"IsWritableLayer":true}'
SEALED = "{}"
CONTAINER = '{"Type":"Container"}'
UTILITY_VM = '{"Type":"Vm"}'


def layer_data(api: Libraries, parents: Sequence[str]) -> str:
    """The JSON that stands for parents.

    Args:
        api: the libraries; ``NameToGuid`` is called for each parent.
        parents: paths of their folders, nearest first.
    """
    layers = [{"Id": format_guid(layer_guid(api, one)), "Path": one} for one in parents]
    document = {"SchemaVersion": {"Major": 2, "Minor": 1}, "Layers": layers}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def import_layer(api: Libraries, layer: str, folder: str, parents: Sequence[str]) -> None:
    """Make a layer on parents out of a folder in transport form; its own folder is made where there is none."""
    api.call("HcsImportLayer", layer, folder, layer_data(api, parents))


def export_layer(
    api: Libraries, layer: str, folder: str, parents: Sequence[str], *, options: str = SEALED
) -> None:
    """Write what a layer changes into an empty folder, as transport form; ``WRITABLE`` for a scratch."""
    api.call("HcsExportLayer", layer, folder, layer_data(api, parents), options)


def destroy(api: Libraries, layer: str) -> None:
    """Remove the folder of a layer, with placeholders in it that no other program could delete."""
    api.call("HcsDestroyLayer", layer)


def initialize_scratch(api: Libraries, layer: str, parents: Sequence[str]) -> None:
    """Make the files of a scratch beside its disk."""
    api.call("HcsInitializeWritableLayer", layer, layer_data(api, parents), "")


def attach_filter(api: Libraries, volume: str, parents: Sequence[str]) -> None:
    """Have the volume of a scratch show what it looks like on its parents."""
    api.call("HcsAttachLayerStorageFilter", volume, layer_data(api, parents))


def detach_filter(api: Libraries, volume: str) -> None:
    """The way back from ``attach_filter``."""
    api.call("HcsDetachLayerStorageFilter", volume)


def format_disk(api: Libraries, disk: int) -> None:
    """Make a file system on a new disk.

    Args:
        api: the libraries.
        disk: its handle: of the file on build 17763, of ``OpenVirtualDisk`` on later ones.
    """
    api.call("HcsFormatWritableLayerVhd", disk)


def disk_mount_path(api: Libraries, disk: int) -> str:
    """The path of the volume on an attached disk, by its handle."""
    with owned_text(lambda address: api.call("CoTaskMemFree", address)) as path:
        api.call("HcsGetLayerVhdMountPath", disk, path.address)
        return path.read()


def set_up_base_layer(api: Libraries, layer: str, disk: int | None = None) -> None:
    """Make out of the ``Files`` of a base layer what Windows needs beside them.

    Args:
        api: the libraries.
        layer: path of the folder, in which ``Hives`` and ``Layout`` are not there yet.
        disk: for a utility VM, the handle of its attached disk.
    """
    api.call("HcsSetupBaseOSLayer", layer, disk, CONTAINER if disk is None else UTILITY_VM)


def set_up_base_volume(api: Libraries, layer: str, volume: str) -> None:
    """The same for a layer whose disk shows at a volume; build 19645 and later."""
    api.call("HcsSetupBaseOSVolume", layer, volume, CONTAINER)
