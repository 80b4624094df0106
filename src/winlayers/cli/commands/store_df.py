"""``winlayers store df``: what the images of the store take of the disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from winlayers.base.units import human_size
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.output import table
from winlayers.cli.session import Session

if TYPE_CHECKING:
    from winlayers.store.store import DiskUsage

_HEADS = ("WHAT", "COUNT", "SIZE", "NOTE")


@command("df", examples=["winlayers store df", "winlayers store df --json | jq .reclaimable_size"])
@json_option
@pass_session
def run(session: Session) -> None:
    """Print what images and snapshots take of the disk: unpacked layers, and the compressed ones beside them.

    A layer is kept twice: unpacked, to be read, and compressed as it came, to be pushed and saved unchanged.
    Layers that were imported by hand are not counted; 'winlayers store info' has all.
    """
    if not session.has_images:
        session.note(f"there is no image in the store at {session.home} yet")
        return
    usage = session.open_images().disk_usage()
    if session.is_json:
        session.out.document(asdict(usage))
    else:
        session.out.lines(table([_HEADS, *_rows(usage)], right=frozenset({1, 2})))


def _rows(usage: DiskUsage) -> list[tuple[str, str, str, str]]:
    total = usage.layer_size + usage.blob_size
    rows = [
        (
            "layers",
            str(usage.layer_count),
            human_size(usage.layer_size),
            f"{human_size(usage.shared_size)} of them shared by several images",
        ),
        (
            "blobs",
            str(usage.blob_count),
            human_size(usage.blob_size),
            f"{human_size(usage.compressed_size)} of them go with 'store prune --compressed'",
        ),
        (
            "images",
            str(usage.image_count),
            human_size(total),
            f"{human_size(usage.reclaimable_size)} go with 'store prune'",
        ),
    ]
    if usage.snapshot_count:
        note = "of scratches; layers of snapshots are among the layers above"
        rows.append(("snapshots", str(usage.snapshot_count), human_size(usage.scratch_size), note))
    return rows
