"""``winlayers manifest ls``: the images of an index."""

from __future__ import annotations

import click

from winlayers.cli.imagefacts import manifest_lines, manifest_rows
from winlayers.cli.imagenames import complete_image, open_source, parse_image_name
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session


@command(
    "ls",
    examples=[
        "winlayers manifest ls docker://mcr.microsoft.com/windows/nanoserver:ltsc2022",
        "winlayers manifest ls --json oci:images:app | jq -r .platform.os_version",
    ],
)
@click.argument("image", shell_complete=complete_image)
@registry_options
@json_option
@pass_session
def run(session: Session, image: str, *, registry: RegistryOptions) -> None:
    """List the images of the index that IMAGE leads to, with the platform of each.

    Where it leads to a single image, that is listed; its platform stands in its config, so none is shown.
    """
    from winlayers.transfer.checked import read_document

    with open_source(session, parse_image_name(image), registry) as source:
        top = source.resolve()
        rows = manifest_rows(read_document(source, top), top)
    if session.is_json:
        session.out.rows(rows)
    else:
        session.out.lines(manifest_lines(rows))
