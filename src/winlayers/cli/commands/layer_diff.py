"""``winlayers layer diff``: a layer's difference to its parent as a tar."""

from __future__ import annotations

import click

from winlayers.cli.commands.layer_export import run as export
from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target


@command("diff", examples=["winlayers layer diff app -o app.tar"])
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Where to write; - is standard output."
)
@pass_session
@click.pass_context
def run(context: click.Context, session: Session, layer_id: str, output: str) -> None:
    """Write the tar of what layer ID changes; of an imported layer the tar that was imported."""
    context.invoke(export, layer_id=layer_id, output=output, compression=None)
