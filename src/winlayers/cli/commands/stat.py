"""``winlayers stat``: everything that a layer says of one name."""

from __future__ import annotations

import click

from winlayers.cli.facts import NodeFacts, facts_of
from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.paths import find_node, path_argument
from winlayers.cli.session import Session
from winlayers.cli.stattext import stat_lines
from winlayers.cli.target import complete_target, open_target


@command(
    "stat",
    examples=[
        "winlayers stat nanoserver 'C:\\Windows\\System32\\cmd.exe'",
        "winlayers stat --json app /app/current | jq .security.sddl",
        "winlayers stat --follow app /current              # what the link leads to",
    ],
)
@click.argument("target", shell_complete=complete_target)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-L", "--follow", is_flag=True, help="Follow a link at the end of PATH.")
@raw_option
@json_option
@pass_session
def run(session: Session, target: str, paths: tuple[str, ...], *, follow: bool, raw: bool) -> None:
    """Print all metadata of names in TARGET.

    Attributes by name, the four times to 100 ns, security as SDDL and in words, alternate streams,
    reparse data, extended attributes, what a hard link leads to, and the layer that it comes from. With
    --json, one object a line where there are several PATHs.
    """
    with open_target(session, target) as opened:
        view = opened.view
        nodes = [
            find_node(view, path_argument(path), raw=raw, follow_last=follow) for path in paths
        ]
        _print(session, [facts_of(view, node, raw=raw) for node in nodes])


def _print(session: Session, found: list[NodeFacts]) -> None:
    if not session.is_json:
        for number, facts in enumerate(found):
            session.out.lines([""] if number else [])
            session.out.lines(stat_lines(facts))
    elif len(found) == 1:
        session.out.document(found[0].as_json())
    else:
        session.out.rows(facts.as_json() for facts in found)
