"""``winlayers pull``: an image into the store."""

from __future__ import annotations

import click

from winlayers.cli.copyrun import CopyOptions, copy_options, print_copied, run_copy
from winlayers.cli.imagenames import (
    STORE,
    ImageName,
    complete_image,
    open_source,
    parse_image_name,
)
from winlayers.cli.options import command, json_option, lenient_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, mirror_option, registry_options
from winlayers.cli.session import Session
from winlayers.cli.storesink import opened_store_sink
from winlayers.errors import InvalidReference


@command(
    "pull",
    examples=[
        "winlayers pull mcr.microsoft.com/windows/nanoserver:ltsc2022",
        "winlayers pull --platform windows/amd64:10.0.17763 localhost:5000/app:1",
        "winlayers pull oci:images:app --as app:local",
    ],
)
@click.argument("image", shell_complete=complete_image)
@click.option(
    "--as", "name", metavar="NAME", help="What it is called in the store; needed for files."
)
@lenient_option
@copy_options
@registry_options
@mirror_option
@json_option
@pass_session
def run(
    session: Session,
    image: str,
    *,
    name: str | None,
    lenient: bool,
    options: CopyOptions,
    registry: RegistryOptions,
) -> None:
    """Get IMAGE into the store, its layers ready to be read, and print its digest.

    IMAGE is a name in a registry, or that of an image elsewhere with its transport. Layers are unpacked as they come;
    what the store has is left out.
    """
    source_name = parse_image_name(image)
    if source_name.transport == STORE:
        source_name = ImageName("docker", source_name.place)
    if name is None and source_name.transport != "docker":
        raise InvalidReference(f"{source_name} has no name for the store; say --as NAME")
    stored_name = source_name.place if name is None else name
    with (
        session.start_writer_ahead(),
        open_source(session, source_name, registry) as source,
        opened_store_sink(session, stored_name, lenient=lenient) as sink,
    ):
        copied = run_copy(session, source, sink, options, f"pulling {source_name.place}")
    print_copied(session, copied)
