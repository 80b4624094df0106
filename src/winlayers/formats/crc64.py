"""CRC-64 with the ISO 3309 polynomial, as tar-split keeps it of file bodies.

Reflected polynomial D800000000000000, start and final exclusive or all ones; that of nothing is 0. This is
a checksum against damage, not against forgery. It knows nothing of what it sums up.

There is no table. The polynomial is P = x^64 + x^4 + x^3 + x + 1, and over GF(2) P(x)^u = P(x^u) for each u
that is a power of two. So x^(64u) may be replaced by x^(4u) + x^(3u) + x^u + 1: with the message as one
large int, four shifts take off nearly half of it. That is several times faster than any loop over bytes.

Source: ISO 3309 polynomial and form as Go's hash/crc64 (ISO), checked against the vectors tarsplit.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1
# Ints of this size stay in the nearest cache.
_CHUNK = 1 << 14


class Crc64:
    """A checksum in the making."""

    __slots__ = ("_state",)

    def __init__(self, data: bytes = b"") -> None:
        """Begin with ``data``."""
        self._state = _MASK
        self.update(data)

    def update(self, data: bytes | memoryview) -> None:
        """Take in more bytes."""
        for at in range(0, len(data), _CHUNK):
            chunk = data[at : at + _CHUNK]
            message = int.from_bytes(chunk, "little") ^ self._state
            self._state = _remainder(message, 8 * len(chunk) + 64)

    def digest(self) -> bytes:
        """The checksum so far: 8 bytes, the highest first."""
        return (self._state ^ _MASK).to_bytes(8, "big")


def _remainder(message: int, size: int) -> int:
    """What is left of a message, divided by P.

    Args:
        message: its coefficients, that of the highest power in bit 0.
        size: how many coefficients, at least 64.
    """
    while size > 64:
        unit = 1 << ((size - 1) // 64).bit_length() - 1  # the largest with 64 * unit < size
        taken = min(60 * unit, size - 64 * unit)
        head = message & ((1 << taken) - 1)
        rest = 64 * unit - taken
        message >>= taken
        message ^= (
            head << rest - 4 * unit ^ head << rest - 3 * unit ^ head << rest - unit ^ head << rest
        )
        size -= taken
    return message
