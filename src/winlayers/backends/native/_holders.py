"""Who holds a layer: processes that have files of it open, and compute systems that run from it.

Windows names the processes through its Restart Manager, which is asked and told to restart nothing. It takes files,
not folders, so the few that belong to the layer as a whole are asked about: disks, hives, records. A disk that is
attached is held by the kernel, and no process is named for it; a compute system that runs on it is.
Source: RmStartSession, RmRegisterResources, RmGetList of the Win32 documentation.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winlayers.backends.native import _systems
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import closing
from winlayers.backends.native._strings import build_wide, read_units
from winlayers.backends.native._structures import RmProcessInfo
from winlayers.errors import LayerMounted, WindowsCallFailed

MAX_FILES: Final = 64
"""How many files of a layer are asked about."""
MAX_PROCESSES: Final = 1024
"""How many processes are listed; where there are more, none is."""

_FOLDERS: Final = ("", "Hives", "UtilityVM")
_SESSION_KEY_UNITS: Final = 33
_MORE_DATA: Final = 234
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who holds a layer.

    Attributes:
        name: of the program, or the id of the compute system.
        process_id: its number; None for a compute system.
    """

    name: str
    process_id: int | None

    def __str__(self) -> str:
        if self.process_id is None:
            return f"compute system {self.name!r}"
        return f"{self.name or 'a program'} (process {self.process_id})"


def find_holders(api: Libraries, folder: Path) -> tuple[Holder, ...] | None:
    """Those who hold a layer.

    Args:
        api: the libraries.
        folder: of the layer.
    Returns:
        Compute systems first; None where this Windows can tell of neither kind.
    Raises:
        WindowsCallFailed: it can, and fails.
        Malformed: it tells of compute systems what nobody understands.
    """
    knows_systems = api.has("HcsEnumerateComputeSystems")
    knows_processes = api.has("RmStartSession")
    if not knows_systems and not knows_processes:
        return None
    systems = _systems.enumerate_systems(api) if knows_systems else []
    found = [Holder(one.system_id, None) for one in systems if _runs_from(one, folder.name)]
    if knows_processes:
        found += find_processes(api, _files_of(folder))
    return tuple(found)


def refuse_running(api: Libraries, folder: Path) -> None:
    """Refuse a scratch that a container is running from.

    Raises:
        LayerMounted: a compute system has the name of its folder.
        WindowsCallFailed: Windows does not say which there are.
        Malformed: it says what nobody understands.
    """
    if api.has("HcsEnumerateComputeSystems"):
        for one in _systems.enumerate_systems(api):
            if one.system_id.casefold() == folder.name.casefold():
                raise LayerMounted(
                    f"layer {folder.name} is held by {Holder(one.system_id, None)}; end it first"
                )


def find_processes(api: Libraries, files: Sequence[Path]) -> list[Holder]:
    """The processes that have one of some files open."""
    if not files:
        return []
    session = ctypes.c_uint32()
    key = (ctypes.c_uint16 * _SESSION_KEY_UNITS)()
    api.call("RmStartSession", ctypes.byref(session), 0, key)
    with closing(api, session.value, "RmEndSession"):
        texts = [build_wide(str(one)) for one in files]
        names = (ctypes.c_void_p * len(texts))(*map(ctypes.addressof, texts))
        api.call("RmRegisterResources", session, len(texts), names, 0, None, 0, None)
        return _list_processes(api, session)


def _list_processes(api: Libraries, session: ctypes.c_uint32) -> list[Holder]:
    """What a session finds. Processes come and go, so room that was enough may not be; after some tries none is told."""
    needed, reasons = ctypes.c_uint32(), ctypes.c_uint32()
    for _ in range(_TRIES):
        room = needed.value
        count = ctypes.c_uint32(room)
        infos = (RmProcessInfo * room)() if room else None
        try:
            api.call("RmGetList", session, needed, count, infos, reasons)
        except WindowsCallFailed as error:
            if error.code != _MORE_DATA:
                raise
            if needed.value > MAX_PROCESSES:
                break
            continue
        return [
            Holder(read_units(one.str_app_name), one.process.process_id)
            for one in (infos or ())[: count.value]
        ]
    return []


def _runs_from(system: _systems.ComputeSystem, layer_name: str) -> bool:
    """Whether a compute system is that of a scratch, which has its name, or runs from a layer."""
    name = layer_name.casefold()
    return name == system.system_id.casefold() or name in re.split(
        r"[\\/]", system.image_path.casefold()
    )


def _files_of(folder: Path) -> list[Path]:
    """The files that belong to a layer as a whole."""
    found: list[Path] = []
    for name in _FOLDERS:
        place = folder / name
        if not place.is_dir():
            continue
        with os.scandir(place) as entries:
            found += (Path(one.path) for one in entries if one.is_file(follow_symlinks=False))
    return sorted(found)[:MAX_FILES]
