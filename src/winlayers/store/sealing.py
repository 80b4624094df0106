"""Layers of which nobody tells the diff ID beforehand: what engines apply to snapshots, and what they commit.

The tar is read in one pass into the driver, as ``layers`` does it, but no blob is kept: engines keep theirs. This module
knows nothing of snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from winlayers.backends.contract import ImportPolicy, TarFacts
from winlayers.base.digest import Digest, DigestReader
from winlayers.base.pipe import pass_on, reader_of
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.driver.driver import Driver
from winlayers.errors import LayerExists, LayerNotFound, WinlayersError
from winlayers.layer.chain import Chain
from winlayers.layer.entry import LayerSummary
from winlayers.layer.findings import Finding
from winlayers.oci.model import Descriptor, digest_bytes
from winlayers.store.blobs import SizedReader
from winlayers.store.catalog import Catalog, LayerRow, Records
from winlayers.store.layers import Layers

_AHEAD_SIZE = 1 << 20
_UNKNOWN = digest_bytes(b"")

#: A tar, compressed or not, and the SHA-256 that has to be compared at its end, if any.
OpenTar = AbstractContextManager[tuple[BinaryIO, Digest | None]]


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer that is to be made.

    Attributes:
        layer_id: of it.
        parent: id of the layer that it stands on, or ``""``.
        is_shared: others may make the same layer under this id; if it is there, it is taken and nothing is read.
        check: called with the diff ID before anybody sees the layer; what it raises leaves nothing behind.
        size: how many bytes come, about.
    """

    layer_id: str
    parent: str
    is_shared: bool = False
    check: Callable[[Digest], None] = lambda diff_id: None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a layer is made.

    Attributes:
        policy: what is let pass.
        report: called with each finding that is no error, from any thread.
        cancel: stops it when set.
        progress: told the bytes read.
    """

    policy: ImportPolicy = field(default_factory=ImportPolicy)
    report: Callable[[Finding], None] = lambda finding: None
    cancel: Cancel = field(default_factory=Cancel)
    progress: Progress = field(default_factory=NullProgress)


class Sealer:
    """Makes such layers in one store.

    Args:
        catalog: says which there are.
        layers: who makes a layer is known there.
        driver: keeps them.
    """

    def __init__(self, catalog: Catalog, layers: Layers, driver: Driver) -> None:
        self._catalog = catalog
        self._layers = layers
        self._driver = driver

    def seal(
        self,
        new: NewLayer,
        tar: OpenTar,
        sealing: Sealing,
        then: Callable[[Records], None],
    ) -> LayerSummary:
        """Make a layer, if it is not there.

        Args:
            new: the layer.
            tar: its tar; entered only if it is read.
            sealing: how.
            then: has something need the layer, in the transaction in which it begins to count; what it raises leaves
                nothing behind.
        Raises:
            LayerExists: another layer has this id.
            Malformed, DigestMismatch, NoSpace, Cancelled: as of the driver; nothing is left.
        """
        try:
            # Whoever holds this lock needs no lease: nobody removes the layer meanwhile.
            with self._layers.making(new.layer_id, sealing.cancel):
                return self._make(new, tar, sealing, then)
        except BaseException as error:
            self._undo(new.layer_id, error)
            raise

    def forget(self, records: Records, layer_id: str) -> None:
        """Have a layer count no more unless something needs it; ``give_back`` removes it then, or a recovery."""
        row = records.layer(layer_id)
        if row is not None and not records.is_layer_needed(layer_id):
            records.put_layer(replace(row, is_made=False))

    def give_back(self, layer_id: str) -> bool:
        """Remove a layer that nothing needs any more, or what is left of one that was not made.

        Returns:
            Whether it is gone, or needed; if not, somebody uses it.
        """
        with self._catalog.clearing() as records:
            self.forget(records, layer_id)
        return self._layers.discard(layer_id) is None

    # -- inside --------------------------------------------------------------------------------------

    def _make(
        self,
        new: NewLayer,
        tar: OpenTar,
        sealing: Sealing,
        then: Callable[[Records], None],
    ) -> LayerSummary:
        is_ours = self._begin(new)
        summary = self._in_driver(new)
        if summary is None:
            summary = self._import(new, tar, sealing)
        with self._catalog.writing() as records:
            row = records.layer(new.layer_id)
            if row is None or not row.is_made:
                records.put_layer(replace(_made(new, summary), is_ours=is_ours))
            then(records)
        return summary

    def _import(self, new: NewLayer, tar: OpenTar, sealing: Sealing) -> LayerSummary:
        with tar as (source, digest):
            return self._driver.import_layer(
                new.layer_id,
                new.parent,
                source,
                digest=digest,
                policy=sealing.policy,
                progress=sealing.progress,
                cancel=sealing.cancel,
                report=sealing.report,
                size=new.size,
                confirm=lambda facts: new.check(_diff_id_of(facts)),
            )

    def _begin(self, new: NewLayer) -> bool:
        """Have a row for a layer before there is anything of it; whether it is ours to remove."""
        if not new.is_shared:
            # Nobody else makes it, so what is there comes from a commit that was cut off.
            self._driver.remove(new.layer_id)
        with self._catalog.writing() as records:
            row = records.layer(new.layer_id)
            # What the driver has and the catalog never knew is its user's.
            is_there = self._driver.exists(new.layer_id)
            is_ours = row.is_ours if row is not None and is_there else not is_there
            if row is None or not is_there:
                records.put_layer(
                    LayerRow(new.layer_id, _UNKNOWN, new.parent, _UNKNOWN, is_ours=is_ours)
                )
        return is_ours

    def _undo(self, layer_id: str, error: BaseException) -> None:
        try:
            self.give_back(layer_id)
        except (WinlayersError, OSError) as late:
            error.add_note(
                f"besides, what was made of layer {layer_id} could not be removed: {late}"
            )

    def _in_driver(self, new: NewLayer) -> LayerSummary | None:
        try:
            summary = self._driver.usage(new.layer_id).summary
            chain = self._driver.chain(new.layer_id)
        except LayerNotFound:
            return None
        parents = (new.parent, *self._driver.chain(new.parent)) if new.parent else ()
        if chain != Chain(parents) or not summary.diff_id:
            raise LayerExists(
                f"layer {new.layer_id} is there, and is not the one that has this chain ID; remove it, or use another "
                "store"
            )
        new.check(Digest.parse(summary.diff_id))
        return summary


@contextmanager
def opened_blob(source: BinaryIO, blob: Descriptor) -> Iterator[tuple[BinaryIO, Digest | None]]:
    """A blob that is read a little ahead of whoever reads it, and has to have its size.

    Args:
        source: its bytes.
        blob: what it has to be.
    Yields:
        A file object, and the digest that is still to be compared.
    """
    what = f"layer {blob.digest}"
    sized = SizedReader(source, blob.size, what=what)
    with reader_of(lambda target: pass_on(sized, target), ahead_size=_AHEAD_SIZE) as reader:
        if blob.digest.algorithm == "sha256":
            yield reader, blob.digest
        else:
            # The driver makes and compares no other.
            yield DigestReader(reader, blob.digest, what=what), None


def _diff_id_of(facts: TarFacts) -> Digest:
    return Digest.parse(facts.diff_id)


def _made(new: NewLayer, summary: LayerSummary) -> LayerRow:
    diff_id = Digest.parse(summary.diff_id)
    return LayerRow(new.layer_id, diff_id, new.parent, diff_id, summary.tar_size, is_made=True)
