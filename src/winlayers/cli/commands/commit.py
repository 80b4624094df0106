"""``winlayers commit``: an image of what a scratch changed, or of layers."""

from __future__ import annotations

import platform as machine_platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import click

from winlayers.base.fileobj import BLOCK_SIZE, write_all
from winlayers.cli.copyrun import jobs_option, wanted_platform
from winlayers.cli.imagenames import check_credentials, complete_image, parse_image_name
from winlayers.cli.makerun import (
    MakeOptions,
    author_option,
    change_option,
    compression_option,
    dry_run_option,
    keep_image,
    message_option,
    opened_base,
    opened_workbench,
    parse_destination,
    read_clock,
)
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.progress import shown
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session
from winlayers.cli.storedbase import find_stored_base
from winlayers.cli.target import complete_target, resolve_layer
from winlayers.errors import DigestMismatch, InvalidArgument, Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from winlayers.base.digest import Digest
    from winlayers.driver.driver import Driver
    from winlayers.layer.merge import LayerTable
    from winlayers.making.image import BaseImage, ImageLayer, MadeImage
    from winlayers.making.newlayer import Workbench
    from winlayers.making.settings import Edits
    from winlayers.oci.platform import Platform

_CREATED_BY = "winlayers commit"


@command(
    "commit",
    examples=[
        "winlayers commit work app:2 -m 'settings of the site'",
        "winlayers commit work docker://localhost:5000/app:2 -c 'CMD [\"run.exe\"]'",
        "winlayers commit app2 app:2 --image oci:images:base",
        "winlayers commit app2 app:2 --no-base --platform windows/amd64:10.0.20348.2113",
    ],
)
@click.argument("layer_id", metavar="LAYER", shell_complete=complete_target)
@click.argument("new", metavar="NEW", default="", shell_complete=complete_image)
@click.option(
    "--image",
    metavar="BASE",
    shell_complete=complete_image,
    help="The image that LAYER stands on; without, the one of the store that does.",
)
@click.option(
    "--no-base",
    is_flag=True,
    help="An image of LAYER and all that it stands on, for --platform; its build is that of the registry.",
)
@compression_option
@author_option
@message_option
@change_option
@dry_run_option
@jobs_option
@registry_options
@json_option
@pass_session
def run(
    session: Session,
    layer_id: str,
    new: str,
    *,
    image: str | None,
    no_base: bool,
    compression: str,
    author: str,
    message: str,
    changes: tuple[str, ...],
    dry_run: bool,
    jobs: int,
    registry: RegistryOptions,
) -> None:
    """Make image NEW of LAYER, a scratch or a layer, on the image that it stands on, and print its digest.

    Layers between LAYER and that image go with it. NEW has the settings of the image; -c changes them. The scratch
    stays as it is, and may be changed and committed again.
    """
    from winlayers.making.instructions import parse_changes

    if image and no_base:
        raise InvalidArgument("--image and --no-base: only one of them")
    options = MakeOptions(parse_destination(new, dry_run=dry_run), jobs)
    edits = parse_changes(changes)
    now_seconds = read_clock(session).now_ns // 1_000_000_000
    driver = session.open_store()
    chain = _Chain.of(driver, resolve_layer(session, driver, layer_id))
    with ExitStack() as stack:
        base = None
        if not no_base:
            base = stack.enter_context(_opened_base(session, chain, image, options, registry))
        workbench = stack.enter_context(opened_workbench(session, compression))
        maker = _Maker(session, driver, workbench, author, message, edits, now_seconds)
        made = maker.on_base(chain, base) if base else maker.without_base(chain)
        keep_image(session, made, options, registry, base.source if base else None)


@dataclass(frozen=True, slots=True)
class _Chain:
    """A layer and what it stands on, the base layer first.

    Attributes:
        layer_ids: of all of them.
        diff_ids: of those that do not change: all but the last one, where that is a scratch.
    """

    layer_ids: tuple[str, ...]
    diff_ids: tuple[Digest, ...]

    @classmethod
    def of(cls, driver: Driver, layer_id: str) -> _Chain:
        """That of a layer.

        Raises:
            InvalidArgument: it was created, and holds nothing.
            Unsupported: the digest of one of the layers is not known.
        """
        layer_ids = (*reversed(driver.chain(layer_id).layer_ids), layer_id)
        kind = driver.usage(layer_id).kind
        if kind not in ("scratch", "sealed"):
            raise InvalidArgument(f"layer {layer_id} was created and holds nothing yet")
        sealed = layer_ids[:-1] if kind == "scratch" else layer_ids
        return cls(layer_ids, tuple(_diff_id_of(driver, one) for one in sealed))

    @property
    def below(self) -> tuple[Digest, ...]:
        """Diff IDs of what the last layer stands on."""
        return self.diff_ids[: len(self.layer_ids) - 1]


