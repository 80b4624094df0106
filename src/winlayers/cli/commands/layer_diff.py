"""``winlayers layer diff``: a layer's difference to its parent as a tar."""

from __future__ import annotations

import click

from winlayers.cli.commands.layer_export import output_option, write_layer
from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target


@command(
    "diff",
    examples=[
        "winlayers layer diff app -o app.tar",
        "winlayers layer diff app | winlayers layer import app2 --parent base",
    ],
)
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@click.option(
    "--parent",
    default="",
    metavar="OTHER",
    help="Its parent; nothing depends on it, as with Docker.",
)
@output_option
@pass_session
def run(session: Session, layer_id: str, parent: str, output: str) -> None:
    """Write the tar of what layer ID changes; of an imported layer the tar that was imported."""
    write_layer(session, layer_id, output, parent=parent)
