"""``winlayers completion``: the script that teaches a shell to complete."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session


@command(
    "completion",
    examples=["winlayers completion bash > ~/.local/share/bash-completion/completions/winlayers"],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_session
@click.pass_context
def run(context: click.Context, session: Session, shell: str) -> None:
    """Print the completion script for a shell."""
    found = get_completion_class(shell)
    assert found is not None
    root = context.find_root().command
    script = found(root, {}, "winlayers", "_WINLAYERS_COMPLETE").source()
    session.out.lines(script.splitlines())
