"""Reads layers of a data root of Docker on Windows, for ``store attach`` and for TARGETs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import BinaryIO

from winlayers.base.fileobj import write_all
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.driver.attached import AttachedLayer
from winlayers.layer.backuptar import BackupTarWriter
from winlayers.layer.baselayer import BaseLayerReader
from winlayers.layer.copying import copy_entries
from winlayers.layer.dockerlayerdb import RecordedTar, open_recorded
from winlayers.layer.findings import Finding
from winlayers.layer.ntfsfolder import NtfsFolder, spool

LOST = (
    "it is a plain copy, which does not tell what NTFS has: security, attributes, times of creation, links, "
    "alternate streams and extended attributes are lost. A disk mounted with ntfs-3g "
    "-o ro,streams_interface=windows,noatime has them"
)
_BLOCK_SIZE = 1 << 20


def write_attached(
    layer: AttachedLayer,
    target: BinaryIO,
    *,
    note: Callable[[str], None],
    report: Callable[[Finding], None],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Write the tar of a layer: the one that Docker recorded, else that of a base layer in the full dialect.

    Args:
        layer: which.
        target: where to.
        note: called with a sentence if something is lost because the folder is a plain copy.
        report: called with what is left out.
        progress: told the bytes as they are written.
        cancel: asked before each file or block of content.
    Raises:
        Unsupported: it cannot be read, or has files that cannot be read here.
        DigestMismatch: the content of a file is not what Docker recorded.
        Malformed, OSError: the folder, or the record, cannot be read.
    """
    layer.check_readable()
    with NtfsFolder(layer.folder, report=report) as folder:
        if layer.frame is not None:
            _write_recorded(
                layer.frame, folder, target, progress or NullProgress(), cancel or Cancel()
            )
            return
        if not folder.has_metadata:
            note(f"{layer.folder}: {LOST}")
        with closing(BaseLayerReader(folder, spool=spool, report=report)) as reader:
            copy_entries(reader, BackupTarWriter(target), progress=progress, cancel=cancel)


def _write_recorded(
    recorded: RecordedTar,
    folder: NtfsFolder,
    target: BinaryIO,
    progress: Progress,
    cancel: Cancel,
) -> None:
    progress.start("copying", None)
    try:
        with open_recorded(recorded, folder.open_body) as tar:
            while block := tar.read(_BLOCK_SIZE):
                cancel.check()
                write_all(target, memoryview(block))
                progress.advance(len(block))
    finally:
        progress.finish()
