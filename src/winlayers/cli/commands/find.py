"""``winlayers find``: the names that match a pattern."""

from __future__ import annotations

import click

from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.paths import find_node
from winlayers.cli.rows import json_rows, path_of
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.layer.resolving import glob_walk


@command("find", examples=["winlayers find base '*.dll'", "winlayers find base 'Windows/**/*.ini'"])
@click.argument("target", shell_complete=complete_target)
@click.argument("pattern")
@raw_option
@json_option
@pass_session
def run(session: Session, target: str, pattern: str, raw: bool) -> None:
    """List the paths of TARGET that match PATTERN (* ? **), in any case of letters."""
    with open_target(session, target) as opened:
        nodes = glob_walk(opened.view, find_node(opened.view, "", raw=raw), pattern)
        if session.is_json:
            session.out.rows(json_rows(opened.view, nodes, raw=raw))
        else:
            session.out.lines(map(path_of(raw=raw), nodes))
