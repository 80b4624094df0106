"""``winlayers save``: images of the store into an archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from winlayers.cli.copyrun import CopyOptions, run_copy
from winlayers.cli.foreignlayers import with_foreign_layers
from winlayers.cli.options import command, pass_session
from winlayers.cli.savedimages import AddedImage
from winlayers.cli.session import Session
from winlayers.cli.storednames import complete_stored
from winlayers.errors import InvalidArgument, InvalidReference

if TYPE_CHECKING:
    from winlayers.oci.archive import OciArchiveSink

_FORMATS = ("docker-archive", "oci-archive")


@command(
    "save",
    examples=[
        "winlayers save -o app.tar app:1                     # for 'docker load'",
        "winlayers save -o all.tar --format oci-archive app:1 app:2",
    ],
)
@click.argument("images", nargs=-1, required=True, shell_complete=complete_stored)
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The archive; one that is there is replaced when the new one is whole.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(_FORMATS),
    default=_FORMATS[0],
    show_default=True,
    help="Docker's, which 'docker load' takes; or OCI's, which can have indexes. Both keep every digest.",
)
@click.option("--all-platforms", is_flag=True, help="Indexes whole; OCI's format only.")
@pass_session
def run(
    session: Session, images: tuple[str, ...], *, file: Path, kind: str, all_platforms: bool
) -> None:
    """Write IMAGES of the store into one archive, each under its name."""
    if all_platforms and kind == "docker-archive":
        raise InvalidArgument("--all-platforms needs --format oci-archive")
    options = CopyOptions(all_platforms=all_platforms)
    store = session.open_present_images()
    known = {row.name for row in store.images()}
    names = [_name_there(image, known) for image in images]
    *first, (last, last_name) = zip(images, names, strict=True)
    with _open(file, kind, last_name) as archive:
        for image, name in first:
            with with_foreign_layers(session, store.open_source(image)) as source:
                run_copy(session, source, AddedImage(archive, name), options, f"saving {image}")
        with with_foreign_layers(session, store.open_source(last)) as source:
            run_copy(session, source, archive, options, f"saving {last}")


def _name_there(image: str, known: set[str]) -> str:
    """What an image is called in the archive; nothing where it was given by its digest."""
    from winlayers.oci.reference import Reference

    try:
        reference = Reference.parse(image).with_default_tag()
    except InvalidReference:
        return ""  # 64 digits
    return reference.familiar() if str(reference) in known and reference.tag else ""


def _open(file: Path, kind: str, name: str) -> OciArchiveSink:
    if kind == "oci-archive":
        from winlayers.oci.archive import OciArchiveSink

        return OciArchiveSink(file, name)
    from winlayers.oci.savedarchive import SavedArchiveSink

    return SavedArchiveSink(file, name)
