"""``winlayers images``: the images of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from winlayers.base.units import human_size
from winlayers.cli.imagefacts import build_name, platform_json
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.output import table
from winlayers.cli.session import Session
from winlayers.cli.storednames import familiar_name

if TYPE_CHECKING:
    from winlayers.store.images import ImageRow

_HEADS = ("NAME", "DIGEST", "PLATFORM", "CREATED", "SIZE", "LAYERS")
_SHOWN_DIGITS = 12


@command(
    "images",
    examples=[
        "winlayers images",
        "winlayers images --names | xargs -n 1 winlayers push",
        "winlayers images --json | jq -r 'select(.platform.build == \"ltsc2022\") .name'",
    ],
)
@click.option("--names", "only_names", is_flag=True, help="Print the names alone.")
@click.option("--no-trunc", "is_whole", is_flag=True, help="Show digests to their end.")
@json_option
@pass_session
def run(session: Session, *, only_names: bool, is_whole: bool) -> None:
    """List the images of the store; of an index those that are there, each in a line.

    The size is that of what is pushed: compressed layers and the config.
    """
    if not session.has_images:
        session.note(f"there is no image in the store at {session.home} yet")
        return
    rows = session.open_images().images()
    if only_names:
        session.out.lines(dict.fromkeys(familiar_name(row.name) for row in rows))
    elif session.is_json:
        session.out.rows(map(_json, rows))
    else:
        cells = (_cells(row, is_whole=is_whole) for row in rows)
        session.out.lines(table([_HEADS, *cells], right=frozenset({4, 5})))


def _json(row: ImageRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "digest": str(row.digest),
        "manifest_digest": str(row.manifest),
        "image_id": str(row.config),
        "platform": platform_json(row.platform),
        "created": row.created or None,
        "size": row.size,
        "layers": list(row.layer_ids),
    }


def _cells(row: ImageRow, *, is_whole: bool) -> tuple[str, ...]:
    build = build_name(row.platform)
    digest = row.manifest.hex
    return (
        familiar_name(row.name),
        str(row.manifest) if is_whole else digest[:_SHOWN_DIGITS],
        f"{row.platform} ({build})" if build else str(row.platform),
        row.created[:19].replace("T", " ") or "-",
        human_size(row.size),
        str(len(row.layer_ids)),
    )
