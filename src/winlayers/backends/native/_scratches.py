"""Scratches, the layers that containers write: made, mounted, exported, taken away.

A scratch is the folder of a layer with a disk in it, ``sandbox.vhdx``. Both generations of calls make them: the first
takes the folder and finds the disk by itself; the second takes the volume that is on the disk, which is attached here.
What was begun and fails is undone, in reverse order. What Windows refuses because somebody holds the layer is tried
again, see ``_busy``. Whether a call is legal now is for the caller to know.
Source: the published driver and the callers of vmcompute for the order of the calls; HcsInitializeWritableLayer and
the calls beside it in the Host Compute System reference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from winlayers.backends.native import (
    _generations,
    _handles,
    _hcs,
    _storage,
    _systems,
    _vhd,
    _volumes,
)
from winlayers.backends.native._busy import PATIENT, Patience, code_of, patiently
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._failures import ACCESS_DENIED
from winlayers.backends.native._generations import Generation
from winlayers.backends.native._host import VERSION_1809, build_number
from winlayers.backends.native._vhd import AttachFlags, DiskFlags
from winlayers.errors import LayerExists, StoreCorrupt, WinlayersError

DISK: Final = "sandbox.vhdx"
DEFAULT_SIZE: Final = 20 << 30
"""The size of a disk where none is asked for, in bytes; the first generation has the same."""

_MIB: Final = 1 << 20
_TO_GROW: Final = AttachFlags.BYPASS_DEFAULT_ENCRYPTION_POLICY
_TO_WORK: Final = _TO_GROW | AttachFlags.NO_DRIVE_LETTER
_TO_STAY: Final = _TO_WORK | AttachFlags.PERMANENT_LIFETIME
_TO_DETACH: Final = DiskFlags.CACHED_IO | DiskFlags.IGNORE_RELATIVE_PARENT_LOCATOR


def create(api: Libraries, folder: Path, parents: Sequence[Path], size: int) -> None:
    """Make a scratch; nothing is there if that fails.

    Args:
        api: the libraries.
        folder: of the scratch, which is not there yet.
        parents: folders of its parents, nearest first.
        size: how much the disk can hold, in bytes; 0 for what Windows takes.
    Raises:
        LayerExists: the folder is there.
        InvalidArgument: no disk has this size.
        WindowsCallFailed: Windows fails.
    """
    _vhd.check_size(size)
    if os.path.lexists(folder):
        raise LayerExists(f"{folder} is there already")
    with _undone_on_failure(lambda: _remove_if_there(api, folder)):
        match _generations.generation(api):
            case Generation.VMCOMPUTE:
                _hcs.create_scratch(api, str(folder), _texts(parents))
                if size:
                    _hcs.expand(api, str(folder), size)
                    _grow_volume(api, folder)
            case Generation.COMPUTESTORAGE:
                _create_on_disk(api, folder, parents, size or DEFAULT_SIZE)


def mount(
    api: Libraries, folder: Path, parents: Sequence[Path], *, patience: Patience = PATIENT
) -> str:
    """Have a scratch show the merged view; it does not if that fails.

    Args:
        api: the libraries.
        folder: of the scratch.
        parents: folders of its parents, nearest first.
        patience: how time is told.
    Returns:
        The path where it shows: a volume, or the folder where Windows names none.
    Raises:
        InUse: somebody holds it.
        WindowsCallFailed: Windows fails otherwise.
    """
    layer, below = str(folder), _texts(parents)
    with ExitStack() as stack:
        if _generations.generation(api) is Generation.COMPUTESTORAGE:
            return _mount_disk(api, folder, below, patience, stack)
        patiently(api, folder, lambda: _hcs.activate(api, layer), patience)
        stack.enter_context(_undone_on_failure(lambda: _hcs.deactivate(api, layer)))
        patiently(api, folder, lambda: _hcs.prepare(api, layer, below), patience)
        stack.enter_context(_undone_on_failure(lambda: _hcs.unprepare(api, layer)))
        return _hcs.mount_path(api, layer) or layer


def unmount(api: Libraries, folder: Path, *, patience: Patience = PATIENT) -> None:
    """The way back from ``mount``.

    Raises:
        InUse: somebody holds the scratch.
        WindowsCallFailed: Windows fails otherwise; where it is not mounted, too.
    """
    layer = str(folder)
    if _generations.generation(api) is Generation.COMPUTESTORAGE:
        with _vhd.open_disk(api, folder / DISK) as disk:
            volume = _storage.disk_mount_path(api, disk)
            patiently(api, folder, lambda: _storage.detach_filter(api, volume), patience)
            patiently(api, folder, lambda: _vhd.detach_disk(api, disk), patience)
        return
    patiently(api, folder, lambda: _hcs.unprepare(api, layer), patience)
    patiently(api, folder, lambda: _hcs.deactivate(api, layer), patience)


def is_mounted(api: Libraries, folder: Path) -> bool:
    """Whether the disk of a scratch is attached."""
    return _vhd.is_attached(api, folder / DISK)


@contextmanager
def exporting(
    api: Libraries,
    folder: Path,
    parents: Sequence[Path],
    *,
    is_mounted: bool,
    patience: Patience = PATIENT,
) -> Iterator[str]:
    """Have a scratch in the state in which it can be exported: its disk attached, the merged view not shown.

    Args:
        api: the libraries.
        folder: of the scratch.
        parents: folders of its parents, nearest first.
        is_mounted: it is, and is again at the end, on failures too; otherwise its disk is attached meanwhile.
        patience: how time is told.
    Yields:
        The path to export from.
    Raises:
        InUse: somebody holds the scratch.
        WindowsCallFailed: Windows fails otherwise.
    """
    layer, below = str(folder), _texts(parents)
    if _generations.generation(api) is Generation.COMPUTESTORAGE:
        with _exporting_disk(api, folder, below, is_mounted=is_mounted, patience=patience) as path:
            yield path
    elif is_mounted:
        patiently(api, folder, lambda: _hcs.unprepare(api, layer), patience)
        with _done_at_the_end(
            lambda: patiently(api, folder, lambda: _hcs.prepare(api, layer, below), patience)
        ):
            yield layer
    else:
        patiently(api, folder, lambda: _hcs.activate(api, layer), patience)
        with _done_at_the_end(
            lambda: patiently(api, folder, lambda: _hcs.deactivate(api, layer), patience)
        ):
            yield layer


def detach(api: Libraries, folder: Path) -> None:
    """Detach the disk of a scratch, whoever attached it: after a crash, nobody will.

    Raises:
        WindowsCallFailed: it is not attached, or does not detach.
    """
    with _vhd.open_disk(api, folder / DISK, flags=_TO_DETACH) as disk:
        _vhd.detach_disk(api, disk)


def take_away(api: Libraries, folder: Path, leaving: Path, *, patience: Patience = PATIENT) -> None:
    """Rename a layer that is to be removed; one that is not there is as good.

    Template VMs that run from it are ended first. Where access to a scratch is denied, it may be attached since a
    crash: its disk is detached, once.

    Args:
        api: the libraries.
        folder: of the layer.
        leaving: what it is to be called, beside it.
        patience: how time is told.
    Raises:
        LayerExists: something is called so already.
        InUse: somebody holds the layer.
        Denied: this account may not rename it.
        WindowsCallFailed: a template VM cannot be ended.
    """
    if os.path.lexists(leaving):
        raise LayerExists(f"{leaving} is there already: its removal did not end")
    if api.has("HcsEnumerateComputeSystems"):
        _systems.terminate_templates(api, folder.name, sleep=patience.sleep)
    may_detach = (folder / DISK).exists()

    def rename() -> None:
        nonlocal may_detach
        try:
            _rename(folder, leaving)
        except PermissionError as error:
            if not may_detach or code_of(error) != ACCESS_DENIED:
                raise
            may_detach = False
            try:
                detach(api, folder)
            except WinlayersError as second:
                error.add_note(f"detaching its disk failed: {second}")
                raise error from None
            _rename(folder, leaving)

    patiently(api, folder, rename, patience)


def destroy(api: Libraries, folder: Path, *, patience: Patience = PATIENT) -> None:
    """Remove the folder of a layer, whatever is in it.

    Raises:
        InUse: somebody holds the layer.
        Denied: this account may not remove it.
        WindowsCallFailed: Windows fails otherwise.
    """
    patiently(api, folder, lambda: _generations.destroy(api, str(folder)), patience)


def _grow_volume(api: Libraries, folder: Path) -> None:
    """Let the file system of a scratch have the room that its disk was given."""
    with _vhd.open_disk(api, folder / DISK) as disk:
        _vhd.attach_disk(api, disk, _TO_GROW)
        volume = _hcs.mount_path(api, str(folder))
        if not volume:
            raise StoreCorrupt(
                f"the disk of {folder} is attached, but Windows names no volume on it"
            )
        _volumes.fill_partition(api, volume)


# -- the second generation: all is done with the disk, and the volume on it


def _create_on_disk(api: Libraries, folder: Path, parents: Sequence[Path], size: int) -> None:
    disk_file = folder / DISK
    folder.mkdir()
    rounded = -(-size // _MIB) * _MIB
    _vhd.create_disk(api, disk_file, rounded, block_size=_MIB)
    with ExitStack() as stack:
        if build_number(api) <= VERSION_1809:
            access = _handles.Access.GENERIC_READ | _handles.Access.GENERIC_WRITE
            disk = stack.enter_context(_handles.open_file(api, disk_file, access))
        else:
            disk = stack.enter_context(_vhd.open_disk(api, disk_file))
        _storage.format_disk(api, disk)
    with _attached(api, folder) as volume:
        _storage.initialize_scratch(api, volume, _texts(parents))


def _mount_disk(
    api: Libraries, folder: Path, parents: Sequence[str], patience: Patience, stack: ExitStack
) -> str:
    with _vhd.open_disk(api, folder / DISK) as disk:
        patiently(api, folder, lambda: _vhd.attach_disk(api, disk, _TO_STAY), patience)
        stack.enter_context(_undone_on_failure(lambda: detach(api, folder)))
        volume = _storage.disk_mount_path(api, disk)
        patiently(api, folder, lambda: _storage.attach_filter(api, volume, parents), patience)
        stack.enter_context(_undone_on_failure(lambda: _storage.detach_filter(api, volume)))
    return volume


@contextmanager
def _exporting_disk(
    api: Libraries, folder: Path, parents: Sequence[str], *, is_mounted: bool, patience: Patience
) -> Iterator[str]:
    if not is_mounted:
        with _attached(api, folder, patience) as volume:
            yield volume
        return
    with _vhd.open_disk(api, folder / DISK) as disk:
        volume = _storage.disk_mount_path(api, disk)
    patiently(api, folder, lambda: _storage.detach_filter(api, volume), patience)

    def attach() -> None:
        patiently(api, folder, lambda: _storage.attach_filter(api, volume, parents), patience)

    with _done_at_the_end(attach):
        yield volume


@contextmanager
def _attached(api: Libraries, folder: Path, patience: Patience = PATIENT) -> Iterator[str]:
    """The volume of a scratch whose disk is attached until the ``with`` ends."""
    with _vhd.open_disk(api, folder / DISK) as disk:
        patiently(api, folder, lambda: _vhd.attach_disk(api, disk, _TO_WORK), patience)
        yield _storage.disk_mount_path(api, disk)


# -- undoing


@contextmanager
def _undone_on_failure(undo: Callable[[], object]) -> Iterator[None]:
    """Undo what was done, where the ``with`` block fails."""
    try:
        yield
    except BaseException as error:
        try:
            undo()
        except (WinlayersError, OSError) as second:
            error.add_note(f"undoing it failed too: {second}")
        raise


@contextmanager
def _done_at_the_end(finish: Callable[[], object]) -> Iterator[None]:
    """Do something at the end of the ``with`` block, and where it fails; then the failure of the block is told."""
    with _undone_on_failure(finish):
        yield
    finish()


def _remove_if_there(api: Libraries, folder: Path) -> None:
    if os.path.lexists(folder):
        _generations.destroy(api, str(folder))


def _rename(folder: Path, leaving: Path) -> None:
    try:
        os.rename(folder, leaving)
    except FileNotFoundError:
        if os.path.lexists(folder):
            raise


def _texts(parents: Sequence[Path]) -> list[str]:
    return [str(one) for one in parents]
