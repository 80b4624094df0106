"""``winlayers store snapshots``: what engines hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from winlayers.base.units import human_size
from winlayers.cli.layerrows import created_text
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.output import table
from winlayers.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from winlayers.store.snapshots import Snapshot, Snapshots

_HEADS = ("NUMBER", "KEY", "KIND", "PARENT", "LAYER", "CREATED")


@command(
    "snapshots",
    examples=[
        "winlayers store snapshots",
        "winlayers store snapshots --size --json | jq -s 'map(.size) | add'",
        "winlayers ls snapshot:7 /                   # what the snapshot of number 7 shows",
    ],
)
@click.option(
    "-s", "--size", "has_size", is_flag=True, help="Tell what each takes of the disk by itself."
)
@json_option
@pass_session
def run(session: Session, *, has_size: bool) -> None:
    """List the snapshots: what engines call layers and scratches by, each after the one that it stands on.

    An active one takes changes, a view takes none, and others can stand on a committed one. LAYER is the id in the
    store. Engines make and remove snapshots; a prune leaves the layers of all that are listed here.
    """
    if not session.has_images:
        session.note(f"there is no snapshot in the store at {session.home} yet")
        return
    snapshots = session.open_images().snapshots
    rows = _rows(snapshots, has_size=has_size)
    if session.is_json:
        session.out.rows(rows)
    else:
        heads = (*_HEADS, "SIZE") if has_size else _HEADS
        session.out.lines(table([heads, *map(_cells, rows)], right=frozenset({0, 6})))


def _rows(snapshots: Snapshots, *, has_size: bool) -> Iterator[dict[str, Any]]:
    from winlayers.errors import SnapshotNotFound

    for one in snapshots.walk():
        row = _row(one)
        if has_size:
            try:
                usage = snapshots.usage(one.key)
            except SnapshotNotFound:
                continue  # it was removed since the list was made
            row |= {"size": usage.size, "entries": usage.inodes}
        yield row


def _row(one: Snapshot) -> dict[str, Any]:
    return {
        "number": one.number,
        "key": one.key,
        "kind": one.kind.value,
        "parent": one.parent or None,
        "layer": one.layer_id or None,
        "created": created_text(one.created_ns),
        "updated": created_text(one.updated_ns),
        "labels": dict(one.labels),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    cells = (
        str(row["number"]),
        row["key"],
        row["kind"],
        row["parent"] or "-",
        row["layer"] or "-",
        row["created"].replace("T", " ").rstrip("Z"),
    )
    return (*cells, human_size(row["size"])) if "size" in row else cells
