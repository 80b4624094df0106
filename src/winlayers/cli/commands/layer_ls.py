"""``winlayers layer ls``: the layers of the store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from winlayers.base.units import human_size
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.driver.driver import Driver


def row_of(driver: Driver, layer_id: str) -> dict[str, Any]:
    """One layer as ``layer ls --json`` prints it."""
    usage = driver.usage(layer_id)
    return {
        "id": layer_id,
        "parent": driver.chain(layer_id).parent,
        "kind": usage.kind,
        "size": usage.summary.size,
        "entries": usage.summary.entry_count,
        "diff_id": usage.summary.diff_id or None,
        "created": datetime.fromtimestamp(usage.created_ns / 10**9, UTC).isoformat(),
    }


@command("ls", examples=["winlayers layer ls", "winlayers layer ls -q     # ids alone"])
@click.option("--ids", "only_ids", is_flag=True, help="Print the ids alone.")
@json_option
@pass_session
def run(session: Session, only_ids: bool) -> None:
    """List the layers of the store."""
    driver = session.open_driver()
    layers = driver.layers()
    if session.is_json:
        session.out.rows(row_of(driver, layer_id) for layer_id in layers)
    elif only_ids or session.is_quiet:
        session.out.lines(layers)
    else:
        session.out.lines(_lines(driver, layers))


def _lines(driver: Driver, layers: list[str]) -> Iterator[str]:
    yield f"{'ID':<24} {'PARENT':<24} {'KIND':<8} {'SIZE':>9} {'ENTRIES':>8} CREATED"
    for layer_id in layers:
        row = row_of(driver, layer_id)
        yield (
            f"{layer_id:<24} {row['parent'] or '-':<24} {row['kind']:<8} "
            f"{human_size(row['size']):>9} {row['entries']:>8} {row['created'][:19]}"
        )
