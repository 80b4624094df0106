"""``winlayers push``: an image of the store to a registry."""

from __future__ import annotations

import click

from winlayers.cli.copyrun import CopyOptions, copy_options, print_copied, run_copy
from winlayers.cli.imagenames import (
    STORE,
    ImageName,
    complete_image,
    open_sink,
    open_source,
    parse_image_name,
)
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session


@command(
    "push",
    examples=[
        "winlayers push localhost:5000/app:1",
        "winlayers push app:local docker://registry.example/team/app:1",
    ],
)
@click.argument("image")
@click.argument("destination", default="", shell_complete=complete_image)
@copy_options
@registry_options
@json_option
@pass_session
def run(
    session: Session,
    image: str,
    destination: str,
    *,
    options: CopyOptions,
    registry: RegistryOptions,
) -> None:
    """Push IMAGE of the store to the registry that its name says, or to DESTINATION, and print its digest.

    What was pulled has the same digest there. Blobs that the registry has are left out.
    """
    sink_name = parse_image_name(destination or image)
    if sink_name.transport == STORE:
        sink_name = ImageName("docker", sink_name.place)
    source_name = parse_image_name(image)
    with (
        open_source(session, source_name, registry) as source,
        open_sink(session, sink_name, registry, source=source) as sink,
    ):
        copied = run_copy(session, source, sink, options, f"pushing {image}")
    print_copied(session, copied)
