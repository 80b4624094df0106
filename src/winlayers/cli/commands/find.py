"""``winlayers find``: the paths that fit a pattern."""

from __future__ import annotations

from collections.abc import Callable

import click

from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.paths import find_node, path_argument
from winlayers.cli.rows import json_rows, path_of
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.formats.reparse import is_name_surrogate, tag_of
from winlayers.layer.entry import EntryKind
from winlayers.layer.resolving import glob_walk
from winlayers.layer.view import Node, View


@command(
    "find",
    examples=[
        "winlayers find nanoserver '*.dll'                # at any depth",
        "winlayers find nanoserver 'Windows\\*\\*.sys'      # with a separator: from the root on",
        "winlayers find nanoserver '/Users/**/*.dat'      # ** stands for any directories",
        "winlayers find --type l tar:layer.tar '*'        # symbolic links and junctions",
    ],
)
@click.argument("target", shell_complete=complete_target)
@click.argument("pattern")
@click.option(
    "--type", "kind", type=click.Choice(["f", "d", "l"]), help="Files, directories, or links alone."
)
@raw_option
@json_option
@pass_session
def run(session: Session, target: str, pattern: str, *, kind: str | None, raw: bool) -> None:
    """Print the paths of TARGET that fit PATTERN, in any case.

    * stands for any text and ? for one character within a name, ** for any number of directories. A
    pattern without a separator is looked for at every depth. Links are not followed.
    """
    with open_target(session, target) as opened:
        view = opened.view
        nodes = glob_walk(view, find_node(view, "", raw=raw), path_argument(pattern))
        if kind is not None:
            fits = _TYPES[kind]
            nodes = (node for node in nodes if fits(view, node))
        if session.is_json:
            session.out.rows(json_rows(view, nodes, raw=raw))
        else:
            session.out.lines(map(path_of(raw=raw), nodes))


def _is_file(view: View, node: Node) -> bool:
    return node.kind is not EntryKind.DIRECTORY and not _is_link(view, node)


def _is_directory(view: View, node: Node) -> bool:
    return node.kind is EntryKind.DIRECTORY and not _is_link(view, node)


def _is_link(view: View, node: Node) -> bool:
    """Whether a node is a symbolic link or junction, or has another tag that stands for a name."""
    return node.is_reparse_point and is_name_surrogate(tag_of(view.entry(node).reparse))


_TYPES: dict[str, Callable[[View, Node], bool]] = {
    "f": _is_file,
    "d": _is_directory,
    "l": _is_link,
}
