"""Layers of Windows as tars and as entries: from the ledger where there is one, else as Windows gives them.

Source: moby/moby daemon/graphdriver/windows/windows.go (Diff, exportLayer); microsoft/hcsshim
internal/wclayer/baselayerreader.go and legacy.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from winlayers.backends import tarcopy
from winlayers.backends.native import _generations, _scratches
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._files import LayerFiles
from winlayers.backends.native._ledger import Ledger
from winlayers.backends.native._nativehost import open_base_folder
from winlayers.backends.native._transporthost import NativeHost
from winlayers.backends.sealed.building import IndexBuilder, index_tar
from winlayers.backends.sealed.packed import SealedTable
from winlayers.backends.sealed.staging import Staging
from winlayers.base.digest import Digest
from winlayers.base.fileobj import RawReader, read_into
from winlayers.base.pipe import reader_of
from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
from winlayers.layer.baselayer import BaseLayerReader
from winlayers.layer.copying import copy_entries
from winlayers.layer.dockerlayerdb import RecordedTar, open_recorded
from winlayers.layer.entry import EntryReader
from winlayers.layer.framedtar import open_framed_tar
from winlayers.layer.names import split_tar_name
from winlayers.layer.streamnames import TYPE_SUFFIX
from winlayers.layer.transport import TransportReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PACK = "layer.tar"
_INDEX = "index.db"


def export_tar(layer_id: str, ledger: Ledger, files: LayerFiles, opened: ExitStack) -> BinaryIO:
    """The tar that was imported.

    Args:
        layer_id: the layer, for messages.
        ledger: its ledger.
        files: its files.
        opened: closed with the tar, or by a failure here.
    Returns:
        The tar; reading it raises DigestMismatch where a file is not what it was.
    """
    try:
        frame = opened.enter_context(ledger.frame.open("rb"))
        tar = open_framed_tar(
            frame,
            body_opener(files),
            diff_id=Digest.parse(ledger.record.diff_id),
            what=f"layer {layer_id}",
        )
    except BaseException:
        opened.close()
        raise
    return _OwnedTar(tar, opened)


def body_opener(files: LayerFiles) -> Callable[[bytes], BinaryIO]:
    """Opens files of a layer by their names in its tar."""

    def open_body(name: bytes) -> BinaryIO:
        path, _, stream = "/".join(split_tar_name(name)).partition(":")
        return files.open(path, stream.removesuffix(TYPE_SUFFIX))

    return open_body


def read_folder(
    api: Libraries,
    folder: Path,
    parents: Sequence[Path],
    files: LayerFiles,
    recorded: RecordedTar | None,
    work: Path,
    opened: ExitStack,
) -> BinaryIO:
    """The tar of a sealed layer that has no ledger.

    Args:
        api: the libraries.
        folder: of the layer.
        parents: folders of its parents, nearest first.
        files: its files.
        recorded: what Docker recorded of its tar, or None: then the tar is made of what Windows gives.
        work: a folder to be made, for the transport form.
        opened: what is opened for it is closed with it.
    """
    if recorded is not None:
        return opened.enter_context(open_recorded(recorded, body_opener(files)))
    if not parents:
        return opened.enter_context(closing(_base_tar(api, folder)))
    work.mkdir()
    _generations.export_layer(api, str(folder), str(work), list(map(str, parents)), writable=False)
    reader = TransportReader(work, host=opened.enter_context(NativeHost(api)))
    return opened.enter_context(closing(tarcopy.export_tar(reader)))


def _base_tar(api: Libraries, folder: Path) -> BinaryIO:
    """The tar of a base layer, made of its files as it is read."""

    def write(target: BinaryIO) -> None:
        # In the thread that reads: the privilege to read all files is one thread's.
        with open_base_folder(api, folder) as opened, closing(BaseLayerReader(opened)) as reader:
            copy_entries(reader, BackupTarWriter(target))

    return reader_of(write)


def read_scratch(
    api: Libraries, folder: Path, parents: Sequence[Path], staging: Staging, *, is_mounted: bool
) -> EntryReader:
    """What a scratch changes, as Windows exports it.

    Args:
        api: the libraries.
        folder: of the scratch.
        parents: folders of its parents, nearest first.
        staging: where to export to; removed when the reader is closed.
        is_mounted: it is, and will be again when this returns.
    """
    with ExitStack() as stack:
        work = stack.enter_context(staging).path
        with _scratches.exporting(api, folder, parents, is_mounted=is_mounted) as path:
            _generations.export_layer(api, path, str(work), list(map(str, parents)), writable=True)
        host = stack.enter_context(NativeHost(api))
        return _StagedReader(work, host, stack.pop_all())


class _StagedReader(TransportReader):
    """Reads a transport folder that is removed afterwards."""

    def __init__(self, work: Path, host: NativeHost, staged: ExitStack) -> None:
        super().__init__(work, host=host)
        self._staged = staged

    def close(self) -> None:
        super().close()
        self._staged.close()


class TarEntries(BackupTarReader):
    """The entries of a tar, which is closed with them.

    Args:
        tar: of a layer that is in the store, so that names pass that passed there.
        is_base: the layer has no parents.
    """

    def __init__(self, tar: BinaryIO, *, is_base: bool) -> None:
        super().__init__(tar, base=is_base, lenient_names=True)
        self._owned = tar

    def close(self) -> None:
        self._owned.close()


class SpooledTable(SealedTable):
    """Entries that were read once, as a table for the merged view; kept in a staging folder meanwhile.

    Args:
        layer_id: given to its nodes.
        reader: closed here.
        staging: removed with the table.
    """

    def __init__(self, layer_id: str, reader: EntryReader, staging: Staging) -> None:
        with ExitStack() as stack:
            stack.callback(reader.close)
            folder = stack.enter_context(staging).path
            pack, index = folder / _PACK, folder / _INDEX
            with open(pack, "xb") as target:
                copy_entries(reader, BackupTarWriter(target))
            with (
                open(pack, "rb") as tar,
                closing(
                    IndexBuilder(index, is_base=False, report=lambda finding: None, tolerant=True)
                ) as builder,
            ):
                index_tar(tar, builder, lambda target: True)
                builder.commit({})
            super().__init__(layer_id, index, pack)
            self._staged = stack.pop_all()

    def close(self) -> None:
        super().close()
        self._staged.close()


class _OwnedTar(RawReader):
    """A tar, and what is held open for it."""

    def __init__(self, tar: BinaryIO, opened: ExitStack) -> None:
        self._tar = tar
        self._opened = opened

    def read(self, size: int | None = -1, /) -> bytes:
        return self._tar.read(-1 if size is None else size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return read_into(self, buffer)

    def close(self) -> None:
        super().close()
        self._opened.close()
