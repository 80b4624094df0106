"""``winlayers copy``: an image from one place to another."""

from __future__ import annotations

import click

from winlayers.cli.copyrun import (
    CopyOptions,
    copy_options,
    print_copied,
    run_copy,
)
from winlayers.cli.imagenames import (
    check_credentials,
    complete_image,
    open_sink,
    open_source,
    parse_image_name,
)
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import (
    RegistryOptions,
    SideOptions,
    mirror_option,
    registry_options,
    side_options,
)
from winlayers.cli.session import Session


@command(
    "copy",
    examples=[
        "winlayers copy docker://mcr.microsoft.com/windows/nanoserver:ltsc2022 oci:images:nano",
        "winlayers copy --all-platforms docker://a.example/app:1 docker://b.example/app:1",
        "winlayers copy --foreign upload oci:images:old docker://localhost:5000/old",
    ],
)
@click.argument("source", shell_complete=complete_image)
@click.argument("destination", shell_complete=complete_image)
@copy_options
@registry_options
@mirror_option
@side_options
@json_option
@pass_session
def run(
    session: Session,
    source: str,
    destination: str,
    *,
    options: CopyOptions,
    registry: RegistryOptions,
    of_source: SideOptions,
    of_sink: SideOptions,
) -> None:
    """Copy the image SOURCE to DESTINATION, without unpacking it, and print its digest.

    Blobs are checked as they go by, and those that are there already are left out. Of an index the image for this
    machine's Windows is taken; --platform names another, --all-platforms takes the index whole. Options that begin with
    --src- and --dest- are about one side, and count there instead of those about both.
    """
    source_name, sink_name = parse_image_name(source), parse_image_name(destination)
    sides = (source_name, of_source), (sink_name, of_sink)
    check_credentials(registry, *(name for name, side in sides if not side.has_login))
    with (
        open_source(session, source_name, of_source.over(registry)) as opened,
        open_sink(session, sink_name, of_sink.over(registry), source=opened) as sink,
    ):
        copied = run_copy(session, opened, sink, options, f"copying {source}")
    print_copied(session, copied)
