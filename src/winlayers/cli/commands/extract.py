"""``winlayers extract``: a part of a target as a plain folder."""

from __future__ import annotations

from pathlib import Path

import click

from winlayers.cli.options import command, pass_session, raw_option
from winlayers.cli.paths import find_node, path_argument
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.layer.findings import Finding
from winlayers.layer.folder import extract


@command("extract", examples=["winlayers extract base /Windows/Fonts -o fonts"])
@click.argument("target", shell_complete=complete_target)
@click.argument("path", default="")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write into, empty or not there.",
)
@click.option("--symlinks", is_flag=True, help="Write links that lead inside what is extracted.")
@raw_option
@pass_session
def run(session: Session, target: str, path: str, output: Path, symlinks: bool, raw: bool) -> None:
    """Write what is below PATH of TARGET into a folder; what a plain folder cannot hold is reported."""
    losses: list[Finding] = []
    output.mkdir(parents=True, exist_ok=True)
    with open_target(session, target) as opened:
        node = find_node(opened.view, path_argument(path), raw=raw)
        extract(
            opened.view,
            node,
            output,
            on_loss=losses.append,
            symlinks=symlinks,
            cancel=session.cancel,
        )
    session.report_findings(losses)
