"""``winlayers layer changes``: what a layer adds, modifies and deletes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import click

from winlayers.cli.changelines import print_changes
from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target, resolve_layer
from winlayers.layer.changes import Change, changes


@command(
    "changes",
    examples=[
        "winlayers layer changes app",
        "winlayers layer changes app --parent base2        # against another layer than its own parent",
        "winlayers layer changes app --raw                 # Files/, Hives/, UtilityVM/ as in the tar",
        "winlayers layer changes tar:app.tar.gz            # without its parents: C and D only",
    ],
)
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@click.option(
    "--parent", default="", metavar="OTHER", help="Compare with this layer instead of the parent."
)
@raw_option
@json_option
@pass_session
def run(session: Session, layer_id: str, parent: str, *, raw: bool) -> None:
    """Print what layer ID changes: lines of A added, C changed or D deleted, and the path.

    ID and OTHER may be TARGETs too. Of one whose parents are not at hand, what it adds and what it changes
    are both C. With --json, metadata_only tells that only times, attributes, security or the like changed.
    """
    if ":" in layer_id or ":" in parent:
        print_changes(session, _changes_of_target(session, layer_id, parent), raw=raw)
        return
    driver = session.open_store()
    resolved = resolve_layer(session, driver, layer_id)
    other = resolve_layer(session, driver, parent) if parent else ""
    print_changes(session, driver.changes(resolved, other), raw=raw)


def _changes_of_target(session: Session, layer_id: str, parent: str) -> Iterator[Change]:
    from winlayers.layer.listedchanges import listed_changes
    from winlayers.layer.merge import MergedView

    with ExitStack() as stack:
        target = stack.enter_context(open_target(session, layer_id))
        if parent:
            other = stack.enter_context(open_target(session, parent))
            yield from changes(other.view, target.view)
        elif target.table is None or target.parents or target.is_base:
            yield from changes(MergedView(target.parents), target.view)
        else:
            session.note(f"{target.name}: its parents are not at hand, so what it adds is C too")
            yield from listed_changes(target.table)
