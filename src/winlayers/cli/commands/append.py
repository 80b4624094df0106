"""``winlayers append``: an image with files of a tar or a folder as one more layer."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from winlayers.cli.appending import KINDS, Appending, append_deletions, append_source
from winlayers.cli.fetchedlayers import fetch_layer
from winlayers.cli.imagelayers import opened_tables
from winlayers.cli.imagenames import check_credentials, complete_image, parse_image_name
from winlayers.cli.makerun import (
    MakeOptions,
    author_option,
    change_option,
    compression_option,
    keep_image,
    make_options,
    message_option,
    opened_base,
    opened_workbench,
    read_clock,
)
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session
from winlayers.cli.target import staging
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from winlayers.layer.merge import LayerTable, MergedView
    from winlayers.making.image import BaseImage, ImageLayer


@command(
    "append",
    examples=[
        "winlayers append app:1 -f build/ --to 'C:\\app' -t app:2",
        "tar -c bin | winlayers append app:1 -f - -t docker://localhost:5000/app:2",
        "winlayers append docker://localhost:5000/app:1 -f layer.tar.gz -t oci:images:app",
        "winlayers append app:1 --delete 'C:\\app\\debug.log' -t app:2",
    ],
)
@click.argument("image", shell_complete=complete_image)
@make_options
@click.option(
    "-f",
    "--file",
    "sources",
    multiple=True,
    metavar="TAR|DIR",
    type=click.Path(exists=True, allow_dash=True),
    help="A tar, compressed or not, - for one on standard input, or a folder; each makes a layer.",
)
@click.option(
    "--to",
    "place",
    default="",
    metavar="PATH",
    help="Directory of the container that plain files go to (default: C:\\).",
)
@click.option(
    "--delete",
    "deleted",
    multiple=True,
    metavar="PATH",
    help="What goes from the image, with the first of the new layers.",
)
@click.option(
    "--as",
    "kind",
    type=click.Choice(KINDS),
    default="auto",
    show_default=True,
    help="What a tar is: plain files, or a layer of Windows that is taken as it is.",
)
@compression_option
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
    sources: tuple[str, ...],
    place: str,
    deleted: tuple[str, ...],
    kind: str,
    compression: str,
    author: str,
    message: str,
    changes: tuple[str, ...],
    registry: RegistryOptions,
) -> None:
    """Make NEW of IMAGE with files as one more layer, and print its digest.

    What is in a folder or a plain tar goes to --to, and gets what Windows would give it there: descriptors inherited
    from the directory, times of writing, the attributes that a file had. A tar with records of Windows is a layer, and
    taken byte for byte. With SOURCE_DATE_EPOCH the same input has the same digest.
    """
    from winlayers.layer.merge import MergedView
    from winlayers.making.adding import add_layer
    from winlayers.making.instructions import parse_changes

    if not sources and not deleted:
        raise InvalidArgument("say --file TAR or DIR, what is to be appended")
    if sources.count("-") + click.get_current_context().params["creds_stdin"] > 1:
        raise InvalidArgument("one thing only can come on standard input")
    edits = parse_changes(changes)
    times = read_clock(session)
    name = parse_image_name(image)
    check_credentials(registry, name, *([options.name] if options.name else []))
    with (
        opened_base(session, name, registry) as base,
        opened_workbench(session, compression) as workbench,
        ExitStack() as stack,
    ):
        tables = list(stack.enter_context(opened_tables(session, base)))
        how = Appending(
            workbench, base.manifest.media_type, times, place, session.progress, session.cancel
        )
        present, made = base, None
        for number, source in enumerate(sources or ("",)):
            if made is not None:
                present = made.as_base()
                tables.insert(0, _opened_top(session, present, stack))
            layer = _layer(how, source, kind, MergedView(tables), () if number else deleted)
            made = add_layer(
                present,
                layer,
                now_seconds=times.now_ns // 1_000_000_000,
                created_by=_step(source, place),
                author=author,
                comment=message,
                edits=edits if number == max(len(sources), 1) - 1 else None,
            )
        assert made is not None, "no layer"
        keep_image(session, made, options, registry, base.source)


def _layer(
    how: Appending, source: str, kind: str, below: MergedView, deleted: tuple[str, ...]
) -> ImageLayer:
    if not source:
        return append_deletions(how, below, deleted)
    return append_source(how, source, kind, below, deleted)


def _opened_top(session: Session, image: BaseImage, stack: ExitStack) -> LayerTable:
    """The topmost layer of an image, to be looked into."""
    blobs = image.manifest.layers
    with staging(session) as tmpdir:
        opened = fetch_layer(session, image.source, blobs, len(blobs) - 1, tmpdir)
    return stack.enter_context(opened).table


def _step(source: str, place: str) -> str:
    """What the history says; it names no folder of this machine, so that it is the same on others."""
    if not source:
        return "winlayers append --delete"
    shown = "-" if source == "-" else Path(source).resolve().name
    return f"winlayers append {shown}" + (f" to {place}" if place else "")
