"""Looks at a store without opening it: whether the files of its layers fit together, and what is left over.

Nothing is changed: what is wrong is told under a stable code of ``STORE_RULES``, as findings of layers are
told under theirs. What the entries of a layer say is ``layer.check``'s; here it is folders, chains, indexes
and packs. Who stands on whom is the driver's: its chains are read by a function that is handed in.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from winlayers.backends.portable._scratch import DATA, DATABASE, chain_of
from winlayers.backends.portable._scratch_nodes import NodeStore
from winlayers.backends.portable.backend import INDEX, LAYERS, PACK, SCRATCH, SEALED
from winlayers.backends.sealed import index
from winlayers.backends.sealed.record import RECORD, Record, read_record
from winlayers.base.digest import Digest, digest_of
from winlayers.base.fileobj import Readable
from winlayers.base.locking import FileLock
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.errors import InvalidArgument, StoreCorrupt, StoreLocked
from winlayers.layer.chain import Chain
from winlayers.layer.findings import Rule, Severity

# What a layer's folder is called on its way out; see the layout of the home in ARCHITECTURE.md.
_REMOVING = "-removing"
_CHAIN_FILE = "layerchain.json"
# What a folder is called in which something is made; see ``sealed.staging``.
_STAGED = re.compile(r".+\.[0-9a-f]{16}")

_E, _W = Severity.ERROR, Severity.WARNING

#: code -> what it means, as ``layer.findings.CATALOG`` is for layers.
STORE_RULES: dict[str, Rule] = {
    "layer-unreadable": Rule(
        _E,
        "layer cannot be looked at",
        "The system refuses to list or read its folder.",
        "Run as the owner of the store, or look at the disk.",
    ),
    "layer-foreign": Rule(
        _W,
        "something that is no layer of ours",
        "It lies among the layers, and has neither what Docker's create leaves nor a pack.",
        "Move it elsewhere; a layer in the form of Windows itself is not read.",
    ),
    "chain-unreadable": Rule(
        _E,
        "layerchain.json does not parse",
        "Nothing tells the parents of the layer.",
        "Write it again: a JSON array of the parents' folders, nearest first; or import the layer again.",
    ),
    "chain-missing": Rule(
        _W,
        "layerchain.json is missing",
        "The layer is taken for a base layer.",
        "Write it again if it has parents: a JSON array of their folders, nearest first.",
    ),
    "chain-inconsistent": Rule(
        _E,
        "chain is not that of the parent",
        "The layer names its parent, but not all that the parent stands on.",
        "Import the layer again on its parent.",
    ),
    "chain-parent-missing": Rule(
        _E,
        "a parent is not in the store",
        "The layer cannot be shown without it.",
        "Import the parent again under the same id, or remove the layer.",
    ),
    "index-missing": Rule(
        _E,
        "index is missing",
        "Nothing of the layer can be listed.",
        "winlayers store check --repair",
    ),
    "index-unreadable": Rule(
        _E,
        "index cannot be read",
        "It is damaged, or of another version.",
        "winlayers store check --repair",
    ),
    "record-missing": Rule(
        _W,
        "record of the import is missing",
        "If the index is lost too, nothing tells whether the pack is still what was imported.",
        "winlayers store check --repair",
    ),
    "record-unreadable": Rule(
        _W,
        "record of the import cannot be read, or is not what the index tells",
        "One of the two was damaged or written to.",
        "winlayers store check --deep tells whether the pack is sound; --repair makes both again.",
    ),
    "pack-missing": Rule(
        _E,
        "pack is missing",
        "The content of the layer is gone; only its index is left.",
        "Remove the layer and import it again.",
    ),
    "pack-size": Rule(
        _E,
        "pack has another size than it was imported with",
        "It was cut, or written to.",
        "Remove the layer and import it again.",
    ),
    "pack-digest": Rule(
        _E,
        "pack has another digest than it was imported with",
        "Bytes of it have changed since.",
        "Remove the layer and import it again; look at the disk.",
    ),
    "scratch-unreadable": Rule(
        _E,
        "scratch cannot be read",
        "Its database is damaged, or of another version.",
        "Look at the disk; what of it can still be read, 'winlayers cp' gets out. Then remove it.",
    ),
    "scratch-data-missing": Rule(
        _E,
        "written content of a scratch is missing",
        "A file of data was removed, or never reached the disk before the machine stopped.",
        "Open the scratch to have the file empty, or remove the scratch.",
    ),
    "left-removing": Rule(
        _W,
        "layer that was not removed to its end",
        "A removal was interrupted; it holds space.",
        "winlayers store check --repair, or open the store in any way.",
    ),
    "left-staging": Rule(
        _W,
        "rest of an import that did not end",
        "An import was interrupted; it holds space.",
        "winlayers store check --repair, or open the store in any way.",
    ),
}

#: Codes that a new index cures.
CURED_BY_INDEX = frozenset(
    {"index-missing", "index-unreadable", "record-missing", "record-unreadable"}
)


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """One thing found in a store.

    Attributes:
        code: key of ``STORE_RULES``.
        layer_id: the layer concerned, or ``""``.
        path: the file or folder concerned.
        detail: what exactly.
    """

    code: str
    layer_id: str
    path: Path
    detail: str

    @property
    def rule(self) -> Rule:
        """What the code means."""
        return STORE_RULES[self.code]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return STORE_RULES[self.code].severity


def check_store(
    root: Path,
    read_chain: Callable[[Path], Chain],
    *,
    tmpdir: Path | None = None,
    deep: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Iterator[StoreFinding]:
    """Find what is wrong with a store.

    Args:
        root: its home; nothing is found where there is none.
        read_chain: reads the parents of the layer in a folder; StoreCorrupt if it cannot.
        tmpdir: where imports stage, if not in ``ROOT/tmp``.
        deep: read all packs and compare their digests.
        progress: told the bytes of packs read.
        cancel: asked before each layer and each block.
    Returns:
        The findings, layer by layer in the order of their ids, then what is left over.
    Raises:
        OSError: the folder of the layers cannot be listed.
    """
    check = _Check(root / LAYERS, read_chain, progress or NullProgress(), cancel or Cancel())
    names = sorted(os.listdir(root / LAYERS)) if (root / LAYERS).is_dir() else []
    for name in names:
        check.cancel.check()
        if not name.endswith(_REMOVING):
            yield from check.layer(name, deep=deep)
    for name in names:
        if name.endswith(_REMOVING):
            layer_id = name.removesuffix(_REMOVING)
            yield StoreFinding("left-removing", layer_id, root / LAYERS / name, "is still there")
    tmp = tmpdir or root / "tmp"
    for folder in _left_over(tmp) if tmp.is_dir() else ():
        yield StoreFinding("left-staging", "", folder, "is in use by no process")


class _Check:
    """Looks at one layer after another."""

    def __init__(
        self,
        layers: Path,
        read_chain: Callable[[Path], Chain],
        progress: Progress,
        cancel: Cancel,
    ) -> None:
        self._layers = layers
        self._read_chain = read_chain
        self._progress = progress
        self.cancel = cancel

    def layer(self, layer_id: str, *, deep: bool) -> Iterator[StoreFinding]:
        """What is wrong with one layer."""
        folder = self._layers / layer_id
        try:
            is_ours = (folder / SEALED).is_dir() or (folder / _CHAIN_FILE).is_file()
            if not is_ours:
                detail = "holds neither a pack nor a chain"
                yield StoreFinding("layer-foreign", layer_id, folder, detail)
                return
            yield from self._chain(layer_id, folder)
            if (folder / SEALED).is_dir():
                yield from self._sealed(layer_id, folder / SEALED, deep=deep)
            elif (folder / SCRATCH).is_dir():
                yield from self._scratch(layer_id, folder / SCRATCH)
        except OSError as error:
            yield StoreFinding("layer-unreadable", layer_id, folder, str(error))

    def _chain(self, layer_id: str, folder: Path) -> Iterator[StoreFinding]:
        path = folder / _CHAIN_FILE
        if not path.is_file():
            yield StoreFinding("chain-missing", layer_id, path, "there is no such file")
            return
        try:
            chain = self._read_chain(folder)
        except StoreCorrupt as error:
            yield StoreFinding("chain-unreadable", layer_id, path, str(error))
            return
        missing = [member for member in chain if not (self._layers / member).is_dir()]
        for member in missing:
            yield StoreFinding(
                "chain-parent-missing", layer_id, path, f"{member} is not in the store"
            )
        if chain.parent is not None and not missing:
            yield from self._against_parent(layer_id, path, chain)

    def _against_parent(self, layer_id: str, path: Path, chain: Chain) -> Iterator[StoreFinding]:
        assert chain.parent is not None
        try:
            above = self._read_chain(self._layers / chain.parent)
        except StoreCorrupt:
            return  # told of the parent itself
        if above.layer_ids != chain.layer_ids[1:]:
            named, actual = ", ".join(chain.layer_ids[1:]), ", ".join(above)
            detail = f"below {chain.parent} it names {named or 'nothing'}, which stands on {actual or 'nothing'}"
            yield StoreFinding("chain-inconsistent", layer_id, path, detail)

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
        if not index.is_file():
            yield StoreFinding("index-missing", layer_id, index, "there is no such file")
        else:
            try:
                facts = _read_index(index)
            except StoreCorrupt as error:
                yield StoreFinding("index-unreadable", layer_id, index, str(error))
        yield from self._record(layer_id, sealed, facts)
        if not pack.is_file():
            yield StoreFinding("pack-missing", layer_id, pack, "there is no such file")
            return
        size = pack.stat().st_size
        if facts and size != int(facts["tar_size"]):
            detail = f"has {size} bytes, not {facts['tar_size']}"
            yield StoreFinding("pack-size", layer_id, pack, detail)
        elif facts and deep:
            yield from self._digest(layer_id, pack, Digest.parse(facts["diff_id"]))

    def _record(self, layer_id: str, sealed: Path, facts: dict[str, str]) -> Iterator[StoreFinding]:
        path = sealed / RECORD
        try:
            record = read_record(sealed)
            if record is None:
                yield StoreFinding("record-missing", layer_id, path, "there is no such file")
            elif facts and record != Record.of_facts(facts):
                detail = f"tells {record.diff_id}, the index {facts['diff_id']}"
                yield StoreFinding("record-unreadable", layer_id, path, detail)
        except StoreCorrupt as error:
            yield StoreFinding("record-unreadable", layer_id, path, str(error))

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


def _read_index(path: Path) -> dict[str, str]:
    """The facts of an index that is sound in itself.

    Raises:
        StoreCorrupt: it cannot be opened, is damaged, or lacks a fact.
    """
    with closing(index.open_read_only(path)) as connection:
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            facts = index.read_facts(connection)
        except sqlite3.Error as error:
            raise StoreCorrupt(f"{path}: {error}") from error
    if found != "ok":
        raise StoreCorrupt(f"{path}: {found}")
    try:
        int(facts["tar_size"])
        Digest.parse(facts["diff_id"])
    except (KeyError, ValueError, InvalidArgument) as error:
        raise StoreCorrupt(f"{path} does not tell size and digest of the pack") from error
    return facts


def _left_over(tmp: Path) -> Iterator[Path]:
    """Staging folders that no process works in: the lock beside each is free."""
    for name in sorted(os.listdir(tmp)):
        folder = tmp / name
        if _STAGED.fullmatch(name) and folder.is_dir() and not _is_locked(folder):
            yield folder


def _is_locked(folder: Path) -> bool:
    path = folder.with_name(f"{folder.name}.lock")
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout_seconds=0)
    except StoreLocked:
        return True
    lock.release()
    return False
