"""The store of images: what users name, over the driver that keeps layers.

    ROOT/catalog.db                     what there is, see ``catalog``
    ROOT/catalog.spare                  room for when the disk is full, see ``spare``
    ROOT/blobs/<algorithm>/<digits>     manifests, indexes, configs and compressed layers, see ``blobs``
    ROOT/windowsfilter/<chain ID>/      the driver's layers

The blob of a compressed layer is kept beside the layer, so that what is pushed or saved has the digest that it had;
``prune(compressed=True)`` gives the space back. Several processes may use one store at once. This module knows
nothing of networks and other transports: whoever copies asks for a source or a sink.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from winlayers.backends.contract import ImportPolicy
from winlayers.base.digest import Digest
from winlayers.driver.driver import Driver
from winlayers.errors import ImageNotFound, InvalidReference
from winlayers.layer.findings import Finding
from winlayers.oci.model import Descriptor
from winlayers.oci.reference import Reference
from winlayers.store.blobs import BlobFiles
from winlayers.store.catalog import Catalog
from winlayers.store.collect import Collected, Collector, compressed_blobs, needed_keys
from winlayers.store.images import ImageRow, Images, StoreSink, StoreSource, whole_name
from winlayers.store.layers import Layers
from winlayers.store.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """What a store takes, in bytes of disk; layers imported by hand are not in it.

    Attributes:
        image_count: images that have a name, each once.
        blob_count: files of blobs.
        blob_size: their bytes.
        compressed_size: those among them that are layers which the driver has too; see ``Store.prune``.
        layer_count: layers of images and snapshots.
        layer_size: what the driver takes for them.
        shared_size: the part of that which several images share.
        reclaimable_size: what a prune gives back, if nobody uses it.
        snapshot_count: what engines hold; the layers of it are among the others.
        scratch_size: what the driver takes for their scratches.
    """

    image_count: int
    blob_count: int
    blob_size: int
    compressed_size: int
    layer_count: int
    layer_size: int
    shared_size: int
    reclaimable_size: int
    snapshot_count: int
    scratch_size: int


class Store:
    """The images of one store.

    Args:
        root: of the store.
        driver: over the same root.
    Raises:
        UnknownFeature: a later winlayers made the catalog.
        StoreCorrupt: the catalog cannot be read.
    """

    def __init__(self, root: Path, driver: Driver) -> None:
        self.driver = driver
        self._catalog = Catalog(root / "catalog.db")
        self._files = BlobFiles(root)
        self._layers = Layers(self._catalog, self._files, driver)
        self._images = Images(self._catalog, self._files, self._layers)
        self._collector = Collector(self._catalog, self._files, self._layers, driver)
        self.snapshots = Snapshots(root, self._catalog, self._files, self._layers, driver)
        """What engines hold."""

    def open_source(self, name: str) -> StoreSource:
        """An image to be read; see ``oci.endpoint.ImageSource``.

        Args:
            name: as people write it, or at least four of the first digits of a digest.
        """
        return StoreSource(self._images, name)

    def open_sink(
        self,
        name: str,
        *,
        policy: ImportPolicy | None = None,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> StoreSink:
        """A name for an image that comes; see ``oci.endpoint.ImageSink``.

        Args:
            name: as people write it.
            policy: what imports of layers let pass.
            report: called with each finding that is no error, from any thread.
        Raises:
            InvalidReference: it is no name.
        """
        return StoreSink(self._images, name, policy, report)

    def images(self) -> list[ImageRow]:
        """All images that have a name, sorted by it; one of an index for each that is in the store."""
        return self._images.rows()

    def resolve(self, name: str) -> Descriptor:
        """The manifest or index that a name, or the beginning of a digest, leads to.

        Raises:
            ImageNotFound: there is none.
            InvalidReference: there are several, or it is no name.
        """
        with self._catalog.still() as records:
            return self._images.find(records, name)

    def tag(self, name: str, new_name: str) -> None:
        """Give an image one more name, whatever that led to before.

        Args:
            name: see ``resolve``.
            new_name: as people write it, without a digest.
        Raises:
            ImageNotFound: there is no such image.
            InvalidReference: the new name is none.
        """
        if Reference.parse(new_name).digest is not None:
            raise InvalidReference(f"{new_name!r} has a digest, which nobody can choose")
        whole = whole_name(new_name)
        with self._catalog.writing() as records:
            records.set_tag(whole, self._images.find(records, name).digest)

    def untag(self, name: str) -> Collected:
        """Take a name away, and with the last one the image, where nothing else needs it.

        Args:
            name: of an image; or the beginning of a digest, which takes away all names of that image; or a
                repository with a digest, which takes away those that it has there.
        Returns:
            What went.
        Raises:
            ImageNotFound: there is no such image.
        """
        with self._catalog.clearing() as records:
            digest = self._images.find(records, name).digest
            tags = [one for one, leads_to in records.tags().items() if leads_to == digest]
            meant = _meant(name, tags)
            if not meant:
                raise ImageNotFound(f"{name!r} has no name that could be taken away")
            for one in meant:
                records.drop_tag(one)
        return self.prune()

    def prune(self, *, compressed: bool = False) -> Collected:
        """Remove what no name and no process at work needs.

        Args:
            compressed: the compressed blobs of layers too; their images can be used as before, but neither pushed nor
                saved until they are pulled again.
        Returns:
            What went.
        """
        return self._collector.collect(compressed=compressed)

    def disk_usage(self) -> DiskUsage:
        """What the store takes."""
        with self._catalog.reading() as records:
            blobs = records.blobs()
            rows = records.layers()
            needed = needed_keys(records)
            compressed = compressed_blobs(records, self.driver)
            snapshots = records.snapshots.all()
        images = {row.manifest: row for row in self.images()}
        users = Counter(layer_id for row in images.values() for layer_id in row.layer_ids)
        sizes = {row.layer_id: self._collector.disk_size(row) for row in rows}
        unneeded = [size for digest, size in blobs.items() if str(digest) not in needed]
        unneeded += [size for layer_id, size in sizes.items() if layer_id not in needed]
        return DiskUsage(
            len(images),
            len(blobs),
            sum(blobs.values()),
            _total(blobs, compressed),
            len(rows),
            sum(sizes.values()),
            sum(size for layer_id, size in sizes.items() if users[layer_id] > 1),
            sum(unneeded),
            len(snapshots),
            self.snapshots.scratch_size(snapshots),
        )

    def kept_open(self) -> AbstractContextManager[None]:
        """For who makes many calls: they are quicker within the ``with`` block, a third of the time for small ones."""
        return self._catalog.kept_open()

    def recover(self) -> None:
        """Remove what crashes left half-done. What they had done stays until a prune, for whoever goes on."""
        self._collector.recover()
        self.snapshots.recover()


def _meant(name: str, tags: list[str]) -> list[str]:
    """Which of the names of an image are meant by what was given for it."""
    try:
        reference = Reference.parse(name)
    except InvalidReference:
        return tags  # 64 digits
    if whole_name(name) in tags:
        return [whole_name(name)]
    if reference.digest is not None:
        return [one for one in tags if Reference.parse(one).name == reference.name]
    return tags


def _total(sizes: dict[Digest, int], chosen: set[Digest]) -> int:
    return sum(size for digest, size in sizes.items() if digest in chosen)
