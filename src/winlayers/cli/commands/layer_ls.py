"""``winlayers layer ls``: the layers of the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from winlayers.base.units import human_size
from winlayers.cli.layerrows import layer_row
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.output import table
from winlayers.cli.session import Session
from winlayers.driver.driver import Driver
from winlayers.errors import EXIT_PARTIAL, LayerNotFound, WinlayersError

_HEADS = ("ID", "PARENT", "KIND", "SIZE", "ENTRIES", "CREATED")
_NUMBERS = frozenset({3, 4})


@command(
    "ls",
    examples=[
        "winlayers layer ls",
        "winlayers layer ls -q                       # ids alone",
        "winlayers layer ls --json | jq -r .diff_id",
    ],
)
@click.option("-q", "--ids", "only_ids", is_flag=True, help="Print the ids alone.")
@json_option
@pass_session
def run(session: Session, *, only_ids: bool) -> int:
    """List the layers of the store.

    A layer that cannot be read is told on standard error, and the exit code is 3.
    """
    if not session.has_store:
        session.note(f"there is no store at {session.home} yet")
        return 0
    driver = session.open_driver()
    layer_ids = driver.layers()
    if only_ids:
        session.out.lines(layer_ids)
        return 0
    rows = _Rows(session, driver, layer_ids)
    if session.is_json:
        session.out.rows(rows)
    else:
        session.out.lines(table([_HEADS, *map(_cells, rows)], right=_NUMBERS))
    return EXIT_PARTIAL if rows.failed else 0


class _Rows:
    """A row for each layer that can be read; the others are told and counted."""

    def __init__(self, session: Session, driver: Driver, layer_ids: list[str]) -> None:
        self._session = session
        self._driver = driver
        self._layer_ids = layer_ids
        self.failed = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for layer_id in self._layer_ids:
            try:
                yield layer_row(self._driver, layer_id)
            except LayerNotFound:
                continue  # it was removed since the list was made
            except WinlayersError as error:
                self.failed += 1
                self._session.report_error(error)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["id"],
        row["parent"] or "-",
        row["kind"],
        human_size(row["size"]),
        str(row["entries"]),
        row["created"].replace("T", " ").rstrip("Z"),
    )
