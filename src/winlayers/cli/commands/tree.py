"""``winlayers tree``: a directory and what is in it, drawn as a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import click

from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.output import count_of
from winlayers.cli.paths import find_node, path_argument, shown_path
from winlayers.cli.rows import json_rows, link_text
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.layer.view import Node, View

# What is drawn before a name, and before what is below it; for the last in its directory too.
_BRANCHES = {False: ("├── ", "│   "), True: ("└── ", "    ")}


@command(
    "tree",
    examples=[
        "winlayers tree nanoserver                    # all of C:",
        "winlayers tree --depth 2 nanoserver /Users   # two levels of one directory",
        "winlayers tree -d nanoserver                 # directories alone",
    ],
)
@click.argument("target", shell_complete=complete_target)
@click.argument("path", default="")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="Show N levels at most.")
@click.option("-d", "--directories", "only_directories", is_flag=True, help="Show no files.")
@raw_option
@json_option
@pass_session
def run(
    session: Session,
    target: str,
    path: str,
    *,
    depth: int | None,
    only_directories: bool,
    raw: bool,
) -> None:
    """Draw the directory PATH of TARGET, the root of C: by default, with all that is in it.

    Links are shown and not entered. How many there were is told on standard error.
    """
    counts: Counter[bool] = Counter()
    with open_target(session, target) as opened:
        view = opened.view
        top = find_node(view, path_argument(path), raw=raw)
        drawn = _walk(view, top, depth=depth, only_directories=only_directories)
        if session.is_json:
            return session.out.rows(json_rows(view, (node for _, node in drawn), raw=raw))
        session.out.line(shown_path(top.path, raw=raw) or "/")
        session.out.lines(_lines(view, drawn, counts, raw=raw))
    directories = count_of(counts[True], "directory", "directories")
    session.out.flush()
    session.note(f"{directories}, {count_of(counts[False], 'file or link', 'files and links')}")
    return None


def _lines(
    view: View, drawn: Iterator[tuple[str, Node]], counts: Counter[bool], *, raw: bool
) -> Iterator[str]:
    for prefix, node in drawn:
        counts[node.is_directory] += 1
        yield f"{prefix}{node.name}{link_text(view, node, raw=raw)}"


def _walk(
    view: View, top: Node, *, depth: int | None, only_directories: bool
) -> Iterator[tuple[str, Node]]:
    """All nodes below one, each with what is drawn before its name; a stranger's tree may be deep."""

    def below(node: Node) -> Iterator[tuple[Node, bool]]:
        children = view.list(node)
        if only_directories:
            children = [child for child in children if child.is_directory]
        last = len(children) - 1
        return ((child, number == last) for number, child in enumerate(children))

    pending = [(below(top), "")]
    while pending:
        nodes, indent = pending[-1]
        for node, is_last in nodes:
            branch, gap = _BRANCHES[is_last]
            yield indent + branch, node
            if node.stack and (depth is None or len(pending) < depth):
                pending.append((below(node), indent + gap))
                break
        else:
            pending.pop()
