r"""Volumes: which file system one has, and how large it is on its partition.

A volume is named by its path, ``C:\`` or ``\\?\Volume{guid}\``. Calls that ask about its file system take the
backslash at the end; without it the path opens the volume itself, of whose partition the length is asked, and which
is told to fill it.
Source: GetVolumePathNameW, GetVolumeInformationW, GetDiskFreeSpaceExW, IOCTL_DISK_GET_LENGTH_INFO and
FSCTL_EXTEND_VOLUME of the Win32 documentation; what the original refuses, and by how much it leaves a volume too
small, from its published source.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import (
    Access,
    OpenFlags,
    Share,
    open_file,
    system_path,
)
from winlayers.backends.native._strings import read_units
from winlayers.errors import Unsupported

_REFUSED: Final = "refs"
_NAME_UNITS: Final = 261
_PATH_UNITS: Final = 32768
_DISK_LENGTH: Final = 0x7405C
_EXTEND_VOLUME: Final = 0x900F0
_CLUSTER: Final = 4096
_SECTORS_A_CLUSTER: Final = 8


def file_system(api: Libraries, path: str | os.PathLike[str]) -> str:
    """The name of the file system that a path is on.

    Args:
        api: the libraries.
        path: need not be there; the volume must.
    Returns:
        As Windows calls it: ``NTFS``, ``ReFS``.
    Raises:
        WindowsCallFailed: Windows does not tell.
    """
    root = (ctypes.c_uint16 * _PATH_UNITS)()
    api.call("GetVolumePathNameW", system_path(path), root, len(root))
    name = (ctypes.c_uint16 * _NAME_UNITS)()
    api.call("GetVolumeInformationW", read_units(root), None, 0, None, None, None, name, len(name))
    return read_units(name)


def refuse_refs(api: Libraries, path: str | os.PathLike[str]) -> None:
    """Refuse a place for layers that is on ReFS, as the original does.

    Raises:
        Unsupported: it is.
        WindowsCallFailed: Windows does not tell.
    """
    name = file_system(api, path)
    if name.casefold() == _REFUSED:
        raise Unsupported(
            f"{os.fspath(path)} is on a volume with {name}, which cannot hold layers of Windows; "
            "choose a folder on a volume with NTFS"
        )


def fill_partition(api: Libraries, volume: str) -> bool:
    """Let the file system of a volume have all of its partition.

    Args:
        api: the libraries.
        volume: its path.
    Returns:
        Whether it was smaller, by more than the cluster that NTFS keeps for itself.
    Raises:
        WindowsCallFailed: Windows does not tell the sizes, or refuses.
    """
    bare = volume.rstrip("\\")
    if bare.endswith(":"):
        bare = f"\\\\?\\{bare}"  # a letter alone is the current folder of that drive
    with open_file(
        *(api, bare, Access.GENERIC_READ | Access.GENERIC_WRITE),
        share=Share.READ | Share.WRITE,
        flags=OpenFlags.BACKUP_SEMANTICS,
    ) as handle:
        clusters = _partition_size(api, handle) // _CLUSTER
        if _volume_size(api, f"{bare}\\") // _CLUSTER + 1 >= clusters:
            return False
        sectors = ctypes.c_int64(clusters * _SECTORS_A_CLUSTER)
        _control(api, handle, _EXTEND_VOLUME, given=sectors)
        return True


def _partition_size(api: Libraries, handle: int) -> int:
    """How long the partition of an open volume is, in bytes."""
    size = ctypes.c_int64()
    _control(api, handle, _DISK_LENGTH, asked=size)
    return size.value


def _volume_size(api: Libraries, volume: str) -> int:
    """How much a file system holds, in bytes."""
    size = ctypes.c_uint64()
    api.call("GetDiskFreeSpaceExW", volume, None, ctypes.byref(size), None)
    return size.value


def _control(
    api: Libraries,
    handle: int,
    code: int,
    *,
    given: ctypes.c_int64 | None = None,
    asked: ctypes.c_int64 | None = None,
) -> None:
    count = ctypes.c_uint32()
    places = [
        part
        for one in (given, asked)
        for part in ((None, 0) if one is None else (ctypes.byref(one), ctypes.sizeof(one)))
    ]
    api.call("DeviceIoControl", handle, code, *places, ctypes.byref(count), None)
