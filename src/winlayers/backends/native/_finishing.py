"""What is done to a layer at last, whatever it was made of: times of folders, and its utility VM.

The time of a folder changes with what is made and removed in it, so it is set when all of that is done. Windows makes
disks of a utility VM, and rewrites its boot configuration: it must be the layer's own.
Source: microsoft/hcsshim internal/wclayer/baselayerwriter.go and legacy.go (Close).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from winlayers.backends.native import _folder, _hcs
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._placing import explained
from winlayers.errors import Malformed
from winlayers.formats.filetime import BasicInfo
from winlayers.layer.names import FILES, UTILITY_VM

UTILITY_FILES = f"{UTILITY_VM}/{FILES}"
"""What of a utility VM there is more than the name of its folder."""


def set_folder_times(
    api: Libraries, layer: int, directories: Sequence[tuple[str, BasicInfo]]
) -> None:
    """Give folders their times and attributes again.

    Args:
        api: the libraries.
        layer: handle of the folder of the layer.
        directories: paths in it, children first.
    Raises:
        Malformed: one has gone, or a link is where a folder should be.
    """
    for path, info in directories:
        with explained(path):
            _folder.set_info_below(api, layer, path, info)


def process_utility_vm(api: Libraries, layer: int, folder: Path) -> None:
    """Have Windows make what it needs of the utility VM of a layer.

    Args:
        api: the libraries.
        layer: handle of the folder of the layer.
        folder: the same folder.
    Raises:
        Malformed: it is a link: Windows would write to where that leads.
        WindowsCallFailed: Windows fails.
    """
    if not _folder.is_plain_folder(_folder.info_below(api, layer, UTILITY_VM)):
        reason = "a link or a file is where a folder should be"
        raise Malformed("layer folder", reason, entry=UTILITY_VM, finding="parent-not-directory")
    _hcs.process_utility_vm(api, str(folder / UTILITY_VM))