def _diff_id_of(driver: Driver, layer_id: str) -> Digest:
    from winlayers.base.digest import Digest

    diff_id = driver.usage(layer_id).summary.diff_id
    if not diff_id:
        raise Unsupported(f"nothing tells the diff ID of layer {layer_id}, so no image can have it")
    return Digest.parse(diff_id)


@contextmanager
def _opened_base(
    session: Session,
    chain: _Chain,
    image: str | None,
    options: MakeOptions,
    registry: RegistryOptions,
) -> Iterator[BaseImage]:
    """The image that layers stand on."""
    layer_id = chain.layer_ids[-1]
    name = parse_image_name(image) if image else find_stored_base(session, chain.below, "--image")
    if name is None:
        raise InvalidArgument(
            f"the store has no image that layer {layer_id} stands on; name one by --image, or say --no-base to have "
            "an image of the layers alone"
        )
    check_credentials(registry, name, *([options.name] if options.name else []))
    with opened_base(session, name, registry) as base:
        count = len(base.config.diff_ids)
        if count > len(chain.below) or base.config.diff_ids != chain.below[:count]:
            raise InvalidArgument(
                f"layer {layer_id} does not stand on the layers of {base.source.name}"
            )
        yield base


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes an image of layers of the store; see ``making.adding.add_layer`` for what is told."""

    session: Session
    driver: Driver
    workbench: Workbench
    author: str
    comment: str
    edits: Edits
    now_seconds: int

    def on_base(self, chain: _Chain, base: BaseImage) -> MadeImage:
        """The layers that an image does not have yet, on it."""
        from winlayers.making.adding import add_layer

        first = len(base.layers)
        made, present = None, base
        for number in range(first, len(chain.layer_ids)):
            made = add_layer(
                present,
                self._layer(chain, number, base.manifest.media_type),
                now_seconds=self.now_seconds,
                created_by=_CREATED_BY,
                author=self.author,
                comment=self.comment,
                edits=self.edits if number == len(chain.layer_ids) - 1 else None,
            )
            present = made.as_base()
        assert made is not None, "no layer"
        return made

    def without_base(self, chain: _Chain) -> MadeImage:
        """All layers, as an image of their own."""
        from winlayers.making.newimage import new_image
        from winlayers.oci import mediatypes

        platform = self._platform(chain)
        layers = [
            self._layer(chain, number, mediatypes.OCI_MANIFEST)
            for number in range(len(chain.layer_ids))
        ]
        return new_image(
            [(layer, _CREATED_BY) for layer in layers],
            platform,
            now_seconds=self.now_seconds,
            author=self.author,
            comment=self.comment,
            edits=self.edits,
        )

    def _layer(self, chain: _Chain, number: int, family: str) -> ImageLayer:
        """One of the layers, for a manifest of a family.

        Raises:
            DigestMismatch: it is not what was imported.
        """
        layer_id = chain.layer_ids[number]

        def write(target: BinaryIO) -> None:
            with self.driver.diff(layer_id) as tar:
                while block := tar.read(BLOCK_SIZE):
                    self.session.cancel.check()
                    write_all(target, memoryview(block))
                    progress.advance(len(block))

        with shown(self.session.progress, f"committing {layer_id}", None) as progress:
            layer = self.workbench.layer_of_tar(write, family=family)
        for known in chain.diff_ids[number : number + 1]:
            if layer.diff_id != known:
                raise DigestMismatch(
                    f"layer {layer_id}", expected=str(known), actual=str(layer.diff_id)
                )
        return layer

    def _platform(self, chain: _Chain) -> Platform:
        """That of ``--platform``, with the build that the registry of the layers tells where it names none."""
        from winlayers.layer.merge import MergedView
        from winlayers.layer.osbuild import read_os_build
        from winlayers.oci.platform import default_platform

        platform = wanted_platform(self.session) or default_platform(machine_platform.machine())
        if platform.os_version or platform.os != "windows":
            return platform
        tables: Sequence[LayerTable] = ()
        with ExitStack() as stack:
            if chain.diff_ids:
                # The view of a scratch has no tables; its registry is that of what it stands on.
                top = self.driver.view(chain.layer_ids[len(chain.diff_ids) - 1])
                stack.callback(top.close)
                tables = top.tables if isinstance(top, MergedView) else ()
            build = read_os_build(tables, has_base=True)
        if build is None:
            raise InvalidArgument(
                "the registry of the layers does not tell which build of Windows they are of; say "
                f"--platform {platform}:10.0.BUILD.REVISION"
            )
        return replace(platform, os_version=build.version)
