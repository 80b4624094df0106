"""``winlayers layer unmount``: the end of a mount."""

from __future__ import annotations

import click

from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer


@command("unmount", examples=["winlayers layer unmount work"])
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@pass_session
def run(session: Session, layer_id: str) -> None:
    """Unmount layer ID, once it was unmounted as often as it was mounted.

    What was written stays in the scratch. A mount whose process died is taken away too.
    """
    driver = session.open_store()
    driver.put(resolve_layer(session, driver, layer_id))
