"""A data root of Docker on Windows as it is left there, on a disk that is mounted elsewhere.

    ROOT/windowsfilter/<id>/layerchain.json   folders of the parents by their paths on Windows; see ``driver.metadata``
    ROOT/windowsfilter/<id>/layerID           optional: another id
    ROOT/windowsfilter/<id>/Files/            of a layer of an image
    ROOT/windowsfilter/<id>/sandbox.vhdx      of a container: the disk that it writes to
    ROOT/windowsfilter/<id>-removing/         on its way out; not listed
    ROOT/image/windowsfilter/layerdb/         what Docker recorded of the tars; see ``layer.dockerlayerdb``

Where Docker has recorded the tar of a layer, it is made again, whatever the layer stands on. Otherwise only a base
layer can be read, whose files lie in its folder as they are. Of a layer with parents nobody has documented what lies
there: files that it shares with its parents are known to be kept as reparse points of a driver, and nothing says how.
So such layers are listed, and refused to be read. Nothing is ever written.

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
from winlayers.layer.dockerlayerdb import LayerDatabase, RecordedTar
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
        recorded: what Docker recorded of its tar, or None.
    """

    layer_id: str
    folder: Path
    chain: Chain
    kind: str
    other_id: str | None = None
    recorded: RecordedTar | None = None

    @property
    def frame(self) -> RecordedTar | None:
        """The record that its tar can be made of, if there is one."""
        return self.recorded if self.recorded is not None and self.recorded.has_frame else None

    def check_readable(self) -> None:
        """Refuse what is not understood.

        Raises:
            Unsupported: it is of a container, or has parents and its tar was not recorded.
        """
        if self.kind == "base" or (self.kind != "scratch" and self.frame is not None):
            return
        record = (
            "has no record of it beside the folder" if self.recorded is None else "has not kept it"
        )
        reason = {
            "layer": "it stands on parents, and how Windows keeps such a layer on disk is not documented; its "
            f"tar could be made again, but Docker's layer database {record}",
            "scratch": f"it is of a container, whose files are in the disk {_SCRATCH_DISK}",
            "unknown": f"there is no folder {FILES} in it",
        }[self.kind]
        raise Unsupported(
            f"layer {self.layer_id} cannot be read here: {reason}; export it on Windows"
        )


class AttachedRoot:
    """The layers of a data root.

    Args:
        root: the data root, or the folder ``windowsfilter`` in it.

    Attributes:
        folder: the one with a folder for each layer.
    """

    def __init__(self, root: Path) -> None:
        """Look what Docker recorded.

        Raises:
            InvalidName: a link stands in the way to the layer database.
            OSError: a folder cannot be read.
        """
        below = root / LAYERS
        self.folder = below if below.is_dir() else root
        self._database = LayerDatabase(self.folder.resolve().parent)

    def ids(self) -> Iterator[str]:
        """The ids of all layers, sorted.

        Raises:
            OSError: the folder cannot be read.
        """
        with os.scandir(self.folder) as found:
            names = [one.name for one in found if one.is_dir(follow_symlinks=False)]
        for name in sorted(names):
            if not name.endswith(REMOVING):
                yield name

    def layer(self, layer_id: str) -> AttachedLayer:
        """One layer.

        Args:
            layer_id: name of its folder.
        Raises:
            LayerNotFound: there is no such folder.
            StoreCorrupt: its chain, or its other id, cannot be read.
            Malformed: what Docker recorded of it cannot be read.
        """
        folder = self.folder / layer_id
        if not folder.is_dir():
            raise LayerNotFound(f"there is no layer {layer_id!r} in {self.folder}")
        chain = read_layer_chain(folder)
        other_id = read_layer_id(folder)
        names = (layer_id,) if other_id is None else (layer_id, other_id)
        return AttachedLayer(
            layer_id, folder, chain, _kind(folder, chain), other_id, self._database.find(*names)
        )


def is_attached(folder: Path) -> bool:
    """Whether the folder of a layer is as Windows makes it, and not one of our stores."""
    return (folder / FILES).is_dir() or (folder / _SCRATCH_DISK).is_file()


def _kind(folder: Path, chain: Chain) -> str:
    if (folder / _SCRATCH_DISK).is_file():
        return "scratch"
    if not (folder / FILES).is_dir():
        return "unknown"
    return "layer" if len(chain) else "base"
