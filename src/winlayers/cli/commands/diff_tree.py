"""``winlayers diff-tree``: what makes one target another."""

from __future__ import annotations

import click

from winlayers.cli.changelines import print_changes
from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.errors import EXIT_PARTIAL
from winlayers.layer.changes import changes


@command(
    "diff-tree",
    examples=[
        "winlayers diff-tree ltsc2022-07 ltsc2022-08          # two layers, each over its parents",
        "winlayers diff-tree tar:old.tar tar:new.tar.gz       # two bare tars",
        "winlayers diff-tree --exit-code A B && echo same     # exit code 3 if they differ",
    ],
)
@click.argument("old", shell_complete=complete_target)
@click.argument("new", shell_complete=complete_target)
@click.option("--exit-code", "has_exit_code", is_flag=True, help="End with 3 if anything differs.")
@raw_option
@json_option
@pass_session
def run(session: Session, old: str, new: str, *, has_exit_code: bool, raw: bool) -> int:
    """Print what makes the tree of OLD that of NEW: A added, C changed, D deleted.

    With --json, metadata_only tells that only times, attributes, security or the like changed.
    """
    with open_target(session, old) as before, open_target(session, new) as after:
        count = print_changes(session, changes(before.view, after.view), raw=raw)
    return EXIT_PARTIAL if has_exit_code and count else 0
