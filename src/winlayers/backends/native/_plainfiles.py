"""The content of files in the folder of a layer of Windows, read by plain calls, where there is no Windows.

Alternate streams are opened as ``file:stream``, as ntfs-3g shows them with ``streams_interface=windows``; a copy of the
folder on another file system has none. Of files that Windows changes the copies are read, see ``_files``. No link is
followed. Which files a layer has is not known here.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol, cast

from winlayers.base.rooted import Root
from winlayers.layer.names import MUTATED_FILES


class OpensFiles(Protocol):
    """Whatever opens the files of a layer; see ``_files.LayerFiles``."""

    def open(self, path: str, stream: str = "") -> BinaryIO:
        """The data of a file, or one of its alternate streams, as it came with the layer."""


class PlainFiles:
    """The files of a layer.

    Args:
        folder: of the layer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, path: str, stream: str = "") -> BinaryIO:
        """The data of a file, or one of its alternate streams, as it came with the layer.

        Raises:
            InvalidName: the path leads out of the layer, or to no regular file.
            FileNotFoundError: there is none.
        """
        parts = tuple(MUTATED_FILES.get(path, path).split("/"))
        if stream:
            parts = (*parts[:-1], f"{parts[-1]}:{stream}")
        with Root(self._folder) as root:
            return cast("BinaryIO", root.open_file(parts))
