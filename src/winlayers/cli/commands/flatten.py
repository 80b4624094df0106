"""``winlayers flatten``: all layers of an image as one base layer."""

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


@command("flatten", examples=["winlayers flatten app:1 -t app:flat"])
@click.argument("image", shell_complete=complete_image)
@make_options
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
    lose_registry_changes: bool,
    compression: str,
    message: str,
    registry: RegistryOptions,
) -> None:
    """Make NEW of IMAGE, all its layers as one base layer without whiteouts, and print its digest.

    What shows stays as it is, files and registry. NEW shares no layer with other images. The steps of the history stay.
    """
    run_squash(
        session,
        image,
        lambda layer_count: 0,
        options,
        registry,
        created_by="winlayers flatten",
        compression=compression,
        comment=message,
        lose_registry_changes=lose_registry_changes,
    )
