"""``winlayers config``: an image with other settings, and the same layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from winlayers.cli.imagenames import check_credentials, complete_image, parse_image_name
from winlayers.cli.makerun import (
    MakeOptions,
    author_option,
    change_option,
    keep_image,
    make_options,
    message_option,
    opened_base,
    read_clock,
)
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from winlayers.making.settings import Command


@command(
    "config",
    examples=[
        "winlayers config app:1 --env MODE=quiet --label team=core -t app:2",
        "winlayers config app:1 --entrypoint '[\"C:\\\\app\\\\run.exe\"]' -t app:2",
        "winlayers config docker://a.example/app:1 --os-version 10.0.20348.2113 -t docker://a.example/app:2",
    ],
)
@click.argument("image", shell_complete=complete_image)
@make_options
@click.option(
    "--entrypoint",
    metavar="COMMAND",
    help='What is run: ["program", "argument"] or a line for the shell; empty takes it away.',
)
@click.option(
    "--cmd", metavar="COMMAND", help="Its arguments, or what is run; written as --entrypoint."
)
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="A variable.")
@click.option("--unset-env", multiple=True, metavar="NAME", help="A variable to be taken away.")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="A label.")
@click.option("--unset-label", multiple=True, metavar="NAME", help="A label to be taken away.")
@click.option("-u", "--user", metavar="NAME", help="Who runs it; empty takes it away.")
@click.option("-w", "--workdir", metavar="PATH", help="Working directory; empty takes it away.")
@click.option("--expose", multiple=True, metavar="PORT", help="As 80, 53/udp or 8000-8002.")
@click.option(
    "--unexpose", multiple=True, metavar="PORT", help="A port not to be exposed any more."
)
@click.option("--stop-signal", metavar="NAME", help="Empty takes it away.")
@click.option("--os-version", metavar="VERSION", help="The build of Windows that it is for.")
@click.option(
    "--os-feature", "os_features", multiple=True, metavar="NAME", help="All of them, as win32k."
)
@author_option
@message_option
@change_option
@registry_options
@json_option
@pass_session
def run(
    session: Session,
    image: str,
    *,
    options: MakeOptions,
    entrypoint: str | None,
    cmd: str | None,
    env: tuple[str, ...],
    unset_env: tuple[str, ...],
    label: tuple[str, ...],
    unset_label: tuple[str, ...],
    user: str | None,
    workdir: str | None,
    expose: tuple[str, ...],
    unexpose: tuple[str, ...],
    stop_signal: str | None,
    os_version: str | None,
    os_features: tuple[str, ...],
    author: str,
    message: str,
    changes: tuple[str, ...],
    registry: RegistryOptions,
) -> None:
    """Make NEW of IMAGE with other settings, and print its digest.

    No layer is read; a registry that has them takes them over. Where nothing changes, NEW is IMAGE.
    """
    from winlayers.making.adding import edit_image
    from winlayers.making.instructions import parse_changes
    from winlayers.making.settings import Edits

    edits = Edits(
        entrypoint=_command(entrypoint),
        command=_command(cmd),
        env=_pairs("--env", env),
        unset_env=unset_env,
        labels=_pairs("--label", label),
        unset_labels=unset_label,
        user=user,
        working_dir=workdir,
        ports=expose,
        unset_ports=unexpose,
        stop_signal=stop_signal,
        os_version=os_version,
        os_features=os_features or None,
        author=author or None,
    )
    edits = parse_changes(changes, edits)
    name = parse_image_name(image)
    check_credentials(registry, name, *([options.name] if options.name else []))
    with opened_base(session, name, registry) as base:
        made = edit_image(
            base,
            edits,
            now_seconds=read_clock(session).now_ns // 1_000_000_000,
            created_by="winlayers config",
            author=author,
            comment=message,
        )
        keep_image(session, made, options, registry, base.source)


def _command(text: str | None) -> Command | None:
    from winlayers.making.instructions import parse_command
    from winlayers.making.settings import Command

    if text is None:
        return None
    return parse_command(text) if text else Command(())


def _pairs(flag: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidArgument(f"{flag} {text!r} is not of the form NAME=VALUE")
        pairs[name] = value
    return pairs
