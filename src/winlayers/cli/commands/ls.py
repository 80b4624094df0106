"""``winlayers ls``: the names in a directory, or all below it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.paths import find_node, path_argument
from winlayers.cli.rows import json_rows, long_lines, path_of
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.layer.view import Node, View, walk


@command(
    "ls",
    examples=[
        "winlayers ls nanoserver                     # the container's C:",
        "winlayers ls -l nanoserver 'C:\\Windows'     # attributes, size, time, targets of links",
        "winlayers ls -R tar:layer.tar.gz /Users     # all below, of a tar that is not imported",
        "winlayers ls --raw nanoserver               # Files, Hives, UtilityVM",
    ],
)
@click.argument("target", shell_complete=complete_target)
@click.argument("path", default="")
@click.option(
    "-l", "--long", "is_long", is_flag=True, help="Attributes, size, write time (UTC), link target."
)
@click.option("-R", "--recursive", "is_recursive", is_flag=True, help="All below, as paths.")
@raw_option
@json_option
@pass_session
def run(
    session: Session, target: str, path: str, *, is_long: bool, is_recursive: bool, raw: bool
) -> None:
    """List a directory of TARGET: the root of C:, or PATH.

    Attributes are letters: d directory, a archive, r read-only, h hidden, s system, l reparse point,
    c compressed, p sparse. A link is followed by -> and its target, a hard link by = and its target.
    """
    with open_target(session, target) as opened:
        view = opened.view
        node = find_node(view, path_argument(path), raw=raw)
        nodes = _nodes(view, node, is_recursive=is_recursive)
        shows_paths = is_recursive or not node.is_directory
        name_of = path_of(raw=raw) if shows_paths else _name_of
        if session.is_json:
            session.out.rows(json_rows(view, nodes, raw=raw))
        elif is_long:
            session.out.lines(long_lines(view, nodes, name_of, raw=raw))
        else:
            session.out.lines(map(name_of, nodes))


def _nodes(view: View, node: Node, *, is_recursive: bool) -> Iterator[Node]:
    if not node.is_directory:
        return iter((node,))
    return walk(view, node) if is_recursive else iter(view.list(node))


def _name_of(node: Node) -> str:
    return node.name
