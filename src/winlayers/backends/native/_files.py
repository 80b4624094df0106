"""The content of files in the folder of a layer, read by position.

Of four files Windows changes the content when it has taken a layer; what they were is in copies in the same folder,
which are read in their place (``layer.names.MUTATED_FILES``). A file is opened below the folder, with the privilege to
go past access checks, and stays open for as long as its reader; any thread may read. Which files a layer has, and what
is in them, is not known here.
Source: ReadFile and OVERLAPPED of the Win32 documentation.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from winlayers.backends.native import _folder
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import BACKUP, Access, open_file, privileges
from winlayers.backends.native._placing import find_below
from winlayers.backends.native._structures import FileStandardInfo, Overlapped
from winlayers.base.fileobj import BLOCK_SIZE, SizedReader
from winlayers.errors import Corrupt, WindowsCallFailed
from winlayers.layer.names import MUTATED_FILES

_STANDARD_INFO = 1
_END_OF_FILE = 38


class LayerFiles:
    """The files of a layer; nothing is open but what ``open`` gives.

    Args:
        api: the libraries.
        folder: of the layer.
    """

    def __init__(self, api: Libraries, folder: Path) -> None:
        self._api = api
        self._folder = folder

    def open(self, path: str, stream: str = "") -> BinaryIO:
        """The data of a file, or one of its alternate streams, as it came with the layer.

        Args:
            path: in the layer, with ``/``; of a reparse point itself.
            stream: bare name of the stream, or "" for the data.
        Returns:
            A reader that can seek; the caller closes it.
        Raises:
            InvalidArgument: the path leads out of the layer.
            InvalidName: no stream can be called so.
            PrivilegeMissing: the account may not make backups.
            WindowsCallFailed: there is no such file (code 2 or 3), a link is on the way, or it does not open.
        """
        with ExitStack() as stack:
            with (
                privileges(self._api, BACKUP),
                open_file(
                    *(self._api, self._folder, Access.GENERIC_READ), share=_folder.SHARE_ALL
                ) as folder,
            ):
                handle = stack.enter_context(
                    _folder.open_below(
                        *(self._api, folder, self._place(folder, path), Access.GENERIC_READ),
                        options=_folder.OPEN_LINK,
                        stream=stream,
                    )
                )
            known = FileStandardInfo()
            size = ctypes.sizeof(known)
            self._api.call(
                "GetFileInformationByHandleEx", handle, _STANDARD_INFO, ctypes.byref(known), size
            )
            return HandleReader(self._api, handle, known.end_of_file, stack.pop_all())

    def _place(self, folder: int, path: str) -> str:
        """Where a file is as it came with the layer; some layers of old have no copies."""
        copy = MUTATED_FILES.get(path)
        return copy if copy and find_below(self._api, folder, copy) is not None else path


class HandleReader(SizedReader):
    """An open file of Windows, read by position; closing it closes the file.

    Args:
        api: the libraries.
        handle: open for reading.
        size: of the file in bytes; more of it is not read.
        opened: closes the handle.
    """

    def __init__(self, api: Libraries, handle: int, size: int, opened: ExitStack) -> None:
        super().__init__(size)
        self._api = api
        self._handle = handle
        self._opened = opened

    def read_at(self, position: int, size: int) -> bytes:
        """Read without moving.

        Args:
            position: bytes from the start.
            size: bytes; the file must hold them.
        Returns:
            Exactly ``size`` bytes.
        Raises:
            Corrupt: the file has become shorter.
            WindowsCallFailed: Windows fails to read.
        """
        if self.closed:
            raise ValueError("read of a closed file")
        parts = []
        end = position + size
        while position < end:
            parts.append(self._read_block(position, min(end - position, BLOCK_SIZE)))
            position += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            super().close()
            self._opened.close()

    def _read_block(self, position: int, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        got = ctypes.c_uint32()
        place = Overlapped(offset=position & 0xFFFFFFFF, offset_high=position >> 32)
        try:
            self._api.call(
                "ReadFile", self._handle, buffer, size, ctypes.byref(got), ctypes.byref(place)
            )
        except WindowsCallFailed as error:
            if error.code != _END_OF_FILE:
                raise
        if not got.value:
            raise Corrupt(f"a file ends at byte {position} of the {self.size} that it had")
        return bytes(memoryview(buffer)[: got.value])
