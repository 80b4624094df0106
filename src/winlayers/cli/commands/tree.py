"""``winlayers tree``: what is below a directory, drawn as a tree."""

from __future__ import annotations

from collections.abc import Iterator

import click

from winlayers.cli.options import command, pass_session, raw_option
from winlayers.cli.paths import find_node, path_argument
from winlayers.cli.rows import link_text
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.layer.view import Node, View


@command("tree", examples=["winlayers tree base /Windows/Boot"])
@click.argument("target", shell_complete=complete_target)
@click.argument("path", default="")
@raw_option
@pass_session
def run(session: Session, target: str, path: str, raw: bool) -> None:
    """Draw what is below PATH of TARGET."""
    with open_target(session, target) as opened:
        start = find_node(opened.view, path_argument(path), raw=raw)
        session.out.lines(_lines(opened.view, start, raw=raw))


def _lines(view: View, start: Node, *, raw: bool) -> Iterator[str]:
    """Depth first, without recursion: a stranger's tree may be deep."""
    pending = [("", iter(view.list(start)), len(view.list(start)))]
    while pending:
        prefix, nodes, left = pending.pop()
        node = next(nodes, None)
        if node is None:
            continue
        pending.append((prefix, nodes, left - 1))
        branch, further = ("└── ", "    ") if left == 1 else ("├── ", "│   ")
        yield f"{prefix}{branch}{node.name}{link_text(view, node, raw=raw)}"
        if node.stack:
            below = view.list(node)
            pending.append((prefix + further, iter(below), len(below)))
