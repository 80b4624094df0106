"""Which backend keeps a store, and how it is opened: one place for all processes of winlayers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from winlayers.backends.portable.backend import LAYERS, SCRATCH, SEALED, PortableBackend
from winlayers.errors import IllegalState

if TYPE_CHECKING:
    from winlayers.backends.native.backend import NativeBackend
    from winlayers.mounts.contract import Mounter

AUTO = "auto"
PORTABLE = "portable"
NATIVE = "native"
LEDGERS = "winlayers"

_WINDOWS_NAMES = ("Files", "sandbox.vhdx")


def choose_backend(wanted: str, root: Path) -> str:
    """The backend of a store.

    Args:
        wanted: ``auto``, ``portable`` or ``native``. ``auto`` is what the store was made by; for an empty one, that of Windows
            itself where it has one, else the portable one.
        root: the home of the store.
    Returns:
        ``portable`` or ``native``.
    Raises:
        IllegalState: the store was made by the other one.
    """
    made_by = NATIVE if (root / LEDGERS).is_dir() else next(_makers(root / LAYERS), None)
    if wanted == AUTO:
        return made_by or (NATIVE if _has_native() else PORTABLE)
    if made_by == PORTABLE and wanted == NATIVE:
        raise IllegalState(
            f"the store {root} was made by the portable backend; leave out --backend, or choose another --root"
        )
    if made_by == NATIVE and wanted == PORTABLE:
        raise IllegalState(
            f"the layers in {root} were made by Windows, which the portable backend does not read; "
            f"use 'winlayers store attach {root}', or choose another --root"
        )
    return wanted


def open_backend(
    chosen: str,
    root: Path,
    *,
    tmpdir: Path | None = None,
    mounter: Callable[[], Mounter] | None = None,
) -> PortableBackend | NativeBackend:
    """The backend over a store.

    Args:
        chosen: as ``choose_backend`` told.
        root: the home of the store.
        tmpdir: where to stage, on the same disk.
        mounter: gives what shows layers to the operating system, for the portable backend.
    Raises:
        WrongPlatform, Unsupported: the native backend cannot work here; says what it needs.
    """
    if chosen != NATIVE:
        return PortableBackend(root, tmpdir=tmpdir, mounter=mounter)
    from winlayers.backends.native.backend import NativeBackend

    return NativeBackend(root, tmpdir=tmpdir)


def _makers(layers: Path) -> Iterator[str]:
    """By which backend layers were made, of those that tell."""
    try:
        folders = os.scandir(layers)
    except (FileNotFoundError, NotADirectoryError):
        return
    with folders:
        for one in folders:
            folder = Path(one.path)
            if any((folder / name).is_dir() for name in (SEALED, SCRATCH)):
                yield PORTABLE
            elif any((folder / name).exists() for name in _WINDOWS_NAMES):
                yield NATIVE


def _has_native() -> bool:
    if os.name != "nt":
        return False  # without a look at modules that take a while to load
    from winlayers.backends.native.presence import has_layer_calls

    return has_layer_calls()
