"""``winlayers cat``: the bytes of a file or of an alternate stream."""

from __future__ import annotations

import click

from winlayers.cli.options import command, pass_session, raw_option
from winlayers.cli.paths import find_node, path_argument, split_stream
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target


@command(
    "cat",
    examples=[
        "winlayers cat base 'C:\\License.txt'",
        "winlayers cat tar:layer.tar.gz /setup.exe:Zone.Identifier",
    ],
)
@click.argument("target", shell_complete=complete_target)
@click.argument("path", metavar="PATH[:STREAM]")
@raw_option
@pass_session
def run(session: Session, target: str, path: str, raw: bool) -> None:
    """Write the content of a file of TARGET to standard output."""
    wanted = split_stream(path_argument(path))
    with open_target(session, target) as opened:
        node = find_node(opened.view, wanted.path, raw=raw)
        content = opened.view.open(node, wanted.stream)
        while block := content.read(1 << 20):
            session.cancel.check()
            session.out.write_bytes(block)
