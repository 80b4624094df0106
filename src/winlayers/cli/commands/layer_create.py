"""``winlayers layer create``: a scratch, that is a layer that takes writes, or an empty layer to be filled."""

from __future__ import annotations

import click

from winlayers.cli.layerrows import layer_row
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_parent
from winlayers.errors import InvalidArgument, UnknownOption


@command(
    "create",
    examples=[
        "winlayers layer create work --parent app",
        "winlayers layer create work --parent app --storage-opt size=20GB",
        "winlayers layer create new --parent app --read-only    # filled later by 'layer import'",
    ],
)
@click.argument("layer_id", metavar="ID")
@click.option(
    "--parent",
    default="",
    metavar="ID",
    shell_complete=complete_target,
    help="Layer that it stands on; without, it stands on nothing.",
)
@click.option(
    "--storage-opt",
    "storage_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="As docker takes it: size=20GB limits what the scratch holds; default 127GB.",
)
@click.option(
    "--read-only", is_flag=True, help="Make a layer that 'layer import' fills, no scratch."
)
@json_option
@pass_session
def run(
    session: Session,
    layer_id: str,
    parent: str,
    *,
    storage_options: tuple[str, ...],
    read_only: bool,
) -> None:
    """Make layer ID on a parent: a scratch, which takes writes. Prints the id.

    It takes the same time whatever the parents hold, as nothing of them is copied. 'winlayers cp' and
    'layer mount' write into it, 'layer commit' makes a layer of what changed.
    """
    if read_only and storage_options:
        raise InvalidArgument("--storage-opt is for scratches; a layer of --read-only takes none")
    options = dict(map(_option, storage_options))
    driver = session.open_driver()
    resolved_parent = resolve_parent(session, driver, parent) if parent else ""
    if read_only:
        driver.create(layer_id, resolved_parent)
    else:
        driver.create_read_write(layer_id, resolved_parent, options)
    if session.is_json:
        session.out.document(layer_row(driver, layer_id))
    else:
        session.out.line(layer_id)


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UnknownOption(f"--storage-opt {text!r} is not of the form NAME=VALUE; say size=20GB")
    return name, value
