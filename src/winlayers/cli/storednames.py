"""Images of the store by their names, as the commands that list and remove them need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from winlayers.base.units import human_size
from winlayers.cli.output import count_of
from winlayers.cli.session import Session
from winlayers.oci.reference import Reference

if TYPE_CHECKING:
    from winlayers.store.collect import Collected


def familiar_name(name: str) -> str:
    """A name of the store as people write it."""
    return Reference.parse(name).familiar()


def complete_stored(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of images of the store that begin so, for a shell."""
    session = ctx.find_object(Session)
    if session is None or not session.has_images:
        return []
    names = sorted({familiar_name(row.name) for row in session.open_images().images()})
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def collected_json(collected: Collected) -> dict[str, Any]:
    """What went, for programs."""
    return {
        "blobs": [str(digest) for digest in collected.blobs],
        "layers": list(collected.layer_ids),
        "size": collected.size,
        "kept": [{"layer": one.layer_id, "reason": one.reason} for one in collected.kept],
    }


def note_collected(session: Session, collected: Collected) -> None:
    """Tell what went and what stays."""
    for kept in collected.kept:
        session.note(f"layer {kept.layer_id} stays: {kept.reason}")
    if not collected.blobs and not collected.layer_ids:
        return
    blobs = count_of(len(collected.blobs), "blob", "blobs")
    layers = count_of(len(collected.layer_ids), "layer", "layers")
    session.note(f"removed {blobs} and {layers}, {human_size(collected.size)}")
