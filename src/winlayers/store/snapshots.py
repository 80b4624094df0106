"""Snapshots: what engines call layers by, and what becomes a layer.

    active      takes changes: by a scratch, made when it is first asked for, or at once by a layer's tar (``fill``)
    view        shows what it stands on
    committed   a sealed layer; others may stand on it

The life of a pulled layer is ``prepare``, ``fill``, ``commit``; of a container's ``prepare``, ``scratch_of``, perhaps
``commit``. Either ends with ``remove``. The sealed layer of a key that ends in a chain ID is that of images with this
layer: whoever pulls one finds it there, and the other way round. Any other is called ``snapshot-<number>``, and the
scratch ``snapshot-<number>-scratch``.

Each call is whole or absent: what counts is one transaction of the catalog, before which a layer is made, and after
which one is removed. What somebody still uses stays, and is tried again. Any number of threads and processes may call.
This module refuses to know how snapshots are mounted.

Source: containerd core/snapshots (Snapshotter), core/snapshots/storage (which calls are refused when).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from winlayers.backends.contract import ImportPolicy
from winlayers.base.digest import Digest
from winlayers.base.pipe import reader_of
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.driver.driver import Driver
from winlayers.errors import (
    DigestMismatch,
    IllegalState,
    InvalidArgument,
    LayerNotFound,
    NotFound,
    SnapshotHasChildren,
    SnapshotNotFound,
    StoreCorrupt,
)
from winlayers.layer.backuptar import BackupTarWriter
from winlayers.layer.copying import copy_entries
from winlayers.layer.difference import DifferenceReader
from winlayers.layer.entry import LayerSummary
from winlayers.layer.findings import Finding
from winlayers.layer.merge import MergedView
from winlayers.layer.view import View
from winlayers.oci.model import Descriptor, chain_ids
from winlayers.store.blobs import BlobFiles
from winlayers.store.catalog import Catalog, Records
from winlayers.store.layers import Layers
from winlayers.store.scratches import Scratches, is_scratch
from winlayers.store.sealing import NewLayer, Sealer, Sealing, opened_blob
from winlayers.store.snapshotrows import Snapshot, SnapshotKind

__all__ = ["Snapshot", "SnapshotKind", "SnapshotUsage", "Snapshots"]

_CHAIN = re.compile(r"(?:.*[ /])?sha256:([0-9a-f]{64})", re.DOTALL)
_DIGITS = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,18}")
_MAX_KEY_SIZE = 8192
_MAX_LABELS_SIZE = 1 << 20
_TOLD_COUNT = 5


@dataclass(frozen=True, slots=True)
class SnapshotUsage:
    """What a snapshot takes by itself, without what it stands on.

    Attributes:
        size: bytes of disk.
        inodes: files, directories and whatever else has a name.
    """

    size: int
    inodes: int


class Snapshots:
    """The snapshots of one store.

    Args:
        root: of the store.
        catalog: says which there are.
        files: has the place for locks.
        layers: the layers of images, some of which are those of snapshots.
        driver: keeps layers and scratches.
    """

    def __init__(
        self, root: Path, catalog: Catalog, files: BlobFiles, layers: Layers, driver: Driver
    ) -> None:
        self._catalog = catalog
        self._driver = driver
        self._scratches = Scratches(root, catalog, files.locks, driver)
        self._sealer = Sealer(catalog, layers, driver)
        # Layers that nothing needs, but somebody used when they were to go.
        self._left: set[str] = set()
        self._left_lock = threading.Lock()

    @property
    def shown_at(self) -> Path:
        """Where snapshots are mounted, if they are: each as a folder that has its number."""
        return self._scratches.shown_at

    @shown_at.setter
    def shown_at(self, path: Path) -> None:
        self._scratches.shown_at = path

    # -- keys ----------------------------------------------------------------------------------------

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> Snapshot:
        """Make an active snapshot. Nothing but a row is made; its scratch is when it is first asked for.

        Args:
            key: of it.
            parent: key of a committed one that it stands on, or ``""``.
            labels: of it; those without a value are left out.
        Raises:
            SnapshotExists: another has this key.
            SnapshotNotFound: there is no such parent.
            IllegalState: the parent is not committed.
            InvalidArgument: the key is empty or too long, or labels are too large.
        """
        return self._make(key, SnapshotKind.ACTIVE, parent, labels or {})

    def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> Snapshot:
        """Make one that shows its parent; see ``prepare``."""
        return self._make(key, SnapshotKind.VIEW, parent, labels or {})

    def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None) -> Snapshot:
        """Make an active snapshot a committed one. Its key is gone then, and its number stays.

        Args:
            name: its new key.
            key: of the active one.
            labels: its new ones, instead of those that it had.
        Raises:
            SnapshotNotFound: there is none of this key.
            SnapshotExists: another has the new one.
            IllegalState: it is not active.
            Malformed: its scratch makes no layer; it stays as it is.
            InvalidArgument: see ``prepare``.
        """
        labels = _checked(name, labels or {})
        number = self.stat(key).number
        with self._scratches.locked(number):
            with self._catalog.reading() as records:
                active = records.snapshots.active(number, key)
                records.snapshots.check_free(name)

            def commit(records: Records) -> None:
                found = records.snapshots.active(number, key)
                records.snapshots.check_free(name)
                layer_id = found.layer_id if found.is_filled else _layer_id(number)
                records.snapshots.commit(number, name, layer_id, labels, time.time_ns())

            if active.is_filled:
                with self._catalog.writing() as records:
                    commit(records)
            else:
                self._seal(active, commit)
        self._scratches.drop(number)
        return self.find(number)

    def remove(self, key: str) -> None:
        """Remove a snapshot, and its layer unless something else needs that.

        Raises:
            SnapshotNotFound: there is none of this key.
            SnapshotHasChildren: others stand on it.
        """

        def drop(records: Records) -> Snapshot:
            found = records.snapshots.keyed(key)
            if children := records.snapshots.children(found.number, _TOLD_COUNT):
                raise SnapshotHasChildren(
                    f"snapshots stand on {key!r}: {', '.join(map(repr, children))}; remove those first"
                )
            records.snapshots.drop(found.number)
            self._sealer.forget(records, found.layer_id)
            return found

        gone = self._catalog.change(drop, clearing=True)
        self._scratches.let_go(gone.number)
        self._scratches.drop(gone.number)
        if gone.layer_id and not is_scratch(gone.layer_id):
            self._give_back(gone.layer_id)
        self.clean_up()

    def stat(self, key: str) -> Snapshot:
        """The snapshot of a key.

        Raises:
            SnapshotNotFound: there is none.
        """
        with self._catalog.reading() as records:
            return records.snapshots.keyed(key)

    def find(self, number: int) -> Snapshot:
        """The snapshot of a number.

        Raises:
            SnapshotNotFound: there is none (any more).
        """
        with self._catalog.reading() as records:
            return records.snapshots.numbered(number)

    def update(self, key: str, labels: Mapping[str, str], fields: Sequence[str] = ()) -> Snapshot:
        """Change labels.

        Args:
            key: of the snapshot.
            labels: the new ones.
            fields: which are meant: ``labels`` for all, ``labels.<name>`` for one, which goes where the new ones do
                not have it; none is all.
        Raises:
            SnapshotNotFound: there is none of this key.
            InvalidArgument: another field is named, or the labels are too large.
        """
        for one in fields:
            if one != "labels" and not one.startswith("labels."):
                raise InvalidArgument(
                    f"{one!r} of snapshot {key!r} cannot be changed, only labels can"
                )

        def change(records: Records) -> Snapshot:
            found = records.snapshots.keyed(key)
            if not fields or "labels" in fields:
                new = dict(labels)
            else:
                names = [one.removeprefix("labels.") for one in fields]
                new = {**found.labels, **{name: labels.get(name, "") for name in names}}
            records.snapshots.label(found.number, _checked(key, new), time.time_ns())
            return records.snapshots.numbered(found.number)

        return self._catalog.change(change)

    def walk(self) -> Iterator[Snapshot]:
        """All snapshots as they are at one moment, each after the one that it stands on."""
        with self._catalog.reading() as records:
            found = records.snapshots.all()
        return iter(found)

    def usage(self, key: str) -> SnapshotUsage:
        """What a snapshot takes by itself; a view takes nothing.

        Raises:
            SnapshotNotFound: there is none of this key.
        """
        found = self.stat(key)
        if not found.layer_id or found.kind is SnapshotKind.VIEW:
            return SnapshotUsage(0, 0)
        self._scratches.publish(found)
        usage = self._driver.usage(found.layer_id)
        return SnapshotUsage(usage.disk_size, usage.summary.entry_count)

    def scratch_size(self, found: Iterable[Snapshot]) -> int:
        """Bytes of disk that the scratches of some snapshots take."""
        return self._scratches.size(found)

    def shown_layer(self, name: str) -> str:
        """Id in the driver of what a snapshot shows at present.

        Args:
            name: its key; or its number, where no key is so.
        Returns:
            The layer or scratch; ``""`` of an active one that stands on nothing and has no scratch yet.
        Raises:
            SnapshotNotFound: there is none.
        """
        with self._catalog.reading() as records:
            found = records.snapshots.by_key(name)
            if found is None and _NUMBER.fullmatch(name):
                found = records.snapshots.by_number(int(name))
            if found is None:
                raise SnapshotNotFound(f"there is no snapshot {name!r}")
            return records.snapshots.shown_layer(found)

    # -- contents ------------------------------------------------------------------------------------

    def fill(
        self,
        number: int,
        blob: Descriptor,
        source: BinaryIO,
        *,
        policy: ImportPolicy | None = None,
        report: Callable[[Finding], None] = lambda finding: None,
        cancel: Cancel | None = None,
        progress: Progress | None = None,
        instead: bool = False,
    ) -> LayerSummary:
        """Make an active snapshot the sealed layer of a tar, in one pass.

        Where the key ends in a chain ID, the layer has to be of that; if it is in the store already, it is taken and
        ``source`` is not read.

        Args:
            number: of the snapshot.
            blob: what comes; digest and size are compared.
            source: its bytes; only ``read`` is used.
            policy: what is let pass.
            report: called with each finding that is no error, from any thread.
            cancel: stops it when set.
            progress: told the bytes read.
            instead: what was written to its scratch is lost.
        Returns:
            What was counted, with the diff ID.
        Raises:
            SnapshotNotFound: there is none of this number.
            IllegalState: it is not active; it was filled before; or its scratch was written to.
            DigestMismatch: digest or chain ID are others.
            Corrupt, Malformed, NoSpace, TooLarge, Cancelled: as of the driver. Whatever is raised, nothing is left.
        """
        sealing = Sealing(
            policy or ImportPolicy(), report, cancel or Cancel(), progress or NullProgress()
        )
        with self._scratches.locked(number):
            active = self._active(number)
            new = replace(self._wanted(active), size=blob.size)
            if active.is_filled:
                return self._filled(active, new)
            if not instead:
                self._check_unwritten(active)

            def show(records: Records) -> None:
                records.snapshots.active(number, active.key)
                records.snapshots.show(number, new.layer_id, is_filled=True)

            summary = self._sealer.seal(new, opened_blob(source, blob), sealing, show)
        self._scratches.drop(number)
        return summary

    def scratch_of(self, number: int) -> str:
        """Id in the driver of the scratch of an active snapshot, which is made if need be.

        Raises:
            SnapshotNotFound: there is none of this number.
            IllegalState: it is not active, or is a sealed layer already.
        """
        active = self._active(number)
        is_made = active.layer_id and not active.is_filled
        return active.layer_id if is_made else self._scratches.make(number)

    def open_view(self, number: int, *, read_only: bool = False) -> View:
        """What a snapshot shows, over its parents; to be closed by the caller.

        Args:
            number: of the snapshot.
            read_only: only look; otherwise what is opened of an active one is a ``layer.view.Scratch``, which nobody
                else may open, unless it is a sealed layer already.
        Raises:
            SnapshotNotFound: there is none of this number.
            LayerMounted: somebody else has the scratch.
        """
        while True:
            found = self.find(number)
            try:
                return self._open(found, read_only=read_only)
            except (IllegalState, LayerNotFound):
                # It became a layer meanwhile: then there is another to open, and that happens but twice.
                if self.find(number) == found:
                    raise

    def open_diff(self, lower: int | None, upper: int) -> BinaryIO:
        """The tar of the layer that makes of one snapshot what another shows; to be closed by the caller.

        Of a sealed layer, or a view of one, against what it stands on: the bytes that it was made of.

        Args:
            lower: number of the one below; None for nothing, which makes a base layer.
            upper: number of the other.
        Raises:
            SnapshotNotFound: there is none of this number.
        """
        with self._catalog.reading() as records:
            below = (
                ""
                if lower is None
                else records.snapshots.shown_layer(records.snapshots.numbered(lower))
            )
            if not below:
                lower = None
            above = records.snapshots.numbered(upper)
            if above.kind is SnapshotKind.VIEW and above.parent:
                above = records.snapshots.keyed(above.parent)
            parent = records.snapshots.parent_layer(above)
        self._scratches.publish(above)
        if above.layer_id and above.kind is not SnapshotKind.VIEW and below == parent:
            return self._driver.diff(above.layer_id)
        return self._compare(lower, upper)

    # -- leftovers -----------------------------------------------------------------------------------

    def clean_up(self) -> None:
        """Try again to remove what somebody used when it was to go."""
        self._scratches.clean_up()
        with self._left_lock:
            left, self._left = self._left, set()
        for layer_id in left:
            self._give_back(layer_id)

    def recover(self) -> None:
        """Remove scratches that a crash left, or that somebody used when their snapshots went."""
        self._scratches.recover()

    # -- inside --------------------------------------------------------------------------------------

    def _make(
        self, key: str, kind: SnapshotKind, parent: str, labels: Mapping[str, str]
    ) -> Snapshot:
        kept = _checked(key, labels)

        def add(records: Records) -> Snapshot:
            records.snapshots.check_free(key)
            below = records.snapshots.keyed(parent) if parent else None
            if below is not None and below.kind is not SnapshotKind.COMMITTED:
                raise IllegalState(f"snapshot {parent!r} is not committed, so none can stand on it")
            shown = below.layer_id if below and kind is SnapshotKind.VIEW else ""
            now_ns = time.time_ns()
            number = records.snapshots.add(
                key, kind, below.number if below else 0, shown, kept, now_ns
            )
            return Snapshot(key, number, kind, parent, kept, now_ns, now_ns, shown)

        return self._catalog.change(add)

    def _active(self, number: int) -> Snapshot:
        with self._catalog.reading() as records:
            return records.snapshots.active(number)

    def _parent_layer(self, found: Snapshot) -> str:
        with self._catalog.reading() as records:
            return records.snapshots.parent_layer(found)

    def _wanted(self, active: Snapshot) -> NewLayer:
        """The layer that a tar has to make of a snapshot."""
        parent = self._parent_layer(active)
        own = NewLayer(_layer_id(active.number), parent)
        chain = _CHAIN.fullmatch(active.key)
        if chain is None:
            return own
        below = ""
        if parent:
            named = _CHAIN.fullmatch(active.parent)
            below = parent if _DIGITS.fullmatch(parent) else named[1] if named else ""
            if not below:
                return own

        def check(diff_id: Digest) -> None:
            made = _chain_on(below, diff_id)
            if made.hex != chain[1]:
                raise DigestMismatch(
                    f"the chain of snapshot {active.key!r}",
                    expected=f"sha256:{chain[1]}",
                    actual=str(made),
                )

        if parent != below:
            # A parent that is not what its key says: images that have this chain must not get it.
            return replace(own, check=check)
        return NewLayer(chain[1], parent, is_shared=True, check=check)

    def _filled(self, active: Snapshot, new: NewLayer) -> LayerSummary:
        """What is known of a snapshot that was filled, if it could be nothing else."""
        if active.layer_id != new.layer_id or not new.is_shared:
            raise IllegalState(f"snapshot {active.key!r} was filled already")
        return self._driver.usage(active.layer_id).summary

    def _check_unwritten(self, active: Snapshot) -> None:
        if not active.layer_id:
            return
        self._scratches.publish(active)
        count = self._driver.usage(active.layer_id).summary.entry_count
        # Without parents it has a folder from the beginning.
        if count > (0 if active.parent else 1):
            raise IllegalState(
                f"snapshot {active.key!r} was written to, so no layer can take its place"
            )

    def _seal(self, active: Snapshot, commit: Callable[[Records], None]) -> None:
        """Make a sealed layer of a scratch."""
        scratch = active.layer_id or self._scratches.make(active.number, is_locked=True)
        self._scratches.publish(active)
        size = self._driver.usage(scratch).disk_size
        new = NewLayer(_layer_id(active.number), self._parent_layer(active), size=size)
        try:
            with self._driver.diff(scratch) as tar:
                self._sealer.seal(new, nullcontext((tar, None)), Sealing(), commit)
        except (NotFound, StoreCorrupt):
            self._active(active.number)  # says so where it was removed meanwhile
            raise

    def _open(self, found: Snapshot, *, read_only: bool) -> View:
        if found.kind is SnapshotKind.ACTIVE and not found.is_filled:
            if not read_only:
                return self._driver.scratch(self.scratch_of(found.number))
            if not found.layer_id and found.parent:
                return self._driver.view(self._parent_layer(found))
        # Without a parent there is not even a ``Files``: an empty scratch has one.
        return self._driver.view(found.layer_id or self._scratches.make(found.number))

    def _compare(self, lower: int | None, upper: int) -> BinaryIO:
        def write(target: BinaryIO) -> None:
            below: View = MergedView(()) if lower is None else self.open_view(lower, read_only=True)
            with closing(below), closing(self.open_view(upper, read_only=True)) as above:
                copy_entries(DifferenceReader(below, above), BackupTarWriter(target))

        return reader_of(write)

    def _give_back(self, layer_id: str) -> None:
        """Remove a layer that nothing needs, or keep in mind that somebody uses it."""
        if not self._sealer.give_back(layer_id):
            with self._left_lock:
                self._left.add(layer_id)


def _layer_id(number: int) -> str:
    return f"snapshot-{number}"


def _checked(key: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Labels that have a value, if they and a key can be kept."""
    try:
        size = len(key.encode())
        labels_size = sum(
            len(name.encode()) + len(value.encode()) for name, value in labels.items()
        )
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"key or labels of snapshot {key!r} are no text: {error}") from error
    if not 0 < size <= _MAX_KEY_SIZE:
        raise InvalidArgument(
            f"the key of a snapshot has 1 to {_MAX_KEY_SIZE} bytes, and one has {size}"
        )
    if labels_size > _MAX_LABELS_SIZE:
        raise InvalidArgument(
            f"the labels of snapshot {key[:200]!r} have {labels_size} bytes, and may have {_MAX_LABELS_SIZE}"
        )
    return {name: value for name, value in labels.items() if value}


def _chain_on(below: str, diff_id: Digest) -> Digest:
    """Chain ID of a layer on a chain.

    Args:
        below: digits of the chain ID of that, or ``""``.
        diff_id: of the layer.
    """
    # A chain ID stands for the diff IDs of all below it together.
    return chain_ids((*([Digest("sha256", below)] if below else []), diff_id))[-1]
