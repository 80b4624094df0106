"""Resource attributes (claims): named values in a SACL, by which central policies tell files apart.

    0   u32  offset of the name
    4   u16  type of the values: 1 int64, 2 uint64, 3 text, 5 SID, 6 boolean, 16 bytes
    6   u16  0
    8   u32  flags
    12  u32  count of values
    16       u32 offset of each value

Offsets count from the start. Names and texts are UTF-16LE with a final NUL, numbers and booleans 8 bytes, bytes
and SIDs a u32 size and then the bytes. Windows puts the name behind the offsets and then the values in their
order, without alignment; the whole is padded to a multiple of 4. In SDDL:

    ("name",TI|TU|TS|TD|TB|TX,flags,value,...)       ("Secrecy",TU,0x0,3)   ("Project",TS,0x0,"A","B")

This module knows nothing of ACEs and gives no meaning to names.
Source: MS-DTYP 2.4.10.1 and 2.5.1.1; the order of the parts as published from Windows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from winlayers.errors import UnknownFeature
from winlayers.formats.cursor import Builder, Cursor
from winlayers.formats.sddl_tokens import (
    PREFIXED_NAME,
    Scanner,
    decode_name,
    encode_name,
    format_sid,
    quote,
)
from winlayers.formats.sids import Sid

STRUCTURE = "resource attribute"
HEADER_SIZE = 16

_NAME = re.compile(rf'"((?:[{PREFIXED_NAME}%]|[^\x00-\x7f])+)"')
_NAME_CHARACTER = re.compile(rf"[{PREFIXED_NAME}]")
_TYPE = re.compile(r"T[A-Z]")
_FLAGS = re.compile(r"0[xX]([0-9a-fA-F]{1,8})|0(?![0-9A-Za-z])")
_BOOLEAN = re.compile(r"[01]")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One type of value: how it is read and written in both forms."""

    text: str
    code: int
    parse: Callable[[Scanner], bytes]
    format: Callable[[Cursor], str]


def parse_claim(scanner: Scanner) -> bytes:
    """Read a resource attribute, with the parentheses around it.

    Args:
        scanner: moved to behind the closing parenthesis.
    Returns:
        The binary form as Windows lays it out, padded to a multiple of 4.
    Raises:
        Malformed: not of the form above, or a number out of range.
    """
    scanner.expect("(")
    found = scanner.match(_NAME)
    if found is None:
        raise scanner.malformed("name of a resource attribute in quotes expected")
    name = decode_name(scanner, found[1], found.start()) + b"\0\0"
    scanner.expect(",")
    kind = _parse_kind(scanner)
    scanner.expect(",")
    flags = scanner.match(_FLAGS)
    if flags is None:
        raise scanner.malformed("flags of a resource attribute expected")
    values = []
    while scanner.take(","):
        values.append(kind.parse(scanner))
    scanner.expect(")")
    return _build(name, kind, int(flags[1] or "0", 16), values)


def _parse_kind(scanner: Scanner) -> _Kind:
    found = scanner.match(_TYPE)
    if found is None or found[0] not in _KIND_OF_TEXT:
        raise scanner.malformed("type of a resource attribute expected (TI, TU, TS, TD, TB, TX)")
    return _KIND_OF_TEXT[found[0]]


def _build(name: bytes, kind: _Kind, flags: int, values: list[bytes]) -> bytes:
    builder = Builder(STRUCTURE)
    offset = HEADER_SIZE + 4 * len(values)
    builder.u32(offset)
    builder.u16(kind.code)
    builder.u16(0)
    builder.u32(flags)
    builder.u32(len(values))
    offset += len(name)
    for value in values:
        builder.u32(offset)
        offset += len(value)
    builder.put(name)
    builder.put(b"".join(values))
    builder.pad(4)
    return builder.build()


