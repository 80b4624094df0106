"""Imports a layer of Docker on Windows into the store, with all that it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from winlayers.base.pipe import reader_of
from winlayers.cli.attaching import write_attached
from winlayers.cli.commands.layer_import import KeptFindings
from winlayers.cli.lossnotes import LossNotes
from winlayers.cli.progress import shown
from winlayers.cli.session import Session
from winlayers.driver.attached import AttachedLayer, AttachedRoot
from winlayers.driver.driver import Driver
from winlayers.errors import LayerExists


def import_attached(
    session: Session, root: AttachedRoot, layer_id: str
) -> Iterator[dict[str, Any]]:
    """Import a layer under its own id, its parents before it; those that are there already stay.

    Args:
        session: whose store.
        root: where the layer is.
        layer_id: which.
    Returns:
        A row for each layer, from the base: its id, parent and diff ID, and whether it was imported now.
    Raises:
        Unsupported: one of them cannot be read; then none was imported.
        LayerNotFound: one of the parents is not there; then none was imported.
        LayerExists: the store has another layer of the same id.
    """
    own = root.layer(layer_id)
    layers = [*map(root.layer, reversed(tuple(own.chain))), own]
    for layer in layers:
        layer.check_readable()
    driver = session.open_driver()
    for layer in layers:
        found = _diff_id_of(driver, layer)
        yield {
            "id": layer.layer_id,
            "parent": layer.chain.parent,
            "diff_id": found or _import(session, driver, layer),
            "imported": not found,
        }


def _diff_id_of(driver: Driver, layer: AttachedLayer) -> str:
    """The diff ID of the same layer in the store, ``""`` if there is none yet."""
    if not driver.exists(layer.layer_id):
        return ""
    usage = driver.usage(layer.layer_id)
    if usage.kind == "created":
        return ""
    diff_id = usage.summary.diff_id
    is_other = layer.frame is not None and diff_id != str(layer.frame.diff_id)
    if is_other or driver.chain(layer.layer_id) != layer.chain:
        raise LayerExists(f"the store has another layer {layer.layer_id}")
    return diff_id


def _import(session: Session, driver: Driver, layer: AttachedLayer) -> str:
    """Import one layer; its diff ID."""
    losses, findings = LossNotes(session), KeptFindings()

    def write(target: BinaryIO) -> None:
        write_attached(layer, target, note=session.note, report=losses.add, cancel=session.cancel)

    name = f"importing {layer.layer_id}"
    with reader_of(write) as tar, shown(session.progress, name, None) as progress:
        summary = driver.import_layer(
            layer.layer_id,
            layer.chain.parent or "",
            tar,
            diff_id=None if layer.frame is None else layer.frame.diff_id,
            progress=progress,
            cancel=session.cancel,
            report=findings.add,
        )
    losses.tell()
    session.report_findings(findings.kept, findings.count)
    return summary.diff_id
