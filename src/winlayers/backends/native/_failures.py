"""What the numbers of Windows mean: which are failures, and which code to compare.

A call tells of failure in one of these ways; ``Convention`` has one for each function:

    HRESULT    negative; a Win32 code is in the low half where the rest is 0x8007, or 0xC007 or 0xD007
    BOOL       zero, and the code is the last error of the thread; BOOLEAN: the same in one byte
    HANDLE     NULL or -1, and the last error
    COUNT      zero, and the last error; otherwise how much there is
    NTSTATUS   anything but zero; ntdll has the table that makes Win32 codes of them
    WIN32      anything but zero, and that is the code
    VALUE      never

This module calls nothing: whoever makes the calls looks up the text and the code of a status.
Source: "Structure of COM Error Codes" and "Last-Error Code" of the Win32 documentation; the codes of compute
systems as the published callers of vmcompute list them.
"""

from __future__ import annotations

import ctypes
from enum import Enum

from winlayers.errors import WindowsCallFailed

ACCESS_DENIED = 5
SHARING_VIOLATION = 32
PROC_NOT_FOUND = 127
NOT_ALL_ASSIGNED = 1300
ELEMENT_NOT_FOUND = 0x490

PENDING = 0xC0370103
INVALID_STATE = 0xC0370105
UNEXPECTED_EXIT = 0xC0370106
SYSTEM_NOT_FOUND = 0xC037010E
ALREADY_STOPPED = frozenset({0xC0370110, 0x80370110})
PROCESS_ALREADY_STOPPED = 0x8037011F

_TEXTS = {
    PENDING: "the operation goes on in the background",
    INVALID_STATE: "the compute system is in a state that does not allow this",
    UNEXPECTED_EXIT: "the compute system ended unexpectedly",
    SYSTEM_NOT_FOUND: "there is no such compute system",
    **dict.fromkeys(ALREADY_STOPPED, "the compute system has stopped already"),
    PROCESS_ALREADY_STOPPED: "the process has stopped already",
}

_INVALID_HANDLE = ctypes.c_void_p(-1).value
_WRAPS_WIN32 = 0x00070000
# Without the bit of those made of a status of the kernel, as a Win32 code may have come through one.
_FACILITY = 0x0FFF0000


class Convention(Enum):
    """How a function tells that it failed."""

    HRESULT = "HRESULT"
    BOOL = "BOOL"
    BOOLEAN = "BOOLEAN"
    HANDLE = "HANDLE"
    COUNT = "COUNT"
    NTSTATUS = "NTSTATUS"
    WIN32 = "WIN32"
    VALUE = "VALUE"

    @property
    def restype(self) -> type[ctypes._SimpleCData[int]] | type[ctypes.c_void_p]:
        """The type that the function returns."""
        return _RESTYPES[self]

    @property
    def leaves_last_error(self) -> bool:
        """Whether the code of a failure is the last error of the thread."""
        return self in _LAST_ERROR

    def failed(self, value: int | None) -> bool:
        """Whether what a function returned means that it failed.

        Args:
            value: as ctypes gives it; None for NULL.
        """
        match self:
            case Convention.VALUE:
                return False
            case Convention.HRESULT:
                return value is not None and value < 0
            case Convention.HANDLE:
                return value in (None, _INVALID_HANDLE)
            case Convention.NTSTATUS | Convention.WIN32:
                return value != 0
            case _:
                return not value


_RESTYPES: dict[Convention, type[ctypes._SimpleCData[int]] | type[ctypes.c_void_p]] = {
    Convention.HRESULT: ctypes.c_int32,
    Convention.BOOL: ctypes.c_int32,
    Convention.BOOLEAN: ctypes.c_uint8,
    Convention.HANDLE: ctypes.c_void_p,
    Convention.COUNT: ctypes.c_uint32,
    Convention.NTSTATUS: ctypes.c_int32,
    Convention.WIN32: ctypes.c_uint32,
    Convention.VALUE: ctypes.c_void_p,
}
_LAST_ERROR = frozenset({Convention.BOOL, Convention.BOOLEAN, Convention.HANDLE, Convention.COUNT})


def unsigned(value: int) -> int:
    """A number of 32 bits without its sign."""
    return value & 0xFFFFFFFF


def fold_hresult(value: int) -> int:
    """The code to compare: a Win32 code where an HRESULT wraps one, otherwise all of it, unsigned."""
    return value & 0xFFFF if value & _FACILITY == _WRAPS_WIN32 else unsigned(value)


def known_text(code: int) -> str | None:
    """What is known of a code without Windows: only those of compute systems."""
    return _TEXTS.get(code)


def with_events(error: WindowsCallFailed, events: tuple[str, ...]) -> WindowsCallFailed:
    """The same failure, with what the service told of it."""
    return WindowsCallFailed(
        call=error.call, raw=error.raw, code=error.code, text=error.text, events=events
    )
