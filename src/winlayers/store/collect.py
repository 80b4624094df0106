"""What goes when nothing needs it: documents, blobs and layers.

Roots are the names, the snapshots and what living processes hold. What is not reached from there is first forgotten
in the catalog, in one transaction, so that nobody finds it any more; then its files go, then its layers, the upper ones
first. What a crash leaves in between is known for what it is: files without a row, and layers that are not made.

A layer that somebody uses (mounted, held, a scratch or another layer on it) stays, and is tried again the next time.
Layers that were imported by hand are none of the catalog's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from winlayers.base.digest import Digest
from winlayers.driver.driver import Driver
from winlayers.errors import LayerNotFound
from winlayers.store.blobs import BlobFiles
from winlayers.store.catalog import Catalog, LayerRow, Records
from winlayers.store.layers import Layers, order_to_remove


@dataclass(frozen=True, slots=True)
class KeptLayer:
    """A layer that no image needs and that stays.

    Attributes:
        layer_id: of it.
        reason: who uses it, as a sentence.
    """

    layer_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did.

    Attributes:
        blobs: documents, configs and compressed layers that are gone.
        layer_ids: layers that are gone.
        size: bytes of disk that this gave back.
        kept: layers that are in use.
    """

    blobs: tuple[Digest, ...]
    layer_ids: tuple[str, ...]
    size: int
    kept: tuple[KeptLayer, ...]


class Collector:
    """Collects in one store.

    Args:
        catalog: says what there is.
        files: the blobs.
        layers: the layers of images.
        driver: tells what layers take.
    """

    def __init__(self, catalog: Catalog, files: BlobFiles, layers: Layers, driver: Driver) -> None:
        self._catalog = catalog
        self._files = files
        self._layers = layers
        self._driver = driver

    def collect(self, *, compressed: bool = False) -> Collected:
        """Remove what nothing needs.

        Args:
            compressed: the compressed blobs of layers too, where the driver has the layer and nobody reads its
                image: such images cannot be pushed or saved as they were until they are pulled again.
        """
        with self._catalog.clearing() as records:
            records.drop_dead_leases()
            needed = needed_keys(records)
            blobs = self._forget_documents_and_blobs(records, needed)
            if compressed:
                blobs += self._forget_compressed(records)
            leaving = [row for row in records.layers() if row.layer_id not in needed]
            for row in leaving:
                records.put_layer(replace(row, is_made=False))
        size = self._sweep()
        removed, kept = [], []
        for row in order_to_remove(leaving):
            layer_size = self.disk_size(row)
            refusal = self._layers.discard(row.layer_id)
            if refusal is not None:
                kept.append(KeptLayer(row.layer_id, str(refusal)))
            elif not self._driver.exists(row.layer_id):
                removed.append(row.layer_id)
                size += layer_size
        return Collected(tuple(blobs), tuple(removed), size, tuple(kept))

    def recover(self) -> None:
        """Remove what crashes left half-done; what they had done whole stays until a collection."""
        with self._catalog.clearing() as records:
            records.drop_dead_leases()
            held = records.held()
            left = [row for row in records.layers() if not row.is_made and row.layer_id not in held]
        self._sweep()
        for row in order_to_remove(left):
            self._layers.discard(row.layer_id)

    def disk_size(self, row: LayerRow) -> int:
        """Bytes of disk that a layer takes; 0 where it is not there, or not ours to remove."""
        if not row.is_ours:
            return 0
        try:
            return self._driver.usage(row.layer_id).disk_size
        except LayerNotFound:
            return 0

    # -- inside --------------------------------------------------------------------------------------

    def _forget_documents_and_blobs(self, records: Records, needed: set[str]) -> list[Digest]:
        for digest in records.documents():
            if str(digest) not in needed:
                records.drop_document(digest)
        blobs = [digest for digest in records.blobs() if str(digest) not in needed]
        for digest in blobs:
            records.drop_blob(digest)
        return blobs

    def _forget_compressed(self, records: Records) -> list[Digest]:
        read = reached_keys(records, records.held())
        blobs = sorted(
            digest for digest in compressed_blobs(records, self._driver) if str(digest) not in read
        )
        for digest in blobs:
            records.drop_blob(digest)
        return blobs

    def _sweep(self) -> int:
        self._layers.remove_free_locks()
        with self._catalog.clearing() as records:
            return self._files.sweep(records.blobs(), records.leases())


def needed_keys(records: Records) -> set[str]:
    """The keys of all that names, snapshots and living processes need."""
    tagged = map(str, records.tags().values())
    return reached_keys(records, [*tagged, *records.snapshots.layer_ids(), *records.held()])


def reached_keys(records: Records, roots: Iterable[str]) -> set[str]:
    """The keys of all that some keys need, they themselves too."""
    links = records.links()
    parents = {row.layer_id: row.parent for row in records.layers()}
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting.extend(links.get(key, ()))
            waiting.extend(filter(None, [parents.get(key)]))
    return found


def compressed_blobs(records: Records, driver: Driver) -> set[Digest]:
    """The blobs of layers that the driver has uncompressed as well."""
    blobs = records.blobs()
    return {
        row.blob
        for row in records.layers()
        if row.is_made and not row.is_plain and row.blob in blobs and driver.exists(row.layer_id)
    }
