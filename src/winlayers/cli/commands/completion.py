"""``winlayers completion``: the script that makes a shell complete commands, options and ids."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session


@command(
    "completion",
    examples=[
        'eval "$(winlayers completion bash)"              # in ~/.bashrc',
        'eval "$(winlayers completion zsh)"               # in ~/.zshrc',
        "winlayers completion fish > ~/.config/fish/completions/winlayers.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_session
@click.pass_context
def run(context: click.Context, session: Session, shell: str) -> None:
    """Print the completion script of SHELL."""
    from winlayers.cli.app import COMPLETE_VARIABLE, PROGRAM

    found = get_completion_class(shell)
    assert found is not None, "click has all three"
    script = found(context.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE)
    # By the base class: that of bash starts a bash to look at its version.
    session.out.lines(ShellComplete.source(script).splitlines())
