"""Targets of ``winlayers.base``."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO, cast

from tests.fuzz import seeds
from tests.fuzz.registry import target
from tests.fuzz.sources import Trickle, outcome, read_some
from winlayers.base.compression import Compression, open_compressor, open_decompressed
from winlayers.base.digest import Digest
from winlayers.base.units import from_human_size, ram_in_bytes

_CONTENT = b"content " * 50


def _compressed() -> Iterator[bytes]:
    yield gzip.compress(_CONTENT, mtime=0)
    yield gzip.compress(_CONTENT, mtime=0) + bytes(100) + gzip.compress(b"", mtime=0)
    # All fields that a header may have: its checksum, a file name, a comment, something extra.
    yield b"\x1f\x8b\x08\x1e" + bytes(4) + b"\0\3\2\0exname\0comment\0" + gzip.compress(b"x")[10:]
    for kind in (Compression.GZIP, Compression.ZSTD):
        target = io.BytesIO()
        with open_compressor(target, kind, threads=1) as writer:
            writer.write(_CONTENT)
        yield target.getvalue()
        yield target.getvalue() + b"\x51\x2a\x4d\x18\3\0\0\0abc" + target.getvalue()


@target(_compressed)
def decompress(data: bytes) -> None:
    """Gzip and zstd, the same however the source gives them."""
    whole, trickled = _decompressed(io.BytesIO(data)), _decompressed(Trickle(data, 50))
    assert whole == trickled


def _decompressed(source: Any) -> Any:
    raw: list[bytes] = []
    content: list[bytes] = []

    def read() -> str:
        with open_decompressed(cast(BinaryIO, source), on_raw=raw.append) as decompressed:
            content.append(read_some(decompressed))
        return "end"

    return outcome(read), content, b"".join(raw)


@target(lambda: seeds.text_of("units", "input"))
def units(data: bytes) -> None:
    """Sizes as Docker writes them."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (ram_in_bytes, from_human_size):
        found = outcome(partial(parse, text))
        assert not isinstance(found, int) or -(1 << 63) <= found < 1 << 63


@target(lambda: (b"sha256:" + b"0" * 64, b"sha512:" + b"f" * 128))
def digest(data: bytes) -> None:
    """A digest in text."""
    found = Digest.parse(data.decode("utf-8", "surrogateescape"))
    assert Digest.parse(str(found)) == found
