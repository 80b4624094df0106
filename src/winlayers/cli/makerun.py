"""What the commands that make images have in common: options, the clock, what is made of, and where the image goes.

Nothing is kept before the image is whole: its new layers are files without names, and the name of the destination
leads to what it led to before until all else is there.
"""

from __future__ import annotations

import functools
import platform as machine_platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from winlayers.cli.copyrun import (
    CopyOptions,
    jobs_option,
    note_choice,
    print_copied,
    run_copy,
    wanted_platform,
)
from winlayers.cli.hostbuild import host_build
from winlayers.cli.imagenames import (
    ImageName,
    complete_image,
    open_sink,
    open_source,
    parse_image_name,
)
from winlayers.cli.session import Session
from winlayers.cli.target import staging
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from winlayers.cli.registryoptions import RegistryOptions
    from winlayers.making.appending import Times
    from winlayers.making.image import BaseImage, MadeImage
    from winlayers.making.newlayer import Workbench
    from winlayers.oci.endpoint import ImageSource

EPOCH = "SOURCE_DATE_EPOCH"
_MAX_EPOCH = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class MakeOptions:
    """What all commands that make images take.

    Attributes:
        name: where the image goes; None where it is made to be told only.
        jobs: ``--jobs``.
    """

    name: ImageName | None
    jobs: int = 8


def make_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds ``--tag``, ``--dry-run`` and ``--jobs``; the command gets them as ``options``."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, tag: str | None, dry_run: bool, jobs: int, **given: Any) -> Any:
        options = MakeOptions(parse_destination(tag, dry_run=dry_run), jobs)
        return function(*arguments, options=options, **given)

    for option in (jobs_option, dry_run_option, _TAG):
        wrapped = option(wrapped)
    return wrapped


_TAG = click.option(
    "-t",
    "--tag",
    metavar="NEW",
    shell_complete=complete_image,
    help="What the new image is called: a name for the store, or with a transport one for elsewhere.",
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Make the image and tell its digest, but keep nothing of it."
)
author_option = click.option(
    "-a", "--author", metavar="TEXT", default="", help="Who made the image."
)
message_option = click.option(
    "-m", "--message", metavar="TEXT", default="", help="A comment for the history."
)
change_option = click.option(
    "-c",
    "--change",
    "changes",
    multiple=True,
    metavar="LINE",
    help="A line of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, WORKDIR.",
)
compression_option = click.option(
    "--compression",
    type=click.Choice(["gzip", "zstd", "none"]),
    default="gzip",
    show_default=True,
    help="Of new layers.",
)


def parse_destination(text: str | None, *, dry_run: bool) -> ImageName | None:
    """Where an image goes.

    Args:
        text: its name, as it was typed.
        dry_run: whether it goes nowhere.
    Raises:
        InvalidArgument: neither is said.
    """
    if dry_run:
        return None
    if not text:
        raise InvalidArgument("say what the new image is called (--tag NEW), or --dry-run")
    return parse_image_name(text)


def read_clock(session: Session) -> Times:
    """The time at which images are made: now, or ``SOURCE_DATE_EPOCH``, and then no file is later.

    Raises:
        InvalidArgument: the variable is no time that images can have.
    """
    from winlayers.making.appending import Times

    text = session.environ.get(EPOCH, "")
    if not text:
        return Times(time.time_ns())
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_EPOCH))
    if not is_number or int(text) > _MAX_EPOCH:
        raise InvalidArgument(f"{EPOCH} is seconds since 1970, up to the year 9999, not {text!r}")
    epoch_ns = int(text) * 1_000_000_000
    return Times(epoch_ns, epoch_ns)


@contextmanager
def opened_base(
    session: Session,
    name: ImageName,
    registry: RegistryOptions,
    *,
    like: BaseImage | None = None,
    platform: str | None = None,
) -> Iterator[BaseImage]:
    """Open an image that another one is made of, and tell which one of an index was taken.

    Args:
        session: whose store and environment are used.
        name: of the image.
        registry: how registries are spoken with.
        like: where nobody says which one of an index, the one that fits this image is taken.
        platform: which one of an index, instead of ``--platform``.
    """
    from winlayers.making.image import read_image
    from winlayers.oci import mediatypes
    from winlayers.oci.platform import Platform
    from winlayers.transfer.selecting import select_image

    with open_source(session, name, registry) as source:
        wanted = wanted_platform(session) if like is None else None
        if platform is not None:
            wanted = Platform.parse(platform)
        elif like is not None and source.resolve().media_type in mediatypes.INDEXES:
            wanted = like.config.platform
        selected = select_image(
            source, wanted, host_build=host_build(), machine=machine_platform.machine()
        )
        note_choice(session, selected.choice)
        yield read_image(source, selected.manifest)


@contextmanager
def opened_workbench(session: Session, compression: str = "gzip") -> Iterator[Workbench]:
    """A place for new layers.

    Args:
        session: whose folder for temporary files is used.
        compression: ``gzip``, ``zstd`` or ``none``.
    """
    from winlayers.base.compression import Compression
    from winlayers.making.newlayer import Workbench

    with staging(session) as tmpdir:
        workbench = Workbench(tmpdir, compression=Compression(compression))
    with workbench:
        yield workbench


def keep_image(
    session: Session,
    made: MadeImage,
    options: MakeOptions,
    registry: RegistryOptions,
    origin: ImageSource | None = None,
) -> None:
    """Bring an image to where it is to be, and print its digest.

    Args:
        session: where it is told.
        made: the image; what its layers come from is open.
        options: say where.
        registry: how registries are spoken with.
        origin: the image that it was made of; a registry may take over layers from there.
    """
    if options.name is None:
        _print_made(session, made)
        return
    with open_sink(session, options.name, registry, source=origin) as sink:
        copied = run_copy(
            session,
            made,
            sink,
            CopyOptions(jobs=options.jobs),
            f"writing {options.name}",
            is_chosen=True,
        )
    print_copied(session, copied)


def _print_made(session: Session, made: MadeImage) -> None:
    if not session.is_json:
        session.out.line(str(made.manifest.digest))
        return
    layers = [
        {
            "digest": str(one.descriptor.digest),
            "diff_id": str(one.diff_id),
            "media_type": one.descriptor.media_type,
            "size": one.descriptor.size,
        }
        for one in made.layers
    ]
    session.out.document(
        {
            "digest": str(made.manifest.digest),
            "media_type": made.manifest.media_type,
            "config": str(made.config.digest),
            "layers": layers,
        }
    )
