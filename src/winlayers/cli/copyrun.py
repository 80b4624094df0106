"""One copy of an image as a command runs it: options in, progress and notes out.

What is told on standard error: which image of an index was taken and which others there were, documents that had to
change, and how far the layers are.
"""

from __future__ import annotations

import dataclasses
import functools
import platform as machine_platform
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from winlayers.base.progress import Progress
from winlayers.base.units import human_size
from winlayers.cli.hostbuild import host_build
from winlayers.cli.manybars import ManyProgress, NoProgress, choose_many
from winlayers.cli.output import count_of
from winlayers.cli.session import Session, standard_error

if TYPE_CHECKING:
    from winlayers.oci.choosing import Choice
    from winlayers.oci.endpoint import ImageSink, ImageSource
    from winlayers.oci.model import Descriptor
    from winlayers.oci.platform import Platform
    from winlayers.transfer.copying import BlobCopied, CopiedImage
    from winlayers.transfer.selecting import Selected

_SHOWN_OTHERS = 8
_FITS = {
    "EXACT": "",
    "BUILD": "the build that was asked for",
    "PROCESS": "another build, which runs there without Hyper-V",
    "ISOLATED": "an older build, which runs there with Hyper-V",
    "NEWEST": "the newest build",
    "UNKNOWN": "the index does not say which build",
}


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """What the commands that copy images have in common.

    Attributes:
        all_platforms: ``--all-platforms``.
        foreign: ``--foreign``.
        preserve_digests: ``--preserve-digests``.
        jobs: ``--jobs``.
    """

    all_platforms: bool = False
    foreign: str = "keep"
    preserve_digests: bool = False
    jobs: int = 8


def copy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds the options that ``CopyOptions`` has; the command gets them as ``options``."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **given: Any) -> Any:
        values = {one.name: given.pop(one.name) for one in dataclasses.fields(CopyOptions)}
        return function(*arguments, options=CopyOptions(**values), **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


jobs_option = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    metavar="N",
    help="Layers on their way at once.",
)
_OPTIONS = (
    click.option("--all-platforms", is_flag=True, help="The whole index, with all its images."),
    click.option(
        "--foreign",
        type=click.Choice(["keep", "upload"]),
        default="keep",
        show_default=True,
        help="Leave foreign layers so, or make ordinary ones of them, which changes the digest.",
    ),
    click.option(
        "--preserve-digests", is_flag=True, help="Fail rather than change a manifest or lose it."
    ),
    jobs_option,
)


def wanted_platform(session: Session) -> Platform | None:
    """The platform of ``--platform``, with the processor of this machine where it names none."""
    if session.platform is None:
        return None
    from winlayers.oci.platform import Platform, default_platform

    here = default_platform(machine_platform.machine())
    return Platform.parse(session.platform, architecture=here.architecture)


def run_copy(
    session: Session,
    source: ImageSource,
    sink: ImageSink,
    options: CopyOptions,
    label: str,
    *,
    is_chosen: bool = False,
) -> CopiedImage:
    """Copy an image and tell how it goes.

    Args:
        session: where it is told.
        source: from where.
        sink: to where.
        options: of the command.
        label: what is done, in words.
        is_chosen: the source is one image, whatever ``--platform`` says.
    """
    from winlayers.transfer.copying import copy_image

    progress = choose_many(
        session.progress_mode,
        standard_error(),
        label,
        is_quiet=session.is_quiet,
        has_color=session.has_color,
    )
    with progress:
        copied = copy_image(
            source,
            sink,
            platform=None if is_chosen else wanted_platform(session),
            host_build=host_build(),
            machine=machine_platform.machine(),
            all_platforms=options.all_platforms,
            foreign=options.foreign,
            preserve_digests=options.preserve_digests,
            jobs=options.jobs,
            listener=_Teller(session, progress),
            cancel=session.cancel,
        )
    for old, new in copied.rewritten:
        session.note(f"{old} became {new}, as its foreign layers are ordinary ones now")
    return copied


def print_copied(session: Session, copied: CopiedImage) -> None:
    """Print what was copied: the digest alone, or all as JSON."""
    there = sum(blob.was_there for blob in copied.blobs)
    if not session.is_json:
        session.note(
            f"{count_of(len(copied.blobs) - there, 'blob', 'blobs')} of "
            f"{human_size(copied.copied_size)} copied, {there} there already"
        )
        session.out.line(str(copied.descriptor.digest))
        return
    session.out.document(copied_json(copied))


def copied_json(copied: CopiedImage) -> dict[str, Any]:
    """What was copied, for programs."""
    return {
        "digest": str(copied.descriptor.digest),
        "media_type": copied.descriptor.media_type,
        "documents": [str(digest) for digest in copied.documents],
        "copied_size": copied.copied_size,
        "blobs": [
            {
                "digest": str(blob.descriptor.digest),
                "media_type": blob.descriptor.media_type,
                "size": blob.descriptor.size,
                "was_there": blob.was_there,
            }
            for blob in sorted(copied.blobs, key=lambda blob: blob.descriptor.digest)
        ],
        "rewritten": {str(old): str(new) for old, new in copied.rewritten},
    }


def note_choice(session: Session, choice: Choice | None) -> None:
    """Tell which image of an index was taken, why, and which others there were."""
    if choice is None:
        return
    best = choice.best
    reason = _FITS[best.fit.name]
    others = [*choice.descriptors[1:], *(one.descriptor for one in choice.left)]
    text = f"took {_platform_of(best.descriptor)}{f', {reason}' if reason else ''}"
    if others:
        names = [_platform_of(one) for one in others[:_SHOWN_OTHERS]]
        more = len(others) - len(names)
        text += f"; there are also {', '.join(names)}" + (f" and {more} more" if more else "")
    session.note(text)


def _platform_of(descriptor: Descriptor) -> str:
    from winlayers.oci.platform import BUILD_NAMES

    platform = descriptor.platform
    if platform is None:
        return str(descriptor.digest)
    name = BUILD_NAMES.get(platform.build or 0, "") if platform.os == "windows" else ""
    return f"{platform} ({name})" if name else str(platform)


class _Teller:
    """A CopyListener that tells a person."""

    def __init__(self, session: Session, progress: ManyProgress | NoProgress) -> None:
        self._session = session
        self._progress = progress
        self._lock = threading.Lock()

    def selected(self, image: Selected) -> None:
        note_choice(self._session, image.choice)

    def planned(self, blobs: Iterable[Descriptor]) -> None:
        self._progress.total_size = sum(blob.size for blob in blobs)

    def progress_of(self, blob: Descriptor) -> Progress:
        with self._lock:
            return self._progress.piece()

    def copied(self, blob: BlobCopied) -> None:
        if blob.was_there:
            with self._lock:
                self._progress.total_size -= blob.descriptor.size
        if self._session.verbosity:
            verb = "is there already" if blob.was_there else "copied"
            self._session.note(f"{blob.descriptor.digest} {verb}")
