"""Reads layers of a ``windowsfilter`` folder of Docker on Windows, for ``store attach`` and for TARGETs."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from winlayers.base.progress import Cancel, Progress
from winlayers.driver.attached import AttachedLayer
from winlayers.layer.backuptar import BackupTarWriter
from winlayers.layer.baselayer import BaseLayerReader
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import LayerSummary
from winlayers.layer.findings import Finding
from winlayers.layer.ntfsfolder import NtfsFolder, spool

LOST = (
    "it is a plain copy, which does not tell what NTFS has: security, attributes, times of creation, links, "
    "alternate streams and extended attributes are lost. A disk mounted with ntfs-3g "
    "-o ro,streams_interface=windows,noatime has them"
)


def write_attached(
    layer: AttachedLayer,
    target: BinaryIO,
    *,
    note: Callable[[str], None],
    report: Callable[[Finding], None],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> LayerSummary:
    """Write the tar of a base layer, in the full dialect.

    Args:
        layer: which.
        target: where to.
        note: called with a sentence if the folder is a plain copy.
        report: called with what is left out.
        progress: told the bytes of content.
        cancel: asked before each file and each block of content.
    Returns:
        What was written.
    Raises:
        Unsupported: it is no base layer, or has files that cannot be read here.
        Malformed, OSError: the folder cannot be read.
    """
    layer.check_readable()
    with NtfsFolder(layer.folder, report=report) as folder:
        if not folder.has_metadata:
            note(f"{layer.folder}: {LOST}")
        reader = BaseLayerReader(folder, spool=spool, report=report)
        try:
            return copy_entries(reader, BackupTarWriter(target), progress=progress, cancel=cancel)
        finally:
            reader.close()
