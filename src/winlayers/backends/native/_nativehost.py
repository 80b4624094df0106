"""A base layer as it lies on a disk of Windows: found by handles, read as backup streams.

``open_base_folder`` gives a ``BaseFolder``. It holds the privilege to go past access checks for as long as it is open,
so it is used in the thread that opened it. What of a layer is taken, and in which order, is not known here.
Source: GetFileInformationByHandleEx of the Win32 documentation.
"""

from __future__ import annotations

import ctypes
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from winlayers.backends.native import _folder
from winlayers.backends.native._backup import BackupReader, reading_backup
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import BACKUP, Access, Share, open_file, privileges
from winlayers.backends.native._structures import FileIdInfo, FileStandardInfo
from winlayers.base.fileobj import BLOCK_SIZE, RawReader, read_into
from winlayers.errors import WindowsCallFailed
from winlayers.formats.backupstream import BackupReader as BackupStream
from winlayers.formats.backupstream import BackupWriter, PartId
from winlayers.layer.baselayer import BaseFolder, FoundFile
from winlayers.layer.names import MUTATED_FILES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_DATA = frozenset({PartId.DATA, PartId.SPARSE_BLOCK})
_STANDARD_INFO = 1
_ID_INFO = 18


@contextmanager
def open_base_folder(api: Libraries, path: str | os.PathLike[str]) -> Iterator[BaseFolder]:
    """Open the folder of a base layer for reading, in this thread.

    Args:
        api: the libraries.
        path: of the folder.
    Raises:
        PrivilegeMissing: the account may not make backups.
        WindowsCallFailed: it does not open.
    """
    with privileges(api, BACKUP), open_file(api, path, Access.GENERIC_READ) as handle:
        yield NativeBaseFolder(api, handle)


class NativeBaseFolder:
    """The folder of a base layer; see ``layer.baselayer.BaseFolder``."""

    def __init__(self, api: Libraries, handle: int) -> None:
        self._api = api
        self._handle = handle

    def find(self, path: str) -> FoundFile | None:
        """The file at a path, no link followed.

        Raises:
            InvalidArgument: the path leads out of the layer.
            WindowsCallFailed: a link is on the way, or Windows does not tell of the file.
        """
        access, link = _folder.READ_ATTRIBUTES, _folder.OPEN_LINK
        try:
            with _folder.open_below(self._api, self._handle, path, access, options=link) as handle:
                return self._describe(path, handle)
        except WindowsCallFailed as error:
            if error.code in _folder.NOT_FOUND:
                return None
            raise

    def list(self, path: str) -> Sequence[FoundFile]:
        """What is in a folder; what is removed meanwhile is left out."""
        read, kind = Access.GENERIC_READ, _folder.FOLDER_ONLY
        with _folder.open_below(self._api, self._handle, path, read, options=kind) as handle:
            names = _folder.list_folder(self._api, handle)
        found = (self.find(f"{path}/{name}") for name in names)
        return [one for one in found if one is not None]

    def open_backup(self, path: str) -> BinaryIO:
        """The backup stream of a file, with its descriptor; the caller closes it.

        Of a file that Windows has changed since the layer was made, the data is what it came with.
        """
        came = self._as_it_came(path)
        if not came:
            return self._open_backup(path)
        target = io.BytesIO()
        with self._open_backup(path) as now, self._open_backup(came) as before:
            writer = BackupWriter(target)
            _copy_parts(now, writer, is_data=False)
            _copy_parts(before, writer, is_data=True)
            writer.close()
        target.seek(0)
        return target

    def _as_it_came(self, path: str) -> str:
        """The copy of a file as it came with the layer, or ""; some layers of old have none."""
        came = MUTATED_FILES.get(path, "")
        return came if came and self.find(came) is not None else ""

    def _open_backup(self, path: str) -> BinaryIO:
        with ExitStack() as stack:
            handle = stack.enter_context(
                _folder.open_below(
                    *(self._api, self._handle, path, Access.GENERIC_READ),
                    share=Share.READ,
                    options=_folder.OPEN_LINK,
                )
            )
            reader = stack.enter_context(reading_backup(self._api, handle))
            return _OwnedBackup(reader, stack.pop_all())

    def _describe(self, path: str, handle: int) -> FoundFile:
        info = _folder.read_info(self._api, handle)
        known = FileStandardInfo()
        self._ask(handle, _STANDARD_INFO, known)
        link_id = None
        if known.number_of_links > 1 and not known.directory:
            identity = FileIdInfo()
            self._ask(handle, _ID_INFO, identity)
            link_id = int.from_bytes(bytes(identity), "little")
        size = 0 if known.directory else known.end_of_file
        if came := self._as_it_came(path):
            before = self.find(came)
            size = size if before is None else before.size
        return FoundFile(
            path,
            info,
            size=size,
            is_entered=_folder.is_plain_folder(info),
            link_id=link_id,
        )

    def _ask(self, handle: int, which: int, into: ctypes.Structure) -> None:
        size = ctypes.sizeof(into)
        self._api.call("GetFileInformationByHandleEx", handle, which, ctypes.byref(into), size)


def _copy_parts(source: BinaryIO, target: BackupWriter, *, is_data: bool) -> None:
    """Copy those parts of a backup stream that are the data of the file, or the others."""
    reader = BackupStream(source)
    for header in reader:
        if (header.id in _DATA) == is_data:
            target.header(header)
            while block := reader.read(BLOCK_SIZE):
                target.write(block)


class _OwnedBackup(RawReader):
    """A backup stream that closes its file too."""

    def __init__(self, reader: BackupReader, opened: ExitStack) -> None:
        self._reader = reader
        self._opened = opened

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on; see ``BackupReader``."""
        return self._reader.read(size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer."""
        return read_into(self, buffer)

    def close(self) -> None:
        """Free the context and close the file."""
        super().close()
        self._opened.close()
