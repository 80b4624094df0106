"""A ``windowsfilter`` folder as Docker on Windows leaves it, on a disk that is mounted elsewhere.

    ROOT/<id>/layerchain.json   folders of the parents by their paths on Windows; see ``driver.metadata``
    ROOT/<id>/layerID           optional: another id
    ROOT/<id>/Files/            of a layer of an image
    ROOT/<id>/sandbox.vhdx      of a container: the disk that it writes to
    ROOT/<id>-removing/         on its way out; not listed

Of a base layer the files lie in its folder as they are, and are read. Of a layer with parents nobody has
documented what lies there: files that it shares with its parents are known to be kept as reparse points of a
driver, and nothing says how. So such layers are listed, and refused to be read. Nothing is ever written.

Source: moby/moby daemon/graphdriver/windows/windows.go; microsoft/hcsshim
internal/wclayer/baselayerreader.go and legacy.go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from winlayers.driver.metadata import REMOVING, read_layer_chain, read_layer_id
from winlayers.errors import LayerNotFound, Unsupported
from winlayers.layer.chain import Chain
from winlayers.layer.names import FILES

LAYERS = "windowsfilter"
_SCRATCH_DISK = "sandbox.vhdx"


@dataclass(frozen=True, slots=True)
class AttachedLayer:
    """A layer of Docker on Windows.

    Attributes:
        layer_id: name of its folder.
        folder: where it is now.
        chain: ids of its parents, nearest first.
        kind: ``base``, ``layer`` (it has parents), ``scratch`` (of a container) or ``unknown``: there are
            no files in it.
        other_id: what ``layerID`` says, or None.
    """

    layer_id: str
    folder: Path
    chain: Chain
    kind: str
    other_id: str | None = None

    def check_readable(self) -> None:
        """Refuse what is not understood.

        Raises:
            Unsupported: it is no base layer.
        """
        if self.kind == "base":
            return
        reason = {
            "layer": "it stands on parents, and how Windows keeps such a layer on disk is not documented",
            "scratch": f"it is of a container, whose files are in the disk {_SCRATCH_DISK}",
            "unknown": f"there is no folder {FILES} in it",
        }[self.kind]
        raise Unsupported(
            f"layer {self.layer_id} cannot be read here: {reason}; export it on Windows"
        )


def layers_folder(root: Path) -> Path:
    """The folder with a folder for each layer: ``root``, or ``windowsfilter`` in it."""
    below = root / LAYERS
    return below if below.is_dir() else root


def is_attached(folder: Path) -> bool:
    """Whether the folder of a layer is as Windows makes it, and not one of our stores."""
    return (folder / FILES).is_dir() or (folder / _SCRATCH_DISK).is_file()


def attached_layer(root: Path, layer_id: str) -> AttachedLayer:
    """One layer.

    Args:
        root: see ``layers_folder``.
        layer_id: name of its folder.
    Raises:
        LayerNotFound: there is no such folder.
        StoreCorrupt: its chain, or its other id, cannot be read.
    """
    folder = layers_folder(root) / layer_id
    if not folder.is_dir():
        raise LayerNotFound(f"there is no layer {layer_id!r} in {folder.parent}")
    chain = read_layer_chain(folder)
    return AttachedLayer(layer_id, folder, chain, _kind(folder, chain), read_layer_id(folder))


def attached_ids(root: Path) -> Iterator[str]:
    """The ids of all layers, sorted.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(layers_folder(root)) as found:
        names = [one.name for one in found if one.is_dir(follow_symlinks=False)]
    for name in sorted(names):
        if not name.endswith(REMOVING):
            yield name


def _kind(folder: Path, chain: Chain) -> str:
    if (folder / _SCRATCH_DISK).is_file():
        return "scratch"
    if not (folder / FILES).is_dir():
        return "unknown"
    return "layer" if len(chain) else "base"
