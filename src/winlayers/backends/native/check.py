"""Looks at a store of Windows without opening it: layers, ledgers, scratches, and what was left over.

Files are looked at by plain calls, so that a disk of Windows that is mounted elsewhere can be looked at too; ``can_call``
says whether Windows itself is here, which is needed for some of the repairs, and to read files past their access rights.
A layer that somebody is just making is passed over. Codes, and what all backends look at, are in ``backends.checking``
and ``backends.commonchecks``; who names a layer in Docker, in ``_dockernames``; the orphans among them, in ``_orphans``.

Source of the layout: ``docs/reference/store-layout.md``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from winlayers.backends.checking import DriverFacts, StoreFinding
from winlayers.backends.commonchecks import (
    REMOVING,
    check_chain,
    check_mounts,
    check_other_id,
    check_staging,
    is_locked,
)
from winlayers.backends.native import _scratches
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._dockernames import DockerNames, read_docker_names
from winlayers.backends.native._files import LayerFiles
from winlayers.backends.native._journal import Journal
from winlayers.backends.native._ledger import INDEX, Ledger, read_ledger
from winlayers.backends.native._orphans import find_orphans
from winlayers.backends.native._plainfiles import OpensFiles, PlainFiles
from winlayers.backends.native._plaintrees import count_bytes
from winlayers.backends.native.backend import LAYERS, LEDGERS
from winlayers.backends.sealed.record import Record
from winlayers.backends.sealed.soundness import holds_file, read_sound_index
from winlayers.base.digest import Digest
from winlayers.base.fileobj import BLOCK_SIZE
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.errors import Cancelled, StoreCorrupt, WinlayersError
from winlayers.layer.framedtar import open_framed_tar
from winlayers.layer.names import FILES, HIVES, MUTATED_FILES, UTILITY_VM, split_tar_name
from winlayers.layer.streamnames import TYPE_SUFFIX

_HOLDS_MORE = (HIVES, UTILITY_VM)
_BY_WINDOWS = "have Windows remove it"
_FORGET = "forget the mount"


def check_native_store(
    root: Path,
    facts: DriverFacts,
    *,
    tmpdir: Path | None = None,
    deep: bool = False,
    can_call: bool,
    api: Libraries | None = None,
    now_seconds: float | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Iterator[StoreFinding]:
    """Find what is wrong with a store of Windows.

    Args:
        root: its home; nothing is found where there is none.
        facts: what the driver knows of it.
        tmpdir: where imports stage, if not in ``ROOT/winlayers/tmp``.
        deep: make the tar of each layer that has a ledger, and compare its digest.
        can_call: this is a Windows with calls for layers.
        api: its libraries.
        now_seconds: the time, since 1970; by default that of the system.
        progress: told the bytes of tars that were made.
        cancel: asked before each layer and each block.
    Returns:
        The findings, layer by layer in the order of their ids, then what is left over.
    Raises:
        OSError: a folder of the store cannot be listed.
        InvalidName: a link stands in the way to the layer database of Docker.
    """
    if not (root / LAYERS).is_dir():
        return
    check = _Check(root, facts, can_call, progress or NullProgress(), cancel or Cancel())
    with os.scandir(root / LAYERS) as found:
        names = sorted(one.name for one in found if one.is_dir(follow_symlinks=False))
    making = check.making()
    for name in names:
        check.cancel.check()
        if not name.endswith(REMOVING) and name not in making:
            yield from check.layer(name)
            if deep:
                yield from check.content(name, (api or Libraries()) if can_call else None)
    yield from check.left_making()
    for name in names:
        if name.endswith(REMOVING):
            yield check.left_removing(name)
    yield from check.lost_ledgers()
    yield from check_staging(tmpdir or root / LEDGERS / "tmp")
    yield from check_mounts(facts, _FORGET)
    if check.names is not None:
        yield from find_orphans(
            root / LAYERS,
            check.names,
            facts,
            making,
            names,
            now_seconds,
            needs_windows=not can_call,
        )


class _Check:
    """Looks at one layer after another."""

    def __init__(
        self, root: Path, facts: DriverFacts, can_call: bool, progress: Progress, cancel: Cancel
    ) -> None:
        self._layers = root / LAYERS
        self._ledgers = root / LEDGERS / "layers"
        self._making = root / LEDGERS / "making"
        self._journal = Journal(self._making)
        self._facts = facts
        self._can_call = can_call
        self._progress = progress
        self.cancel = cancel
        self.names: DockerNames | None = read_docker_names(root)

    def making(self) -> frozenset[str]:
        """The layers that are being made, or were until their process died."""
        return frozenset(self._journal.left_over() if self._making.is_dir() else ())

    def layer(self, layer_id: str) -> Iterator[StoreFinding]:
        """What is wrong with one layer, but for the content of its files."""
        folder = self._layers / layer_id
        try:
            yield from check_chain(self._layers, layer_id, self._facts)
            yield from check_other_id(self._layers, layer_id, self._facts)
            disk = folder / _scratches.DISK
            if disk.exists():
                if not disk.stat().st_size:
                    yield StoreFinding("scratch-disk-empty", layer_id, disk, "has 0 bytes")
            elif self._is_scratch(layer_id):
                yield StoreFinding("scratch-disk-missing", layer_id, disk, "there is no such file")
            else:
                yield from self._sealed(layer_id, folder)
        except OSError as error:
            yield StoreFinding("layer-unreadable", layer_id, folder, str(error))

    def content(self, layer_id: str, api: Libraries | None) -> Iterator[StoreFinding]:
        """Whether the tar of a layer that has a ledger can be made of its files."""
        folder = self._layers / layer_id
        try:
            ledger = read_ledger(self._ledgers / layer_id)
            if ledger is None or not (folder / FILES).is_dir():
                return
            self._read_tar(layer_id, ledger, LayerFiles(api, folder) if api else PlainFiles(folder))
        except Cancelled:
            raise
        except StoreCorrupt:
            return  # told of the ledger
        except (WinlayersError, OSError) as error:
            yield StoreFinding("layer-changed", layer_id, folder, str(error))

    def left_making(self) -> Iterator[StoreFinding]:
        """Layers whose making was begun by a process that has died."""
        for layer_id in sorted(self.making()):
            if is_locked(self._making / f"{layer_id}.lock"):
                continue
            folder = self._layers / layer_id
            path = folder if os.path.lexists(folder) else self._making / f"{layer_id}.json"
            action = _BY_WINDOWS
            try:
                if self._journal.files_before(layer_id) is not None:
                    action = "have Windows make it empty again, as it was created"
                detail = "its process has ended"
            except StoreCorrupt as error:
                detail = str(error)
            is_there = path == folder
            yield StoreFinding(
                *("left-making", layer_id, path, detail),
                action if is_there else "remove the entry of the journal",
                needs_windows=is_there and not self._can_call,
            )

    def left_removing(self, name: str) -> StoreFinding:
        """A layer that is on its way out."""
        path = self._layers / name
        detail = f"is still there, with {count_bytes(path)} bytes"
        layer_id = name.removesuffix(REMOVING)
        return StoreFinding(
            *("left-removing", layer_id, path, detail, _BY_WINDOWS),
            needs_windows=not self._can_call,
        )

    def lost_ledgers(self) -> Iterator[StoreFinding]:
        """Ledgers whose layers are not there."""
        for name in sorted(os.listdir(self._ledgers)) if self._ledgers.is_dir() else ():
            folder = self._ledgers / name
            if not os.path.lexists(self._layers / name):
                detail = f"there is no layer {name}"
                yield StoreFinding("ledger-orphaned", name, folder, detail, "remove the ledger")

    def _is_scratch(self, layer_id: str) -> bool:
        """Whether Docker says that a layer is one, whatever is left of it."""
        return self.names is not None and layer_id in self.names.scratches

    def _sealed(self, layer_id: str, folder: Path) -> Iterator[StoreFinding]:
        place = self._ledgers / layer_id
        has_ledger = (place / "layer.json").exists()
        if not (folder / FILES).is_dir():
            rest = [name for name in _HOLDS_MORE if (folder / name).is_dir()]
            if rest or has_ledger:
                found = " and ".join(rest) or "a ledger"
                yield StoreFinding("layer-half", layer_id, folder, f"there is {found} alone")
            return
        if not has_ledger:
            yield from self._boot_copies_of_docker(layer_id, folder)
            return
        try:
            check_ledger(place)
            boot_files = [path for path in MUTATED_FILES if holds_file(place / INDEX, path)]
        except StoreCorrupt as error:
            action = (
                "remove the ledger; it is made again, of Docker's record or of what Windows exports"
            )
            yield StoreFinding("ledger-unreadable", layer_id, place, str(error), action)
            return
        yield from _missing_copies(layer_id, folder, boot_files)

    def _boot_copies_of_docker(self, layer_id: str, folder: Path) -> Iterator[StoreFinding]:
        """Of a base layer, whose boot files came with it; those of others may be their parents'."""
        try:
            is_base = not len(self._facts.read_chain(folder))
        except StoreCorrupt:
            return  # told already
        if is_base:
            there = [path for path in MUTATED_FILES if (folder / path).is_file()]
            yield from _missing_copies(layer_id, folder, there)

    def _read_tar(self, layer_id: str, ledger: Ledger, files: OpensFiles) -> None:
        """Make the tar of a layer, to its end.

        Raises:
            DigestMismatch: it is not what it was.
        """
        self._progress.start(f"reading {layer_id}", ledger.record.tar_size)
        try:
            with ExitStack() as stack:
                frame = stack.enter_context(ledger.frame.open("rb"))
                tar = stack.enter_context(
                    open_framed_tar(
                        frame,
                        _body_opener(files),
                        diff_id=Digest.parse(ledger.record.diff_id),
                        what=f"layer {layer_id}",
                    )
                )
                while block := tar.read(BLOCK_SIZE):
                    self.cancel.check()
                    self._progress.advance(len(block))
        finally:
            self._progress.finish()


def check_ledger(place: Path) -> None:
    """Look whether a ledger is sound in itself.

    Raises:
        StoreCorrupt: it is not.
    """
    ledger = read_ledger(place)
    if ledger is None:
        return
    if not ledger.frame.is_file():
        raise StoreCorrupt(f"{ledger.frame} is missing")
    if Record.of_facts(read_sound_index(ledger.index)) != ledger.record:
        raise StoreCorrupt(f"{ledger.index} does not tell what the record tells")


def _missing_copies(
    layer_id: str, folder: Path, boot_files: Iterable[str]
) -> Iterator[StoreFinding]:
    for path in boot_files:
        copy = folder / MUTATED_FILES[path]
        if not copy.is_file():
            yield StoreFinding("boot-copy-missing", layer_id, copy, f"of {path}")


def _body_opener(files: OpensFiles) -> Callable[[bytes], BinaryIO]:
    def open_body(name: bytes) -> BinaryIO:
        path, _, stream = "/".join(split_tar_name(name)).partition(":")
        return files.open(path, stream.removesuffix(TYPE_SUFFIX))

    return open_body
