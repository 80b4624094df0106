"""``winlayers layer remove``: remove layers that nobody holds and none stands on."""

from __future__ import annotations

import click

from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session, print_error
from winlayers.cli.target import complete_target, resolve_layer
from winlayers.errors import EXIT_PARTIAL, WinlayersError


@command("remove", examples=["winlayers layer remove app base"])
@click.argument(
    "layer_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_target
)
@pass_session
def run(session: Session, layer_ids: tuple[str, ...]) -> int:
    """Remove layers, children before their parents."""
    driver = session.open_driver()
    failed: list[WinlayersError] = []
    for layer_id in layer_ids:
        try:
            driver.remove(resolve_layer(session, driver, layer_id))
        except WinlayersError as error:
            failed.append(error)
    if len(failed) == len(layer_ids) == 1:
        raise failed[0]
    for one in failed:
        print_error(f"winlayers: {one}")
    return EXIT_PARTIAL if failed else 0
