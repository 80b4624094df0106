"""``winlayers history``: the steps that an image was made by."""

from __future__ import annotations

import click

from winlayers.cli.imagefacts import history_lines, history_rows
from winlayers.cli.imagenames import complete_image
from winlayers.cli.openimage import open_image
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session


@command(
    "history",
    examples=[
        "winlayers history docker://mcr.microsoft.com/windows/nanoserver:ltsc2022",
        "winlayers history --no-trunc oci:images:app",
    ],
)
@click.argument("image", shell_complete=complete_image)
@click.option(
    "--no-trunc", "is_whole", is_flag=True, help="Show commands and digests to their end."
)
@registry_options
@json_option
@pass_session
def run(
    session: Session,
    image: str,
    *,
    is_whole: bool,
    registry: RegistryOptions,
) -> None:
    """List the steps that IMAGE was made by, the last one first, each with the size of its layer as it is pushed."""
    with open_image(session, image, registry) as opened:
        rows = history_rows(opened.selected.manifest, opened.config())
    if session.is_json:
        session.out.rows(rows)
    else:
        session.out.lines(history_lines(rows, is_whole=is_whole))
