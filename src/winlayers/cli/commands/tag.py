"""``winlayers tag``: one more name for an image of the store."""

from __future__ import annotations

import click

from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session
from winlayers.cli.storednames import complete_stored


@command(
    "tag",
    examples=[
        "winlayers tag app:local localhost:5000/app:1",
        "winlayers tag 3f2c9a1b app:tested        # by the beginning of a digest",
    ],
)
@click.argument("image", shell_complete=complete_stored)
@click.argument("name")
@pass_session
def run(session: Session, image: str, name: str) -> None:
    """Give IMAGE of the store the name NAME too; whatever had that name loses it."""
    session.open_present_images().tag(image, name)
