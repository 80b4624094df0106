"""An image that a command reads the documents of: opened, chosen, told, and its config read."""

from __future__ import annotations

import platform as machine_platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from winlayers.cli.copyrun import note_choice, wanted_platform
from winlayers.cli.hostbuild import host_build
from winlayers.cli.imagenames import open_source, parse_image_name
from winlayers.cli.session import Session

if TYPE_CHECKING:
    from winlayers.cli.registryoptions import RegistryOptions
    from winlayers.oci.endpoint import ImageSource
    from winlayers.oci.model import Descriptor, ImageConfig
    from winlayers.transfer.selecting import Selected


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image whose layers were not touched.

    Attributes:
        source: where it is; open.
        top: what its name leads to.
        selected: the manifest.
    """

    source: ImageSource
    top: Descriptor
    selected: Selected

    def config(self) -> ImageConfig:
        """The config of the image."""
        from winlayers.transfer.checked import read_config

        return read_config(self.source, self.selected.manifest)

    @property
    def others(self) -> list[Descriptor]:
        """The other manifests of the index."""
        choice = self.selected.choice
        if choice is None:
            return []
        return [*choice.descriptors[1:], *(one.descriptor for one in choice.left)]


@contextmanager
def open_image(session: Session, text: str, registry: RegistryOptions) -> Iterator[OpenImage]:
    """Open an image, and tell which one of an index was taken.

    Args:
        session: whose store and environment are used.
        text: its name, as it was typed.
        registry: how registries are spoken with.
    """
    from winlayers.transfer.selecting import select_image

    with open_source(session, parse_image_name(text), registry) as source:
        wanted = wanted_platform(session)
        selected = select_image(
            source, wanted, host_build=host_build(), machine=machine_platform.machine()
        )
        note_choice(session, selected.choice)
        yield OpenImage(source, source.resolve(), selected)
