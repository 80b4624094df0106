"""Backup streams of open files: all that NTFS keeps of one, read by BackupRead and written by BackupWrite.

Windows keeps where it is in a *context*, which begins as NULL, is made by the first call and is freed by a last one
that says *abort*, also after an error. A context belongs to the thread that began it, as the privilege to go past
access checks does; calls of another thread are refused. What is in a stream is not known here.
Source: BackupRead and BackupWrite of the Win32 documentation.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import BACKUP, RESTORE, SECURITY, privileges
from winlayers.base.fileobj import BLOCK_SIZE, RawReader, RawWriter, read_into
from winlayers.errors import InvalidArgument, RemoteFailure, WinlayersError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


@contextmanager
def reading_backup(api: Libraries, handle: int, *, security: bool = True) -> Iterator[BackupReader]:
    """Read the backup stream of an open file or folder, in this thread.

    Args:
        api: the libraries.
        handle: open for reading; it stays open.
        security: whether the stream has the security descriptor.
    Raises:
        PrivilegeMissing: the account may not make backups.
        InvalidArgument: an outer ``privileges`` does not hold what reading takes.
        WindowsCallFailed: the context cannot be freed, and nothing had failed before.
    """
    with privileges(api, BACKUP):
        reader = BackupReader(_Context(api, "BackupRead", handle, security))
        with _ending(reader):
            yield reader


@contextmanager
def writing_backup(api: Libraries, handle: int, *, security: bool = True) -> Iterator[BackupWriter]:
    """Write the backup stream of an open file or folder, in this thread.

    Args:
        api: the libraries.
        handle: open for writing; it stays open. With ``security`` it needs WRITE_DAC, WRITE_OWNER and
            ACCESS_SYSTEM_SECURITY too.
        security: whether a security descriptor in the stream is applied.
    Raises:
        PrivilegeMissing: the account may not restore.
        InvalidArgument: an outer ``privileges`` does not hold what writing takes.
        WindowsCallFailed: the context cannot be freed, and nothing had failed before.
    """
    with privileges(api, RESTORE, *((SECURITY,) if security else ())):
        writer = BackupWriter(_Context(api, "BackupWrite", handle, security))
        with _ending(writer):
            yield writer


class _Context:
    """One context of Windows: begun by the first transfer, freed once."""

    def __init__(self, api: Libraries, call: str, handle: int, security: bool) -> None:
        self._api = api
        self._call = call
        self._handle = handle
        self._security = security
        self._context = ctypes.c_void_p()
        self._thread = threading.get_ident()

    def transfer(self, buffer: ctypes.Array[ctypes.c_char] | bytes, size: int) -> int:
        """One call for ``size`` bytes; how many it took or gave."""
        self._check_thread()
        moved = ctypes.c_uint32()
        self._api.call(
            self._call,
            *(self._handle, buffer, size, ctypes.byref(moved)),
            *(False, self._security, ctypes.byref(self._context)),
        )
        return moved.value

    def end(self) -> None:
        """Free the context, where there is one; whatever Windows says, it is not freed again."""
        self._check_thread()
        if not self._context.value:
            return
        context, self._context = self._context, ctypes.c_void_p()
        moved = ctypes.c_uint32()
        self._api.call(
            self._call,
            *(self._handle, None, 0, ctypes.byref(moved)),
            *(True, self._security, ctypes.byref(context)),
        )

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise InvalidArgument(f"{self._call} goes on in the thread that began it only")


class BackupReader(RawReader):
    """A backup stream as a file object; ``reading_backup`` makes it."""

    def __init__(self, context: _Context) -> None:
        self._context = context
        self._buffer = ctypes.create_string_buffer(BLOCK_SIZE)
        self._at_end = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, at most 1 MiB at once unless all is asked for.

        Raises:
            WindowsCallFailed: Windows fails to read.
            InvalidArgument: this is not the thread that began.
        """
        if size is None or size < 0:
            return self.readall()
        if self.closed:
            raise ValueError("read of a closed backup stream")
        wanted = min(size, BLOCK_SIZE)
        if not wanted or self._at_end:
            return b""
        got = self._context.transfer(self._buffer, wanted)
        self._at_end = not got
        return bytes(memoryview(self._buffer)[:got])

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)

    def close(self) -> None:
        """Free the context."""
        if not self.closed:
            self._context.end()
        super().close()


class BackupWriter(RawWriter):
    """A backup stream that is applied to a file as it is written; ``writing_backup`` makes it."""

    def __init__(self, context: _Context) -> None:
        self._context = context

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it.

        Returns:
            How many bytes that are.
        Raises:
            WindowsCallFailed: Windows fails to write, or finds no backup stream in it.
            RemoteFailure: Windows took a part and did not fail.
            InvalidArgument: this is not the thread that began.
        """
        if self.closed:
            raise ValueError("write to a closed backup stream")
        with memoryview(data) as view, view.cast("B") as flat:
            for start in range(0, len(flat), BLOCK_SIZE):
                block = bytes(flat[start : start + BLOCK_SIZE])
                taken = self._context.transfer(block, len(block))
                if taken < len(block):
                    raise RemoteFailure(f"BackupWrite took {taken} of {len(block)} bytes")
            return len(flat)

    def close(self) -> None:
        """Free the context."""
        if not self.closed:
            self._context.end()
        super().close()


@contextmanager
def _ending(stream: BackupReader | BackupWriter) -> Iterator[None]:
    """Close a stream at the end; failing to never hides the failure before it."""
    try:
        yield
    except BaseException as error:
        try:
            stream.close()
        except WinlayersError as second:
            error.add_note(f"the backup context was not freed: {second}")
        raise
    stream.close()
