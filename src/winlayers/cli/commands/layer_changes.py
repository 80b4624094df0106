"""``winlayers layer changes``: what a layer adds, modifies and deletes."""

from __future__ import annotations

from collections.abc import Iterable

import click

from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.paths import shown_path
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer
from winlayers.layer.changes import Change


def print_changes(session: Session, found: Iterable[Change], *, raw: bool) -> int:
    """Print changes as lines ``A|C|D path`` or JSON rows; how many there were."""
    count = 0

    def counted() -> Iterable[Change]:
        nonlocal count
        for change in found:
            count += 1
            yield change

    if session.is_json:
        session.out.rows(
            {
                "kind": change.kind.letter,
                "path": shown_path(change.path, raw=raw),
                "metadata_only": change.metadata_only,
                "size": change.size,
            }
            for change in counted()
        )
    else:
        session.out.lines(
            f"{change.kind.letter} {shown_path(change.path, raw=raw)}" for change in counted()
        )
    return count


@command("changes", examples=["winlayers layer changes app", "winlayers layer changes app --raw"])
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@click.option("--parent", default="", metavar="OTHER", help="Compare with this layer.")
@raw_option
@json_option
@pass_session
def run(session: Session, layer_id: str, parent: str, raw: bool) -> None:
    """List what layer ID changes: A added, C modified, D deleted."""
    driver = session.open_driver()
    resolved = resolve_layer(session, driver, layer_id)
    print_changes(session, driver.changes(resolved, parent), raw=raw)
