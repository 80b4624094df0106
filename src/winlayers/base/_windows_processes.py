"""When a process of Windows started, asked of kernel32.

The creation time counts 100 ns and stays to the end of the process, so with the number it names the process
for good. One that has ended is still there while somebody holds a handle to it; its exit code tells. Loaded
on Windows only; what is made of the answers is tested everywhere.
Source: OpenProcess, GetProcessTimes, GetExitCodeProcess, CloseHandle and "Process Security and Access
Rights" of the Win32 documentation.
"""

from __future__ import annotations

import sys
from typing import Protocol

_QUERY_LIMITED_INFORMATION = 0x1000
_STILL_ACTIVE = 259
_ERROR_INVALID_PARAMETER = 87


class ProcessCalls(Protocol):
    """The calls that are needed. Where Windows refuses one, it raises the OSError of ``winerror``."""

    def open_process(self, access: int, pid: int) -> int:
        """A handle, to be closed by the caller."""

    def exit_code(self, handle: int) -> int:
        """With what the process ended; 259 while it runs."""

    def creation_filetime(self, handle: int) -> int:
        """When the process started."""

    def close(self, handle: int) -> None:
        """Close a handle."""


def start_of_process(pid: int, calls: ProcessCalls) -> str | None:
    """When a process started, as text that is good for comparing only.

    Args:
        pid: the number of the process.
        calls: those of the system.
    Returns:
        The text; None where no such process runs.
    Raises:
        PermissionError: it runs, but this user is told no more.
        OSError: Windows fails otherwise.
    """
    try:
        handle = calls.open_process(_QUERY_LIMITED_INFORMATION, pid)
    except OSError as error:
        if getattr(error, "winerror", None) == _ERROR_INVALID_PARAMETER:
            return None  # nobody has the number
        raise
    try:
        if calls.exit_code(handle) != _STILL_ACTIVE:
            return None
        return str(calls.creation_filetime(handle))
    finally:
        calls.close(handle)


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class Kernel32:
        """The calls of the system."""

        def __init__(self) -> None:
            library = ctypes.WinDLL("kernel32", use_last_error=True)
            times = ctypes.POINTER(wintypes.FILETIME)
            self._open = library.OpenProcess
            self._open.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
            self._open.restype = wintypes.HANDLE
            self._exit_code = library.GetExitCodeProcess
            self._exit_code.argtypes = (wintypes.HANDLE, ctypes.POINTER(wintypes.DWORD))
            self._exit_code.restype = wintypes.BOOL
            self._times = library.GetProcessTimes
            self._times.argtypes = (wintypes.HANDLE, times, times, times, times)
            self._times.restype = wintypes.BOOL
            self._close = library.CloseHandle
            self._close.argtypes = (wintypes.HANDLE,)
            self._close.restype = wintypes.BOOL

        def open_process(self, access: int, pid: int) -> int:
            handle: int | None = self._open(access, False, pid)
            if not handle:
                raise ctypes.WinError(ctypes.get_last_error())
            return handle

        def exit_code(self, handle: int) -> int:
            code = wintypes.DWORD()
            if not self._exit_code(handle, ctypes.byref(code)):
                raise ctypes.WinError(ctypes.get_last_error())
            return code.value

        def creation_filetime(self, handle: int) -> int:
            creation, end, kernel, user = (wintypes.FILETIME() for _ in range(4))
            places = map(ctypes.byref, (creation, end, kernel, user))
            if not self._times(handle, *places):
                raise ctypes.WinError(ctypes.get_last_error())
            return creation.dwHighDateTime << 32 | creation.dwLowDateTime

        def close(self, handle: int) -> None:
            if not self._close(handle):
                raise ctypes.WinError(ctypes.get_last_error())
