"""``winlayers layer unmount``: the end of a mount."""

from __future__ import annotations

import click

from winlayers.cli.layerrows import mounts_of
from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer
from winlayers.errors import IllegalState


@command("unmount", examples=["winlayers layer unmount work"])
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@pass_session
def run(session: Session, layer_id: str) -> None:
    """Take the mount of layer ID away, once it was unmounted as often as it was mounted.

    What was written is in the scratch when this ends. While somebody has a file open in the mount, or works
    in one of its folders, it stays, and the error says who. A mount whose process died is taken away too.
    """
    # Looked at first, as whoever opens the store takes dead mounts away.
    mounted = {one.layer_id for one in mounts_of(session.home)}
    driver = session.open_store()
    resolved = resolve_layer(session, driver, layer_id)
    if resolved not in mounted:
        raise IllegalState(f"layer {resolved} is not mounted")
    driver.put(resolved)
