"""One squash or flatten as a command runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from winlayers.cli.imagelayers import opened_tables
from winlayers.cli.imagenames import check_credentials, parse_image_name
from winlayers.cli.lossnotes import LossNotes
from winlayers.cli.makerun import (
    MakeOptions,
    keep_image,
    opened_base,
    opened_workbench,
    read_clock,
)
from winlayers.cli.session import Session

if TYPE_CHECKING:
    from winlayers.cli.registryoptions import RegistryOptions


lose_option = click.option(
    "--lose-registry-changes",
    is_flag=True,
    help="Leave out changes of a hive that cannot be merged, as it is damaged or was not closed.",
)


def run_squash(
    session: Session,
    image: str,
    first: Callable[[int], int],
    options: MakeOptions,
    registry: RegistryOptions,
    *,
    created_by: str,
    compression: str,
    comment: str,
    lose_registry_changes: bool,
) -> None:
    """Make an image of which layers from one on are one, and tell how it goes.

    Args:
        session: where it is told.
        image: the old one, as it was typed.
        first: given the number of its layers, the lowest of those that become one.
        options: say where the new one goes.
        registry: how registries are spoken with.
        created_by: what the history says.
        compression: of the new layer.
        comment: for the history.
        lose_registry_changes: see ``making.hivedeltas``.
    Raises:
        InvalidArgument: it has no such layer.
        Unsupported: its layers cannot be one; see ``making.squashing``.
    """
    from winlayers.making.squashing import squash_image

    times = read_clock(session)
    name = parse_image_name(image)
    check_credentials(registry, name, *([options.name] if options.name else []))
    losses = LossNotes(session)
    with (
        opened_base(session, name, registry) as base,
        opened_tables(session, base) as tables,
        opened_workbench(session, compression) as workbench,
    ):
        made = squash_image(
            base,
            tables,
            first(len(base.layers)),
            workbench,
            now_seconds=times.now_ns // 1_000_000_000,
            created_by=created_by,
            comment=comment,
            lose_registry_changes=lose_registry_changes,
            on_loss=losses.add,
            progress=session.progress,
            cancel=session.cancel,
        )
        losses.tell()
        keep_image(session, made, options, registry, base.source)
