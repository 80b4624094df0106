"""``winlayers load``: images of an archive into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from winlayers.cli.copyrun import CopyOptions, run_copy
from winlayers.cli.foreignlayers import with_foreign_layers
from winlayers.cli.loadedimages import ArchivedName, archived_names
from winlayers.cli.options import command, json_option, lenient_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.spool import STANDARD_INPUT, plain_archive
from winlayers.cli.storesink import opened_store_sink
from winlayers.errors import ImageNotFound, InvalidArgument

if TYPE_CHECKING:
    from winlayers.transfer.copying import CopiedImage


@command(
    "load",
    examples=[
        "winlayers load -i images.tar            # what 'docker save' wrote",
        "docker save app | winlayers load",
        "winlayers load --all-platforms oci.tar  # indexes whole",
    ],
)
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, dir_okay=False, allow_dash=True)
)
@click.option(
    "-i",
    "--input",
    "named",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="The same as FILE, as 'docker load' has it.",
)
@click.option(
    "--all-platforms", is_flag=True, help="Indexes whole, of archives that are a layout of OCI."
)
@lenient_option
@json_option
@pass_session
def run(
    session: Session, file: Path | None, named: Path | None, *, all_platforms: bool, lenient: bool
) -> None:
    """Get all images of an archive into the store, under the names that they have there, and print the names.

    FILE is an archive as 'docker save' writes it or a tar of an OCI image layout, compressed or not; standard input by
    default, or for -. What comes through a pipe or is compressed is kept in the folder for temporary files meanwhile.
    Of an image without a name 'winlayers pull docker-archive:FILE:@0 --as NAME' gets the first one.
    """
    if file is not None and named is not None:
        raise InvalidArgument(f"both {file} and {named} cannot be loaded at once")
    options = CopyOptions(all_platforms=all_platforms)
    given = file or named or STANDARD_INPUT
    with session.start_writer_ahead(), plain_archive(session, given) as path:
        for one in _with_names(session, archived_names(path, whole_indexes=all_platforms), given):
            copied = _load_one(session, one, options, lenient=lenient)
            if session.is_json:
                digest = str(copied.descriptor.digest)
                session.out.rows([{"name": one.name, "digest": digest}])
            else:
                session.out.line(one.name)


def _with_names(session: Session, found: list[ArchivedName], given: Path) -> list[ArchivedName]:
    told = "FILE" if given == STANDARD_INPUT else str(given)
    named = [one for one in found if one.name]
    nameless = [one for one in found if not one.name]
    if not named:
        place = f"docker-archive:{told}"
        if nameless:
            place = f"{nameless[0].transport}:{told}:{nameless[0].image}"
        raise ImageNotFound(
            f"no image in {told} has a name; 'winlayers pull {place} --as NAME' gives it one"
        )
    for one in nameless:
        session.note(
            f"left out an image without a name; 'winlayers pull {one.transport}:{told}:{one.image} --as NAME' "
            "gives it one"
        )
    return named


def _load_one(
    session: Session, image: ArchivedName, options: CopyOptions, *, lenient: bool
) -> CopiedImage:
    with (
        with_foreign_layers(session, image.open()) as source,
        opened_store_sink(session, image.name, lenient=lenient) as sink,
    ):
        return run_copy(session, source, sink, options, f"loading {image.name}")
