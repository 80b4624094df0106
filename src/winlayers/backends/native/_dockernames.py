"""The layers that images and containers of Docker name, in its layer database beside ``windowsfilter``.

    ROOT/image/windowsfilter/layerdb/sha256/<hex>/cache-id        folder of a layer of an image
    ROOT/image/windowsfilter/layerdb/mounts/<container>/mount-id  folder of a container's scratch
    ROOT/image/windowsfilter/layerdb/mounts/<container>/init-id   folder of the layer below it, where there is one

The database is only read, and no link in it is followed. This module refuses to know what a layer is.

Source: moby/moby layer/filestore.go.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from winlayers.base.rooted import Parts, Root

_DATABASE: Parts = ("image", "windowsfilter", "layerdb")
_LAYERS: Parts = (*_DATABASE, "sha256")
_MOUNTS: Parts = (*_DATABASE, "mounts")
# Ids of folders have 64 characters, and a few more at their end.
_VALUE_LIMIT = 512


@dataclass(frozen=True, slots=True)
class DockerNames:
    """What Docker names.

    Attributes:
        layers: folders of layers of images, and of what lies below containers.
        scratches: folders of the scratches of containers.
    """

    layers: frozenset[str]
    scratches: frozenset[str]


def read_docker_names(root: Path) -> DockerNames | None:
    """What Docker names; None where it has no such database.

    Args:
        root: folder that ``windowsfilter`` and ``image`` are in.
    Raises:
        InvalidName: a link stands where a folder or file should be.
        OSError: something cannot be read.
    """
    with Root(root) as opened:
        if not opened.exists(_LAYERS):
            return None
        return DockerNames(
            frozenset(
                (*_values(opened, _LAYERS, "cache-id"), *_values(opened, _MOUNTS, "init-id"))
            ),
            frozenset(_values(opened, _MOUNTS, "mount-id")),
        )


def _values(root: Root, place: Parts, key: str) -> Iterator[str]:
    """The content of the files of one name, each in a folder of its own."""
    if not root.exists(place):
        return
    for name in root.list(place):
        folder = (*place, name)
        # What has no such file is half-made or half-removed.
        if stat.S_ISDIR(root.stat(folder).st_mode) and root.exists((*folder, key)):
            with root.open_file((*folder, key)) as file:
                yield file.read(_VALUE_LIMIT).decode("utf-8", "surrogateescape").strip()
