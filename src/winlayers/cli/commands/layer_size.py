"""``winlayers layer size``: bytes of the files that a layer adds or modifies."""

from __future__ import annotations

import click

from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer


@command("size", examples=["winlayers layer size app"])
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@json_option
@pass_session
def run(session: Session, layer_id: str) -> None:
    """Print how many bytes of files layer ID adds or modifies."""
    driver = session.open_driver()
    size = driver.diff_size(resolve_layer(session, driver, layer_id))
    if session.is_json:
        session.out.document({"id": layer_id, "size": size})
    else:
        session.out.line(str(size))
