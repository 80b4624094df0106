"""``winlayers store prune``: removes what no image of the store needs."""

from __future__ import annotations

import click

from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.storednames import collected_json, note_collected


@command("prune", examples=["winlayers store prune", "winlayers store prune --compressed"])
@click.option(
    "--compressed",
    is_flag=True,
    help="Compressed layers too: their images can be read, but not pushed or saved until they are pulled again.",
)
@json_option
@pass_session
def run(session: Session, *, compressed: bool) -> None:
    """Remove layers and blobs that no name of an image needs.

    What a pull that runs now has got stays, and so do layers that are in use, and those imported by hand.
    """
    if not session.has_images:
        session.note(f"there is no image in the store at {session.home} yet")
        return
    collected = session.open_images().prune(compressed=compressed)
    if session.is_json:
        session.out.document(collected_json(collected))
    else:
        note_collected(session, collected)
