"""What the tar vectors share: headers as the files spell them, and a tar read to its end or error."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

from tests.vectors.runners._text import text_bytes
from winlayers.errors import Malformed
from winlayers.formats.tar import TarFormat, TarHeader, TarReader, TarSource
from winlayers.formats.tarblock import ENDS_EARLY, TOO_LONG

MIB = 1 << 20
GIGA = 1_000_000_000
GO_ZERO_NS = -62_135_596_800 * GIGA
TEXTS = ("name", "linkname", "uname", "gname")
NUMBERS = ("mode", "uid", "gid", "size", "devmajor", "devminor")
TIMES = ("mtime", "atime", "ctime")

Entry = tuple[TarHeader, bytes, str | None]


def header_of(fields: Mapping[str, Any]) -> TarHeader:
    """A header from its form in the files."""
    kind = fields["typeflag"]
    return TarHeader(
        typeflag=kind.encode("latin-1") if kind else b"\0",
        pax={key_bytes(key): text_bytes(value) for key, value in fields.get("pax", {}).items()},
        format=TarFormat[fields["format"]] if fields["format"] else None,
        **{name: text_bytes(fields[name]) for name in TEXTS},
        **{name: fields[name] for name in NUMBERS},
        **{f"{name}_ns": time_ns(fields[name]) for name in TIMES},
    )


def key_bytes(key: str) -> bytes:
    return bytes.fromhex(key[4:]) if key.startswith("hex:") else key.encode()


def time_ns(pair: list[int] | None) -> int | None:
    return None if pair is None else pair[0] * GIGA + pair[1]


def same_header(header: TarHeader, fields: Mapping[str, Any]) -> None:
    """Assert that a header that was read is the one in the file."""
    expected = header_of(fields)
    for name in (*TEXTS, *NUMBERS, "typeflag", "pax", "format"):
        assert getattr(header, name) == getattr(expected, name), name
    for name in TIMES:
        actual = getattr(header, f"{name}_ns")
        assert (None if actual == GO_ZERO_NS else actual) == getattr(expected, f"{name}_ns"), name


def kind_of(error: Malformed) -> str:
    """Go's words for an error of the reader."""
    if error.reason == ENDS_EARLY:
        return "unexpected EOF"
    if error.reason == TOO_LONG:
        return "header field too long"
    return "invalid tar header"


def read_all(source: TarSource, *, limit: int = 3 * MIB) -> tuple[list[Entry], str | None]:
    """Every entry with the first ``limit`` bytes of its body and the body's error, and the last error."""
    reader = TarReader(source)
    entries: list[Entry] = []
    while True:
        try:
            header = reader.next()
        except Malformed as error:
            return entries, kind_of(error)
        if header is None:
            return entries, None
        entries.append((header, *read_body(reader, limit)))


def read_body(reader: TarReader, limit: int) -> tuple[bytes, str | None]:
    data = io.BytesIO()
    piece = bytearray(1 << 16)
    try:
        while data.tell() < limit and (size := reader.readinto(piece)):
            data.write(piece[:size])
    except Malformed as error:
        return data.getvalue(), kind_of(error)
    return data.getvalue(), None


def comparable(entries: list[Entry]) -> list[tuple[Any, ...]]:
    """Entries in a form that ``==`` can compare."""
    return [(dataclasses.astuple(header), data, error) for header, data, error in entries]


class Dribble:
    """A source that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int = 7) -> None:
        self._file = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._step))
