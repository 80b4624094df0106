"""Virtual disks: opened, attached, detached, made.

A disk is a file, and an open handle of it. Attached, it is a disk of this host, with volumes; the attachment ends with
the handle that made it, unless it is permanent. This module does not know what a disk is for, nor what is on it.
Source: OpenVirtualDisk, AttachVirtualDisk, CreateVirtualDisk and GetVirtualDiskInformation of the Win32
documentation; the flags that those headers lack, from the published callers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntFlag
from pathlib import Path
from typing import Final

from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import closing, system_path
from winlayers.backends.native._structures import (
    CreateVirtualDiskParameters,
    GetVirtualDiskInfo,
    OpenVirtualDiskParameters,
    VirtualStorageType,
)
from winlayers.errors import InvalidArgument

MAX_SIZE: Final = 64 << 40
"""The largest disk of the format VHDX, in bytes."""

_VERSION: Final = 2
_IS_LOADED: Final = 13
_SECTOR: Final = 512
_NO_ACCESS: Final = 0  # what version 2 of the parameters takes: all that they allow


class DiskFlags(IntFlag):
    """How a disk is opened."""

    NONE = 0
    CACHED_IO = 0x08
    IGNORE_RELATIVE_PARENT_LOCATOR = 0x80


class AttachFlags(IntFlag):
    """How a disk is attached."""

    NONE = 0
    NO_DRIVE_LETTER = 0x02
    PERMANENT_LIFETIME = 0x04
    BYPASS_DEFAULT_ENCRYPTION_POLICY = 0x20


@contextmanager
def open_disk(
    api: Libraries, path: Path, *, flags: DiskFlags = DiskFlags.NONE, info_only: bool = False
) -> Iterator[int]:
    """Open the file of a disk; it is not attached by that.

    Args:
        api: the libraries.
        path: of the file.
        flags: how.
        info_only: only to ask about it, which also goes while others use it.
    Raises:
        WindowsCallFailed: it does not open, or does not close.
    """
    parameters = OpenVirtualDiskParameters(version=_VERSION, get_info_only=int(info_only))
    handle = ctypes.c_void_p()
    api.call(
        "OpenVirtualDisk",
        ctypes.byref(VirtualStorageType()),
        *(system_path(path), _NO_ACCESS, flags, ctypes.byref(parameters), ctypes.byref(handle)),
    )
    with closing(api, handle.value or 0) as disk:
        yield disk


def create_disk(api: Libraries, path: Path, size: int, *, block_size: int) -> None:
    """Make the file of a disk that grows as it is written; nothing is on it.

    Args:
        api: the libraries.
        path: of the file, which is not there yet.
        size: of the disk, in bytes; a multiple of 512.
        block_size: by how much the file grows, in bytes.
    Raises:
        InvalidArgument: no disk has this size.
        WindowsCallFailed: code 80 where the file is there.
    """
    check_size(size)
    if not size or size % _SECTOR:
        raise InvalidArgument(f"a disk of {size} bytes: it must be a multiple of {_SECTOR}")
    parameters = CreateVirtualDiskParameters(
        version=_VERSION, maximum_size=size, block_size_in_bytes=block_size
    )
    handle = ctypes.c_void_p()
    api.call(
        "CreateVirtualDisk",
        ctypes.byref(VirtualStorageType()),
        *(system_path(path), _NO_ACCESS, None, 0, 0),
        *(ctypes.byref(parameters), None, ctypes.byref(handle)),
    )
    with closing(api, handle.value or 0):
        pass


def check_size(size: int) -> None:
    """Refuse a size that no disk has.

    Raises:
        InvalidArgument: negative, or more than 64 TiB.
    """
    if not 0 <= size <= MAX_SIZE:
        raise InvalidArgument(f"a disk of {size} bytes: it can have up to {MAX_SIZE} (64 TiB)")


def attach_disk(api: Libraries, disk: int, flags: AttachFlags) -> None:
    """Attach an open disk, until its handle is closed or, with ``PERMANENT_LIFETIME``, it is detached."""
    api.call("AttachVirtualDisk", disk, None, flags, 0, None, None)


def detach_disk(api: Libraries, disk: int) -> None:
    """Detach an open disk, whoever attached it."""
    api.call("DetachVirtualDisk", disk, 0, 0)


def is_attached(api: Libraries, path: Path) -> bool:
    """Whether a disk is attached, by the path of its file."""
    info = GetVirtualDiskInfo(version=_IS_LOADED)
    size = ctypes.c_uint32(ctypes.sizeof(info))
    with open_disk(api, path, info_only=True) as disk:
        api.call(*("GetVirtualDiskInformation", disk, ctypes.byref(size), ctypes.byref(info), None))
    return info.is_loaded != 0
