"""``winlayers load``: images of an archive into the store."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from winlayers.cli.copyrun import CopyOptions, run_copy
from winlayers.cli.imagenames import STORE, ImageName, open_sink
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions
from winlayers.cli.session import Session
from winlayers.errors import ImageNotFound, InvalidArgument

if TYPE_CHECKING:
    from winlayers.transfer.copying import CopiedImage


@command(
    "load",
    examples=[
        "winlayers load -i images.tar            # what 'docker save' wrote",
        "docker save app | winlayers load",
    ],
)
@click.option(
    "-i",
    "--input",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The archive; standard input by default.",
)
@json_option
@pass_session
def run(session: Session, file: Path | None) -> None:
    """Get all images that 'docker save' wrote into an archive into the store, under their names there.

    Of an image without a name 'winlayers pull docker-archive:FILE:@0 --as NAME' gets the first one. Prints the names.
    """
    with session.start_writer_ahead(), _archive(session, file) as path:
        for name in _names(path):
            copied = _load_one(session, path, name)
            if session.is_json:
                digest = str(copied.descriptor.digest)
                session.out.rows([{"name": name, "digest": digest}])
            else:
                session.out.line(name)


def _names(path: Path) -> list[str]:
    from winlayers.oci.dockerarchive import open_docker_archive

    with open_docker_archive(path) as source:
        names = [name for image in source.images() for name in image.names]
    if not names:
        raise ImageNotFound(
            f"no image in {path} has a name; 'winlayers pull docker-archive:{path} --as NAME' gives it one"
        )
    return names


def _load_one(session: Session, path: Path, name: str) -> CopiedImage:
    from winlayers.oci.dockerarchive import open_docker_archive

    sink_name = ImageName(STORE, name)
    with (
        open_docker_archive(path, name) as source,
        open_sink(session, sink_name, RegistryOptions()) as sink,
    ):
        return run_copy(session, source, sink, CopyOptions(), f"loading {name}")


@contextmanager
def _archive(session: Session, file: Path | None) -> Iterator[Path]:
    """The archive as a file: one that comes through a pipe is kept until all is read, as it is read in no order."""
    if file is not None:
        yield file
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidArgument("an archive does not come from a terminal; use -i FILE, or a pipe")
    tmpdir = session.config().tmpdir or session.home / "tmp"
    tmpdir.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=tmpdir, prefix="winlayers-load-") as staged:
        shutil.copyfileobj(sys.stdin.buffer, staged, 1 << 20)
        staged.flush()
        yield Path(staged.name)
