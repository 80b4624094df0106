"""The layers of images: from compressed blobs into the driver, in one pass.

The bytes of a layer go three ways at once: into the file of the blob, through the inflater into the digests, and into
the pack and index that the driver makes. One thread reads and writes the blob, a little ahead of the one that inflates.
Nothing is staged in between, and nothing is read twice. A layer is known to the driver by the digits of its chain ID,
so that images share layers.

Layers of one image come at the same time. One whose parent is still coming is read to its end and waits there: the end
of its source is withheld until the parent is there. Who makes a layer holds a lock on its id; others who want it too
wait, and take it.

This module knows nothing of names and manifests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

from winlayers.backends.contract import ImportPolicy
from winlayers.base.digest import Digest, DigestReader
from winlayers.base.fileobj import RawReader, Readable, read_into
from winlayers.base.locking import FileLock
from winlayers.base.pipe import pass_on, reader_of
from winlayers.base.progress import Cancel, LinkedCancel
from winlayers.driver.driver import Driver
from winlayers.errors import (
    BlobNotFound,
    InUse,
    LayerExists,
    LayerNotFound,
    NoSpace,
    StoreLocked,
    Unsupported,
)
from winlayers.layer.chain import Chain
from winlayers.layer.findings import Finding
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor, ImageConfig, Manifest, chain_ids, pair_layers
from winlayers.store.blobs import BlobFiles, SizedReader
from winlayers.store.catalog import Catalog, LayerRow, Records

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# How long a layer waits for somebody to begin with its parent. Whoever copies an image begins with the base.
_PATIENCE_SECONDS = 2.0
_PAUSE_SECONDS = 0.02
# How often it is asked whether to wait on.
_CHECK_SECONDS = 0.1
# What is read of a source while what came before is inflated; each layer on its way has as much.
_AHEAD_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """A layer that an image needs.

    Attributes:
        layer_id: the digits of its chain ID.
        parents: ids of the layers that it stands on, nearest first.
        diff_id: digest of its tar.
        blob: what it comes in.
    """

    layer_id: str
    parents: tuple[str, ...]
    diff_id: Digest
    blob: Descriptor

    @property
    def parent(self) -> str:
        """The nearest of ``parents``, or ``""``."""
        return self.parents[0] if self.parents else ""

    @property
    def is_plain(self) -> bool:
        """Whether it comes without compression."""
        return self.blob.digest == self.diff_id


def plan_layers(manifest: Manifest, config: ImageConfig) -> tuple[PlannedLayer, ...]:
    """The layers of an image that go into the driver, the base layer first.

    Args:
        manifest: of the image.
        config: of the image.
    Returns:
        None at all where it is no image for Windows: then its layers are blobs and nothing more.
    Raises:
        Malformed: manifest and config do not have the same number of layers.
        Unsupported: a diff ID is no SHA-256.
    """
    is_windows = config.platform.os.lower() == "windows"
    if not is_windows or not all(mediatypes.is_layer(one.media_type) for one in manifest.layers):
        return ()
    pairs = pair_layers(manifest, config)
    for diff_id in config.diff_ids:
        if diff_id.algorithm != "sha256":
            raise Unsupported(f"diff IDs are taken in SHA-256 only, and one is {diff_id}")
    ids = [chain_id.hex for chain_id in chain_ids(config.diff_ids)]
    return tuple(
        PlannedLayer(layer_id, tuple(reversed(ids[:number])), diff_id, blob)
        for number, (layer_id, (blob, diff_id)) in enumerate(zip(ids, pairs, strict=True))
    )


@dataclass(frozen=True, slots=True)
class Work:
    """Who makes layers, and how.

    Attributes:
        lease: holds what is made.
        policy: what imports let pass.
        report: called with each finding that is no error, from any thread.
        cancel: ends waits for what others make.
    """

    lease: int
    policy: ImportPolicy = field(default_factory=ImportPolicy)
    report: Callable[[Finding], None] = lambda finding: None
    cancel: LinkedCancel = field(default_factory=LinkedCancel)


class Layers:
    """The layers of the images of one store.

    Args:
        catalog: says which there are.
        files: keeps their blobs.
        driver: keeps the layers.
    """

    def __init__(self, catalog: Catalog, files: BlobFiles, driver: Driver) -> None:
        self._catalog = catalog
        self._files = files
        self._driver = driver
        self._changed = threading.Condition()
        self._coming: set[str] = set()

    def take(self, planned: PlannedLayer, source: BinaryIO, work: Work) -> None:
        """Make a layer of its blob, and keep the blob.

        What is there already is not read. Where nobody begins with the parent, the blob is kept and that is all.

        Args:
            planned: the layer.
            source: the blob, from its first byte.
            work: holds both.
        Raises:
            Corrupt, DigestMismatch, Malformed, NoSpace: as of the driver.
            LayerExists: the driver has another layer of this id.
            Cancelled: it was asked for while others were waited for.
        """
        with self.making(planned.layer_id, work.cancel):
            if self._is_there(planned, work.lease):
                if not planned.is_plain:
                    self.keep_blob(planned.blob, source, work.lease)
            elif self._is_coming(planned.parent, work.cancel):
                self._import(planned, source, work, is_kept=not planned.is_plain)
            else:
                self.keep_blob(planned.blob, source, work.lease)

    def make(self, planned: PlannedLayer, work: Work) -> None:
        """Make a layer whose blob is in the store, if it is not there; its parent is.

        Args:
            planned: the layer.
            work: holds it.
        Raises:
            BlobNotFound: the blob is not there.
            Corrupt, Malformed, NoSpace, LayerExists, Cancelled: as ``take``.
        """
        with self.making(planned.layer_id, work.cancel):
            if self._is_there(planned, work.lease):
                return
            with self.open_blob(planned.blob.digest) as source:
                self._import(planned, source, work, is_kept=False)
        if planned.is_plain:
            with self._catalog.writing() as records:
                records.drop_blob(planned.blob.digest)

    def keep_blob(self, blob: Descriptor, source: BinaryIO, lease: int) -> None:
        """Keep a blob as it is; one that is there is not read.

        Args:
            blob: of it.
            source: its bytes.
            lease: holds it.
        Raises:
            Corrupt, DigestMismatch: it is another one.
        """
        with self._catalog.writing() as records:
            records.hold(lease, str(blob.digest))
            if self.has_file(records, blob.digest):
                return
        what = f"blob {blob.digest}"
        with self._files.stage(lease) as staged:
            sized = SizedReader(source, blob.size, what=what, staged=staged)
            DigestReader(sized, blob.digest, what=what).verify()
            staged.finish()
            with self._catalog.writing() as records:
                self._files.publish(staged, blob.digest)
                records.add_blob(blob.digest, blob.size)

    def check_space(self, planned: Iterable[PlannedLayer]) -> None:
        """Refuse layers that cannot find room: what is missing of them needs at least the bytes that it comes in.

        Args:
            planned: the layers.
        Raises:
            NoSpace: they need more than is free.
        """
        needed = 0
        with self._catalog.reading() as records:
            for one in planned:
                if not self.is_made(records, one.layer_id):
                    needed += (
                        one.blob.size
                    )  # what is compressed gets no smaller when it is inflated
                if not one.is_plain and not self.has_file(records, one.blob.digest):
                    needed += one.blob.size
        free = self._files.free_size()
        if needed > free:
            raise NoSpace(
                f"the layers need at least {needed} bytes on the disk of the store, where {free} are free; free some "
                "space, or take a store on another disk"
            )

    def has_file(self, records: Records, digest: Digest) -> bool:
        """Whether a blob is there as a file."""
        return records.has_blob(digest) and self._files.path(digest).is_file()

    def holder_of(self, records: Records, diff_id: Digest) -> LayerRow | None:
        """A layer whose tar has this digest, if the driver has one."""
        rows = records.layers_of(diff_id)
        return next((row for row in rows if self._driver.exists(row.layer_id)), None)

    def open_blob(self, digest: Digest, offset: int = 0) -> BinaryIO:
        """A blob, or the tar of a layer that is its blob; to be closed by the caller.

        Args:
            digest: of it.
            offset: where to begin, in bytes.
        Raises:
            BlobNotFound: it is not there.
        """
        with self._catalog.reading() as records:
            is_file = self.has_file(records, digest)
            holder = None if is_file else self.holder_of(records, digest)
        if is_file:
            file = self._files.open(digest)
        elif holder is not None:
            file = _export(self._driver, holder.layer_id, digest)
        else:
            raise BlobNotFound(
                f"the store has no blob {digest}; if it is a layer that a prune gave back, pull its image again"
            )
        return _from(file, offset)

    def is_made(self, records: Records, layer_id: str) -> bool:
        """Whether a layer is there."""
        row = records.layer(layer_id)
        return row is not None and row.is_made and self._driver.exists(layer_id)

    def discard(self, layer_id: str) -> InUse | None:
        """Remove a layer that no image needs, or what a crash left of it.

        Args:
            layer_id: it is in the catalog, and not made.
        Returns:
            Why it stays, where somebody uses it; None where it is gone, or somebody makes it again.
        """
        lock = self._lock_of(layer_id)
        try:
            lock.acquire(timeout_seconds=0)
        except StoreLocked:
            return None
        try:
            with self._catalog.reading() as records:
                row = records.layer(layer_id)
                is_wanted = layer_id in records.held()
            if row is None or row.is_made or is_wanted:
                return None
            refusal = self._remove(row)
            with self._catalog.clearing() as records:
                if refusal is not None:
                    records.put_layer(replace(row, is_made=True))
                else:
                    records.drop_layer(layer_id)
            return refusal
        finally:
            lock.remove()

    def remove_free_locks(self) -> None:
        """Remove the files of locks that their processes left when they were killed."""
        for path in self._files.locks.glob("*.lock"):
            lock = FileLock(path)
            try:
                lock.acquire(timeout_seconds=0)
            except StoreLocked:
                continue
            lock.remove()

    @contextmanager
    def making(self, layer_id: str, cancel: Cancel | None = None) -> Iterator[None]:
        """Be the only one at a layer; others see that it is coming."""
        lock = self._lock_of(layer_id).acquire(cancel=cancel)
        with self._changed:
            self._coming.add(layer_id)
            self._changed.notify_all()
        try:
            yield
        finally:
            lock.remove()
            with self._changed:
                self._coming.discard(layer_id)
                self._changed.notify_all()

    # -- inside --------------------------------------------------------------------------------------

    def _remove(self, row: LayerRow) -> InUse | None:
        try:
            if row.is_ours:
                self._driver.remove(row.layer_id)
        except InUse as refusal:
            return refusal
        return None

    def _lock_of(self, layer_id: str) -> FileLock:
        return FileLock(self._files.locks / f"{layer_id}.lock")

    def _is_there(self, planned: PlannedLayer, lease: int) -> bool:
        """Hold a layer, and say whether it is made; if not, note that it is being made."""
        with self._catalog.writing() as records:
            records.hold(lease, planned.layer_id)
            row = records.layer(planned.layer_id)
            if row is None or not row.is_made or not self._driver.exists(planned.layer_id):
                # Not ours is what the driver has and the catalog never knew.
                is_ours = row.is_ours if row else not self._driver.exists(planned.layer_id)
                row = LayerRow(
                    planned.layer_id,
                    planned.diff_id,
                    planned.parent,
                    planned.blob.digest,
                    is_ours=is_ours,
                )
                size = self._size_in_driver(planned)
                if size is not None:
                    row = replace(row, is_made=True, size=size)
                elif not is_ours:
                    row = replace(row, is_ours=True)  # it was removed at this moment
                records.put_layer(row)
            elif row.is_plain and not planned.is_plain:
                # It was made without a blob being kept, for a snapshot; now one will be.
                records.put_layer(replace(row, blob=planned.blob.digest))
            return row.is_made

    def _size_in_driver(self, planned: PlannedLayer) -> int | None:
        """Bytes of the layer's tar, where the driver has the layer.

        Raises:
            LayerExists: it has another one.
        """
        try:
            summary = self._driver.usage(planned.layer_id).summary
            chain = self._driver.chain(planned.layer_id)
        except LayerNotFound:
            return None
        if summary.diff_id != str(planned.diff_id) or chain != Chain(planned.parents):
            raise LayerExists(
                f"layer {planned.layer_id} is there, and is not the one of the image that has this chain ID; "
                "remove it, or use another store"
            )
        return summary.tar_size

    def _is_coming(self, layer_id: str, cancel: Cancel) -> bool:
        """Whether a layer is made, or will be: somebody makes it, or begins within some time."""
        if not layer_id:
            return True
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            with self._changed:
                if layer_id in self._coming:
                    return True
            if self._is_made_elsewhere(layer_id):
                return True
            with self._catalog.reading() as records:
                if self.is_made(records, layer_id):
                    return True
            if time.monotonic() >= deadline:
                return False
            cancel.check()
            with self._changed:
                self._changed.wait(_PAUSE_SECONDS)

    def _await(self, layer_id: str, cancel: Cancel) -> None:
        """Wait until a layer is made, or nobody makes it any more, here or in another process.

        Whoever failed with it may begin anew, with bytes from another place.
        """
        while self._is_coming(layer_id, cancel):
            with self._changed:
                while layer_id in self._coming:
                    cancel.check()
                    self._changed.wait(_CHECK_SECONDS)
            while self._is_made_elsewhere(layer_id):
                cancel.check()
                time.sleep(_PAUSE_SECONDS)
            with self._catalog.reading() as records:
                if self.is_made(records, layer_id):
                    return

    def _is_made_elsewhere(self, layer_id: str) -> bool:
        """Whether somebody else holds the lock of a layer."""
        lock = self._lock_of(layer_id)
        if not lock.path.exists():
            return False
        try:
            lock.acquire(timeout_seconds=0)
        except StoreLocked:
            return True
        lock.remove()
        return False

    def _import(
        self, planned: PlannedLayer, source: BinaryIO, work: Work, *, is_kept: bool
    ) -> None:
        what = f"layer {planned.blob.digest}"
        if planned.parent and not self._driver.imports_ahead:
            self._await(planned.parent, work.cancel)
        with ExitStack() as stack:
            staged = stack.enter_context(self._files.stage(work.lease))
            sized = SizedReader(
                source, planned.blob.size, what=what, staged=staged if is_kept else None
            )
            reader: BinaryIO = stack.enter_context(
                reader_of(lambda target: pass_on(sized, target), ahead_size=_AHEAD_SIZE)
            )
            digest: Digest | None = planned.blob.digest
            if planned.blob.digest.algorithm != "sha256":
                # The driver makes and compares no other.
                reader, digest = DigestReader(reader, digest, what=what), None
            if planned.parent:
                reader = WithheldEnd(reader, lambda: self._await(planned.parent, work.cancel))
            summary = self._driver.import_layer(
                planned.layer_id,
                planned.parent,
                reader,
                coming=Chain(planned.parents) if self._driver.imports_ahead else None,
                digest=digest,
                diff_id=planned.diff_id,
                policy=work.policy,
                report=work.report,
                size=planned.blob.size,
            )
            with self._catalog.writing() as records:
                if is_kept:
                    records.hold(work.lease, str(planned.blob.digest))
                    self._files.publish(staged, planned.blob.digest)
                    records.add_blob(planned.blob.digest, planned.blob.size)
                row = records.layer(planned.layer_id)
                assert row is not None
                records.put_layer(replace(row, is_made=True, size=summary.tar_size))


class WithheldEnd(RawReader):
    """A file object that does something before it says that it has ended, once.

    Args:
        source: what to read; only ``read`` is used.
        before_end: what is done; what it raises comes out of the read.
    """

    def __init__(self, source: Readable, before_end: Callable[[], None]) -> None:
        self._source = source
        self._before_end: Callable[[], None] | None = before_end

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on."""
        if size is None or size < 0:
            return self.readall()
        block = self._source.read(size)
        if size and not block and self._before_end is not None:
            before_end, self._before_end = self._before_end, None
            before_end()
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)


def order_to_remove(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Layers so that each comes before those that it stands on."""
    parents = {row.layer_id: row.parent for row in rows}
    depths: dict[str, int] = {}
    for layer_id in parents:
        above: list[str] = []
        while layer_id in parents and layer_id not in depths and layer_id not in above:
            above.append(layer_id)
            layer_id = parents[layer_id]
        depth = depths.get(layer_id, 0)
        for one in reversed(above):
            depth += 1
            depths[one] = depth
    return sorted(rows, key=lambda row: -depths[row.layer_id])


def _export(driver: Driver, layer_id: str, digest: Digest) -> BinaryIO:
    try:
        return driver.diff(layer_id)
    except LayerNotFound as error:
        raise BlobNotFound(f"the layer whose tar is blob {digest} was removed meanwhile") from error


def _from(file: BinaryIO, offset: int) -> BinaryIO:
    """A file object from an offset on."""
    try:
        if offset and file.seekable():
            file.seek(offset)
        elif offset:
            left = offset
            while left and (block := file.read(min(left, 1 << 20))):
                left -= len(block)
    except BaseException:
        file.close()
        raise
    return file
