"""Looks at a store without opening it: whether the files of its layers fit together, and what is left over.

What the entries of a layer say is ``layer.check``'s; here it is folders, chains, indexes and packs. Codes, and what all
backends look at, are in ``backends.checking`` and ``backends.commonchecks``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from winlayers.backends.checking import DriverFacts, StoreFinding
from winlayers.backends.commonchecks import (
    CHAIN_FILE,
    REMOVING,
    check_chain,
    check_mounts,
    check_other_id,
    check_staging,
)
from winlayers.backends.portable._scratch import DATA, DATABASE, chain_of
from winlayers.backends.portable._scratch_nodes import NodeStore
from winlayers.backends.portable.backend import INDEX, LAYERS, PACK, SCRATCH, SEALED
from winlayers.backends.sealed.record import RECORD, Record, read_record
from winlayers.backends.sealed.soundness import read_sound_index
from winlayers.base.digest import Digest, digest_of
from winlayers.base.fileobj import Readable
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.errors import StoreCorrupt

_REMOVE = "remove what is left of it"
_REBUILD = "make index and record again from the pack"

#: Codes that a new index cures.
CURED_BY_INDEX = frozenset(
    {"index-missing", "index-unreadable", "record-missing", "record-unreadable"}
)


def check_store(
    root: Path,
    facts: DriverFacts,
    *,
    tmpdir: Path | None = None,
    deep: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Iterator[StoreFinding]:
    """Find what is wrong with a store.

    Args:
        root: its home; nothing is found where there is none.
        facts: what the driver knows of it.
        tmpdir: where imports stage, if not in ``ROOT/tmp``.
        deep: read all packs and compare their digests.
        progress: told the bytes of packs read.
        cancel: asked before each layer and each block.
    Returns:
        The findings, layer by layer in the order of their ids, then what is left over.
    Raises:
        OSError: the folder of the layers cannot be listed.
    """
    check = _Check(root / LAYERS, facts, progress or NullProgress(), cancel or Cancel())
    names = sorted(os.listdir(root / LAYERS)) if (root / LAYERS).is_dir() else []
    for name in names:
        check.cancel.check()
        if not name.endswith(REMOVING):
            yield from check.layer(name, deep=deep)
    for name in names:
        if name.endswith(REMOVING):
            layer_id, place = name.removesuffix(REMOVING), root / LAYERS / name
            yield StoreFinding("left-removing", layer_id, place, "is still there", _REMOVE)
    yield from check_staging(tmpdir or root / "tmp")
    yield from check_mounts(facts, "take it away")


class _Check:
    """Looks at one layer after another."""

    def __init__(
        self,
        layers: Path,
        facts: DriverFacts,
        progress: Progress,
        cancel: Cancel,
    ) -> None:
        self._layers = layers
        self._facts = facts
        self._progress = progress
        self.cancel = cancel

    def layer(self, layer_id: str, *, deep: bool) -> Iterator[StoreFinding]:
        """What is wrong with one layer."""
        folder = self._layers / layer_id
        try:
            is_ours = (folder / SEALED).is_dir() or (folder / CHAIN_FILE).is_file()
            if not is_ours:
                detail = "holds neither a pack nor a chain"
                yield StoreFinding("layer-foreign", layer_id, folder, detail)
                return
            yield from check_chain(self._layers, layer_id, self._facts)
            yield from check_other_id(self._layers, layer_id, self._facts)
            if (folder / SEALED).is_dir():
                yield from self._sealed(layer_id, folder / SEALED, deep=deep)
            elif (folder / SCRATCH).is_dir():
                yield from self._scratch(layer_id, folder / SCRATCH)
        except OSError as error:
            yield StoreFinding("layer-unreadable", layer_id, folder, str(error))

    def _scratch(self, layer_id: str, folder: Path) -> Iterator[StoreFinding]:
        """A scratch that nobody writes: its database, its chain, and its files of data."""
        try:
            with NodeStore(folder / DATABASE, layer_id, read_only=True) as store:
                if fault := store.fault():
                    yield StoreFinding("scratch-unreadable", layer_id, store.path, fault)
                    return
                numbers = [part.data for _, part, _ in store.data_parts()]
            missing = [layer for layer in chain_of(folder) if not (self._layers / layer).is_dir()]
        except StoreCorrupt as error:
            yield StoreFinding("scratch-unreadable", layer_id, folder / DATABASE, str(error))
            return
        for layer in missing:
            detail = f"{layer} is not in the store"
            yield StoreFinding("chain-parent-missing", layer_id, folder / DATABASE, detail)
        for number in numbers:
            path = folder / DATA / str(number)
            if not path.is_file():
                yield StoreFinding("scratch-data-missing", layer_id, path, "there is no such file")

    def _sealed(self, layer_id: str, sealed: Path, *, deep: bool) -> Iterator[StoreFinding]:
        index, pack = sealed / INDEX, sealed / PACK
        facts: dict[str, str] = {}
        action = _REBUILD if pack.is_file() else ""
        if not index.is_file():
            yield StoreFinding("index-missing", layer_id, index, "there is no such file", action)
        else:
            try:
                facts = read_sound_index(index)
            except StoreCorrupt as error:
                yield StoreFinding("index-unreadable", layer_id, index, str(error), action)
        yield from self._record(layer_id, sealed, facts, action)
        if not pack.is_file():
            yield StoreFinding("pack-missing", layer_id, pack, "there is no such file")
            return
        size = pack.stat().st_size
        if facts and size != int(facts["tar_size"]):
            detail = f"has {size} bytes, not {facts['tar_size']}"
            yield StoreFinding("pack-size", layer_id, pack, detail)
        elif facts and deep:
            yield from self._digest(layer_id, pack, Digest.parse(facts["diff_id"]))

    def _record(
        self, layer_id: str, sealed: Path, facts: dict[str, str], action: str
    ) -> Iterator[StoreFinding]:
        path = sealed / RECORD
        try:
            record = read_record(sealed)
            if record is None:
                yield StoreFinding(
                    "record-missing", layer_id, path, "there is no such file", action
                )
            elif facts and record != Record.of_facts(facts):
                detail = f"tells {record.diff_id}, the index {facts['diff_id']}"
                yield StoreFinding("record-unreadable", layer_id, path, detail, action)
        except StoreCorrupt as error:
            yield StoreFinding("record-unreadable", layer_id, path, str(error), action)

    def _digest(self, layer_id: str, pack: Path, expected: Digest) -> Iterator[StoreFinding]:
        self._progress.start(f"reading {layer_id}", pack.stat().st_size)
        try:
            with open(pack, "rb", buffering=0) as file:
                actual = digest_of(_Watched(file, self._progress, self.cancel), expected.algorithm)
        finally:
            self._progress.finish()
        if actual != expected:
            yield StoreFinding("pack-digest", layer_id, pack, f"is {actual}, not {expected}")


class _Watched:
    """A file that tells what is read of it, and stops when that is wanted."""

    def __init__(self, file: Readable, progress: Progress, cancel: Cancel) -> None:
        self._file = file
        self._progress = progress
        self._cancel = cancel

    def read(self, size: int, /) -> bytes:
        self._cancel.check()
        block = self._file.read(size)
        self._progress.advance(len(block))
        return block