def format_claim(data: bytes) -> str:
    """Write a resource attribute as SDDL, with parentheses.

    Args:
        data: the binary form; its parts may be in any order, but may not share bytes.
    Returns:
        The text.
    Raises:
        Malformed: an offset or size outside of ``data``, or parts that add up to more than it.
        UnknownFeature: a type of value, or text, that SDDL has no form for.
    """
    cursor = Cursor(data, STRUCTURE)
    name_offset = cursor.u32("name offset")
    code = cursor.u16("value type")
    cursor.u16("padding")
    flags = cursor.u32("flags")
    count = cursor.u32("value count")
    if 4 * count > cursor.remaining:
        raise cursor.malformed(f"{count} values do not fit")
    offsets = [cursor.u32("value offset") for _ in range(count)]
    kind = _KIND_OF_CODE.get(code)
    if kind is None:
        raise UnknownFeature(f"a resource attribute of type {code:#x} has no SDDL form")
    cursor.seek(name_offset)
    name = encode_name(_take_text(cursor), _NAME_CHARACTER)
    budget = len(data) - (cursor.at - name_offset)
    values = []
    for offset in offsets:
        cursor.seek(offset)
        values.append(kind.format(cursor))
        budget -= cursor.at - offset
        if budget < 0:  # else a small attribute could point at the same text again and again
            raise cursor.malformed("values share their bytes", at=offset)
    fields = (f'"{name}"', kind.text, f"{flags:#x}", *values)
    return f"({','.join(fields)})"


def _take_text(cursor: Cursor) -> bytes:
    """UTF-16LE up to a NUL, which is passed over."""
    units = []
    while (unit := cursor.take(2, "text")) != b"\0\0":
        units.append(unit)
    return b"".join(units)


def _parse_number(scanner: Scanner, low: int, high: int) -> int:
    number = scanner.integer(low, high)
    if number is None:
        raise scanner.malformed("number expected")
    return number.value


def _parse_signed(scanner: Scanner) -> bytes:
    return _parse_number(scanner, -1 << 63, (1 << 63) - 1).to_bytes(8, "little", signed=True)


def _format_signed(cursor: Cursor) -> str:
    return str(int.from_bytes(cursor.take(8, "number"), "little", signed=True))


def _parse_unsigned(scanner: Scanner) -> bytes:
    return _parse_number(scanner, 0, (1 << 64) - 1).to_bytes(8, "little")


def _format_unsigned(cursor: Cursor) -> str:
    return str(cursor.u64("number"))


def _parse_boolean(scanner: Scanner) -> bytes:
    found = scanner.match(_BOOLEAN)
    if found is None:
        raise scanner.malformed("0 or 1 expected")
    return int(found[0]).to_bytes(8, "little")


def _format_boolean(cursor: Cursor) -> str:
    value = cursor.u64("boolean")
    if value > 1:
        raise UnknownFeature(f"a boolean of {value} has no SDDL form")
    return str(value)


def _parse_text(scanner: Scanner) -> bytes:
    text = scanner.text()
    if text is None:
        raise scanner.malformed("text in quotes expected")
    return text + b"\0\0"


def _format_text(cursor: Cursor) -> str:
    return quote(_take_text(cursor), STRUCTURE)


def _with_size(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _parse_sid(scanner: Scanner) -> bytes:
    if not scanner.take("SID("):
        return _with_size(scanner.sid().build())
    sid = scanner.sid()
    scanner.expect(")")
    return _with_size(sid.build())


def _format_sid(cursor: Cursor) -> str:
    return format_sid(Sid.parse(cursor.take(cursor.u32("SID size"), "SID")))


def _parse_octets(scanner: Scanner) -> bytes:
    return _with_size(scanner.octets())


def _format_octets(cursor: Cursor) -> str:
    return cursor.take(cursor.u32("size of bytes"), "bytes").hex() or "#"


_KINDS = (
    _Kind("TI", 0x01, _parse_signed, _format_signed),
    _Kind("TU", 0x02, _parse_unsigned, _format_unsigned),
    _Kind("TS", 0x03, _parse_text, _format_text),
    _Kind("TD", 0x05, _parse_sid, _format_sid),
    _Kind("TB", 0x06, _parse_boolean, _format_boolean),
    _Kind("TX", 0x10, _parse_octets, _format_octets),
)
_KIND_OF_TEXT = {kind.text: kind for kind in _KINDS}
_KIND_OF_CODE = {kind.code: kind for kind in _KINDS}
