"""Extended attributes: the list of small named values that NTFS keeps beside a file.

The list is a chain of FILE_FULL_EA_INFORMATION entries, little-endian:

    0   u32  offset of the next entry from the start of this one; 0 ends the list
    4   u8   flags (0x80 = the file means nothing to who does not know this attribute)
    5   u8   name size in bytes
    6   u16  value size in bytes
    8        name, one NUL byte, value, padding to 4 bytes

This module does not know what any attribute means, and keeps names as bytes: NTFS does not say in which
code page they are. What it accepts is what the original accepts, except that entries may not lie over
each other so much that a small list would swell to many times its size.
Source: MS-FSCC 2.4.15; leniency and padding checked against vectors in tests/vectors/data/ea.json.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.cursor import Builder, Cursor

NEED_EA = 0x80
"""The flag of an attribute without which the file cannot be understood."""

MAX_NAME_SIZE = 255
MAX_VALUE_SIZE = 65535

_STRUCTURE = "extended attribute list"
_INVALID = "invalid extended attribute buffer"
_HEADER_SIZE = 8


@dataclass(frozen=True, slots=True)
class ExtendedAttribute:
    """One extended attribute.

    Attributes:
        name: up to 255 bytes; upper-case ASCII on Windows, anything in a tar.
        value: up to 65535 bytes.
        flags: 8 bits; ``NEED_EA`` is the only one known.
    """

    name: bytes
    value: bytes
    flags: int = 0


def parse_ea_list(data: bytes) -> list[ExtendedAttribute]:
    """All attributes of a list, in its order.

    Args:
        data: the whole list; may be empty. What follows the last entry is ignored.
    Returns:
        The attributes; a name may occur twice.
    Raises:
        Malformed: an entry, its name or value, or the offset of the next entry reaches past the end, or
            the entries overlap so that they hold more than twice the size of the list.
    """
    attributes: list[ExtendedAttribute] = []
    # Entries may point into themselves, so a hostile list of n bytes could hold n values of 64 KiB.
    budget = 2 * len(data)
    at = 0
    while at < len(data):
        attribute, next_offset = _parse_entry(data, at)
        budget -= _HEADER_SIZE + len(attribute.name) + 1 + len(attribute.value)
        if budget < 0:
            raise Malformed(_STRUCTURE, "entries lie over each other", offset=at)
        attributes.append(attribute)
        if next_offset == 0:
            break
        at += next_offset
    return attributes


def build_ea_list(eas: Iterable[ExtendedAttribute]) -> bytes:
    """The list of the attributes, in the order given.

    Args:
        eas: the attributes.
    Returns:
        The list, every entry padded to 4 bytes, the last one too, as the original does; empty for none.
    Raises:
        InvalidArgument: a name, a value or flags too large for their field.
    """
    entries = [_build_entry(attribute) for attribute in eas]
    data = bytearray()
    for entry in entries[:-1]:
        data += len(entry).to_bytes(4, "little") + entry[4:]
    return bytes(data) + (entries[-1] if entries else b"")


def _parse_entry(data: bytes, at: int) -> tuple[ExtendedAttribute, int]:
    """The entry at ``at``, and the offset from there to the next (0: none)."""
    size_left = len(data) - at
    if size_left < _HEADER_SIZE:
        raise Malformed(_STRUCTURE, _INVALID, offset=at)
    cursor = Cursor(data, _STRUCTURE, at=at)
    next_offset, flags, name_size, value_size = cursor.u32(), cursor.u8(), cursor.u8(), cursor.u16()
    if _HEADER_SIZE + name_size + 1 + value_size > size_left or next_offset > size_left:
        raise Malformed(_STRUCTURE, _INVALID, offset=at)
    name = cursor.take(name_size)
    cursor.take(1)
    return ExtendedAttribute(name, cursor.take(value_size), flags), next_offset


def _build_entry(attribute: ExtendedAttribute) -> bytes:
    """One padded entry, as the last of its list."""
    if len(attribute.name) > MAX_NAME_SIZE:
        raise InvalidArgument("extended attribute name too large")
    if len(attribute.value) > MAX_VALUE_SIZE:
        raise InvalidArgument("extended attribute value too large")
    entry = Builder("extended attribute")
    entry.u32(0)
    entry.u8(attribute.flags, "flags")
    entry.u8(len(attribute.name))
    entry.u16(len(attribute.value))
    entry.put(attribute.name + b"\0" + attribute.value)
    entry.pad(4)
    return entry.build()
