"""``winlayers squash``: the upper layers of an image as one."""

from __future__ import annotations

import click

from winlayers.cli.imagenames import complete_image
from winlayers.cli.makerun import (
    MakeOptions,
    compression_option,
    make_options,
    message_option,
)
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session
from winlayers.cli.squashrun import lose_option, run_squash
from winlayers.errors import InvalidArgument


@command(
    "squash",
    examples=[
        "winlayers squash app:1 --layers 3 -t app:small    # the topmost three become one",
        "winlayers squash app:1 --from 1 -t docker://localhost:5000/app:small",
    ],
)
@click.argument("image", shell_complete=complete_image)
@make_options
@click.option(
    "--from",
    "first",
    type=click.IntRange(0),
    metavar="N",
    help="The lowest layer that goes into the one, from 0 for the base layer.",
)
@click.option(
    "--layers", "count", type=click.IntRange(1), metavar="N", help="How many, from the top."
)
@lose_option
@compression_option
@message_option
@registry_options
@json_option
@pass_session
def run(
    session: Session,
    image: str,
    *,
    options: MakeOptions,
    first: int | None,
    count: int | None,
    lose_registry_changes: bool,
    compression: str,
    message: str,
    registry: RegistryOptions,
) -> None:
    """Make NEW of IMAGE, its layers from one on as one layer, and print its digest.

    What shows stays as it is, files and registry; what upper layers removed or replaced is not in the new layer. Layers
    below keep their digests. The steps of the history stay.
    """
    if (first is None) == (count is None):
        raise InvalidArgument("say either --from N or --layers N, which layers become one")
    run_squash(
        session,
        image,
        lambda layer_count: layer_count - count if first is None and count else first or 0,
        options,
        registry,
        created_by="winlayers squash",
        compression=compression,
        comment=message,
        lose_registry_changes=lose_registry_changes,
    )
