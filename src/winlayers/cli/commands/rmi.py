"""``winlayers rmi``: takes names of images away, and with the last one the image."""

from __future__ import annotations

import click

from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.storednames import collected_json, complete_stored, note_collected


@command(
    "rmi",
    examples=[
        "winlayers rmi app:local",
        "winlayers rmi localhost:5000/app:1 localhost:5000/app:2",
    ],
)
@click.argument("images", nargs=-1, required=True, shell_complete=complete_stored)
@json_option
@pass_session
def run(session: Session, images: tuple[str, ...]) -> None:
    """Take the names IMAGES away, and remove what no other name needs.

    Layers that other images, scratches or mounts stand on stay.
    """
    store = session.open_present_images()
    for image in images:
        collected = store.untag(image)
        if session.is_json:
            session.out.rows([{"name": image, **collected_json(collected)}])
        else:
            session.note(f"{image} is no name any more")
            note_collected(session, collected)
