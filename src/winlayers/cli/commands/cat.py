"""``winlayers cat``: the bytes of files and of alternate streams."""

from __future__ import annotations

import click

from winlayers.cli.options import command, pass_session, raw_option
from winlayers.cli.paths import find_node, path_argument, split_stream
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.errors import InvalidArgument
from winlayers.layer.entry import EntryKind
from winlayers.layer.view import View

_BLOCK_SIZE = 1 << 20


@command(
    "cat",
    examples=[
        "winlayers cat nanoserver 'C:\\Windows\\win.ini'",
        "winlayers cat tar:layer.tar.gz /setup.exe:Zone.Identifier    # an alternate stream",
        "winlayers cat --raw nanoserver Hives/Software_Base > software.hiv",
    ],
)
@click.argument("target", shell_complete=complete_target)
@click.argument("paths", nargs=-1, required=True, metavar="PATH[:STREAM]...")
@raw_option
@pass_session
def run(session: Session, target: str, paths: tuple[str, ...], *, raw: bool) -> None:
    """Write the bytes of files of TARGET, or of alternate streams, to standard output.

    Links on the way and at the end are followed.
    """
    with open_target(session, target) as opened:
        for path in paths:
            _copy(session, opened.view, path, raw=raw)


def _copy(session: Session, view: View, text: str, *, raw: bool) -> None:
    path, stream = split_stream(path_argument(text))
    node = find_node(view, path, raw=raw)
    if node.kind is EntryKind.DIRECTORY and not stream:
        raise InvalidArgument(f"{text!r} is a directory; 'winlayers ls' lists it")
    with view.open(node, stream) as source:
        while block := source.read(_BLOCK_SIZE):
            session.cancel.check()
            session.out.write_bytes(block)
