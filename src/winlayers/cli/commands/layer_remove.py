"""``winlayers layer remove``: layers out of the store."""

from __future__ import annotations

import click

from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer
from winlayers.driver.driver import Driver
from winlayers.errors import EXIT_PARTIAL, LayerNotFound, WinlayersError


@command(
    "remove",
    examples=[
        "winlayers layer remove app",
        "winlayers layer remove base app       # children go before their parents",
        "winlayers layer remove -f app         # no error if it is gone already",
    ],
)
@click.argument(
    "layer_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_target
)
@click.option("-f", "--force", is_flag=True, help="Say nothing of layers that are not there.")
@pass_session
def run(session: Session, layer_ids: tuple[str, ...], *, force: bool) -> int:
    """Remove layers that nobody holds and on which no other layer stands.

    Of several, those that can be removed are; the exit code is then 3 where others could not.
    """
    driver = session.open_store() if not force or session.has_store else None
    errors: list[WinlayersError] = []
    found: list[str] = []
    for text in layer_ids:
        try:
            if driver is not None:
                found.append(resolve_layer(session, driver, text))
        except LayerNotFound as error:
            if not force:
                errors.append(error)
        except WinlayersError as error:
            errors.append(error)
    if driver is not None:
        errors.extend(_remove(session, driver, found))
    if len(errors) == 1 and len(layer_ids) == 1:
        raise errors[0]
    for each in errors:
        session.report_error(each)
    return EXIT_PARTIAL if errors else 0


def _remove(session: Session, driver: Driver, layer_ids: list[str]) -> list[WinlayersError]:
    errors: list[WinlayersError] = []
    for layer_id in sorted(set(layer_ids), key=lambda one: -_depth(driver, one)):
        session.cancel.check()
        try:
            driver.remove(layer_id)
        except WinlayersError as error:
            errors.append(error)
    return errors


def _depth(driver: Driver, layer_id: str) -> int:
    """How many parents a layer has; one whose chain is broken goes first, as nothing can stand on it."""
    try:
        return len(driver.chain(layer_id))
    except WinlayersError:
        return 1 << 30
