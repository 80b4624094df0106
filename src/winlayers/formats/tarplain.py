"""A short cut through ``tarblock.parse_block`` for the header blocks that nearly all entries have.

Taken are ustar blocks in ASCII without a prefix; everything else, bad blocks included, is left to
``parse_block``, and what is taken reads the same there. Fields that seldom change are remembered by
their bytes. This module knows no more of tars than that; it exists because an import parses in one
thread, and two such blocks an entry are a third of that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar
from zlib import adler32

from winlayers.errors import Malformed
from winlayers.formats.tarblock import (
    MAGIC_USTAR,
    NO_TIMES,
    TYPE_EXTENDED,
    USTAR_OR_PAX,
    Block,
    Ids,
    Owner,
    parse_number,
    parse_octal,
    text_of,
)

T = TypeVar("T")

_FIELDS = struct.Struct("100s 24s 12s 12s 8s c 100s 88s B 162x B 3x")
_MEMORY = 8192
_NUL_OR_BLANK = b"\0 "


class _Memory(dict[bytes, T]):
    """Values by the bytes they were read from; emptied when full."""

    def __init__(self, read: Callable[[bytes], T]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: bytes) -> T:
        value = self._read(text)
        if len(self) >= _MEMORY:
            self.clear()
        self[text] = value
        return value


class PlainBlocks:
    """Reads plain header blocks, with a memory of its own."""

    __slots__ = ("_adlers", "_ids", "_numbers", "_owners")

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._adlers = _Memory(_expected_adler)
        self._ids = _Memory(_read_ids)
        self._numbers = _Memory(parse_number)
        self._owners = _Memory(_read_owner)

    def parse(self, block: bytes) -> Block | None:
        """Read a block, or leave it to ``parse_block``.

        Args:
            block: 512 bytes.
        Returns:
            What ``parse_block`` would give, or None; always None for what it would refuse.
        """
        name, ids_text, size_text, mtime_text, checksum, kind, link, owner_text, prefix, trailer = (
            _FIELDS.unpack(block)
        )
        # An ASCII block sums up to 65024 at the most, so the low half of its Adler-32 (1 plus the sum
        # modulo 65521) tells the sum exactly, and signed bytes sum up to the same.
        if prefix or trailer or not block.isascii():
            return None
        digits = mtime_text[:11]
        if not digits.isdigit() or mtime_text[11] not in _NUL_OR_BLANK:
            return None
        try:
            if adler32(block) & 0xFFFF != self._adlers[checksum]:
                return None
            ids, ids_strict = self._ids[ids_text]
            owner, owner_strict = self._owners[owner_text]
            size = self._numbers[size_text]
            mtime = int(digits, 8)
        except (Malformed, ValueError):
            return None  # parse_block says what is wrong
        if owner is None:
            return None
        strict = ids_strict and owner_strict and not (size_text[11] or mtime_text[11])
        return (
            name.partition(b"\0")[0],
            link.partition(b"\0")[0] if link[0] else b"",
            kind,
            size,
            mtime,
            ids,
            owner,
            NO_TIMES,
            USTAR_OR_PAX if strict else 0,
        )

    def parse_extension(self, block: bytes) -> tuple[int, int] | None:
        """Read as much of a plain block of type ``x`` as is of use; no bad field is let through.

        Args:
            block: 512 bytes.
        Returns:
            Size of the body and set of formats as ``parse_block`` would give them, or None.
        """
        _, ids_text, size_text, mtime_text, checksum, kind, _, owner_text, prefix, trailer = (
            _FIELDS.unpack(block)
        )
        if kind != TYPE_EXTENDED or prefix or trailer or not block.isascii():
            return None
        try:
            if adler32(block) & 0xFFFF != self._adlers[checksum]:
                return None
            _, ids_strict = self._ids[ids_text]
            owner, owner_strict = self._owners[owner_text]
            self._numbers[mtime_text]
            size = self._numbers[size_text]
        except Malformed:
            return None
        if owner is None:
            return None
        strict = ids_strict and owner_strict and not (size_text[11] or mtime_text[11])
        return size, USTAR_OR_PAX if strict else 0


def _expected_adler(checksum: bytes) -> int:
    """Low half of the Adler-32 of an ASCII block whose bytes sum up as its checksum field says."""
    return 1 + parse_octal(checksum) - 8 * ord(" ") + sum(checksum)


def _read_ids(text: bytes) -> tuple[Ids, bool]:
    """Mode, uid, gid, and whether each ends in a NUL."""
    ids = parse_number(text[:8]), parse_number(text[8:16]), parse_number(text[16:])
    return ids, not (text[7] or text[15] or text[23])


def _read_owner(text: bytes) -> tuple[Owner | None, bool]:
    """The fields from the magic to the devices, and whether the numbers end in a NUL; None if not ustar."""
    if not text.startswith(MAGIC_USTAR):
        return None, False
    device = parse_number(text[72:80]), parse_number(text[80:])
    return (text_of(text[8:40]), text_of(text[40:72]), *device), not (text[79] or text[87])
