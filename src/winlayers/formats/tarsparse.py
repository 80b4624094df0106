"""Sparse files in tars: the maps that say where the data of a body belongs, and the body expanded.

Four forms of map are known: GNU's old one in and behind the header block (type ``S``), and PAX 0.0, 0.1
(in records) and 1.0 (at the start of the body). Each is a run of (offset, size) pairs. This module knows
neither headers nor files; blocks and body come through functions handed in.

Source: GNU tar manual, "Storing Sparse Files"; what is taken and refused as Go's archive/tar does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from winlayers.errors import Malformed
from winlayers.formats.pax import parse_decimal
from winlayers.formats.tarblock import (
    BLOCK_SIZE,
    STRUCTURE_TAR,
    malformed,
    parse_number,
)

#: Runs of data: (offset, size) in bytes of the expanded body.
Runs = tuple[tuple[int, int], ...]

#: The most that a map may take, in bytes.
MAP_LIMIT = 1 << 20

MAP_KEY = b"GNU.sparse.map"
MAJOR_KEY = b"GNU.sparse.major"
MINOR_KEY = b"GNU.sparse.minor"
NAME_KEY = b"GNU.sparse.name"
SIZE_KEY = b"GNU.sparse.size"
REAL_SIZE_KEY = b"GNU.sparse.realsize"
_COUNT_KEY = b"GNU.sparse.numblocks"

_ZEROS = bytes(1 << 16)


def read_old_map(block: bytes, read_block: Callable[[], bytes]) -> tuple[int, Runs]:
    """Read the map of a type ``S`` entry.

    Args:
        block: its header block.
        read_block: gives the next 512 bytes, or raises.
    Returns:
        Size of the expanded body, and the runs.
    Raises:
        Malformed: a bad number, or a map past ``MAP_LIMIT``.
    """
    size = parse_number(block[483:495])
    runs = list(_pairs_in(block[386:482]))
    extended, map_size = block[482], 97
    while extended:
        block = read_block()
        map_size += BLOCK_SIZE
        if map_size >= MAP_LIMIT:
            raise malformed("sparse map longer than 1 MiB")
        runs += _pairs_in(block[:504])
        extended = block[504]
    return size, tuple(runs)


def _pairs_in(table: bytes) -> Iterator[tuple[int, int]]:
    """The pairs of 12-byte numbers up to one that begins with a NUL."""
    for at in range(0, len(table), 24):
        if not table[at]:
            return
        yield parse_number(table[at : at + 12]), parse_number(table[at + 12 : at + 24])


def version_of(records: Mapping[bytes, bytes]) -> str | None:
    """Which form of map the records announce: ``"0.1"`` (0.0 too), ``"1.0"``, or None for no map."""
    version = records.get(MAJOR_KEY, b""), records.get(MINOR_KEY, b"")
    if version in ((b"0", b"0"), (b"0", b"1")):
        return "0.1"
    if version == (b"1", b"0"):
        return "1.0"
    if version == (b"", b"") and records.get(MAP_KEY):
        return "0.1"
    return None


def parse_map_record(records: Mapping[bytes, bytes]) -> Runs:
    """Read a map of version 0.1.

    Raises:
        Malformed: not as many numbers as announced, or not numbers.
    """
    count = parse_decimal(records.get(_COUNT_KEY, b""))
    text = records.get(MAP_KEY, b"")
    numbers = text.split(b",") if text else []
    if count < 0 or len(numbers) != 2 * count:
        raise malformed(f"sparse map of {len(numbers)} numbers, {count} pairs announced")
    return _paired([parse_decimal(number) for number in numbers])


def read_map_in_body(read_block: Callable[[], bytes]) -> Runs:
    """Read a map of version 1.0: lines at the start of the body, in whole blocks.

    Args:
        read_block: gives the next 512 bytes of the body, or raises.
    Raises:
        Malformed: lines that are no numbers, or a map past ``MAP_LIMIT``.
    """
    text = bytearray()
    lines = 0

    def feed(wanted: int) -> None:
        nonlocal lines
        while lines < wanted:
            if len(text) >= MAP_LIMIT:
                raise malformed("sparse map longer than 1 MiB")
            block = read_block()
            text.extend(block)
            lines += block.count(b"\n")

    feed(1)
    count = parse_decimal(bytes(text[: text.index(b"\n")]))
    if not 0 <= count < 1 << 62:
        raise malformed(f"sparse map of {count} runs")
    feed(1 + 2 * count)
    return _paired([parse_decimal(line) for line in bytes(text).split(b"\n")[1 : 1 + 2 * count]])


def _paired(numbers: list[int]) -> Runs:
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def check_runs(runs: Runs, size: int) -> None:
    """Refuse a map that does not make sense.

    Args:
        runs: the map.
        size: bytes of the expanded body.
    Raises:
        Malformed: negative, past the size, overlapping or not ascending.
    """
    if size < 0:
        raise malformed(f"negative size {size}")
    end = 0
    for offset, length in runs:
        if length < 0 or offset < end or offset + length > size:
            raise malformed(f"sparse map with a run of {length} bytes at {offset}")
        end = offset + length


class SparseBody:
    """The expanded body of a sparse entry, read from start to end."""

    def __init__(
        self, runs: Runs, size: int, stored_size: int, read_stored: Callable[[int], bytes]
    ) -> None:
        """Stand at the start.

        Args:
            runs: a checked map.
            size: bytes of the expanded body.
            stored_size: bytes of data there are.
            read_stored: gives some of the data, at most as many bytes as asked for, none at the end.
        """
        self._runs = iter((*runs, (size, 0)))
        self._start, self._end = 0, 0
        self._position = 0
        self._read_stored = read_stored
        self._stored_left = stored_size
        self.remaining = size

    def read_some(self, size: int) -> bytes:
        """Some bytes, at most ``size``; none only at the end.

        Raises:
            Malformed: less data than the map wants, or at the end more.
        """
        wanted = min(size, self.remaining)
        if not wanted:
            if size and self._stored_left:
                raise Malformed(STRUCTURE_TAR, "sparse file contains unreferenced data")
            return b""
        while self._position >= self._end:
            self._start, length = next(self._runs)
            self._end = self._start + length
            if self._position < self._start:
                break
        piece = self._hole(wanted) if self._position < self._start else self._data(wanted)
        self._position += len(piece)
        self.remaining -= len(piece)
        return piece

    def _hole(self, wanted: int) -> bytes:
        return _ZEROS[: min(wanted, self._start - self._position)]

    def _data(self, wanted: int) -> bytes:
        piece = self._read_stored(min(wanted, self._end - self._position))
        if not piece:
            raise Malformed(STRUCTURE_TAR, "sparse file references non-existent data")
        self._stored_left -= len(piece)
        return piece
