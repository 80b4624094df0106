"""``winlayers diff-tree``: what differs between two targets."""

from __future__ import annotations

import click

from winlayers.cli.commands.layer_changes import print_changes
from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.errors import EXIT_PARTIAL
from winlayers.layer.changes import changes


@command("diff-tree", examples=["winlayers diff-tree base app", "winlayers diff-tree a tar:b.tar"])
@click.argument("old", shell_complete=complete_target)
@click.argument("new", shell_complete=complete_target)
@click.option("--exit-code", is_flag=True, help="Exit with 3 where anything differs.")
@raw_option
@json_option
@pass_session
def run(session: Session, old: str, new: str, exit_code: bool, raw: bool) -> int:
    """List what makes OLD into NEW: A added, C modified, D deleted."""
    with open_target(session, old) as before, open_target(session, new) as after:
        count = print_changes(session, changes(before.view, after.view), raw=raw)
    return EXIT_PARTIAL if exit_code and count else 0
