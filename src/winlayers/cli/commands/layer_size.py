"""``winlayers layer size``: bytes of the files that a layer adds or modifies."""

from __future__ import annotations

import click

from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer


@command("size", examples=["winlayers layer size app", "winlayers layer size app --json"])
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@click.option(
    "--parent", default="", metavar="OTHER", help="Compare with this layer instead of the parent."
)
@json_option
@pass_session
def run(session: Session, layer_id: str, parent: str) -> None:
    """Print how many bytes the files hold that layer ID adds or modifies; a number alone."""
    driver = session.open_store()
    resolved = resolve_layer(session, driver, layer_id)
    other = resolve_layer(session, driver, parent) if parent else ""
    size = driver.diff_size(resolved, other)
    if session.is_json:
        session.out.document({"id": resolved, "size": size})
    else:
        session.out.line(str(size))
