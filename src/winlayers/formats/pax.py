"""PAX records: the text in which a tar carries what its fields cannot hold.

The body of an extended header (type ``x`` or ``g``) is a run of records. Each record is

    <length> <key>=<value>\\n

where the length is decimal and counts the whole record, itself and the newline included. So a value may
hold newlines, and the first ``=`` ends the key. Times are decimal seconds since 1970 with an optional
fraction; here they are an exact count of nanoseconds. This module knows neither blocks nor which keys
mean what, but for the four whose value is text without NUL.

Source: POSIX.1-2024, pax "Extended Header"; what is taken and refused as Go's archive/tar does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from winlayers.errors import Malformed

#: The most that the body of one extended header may hold, in bytes; more is refused both ways.
RECORDS_LIMIT = 1 << 20

STRUCTURE = "PAX header"
SPARSE_PREFIX = b"GNU.sparse."
#: Records that take the place of a field of the header block.
FIELD_KEYS = frozenset(b"path linkpath size uid gid uname gname mtime atime ctime".split())

_TEXT_KEYS = frozenset({b"path", b"linkpath", b"uname", b"gname"})
_SPARSE_OFFSET = b"GNU.sparse.offset"
_SPARSE_LENGTH = b"GNU.sparse.numbytes"
_SPARSE_MAP = b"GNU.sparse.map"
_SHORTEST_RECORD = len(b"5 k=\n")

_DECIMAL = re.compile(rb"[+-]?[0-9]+")
_INT64_DIGITS = 19
_SCALES: list[int] = [10 ** (9 - digits) for digits in range(10)]
_GIGA = 1_000_000_000

# What stands before "=" in records seen before: (length without the newline, key). Layers repeat a few
# dozen of these a million times. Emptied when full, so hostile keys cannot make it grow.
_heads: dict[bytes, tuple[int, bytes]] = {}
_HEADS_LIMIT = 2048
_HEAD_SIZE_LIMIT = 64
_UNKNOWN_HEAD = (-1, b"")


def parse_records(body: bytes) -> dict[bytes, bytes]:
    """Read the records in the body of an extended header.

    Args:
        body: the body without its padding, at most ``RECORDS_LIMIT`` bytes.
    Returns:
        Values by key, the last one where a key comes twice. The pairs of ``GNU.sparse.offset`` and
        ``GNU.sparse.numbytes`` are not there themselves but joined by commas in ``GNU.sparse.map``.
    Raises:
        Malformed: a record that does not fit its length, has no key or holds a NUL where none may be.
    Source: golang/go src/archive/tar.
    """
    records = parse_plain_records(body)
    return _parse_strictly(body) if records is None else records


def parse_plain_records(body: bytes) -> dict[bytes, bytes] | None:
    """The records where each is one plain line; None where any needs a closer look.

    A body that passes means the same to the strict loop: the first line has the length it claims, so
    the first record ends there, and so on.
    """
    lines = body.split(b"\n")
    if lines.pop() or b"\0" in body:
        return None
    records = {}
    recall = _heads.get
    for line in lines:
        head, _, value = line.partition(b"=")
        size, key = recall(head) or _learn_head(head)
        if size != len(line):
            return None
        records[key] = value
    return records


def _learn_head(head: bytes) -> tuple[int, bytes]:
    """Take apart what stands before ``=``, and remember it; a size of -1 says "not plain".

    The length must leave room for ``=`` and the newline, so a line without ``=`` never fits its head.
    """
    length, _, key = head.partition(b" ")
    plain = (
        len(head) <= _HEAD_SIZE_LIMIT
        and length.isdigit()
        and key
        and not key.startswith(SPARSE_PREFIX)
        and int(length) >= len(head) + 2
    )
    if not plain:
        return _UNKNOWN_HEAD
    if len(_heads) >= _HEADS_LIMIT:
        _heads.clear()
    known = _heads[head] = (int(length) - 1, key)
    return known


def _parse_strictly(body: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    sparse_map: list[bytes] = []
    position = 0
    while position < len(body):
        key, value, position = _parse_record(body, position)
        if key in (_SPARSE_OFFSET, _SPARSE_LENGTH):
            expected = _SPARSE_LENGTH if len(sparse_map) % 2 else _SPARSE_OFFSET
            if key != expected or b"," in value:
                raise Malformed(STRUCTURE, "pairs of the sparse map do not alternate")
            sparse_map.append(value)
        else:
            records[key] = value
    if sparse_map:
        records[_SPARSE_MAP] = b",".join(sparse_map)
    return records


def _parse_record(body: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Key and value of the record at ``start``, and where the next one starts."""
    blank = body.find(b" ", start)
    if blank < 0:
        raise Malformed(STRUCTURE, "record without a length")
    size = parse_decimal(body[start:blank])
    end = start + size
    if size < _SHORTEST_RECORD or end > len(body) or end - 1 <= blank:
        raise Malformed(STRUCTURE, f"record claims {size} bytes, which cannot be")
    if body[end - 1] != 0x0A:
        raise Malformed(STRUCTURE, f"record of {size} bytes does not end in a newline")
    key, equals, value = body[blank + 1 : end - 1].partition(b"=")
    if not equals:
        raise Malformed(STRUCTURE, "record without '='")
    if not is_valid_record(key, value):
        raise Malformed(STRUCTURE, f"record with a key or value that may not be: {key!r}")
    return key, value, end


