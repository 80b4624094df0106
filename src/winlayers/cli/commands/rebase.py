"""``winlayers rebase``: an image's own layers on another base."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from winlayers.cli.imagelayers import opened_tables
from winlayers.cli.imagenames import (
    STORE,
    ImageName,
    check_credentials,
    complete_image,
    parse_image_name,
)
from winlayers.cli.makerun import (
    MakeOptions,
    keep_image,
    make_options,
    opened_base,
    read_clock,
)
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session
from winlayers.cli.storedbase import find_old_base
from winlayers.errors import ImageNotFound, InvalidArgument, InvalidReference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from winlayers.base.digest import Digest
    from winlayers.layer.merge import LayerTable
    from winlayers.making.image import BaseImage, MadeImage
    from winlayers.making.rebasing import Conflict

_SHOWN_COUNT = 20


@command(
    "rebase",
    examples=[
        "winlayers rebase app:1 --new-base nanoserver:patched -t app:2",
        "winlayers rebase docker://a.example/app:1 --old-base docker://a.example/base:1 "
        "--new-base docker://a.example/base:2 -t docker://a.example/app:2",
    ],
)
@click.argument("image", shell_complete=complete_image)
@make_options
@click.option(
    "--new-base",
    required=True,
    metavar="IMAGE",
    shell_complete=complete_image,
    help="What the own layers shall stand on.",
)
@click.option(
    "--old-base",
    metavar="IMAGE",
    shell_complete=complete_image,
    help="What they stand on; without, what the image says itself, or the image of the store that has its first layers.",
)
@click.option(
    "--base-platform",
    metavar="PLATFORM",
    help="Which image of an index the new base is (default: what fits the image).",
)
@click.option(
    "--force", is_flag=True, help="Make it in spite of conflicts, where Windows could take it."
)
@registry_options
@json_option
@pass_session
def run(
    session: Session,
    image: str,
    *,
    options: MakeOptions,
    new_base: str,
    old_base: str | None,
    base_platform: str | None,
    force: bool,
    registry: RegistryOptions,
) -> None:
    """Make NEW of IMAGE, its own layers on another base of the same build or a newer one, and print its digest.

    The own layers keep their digests. Settings that are as in the old base become those of the new one. What does not
    fit, or may not, is told; where Windows would not take it, or the registry would be of two builds, it is refused.
    """
    name, new_name = parse_image_name(image), parse_image_name(new_base)
    known = [one for one in (options.name, old_base and parse_image_name(old_base)) if one]
    check_credentials(registry, name, new_name, *known)
    with ExitStack() as stack:
        own = stack.enter_context(opened_base(session, name, registry))
        new = stack.enter_context(
            opened_base(session, new_name, registry, like=own, platform=base_platform)
        )
        if old_base:
            old_name = parse_image_name(old_base)
        else:
            old_name = _old_base_of(session, own, (new_name, new.manifest.digest))
        check_credentials(registry, name, new_name, old_name, *known)
        old = stack.enter_context(opened_base(session, old_name, registry, like=own))
        tables = [stack.enter_context(opened_tables(session, one)) for one in (own, new)]
        made = _rebased(
            session, own, old, new, tables, base_name=_name_of_base(new_name), force=force
        )
        keep_image(session, made, options, registry, own.source)


def _rebased(
    session: Session,
    own: BaseImage,
    old: BaseImage,
    new: BaseImage,
    tables: Sequence[Sequence[LayerTable]],
    *,
    base_name: str,
    force: bool,
) -> MadeImage:
    from winlayers.layer.merge import MergedView
    from winlayers.making.rebasing import RebaseViews, rebase_image

    own_tables, new_tables = tables
    own_count = max(len(own.layers) - len(old.layers), 0)
    views = RebaseViews(
        own_tables[:own_count], MergedView(own_tables[own_count:]), MergedView(new_tables)
    )
    conflicts = _Conflicts(session)
    try:
        return rebase_image(
            own,
            old,
            new,
            views,
            now_seconds=read_clock(session).now_ns // 1_000_000_000,
            created_by=f"winlayers rebase --new-base {base_name}".rstrip(),
            base_name=base_name,
            force=force,
            on_conflict=conflicts.add,
        )
    finally:
        conflicts.tell()


class _Conflicts:
    """What does not fit, told at the end: the refused first, then the others, and not without end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._found: list[Conflict] = []
        self._count = 0

    def add(self, conflict: Conflict) -> None:
        self._count += 1
        if len(self._found) < _SHOWN_COUNT or self._session.verbosity or conflict.kind.is_refused:
            self._found.append(conflict)

    def tell(self) -> None:
        found = sorted(self._found, key=lambda one: not one.kind.is_refused)
        shown = found if self._session.verbosity else found[:_SHOWN_COUNT]
        for conflict in shown:
            self._session.note(f"{'error' if conflict.kind.is_refused else 'note'} {conflict}")
        if (more := self._count - len(shown)) > 0:
            self._session.note(f"and {more} more; -v shows them")


def _old_base_of(
    session: Session, image: BaseImage, new_base: tuple[ImageName, Digest]
) -> ImageName:
    """What an image stands on: as it says itself, else as the store knows."""
    from winlayers.making.rebasing import BASE_DIGEST, BASE_NAME

    told = image.manifest.annotations
    digest, name = told.get(BASE_DIGEST, ""), told.get(BASE_NAME, "")
    if digest and _is_stored(session, digest):
        return ImageName(STORE, digest)
    found = find_old_base(session, image.config.diff_ids[:-1], new_base, "--old-base")
    if found is not None:
        return found
    if digest and name:
        return _told_base(session, name, digest)
    raise InvalidArgument(
        f"{image.source.name} does not say what it was made of, and the store has no image with its first layers; "
        "name it by --old-base"
    )


def _told_base(session: Session, name: str, digest: str) -> ImageName:
    """The base that an image says it has, in the registry that it names."""
    from winlayers.oci.reference import Reference

    try:
        place = str(Reference.parse(f"{Reference.parse(name).name}@{digest}"))
    except InvalidReference as error:
        error.add_note("It is what the image says of its base; --old-base names another.")
        raise
    session.note(f"it says that it stands on docker://{place}; --old-base names another")
    return ImageName("docker", place)


def _is_stored(session: Session, digest: str) -> bool:
    """Whether the store has a document; what is no digest it does not have."""
    if not session.has_images:
        return False
    try:
        session.open_images().resolve(digest)
    except (ImageNotFound, InvalidReference):
        return False
    return True


def _name_of_base(name: ImageName) -> str:
    """What the annotation of the new image says, by which others find the base; a name that is ours alone is none."""
    from winlayers.oci.reference import DEFAULT_HOST, Reference

    if name.transport == "docker":
        return str(Reference.parse(name.place).with_default_tag())
    if name.transport != STORE or "/" not in name.place:
        return ""
    reference = Reference.parse(name.place).with_default_tag()
    return "" if reference.host == DEFAULT_HOST else str(reference)
