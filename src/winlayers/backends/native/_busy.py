"""What Windows refuses because somebody holds a layer: tried again for a while, then told with who it is.

Scanners and indexers open every file that is written and close it soon, and disks take a moment to go; so a refusal of
that kind is worth some waiting, never more than five seconds. Then ``InUse`` says who holds the layer, or
``LayerMounted`` where a compute system runs from it.
Source: the codes from "System Error Codes" of the Win32 documentation.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from winlayers.backends.native import _failures
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._holders import Holder, find_holders
from winlayers.errors import Denied, InUse, LayerMounted, WindowsCallFailed, WinlayersError

LIMIT_SECONDS: Final = 5.0
PAUSES: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, *(0.5,) * 8)
"""Seconds between tries; all together less than the limit."""

NOT_READY: Final = 21
LOCK_VIOLATION: Final = 33
RESOURCE_IN_USE: Final = 170
DEVICE_IN_USE: Final = 2404
BUSY: Final = frozenset(
    {
        *(_failures.ACCESS_DENIED, NOT_READY, _failures.SHARING_VIOLATION),
        *(LOCK_VIOLATION, RESOURCE_IN_USE, DEVICE_IN_USE),
    }
)
"""Codes of Windows that a layer which somebody holds is refused with."""

_TOLD: Final = 8
_ERRNO_CODES: Final = {
    errno.EACCES: _failures.ACCESS_DENIED,
    errno.EPERM: _failures.ACCESS_DENIED,
    errno.EBUSY: RESOURCE_IN_USE,
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How time is told and passed.

    Attributes:
        clock: seconds, from any start.
        sleep: waits.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


PATIENT: Final = Patience()


def patiently(
    api: Libraries, folder: Path, attempt: Callable[[], _T], patience: Patience = PATIENT
) -> _T:
    """Do something to a layer, again while somebody holds it.

    Args:
        api: the libraries.
        folder: of the layer.
        attempt: does it, or fails and leaves nothing done.
        patience: how time is told.
    Returns:
        What ``attempt`` returned.
    Raises:
        InUse: somebody held the layer to the end.
        LayerMounted: a compute system did.
        Denied: access was refused to the end, and nobody holds the layer.
        WindowsCallFailed: of another kind.
        OSError: of another kind.
    """
    started = patience.clock()
    pauses = iter(PAUSES)
    while True:
        try:
            return attempt()
        except (OSError, WindowsCallFailed) as error:
            if code_of(error) not in BUSY:
                raise
            pause = next(pauses, math.inf)
            if patience.clock() - started + pause > LIMIT_SECONDS:
                raise _held(api, folder, error) from error
        patience.sleep(pause)


def code_of(error: OSError | WindowsCallFailed) -> int | None:
    """The code of Windows in a failure, or None."""
    if isinstance(error, WindowsCallFailed):
        return error.code
    code = getattr(error, "winerror", None)
    if isinstance(code, int):
        return code
    return _ERRNO_CODES.get(error.errno or 0)


def _held(api: Libraries, folder: Path, error: OSError | WindowsCallFailed) -> WinlayersError:
    """The failure to tell."""
    try:
        holders = find_holders(api, folder)
    except (WinlayersError, OSError) as second:
        told = InUse(f"layer {folder.name} is busy, and who holds it is not known: {error}")
        told.add_note(f"asking who holds it failed: {second}")
        return told
    if holders is None:
        return InUse(
            f"layer {folder.name} is busy, and this Windows cannot say who holds it: {error}"
        )
    if holders:
        kind = LayerMounted if any(one.process_id is None for one in holders) else InUse
        return kind(f"layer {folder.name} is held by {_listed(holders)}; end it first: {error}")
    if code_of(error) == _failures.ACCESS_DENIED:
        return Denied(
            f"access to layer {folder.name} is refused, and nobody is seen to hold it; run as a member of "
            f"Administrators, elevated: {error}"
        )
    return InUse(f"layer {folder.name} is busy, and nobody is seen to hold it: {error}")


def _listed(holders: Sequence[Holder]) -> str:
    listed = ", ".join(map(str, holders[:_TOLD]))
    more = len(holders) - _TOLD
    return f"{listed} and {more} more" if more > 0 else listed
