"""Text to and from the calls of Windows: 16-bit units, a NUL at the end.

``ctypes`` has types for wide text, but their units are 4 bytes long outside of Windows; here they are always 2.
Names may hold halves of surrogate pairs and keep them. A NUL inside would cut the text silently, so it is refused.
Text that a call allocates belongs to the caller, who frees it: ``owned_text`` does, whatever happens.
Source: "Working with Strings" and CoTaskMemFree of the Win32 documentation.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from winlayers.errors import InvalidArgument, TooLarge
from winlayers.formats.text16 import utf16_decode, utf16_encode

MAX_UNITS = 1 << 24
"""The longest text that is read, in units; that of a service with thousands of systems is far below."""

_UNIT = ctypes.sizeof(ctypes.c_uint16)


class WideText:
    """Type of a parameter that takes NUL-terminated text: an array that ``build_wide`` made, or None."""

    @classmethod
    def from_param(cls, value: ctypes.Array[ctypes.c_uint16] | None) -> object:
        """What ctypes hands over."""
        if value is not None and getattr(value, "_type_", None) is not ctypes.c_uint16:
            raise TypeError(f"wide text is made by build_wide, not {type(value).__name__}")
        return value


def build_wide(text: str) -> ctypes.Array[ctypes.c_uint16]:
    """Text as a call takes it; the caller keeps the array for as long as the call needs it.

    Raises:
        InvalidArgument: a NUL in the text.
    """
    if "\0" in text:
        raise InvalidArgument(
            f"{text[:80]!r} holds a NUL, which ends every text that Windows takes"
        )
    data = utf16_encode(text) + b"\0\0"
    return (ctypes.c_uint16 * (len(data) // _UNIT)).from_buffer_copy(data)


def read_wide(address: int, limit: int = MAX_UNITS) -> str:
    """Text out of memory, up to its NUL.

    Args:
        address: where it starts.
        limit: how many units may be read, the NUL not counted.
    Raises:
        TooLarge: no NUL after ``limit`` units.
    """
    units = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint16))
    count = 0
    while units[count]:
        count += 1
        if count > limit:
            raise TooLarge(f"text of Windows is longer than {limit} units")
    return utf16_decode(ctypes.string_at(address, count * _UNIT))


def read_units(buffer: ctypes.Array[ctypes.c_uint16]) -> str:
    """The text at the start of a buffer, up to a NUL or the end."""
    data = bytes(buffer)
    ends = (at for at in range(0, len(data), _UNIT) if data[at : at + _UNIT] == b"\0\0")
    return utf16_decode(data[: next(ends, len(data))])


class OwnedText:
    """Where a call puts the address of text that it has allocated.

    Attributes:
        address: NULL until the call sets it, which it may do even where it fails.
    """

    __slots__ = ("address",)

    def __init__(self) -> None:
        self.address = ctypes.c_void_p()

    def read(self) -> str:
        """The text; empty where the call gave none."""
        return read_wide(self.address.value) if self.address.value else ""


@contextmanager
def owned_text(free: Callable[[ctypes.c_void_p], object]) -> Iterator[OwnedText]:
    """A place for text that the callee allocates, which is freed at the end.

    Args:
        free: what frees it; not called where nothing was set.
    """
    text = OwnedText()
    try:
        yield text
    finally:
        if text.address.value:
            free(text.address)
