"""gotar_write: headers and bodies written as Go's archive/tar writes them, and read back."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from tests.vectors.runners._tar import header_of, read_all, same_header
from tests.vectors.runners._text import b64
from winlayers.errors import Malformed
from winlayers.formats.tar import TarWriter


def run(case: dict[str, Any]) -> None:
    target = io.BytesIO()
    assert write(target, case) == where(case["error"])
    tar = target.getvalue()
    assert len(tar) == case["len"]
    if case["tar"] is not None:
        assert tar == b64(case["tar"])
    assert hashlib.sha256(tar).hexdigest() == case["sha256"]
    if "read" in case:
        read_back(tar, case["read"] or [])


def where(error: dict[str, Any] | None) -> tuple[int, str] | None:
    return None if error is None else (error["entry"], error["op"])


def write(target: io.BytesIO, case: dict[str, Any]) -> tuple[int, str] | None:
    """Write all of the case up to its first error; the number of the entry and what failed."""
    writer = TarWriter(target)
    place = (0, "close")
    try:
        for entry, fields in enumerate(case["headers"] or []):
            place = (entry, "header")
            writer.add(header_of(fields))
            place = (entry, "data")
            writer.write(b64(fields["data"]) or b"")
            place = (entry, "close")
        if case["close"]:
            writer.close()
    except Malformed:
        return place
    return None


def read_back(tar: bytes, expected: list[dict[str, Any]]) -> None:
    entries, _ = read_all(io.BytesIO(tar))
    assert len(entries) == len(expected)
    for (header, _, _), fields in zip(entries, expected, strict=True):
        same_header(header, fields)
