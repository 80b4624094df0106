from __future__ import annotations

import random

import pytest

from winlayers.formats.crc64 import Crc64


def by_bits(data: bytes) -> bytes:
    """The definition, bit by bit."""
    state = (1 << 64) - 1
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0xD800000000000000 if state & 1 else 0)
    return (state ^ (1 << 64) - 1).to_bytes(8, "big")


def test_check_value() -> None:
    assert Crc64(b"123456789").digest().hex() == "b90956c775a41001"


def test_nothing_is_zero() -> None:
    assert Crc64().digest() == bytes(8)


@pytest.mark.parametrize("size", [*range(40), 63, 64, 65, 127, 128, 1000, 16384, 16385, 20000])
def test_any_size_is_as_defined(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert Crc64(data).digest() == by_bits(data)


def test_pieces_sum_up_to_the_whole() -> None:
    data = random.Random(1).randbytes(50000)
    crc = Crc64()
    for at in range(0, len(data), 777):
        crc.update(memoryview(data)[at : at + 777])
    assert crc.digest() == Crc64(data).digest()