def is_valid_record(key: bytes, value: bytes) -> bool:
    """Whether a header may carry this record.

    Args:
        key: any bytes but none at all, without ``=`` or NUL.
        value: any bytes; those of ``path``, ``linkpath``, ``uname`` and ``gname`` without NUL.
    """
    if not key or b"=" in key:
        return False
    return b"\0" not in (value if key in _TEXT_KEYS else key)


def build_records(records: Mapping[bytes, bytes]) -> bytes:
    """Write records in the order of their keys' bytes.

    Args:
        records: values by key; each pair must be valid (``is_valid_record``).
    Returns:
        The body of an extended header, without padding; of any size.
    """
    return b"".join([_build_record(key, records[key]) for key in sorted(records)])


def _build_record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + len(b" =\n")
    size += len(str(size))
    record = b"%d %b=%b\n" % (size, key, value)
    if len(record) != size:  # the length became one digit longer by counting itself
        record = b"%d %b=%b\n" % (len(record), key, value)
    return record


def parse_decimal(text: bytes) -> int:
    """Read a decimal number: an optional sign and digits, in 64 signed bits, and nothing else.

    Raises:
        Malformed: anything else; blanks and ``_`` are not taken.
    """
    if _DECIMAL.fullmatch(text):
        digits = text.lstrip(b"+-").lstrip(b"0") or b"0"
        if len(digits) <= _INT64_DIGITS:
            number = -int(digits) if text[0] == 0x2D else int(digits)
            if -(1 << 63) <= number < 1 << 63:
                return number
    raise Malformed(STRUCTURE, f"not a 64-bit decimal number: {text[:40]!r}")


def parse_pax_time(text: bytes) -> int:
    """Read a time as PAX records have it.

    Args:
        text: seconds since 1970 as a signed 64-bit decimal, and an optional fraction.
    Returns:
        Nanoseconds since 1970, exact; digits of the fraction after the ninth do not count.
    Raises:
        Malformed: not a number, or seconds outside 64 bits.
    Source: golang/go src/archive/tar.
    """
    seconds, _, fraction = text.partition(b".")
    if seconds.isdigit() and fraction.isdigit() and len(seconds) < 19 and len(fraction) < 10:
        return int(seconds + fraction) * _SCALES[len(fraction)]
    whole = parse_decimal(seconds)
    if fraction and not fraction.isdigit():
        raise Malformed(STRUCTURE, f"not a time: {text[:40]!r}")
    part = int(fraction[:9].ljust(9, b"0"))
    return whole * _GIGA + (-part if text.startswith(b"-") else part)


def format_pax_time(ns: int) -> bytes:
    """Write a time as PAX records have it: no more digits than it needs, at most nine of a fraction.

    Args:
        ns: nanoseconds since 1970; may be negative.
    Source: golang/go src/archive/tar.
    """
    seconds, part = divmod(abs(ns), _GIGA)
    sign = b"-" if ns < 0 else b""
    if not part:
        return b"%b%d" % (sign, seconds)
    return (b"%b%d.%09d" % (sign, seconds, part)).rstrip(b"0")
