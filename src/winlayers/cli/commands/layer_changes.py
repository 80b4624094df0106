"""``winlayers layer changes``: what a layer adds, modifies and deletes."""

from __future__ import annotations

import click

from winlayers.cli.changelines import print_changes
from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer


@command(
    "changes",
    examples=[
        "winlayers layer changes app",
        "winlayers layer changes app --parent base2        # against another layer than its own parent",
        "winlayers layer changes app --raw                 # Files/, Hives/, UtilityVM/ as in the tar",
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

    With --json, metadata_only tells that only times, attributes, security or the like changed.
    """
    driver = session.open_store()
    resolved = resolve_layer(session, driver, layer_id)
    other = resolve_layer(session, driver, parent) if parent else ""
    print_changes(session, driver.changes(resolved, other), raw=raw)
