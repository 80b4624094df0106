"""Changes to bytes at random: flipped bits, odd numbers, pieces cut out, doubled, moved and taken from others."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

#: No input grows beyond this.
MAX_SIZE = 1 << 16

_MAX_CHANGES = 6
_MAX_PIECE = 1 << 10
_DIGITS = b"0123456789"
# Numbers at the borders of fields, and those that came to nothing or too much elsewhere.
_NUMBERS = (0, 1, 2, 3, 4, 8, 16, 20, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF)
_LARGE = (1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)
_TEXTS = (
    b"",
    b"-1",
    b"9" * 30,
    b"1e9",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"..",
    b"/",
    b"\\",
    b":",
    b'"',
    b"(",
)

_Change = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Some bytes with one change or a few.

    Args:
        rng: decides.
        data: the bytes.
        others: inputs that pieces may be taken from.
    """
    changed = bytearray(data)
    for _ in range(rng.randint(1, _MAX_CHANGES)):
        rng.choice(_CHANGES)(rng, changed, others)
    return bytes(changed[:MAX_SIZE])


def _place(rng: random.Random, data: bytearray, size: int = 1) -> int:
    """A place that ``size`` bytes fit behind, if there is one."""
    return rng.randint(0, max(len(data) - size, 0))


def _piece(rng: random.Random, data: bytes | bytearray) -> bytes:
    """A piece of some bytes, often a short one."""
    size = rng.randint(1, rng.choice((4, 16, 64, _MAX_PIECE)))
    at = rng.randint(0, max(len(data) - size, 0))
    return bytes(data[at : at + size])


def _flip_bit(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _set_byte(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] = rng.randrange(256)


def _set_number(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    size = rng.choice((1, 2, 4, 8))
    at = _place(rng, data, size)
    number = rng.choice((*_NUMBERS, *_LARGE, len(data), len(data) - at)) % (1 << 8 * size)
    data[at : at + size] = number.to_bytes(size, "little")


def _add_to_number(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    size = rng.choice((1, 2, 4))
    at = _place(rng, data, size)
    number = int.from_bytes(data[at : at + size], "little") + rng.randint(-16, 16)
    data[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, "little")


def _set_digit(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Another digit where there is one, so that decimal and octal numbers stay numbers."""
    start = _place(rng, data)
    for at in range(start, min(start + _MAX_PIECE, len(data))):
        if data[at] in _DIGITS:
            data[at] = rng.choice(_DIGITS)
            return


def _put_text(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(rng, data)
    text = rng.choice(_TEXTS)
    gone = rng.choice((0, len(text)))
    data[at : at + gone] = text


def _cut_out(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(rng, data)
    del data[at : at + len(_piece(rng, data))]


def _cut_off(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_place(rng, data) :]


def _double(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = _piece(rng, data) * rng.choice((1, 1, 2, 8))


def _move(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Write a piece of the bytes over another."""
    piece = _piece(rng, data)
    at = _place(rng, data, len(piece))
    data[at : at + len(piece)] = piece


def _take(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Put a piece of another input in, or over what is there."""
    piece = _piece(rng, rng.choice(others))
    at = _place(rng, data)
    data[at : at + rng.choice((0, len(piece)))] = piece


def _join(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """The begin of the bytes, and the end of another input."""
    other = rng.choice(others)
    del data[_place(rng, data) :]
    data += other[rng.randint(0, len(other)) :]


_CHANGES: tuple[_Change, ...] = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _set_number,
    _set_number,
    _add_to_number,
    _set_digit,
    _put_text,
    _cut_out,
    _cut_off,
    _double,
    _move,
    _take,
    _take,
    _join,
)
