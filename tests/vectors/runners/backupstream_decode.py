"""Runs backupstream_decode.json: whole, cut and damaged backup streams."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from tests.vectors.runners._text import text_bytes
from winlayers.errors import Malformed
from winlayers.formats.backupstream import BackupReader, PartHeader
from winlayers.formats.text16 import wtf8_encode


class Pipe(io.BytesIO):
    """A source that cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("seek")


@dataclass
class Seen:
    """What came out of a stream: headers with the bytes of their bodies, and how it ended."""

    headers: list[PartHeader] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    error: str | None = None


def read_all(source: io.BytesIO, *, exact: bool, bodies: bool) -> Seen:
    seen = Seen()
    reader = BackupReader(cast(BinaryIO, source), exact=exact)
    try:
        for header in reader:
            seen.headers.append(header)
            seen.bodies.append(b"")
            # One byte at a time: so all bytes before a cut come out.
            while bodies and (byte := reader.read(1)):
                seen.bodies[-1] += byte
    except Malformed as error:
        seen.error = error.reason
    return seen


def run(case: dict[str, Any]) -> None:
    stream = bytes.fromhex(case["bytes"])
    for source in (io.BytesIO, Pipe):
        seen = read_all(source(stream), exact=False, bodies=True)
        if not (case.get("free") and seen.error):
            check_streams(case, seen)
    check_skipping(case, "skip_plain", read_all(Pipe(stream), exact=False, bodies=False))
    check_skipping(case, "skip_seekable", read_all(io.BytesIO(stream), exact=False, bodies=False))
    check_exact(case, stream)


def check_streams(case: dict[str, Any], seen: Seen) -> None:
    if case["name"] == "size_minus_one":
        # The original crashes when it reads this body, so the vector has no header; ours has one.
        assert "body of 18446744073709551615 bytes" in str(seen.error)
        return
    parts = case["streams"] or []
    assert seen.headers == [header_of(part) for part in parts]
    assert [wtf8_encode(header.name) for header in seen.headers] == [
        text_bytes(part["stream_name"]) for part in parts
    ]
    assert seen.bodies == [bytes.fromhex(part["data"]) for part in parts]
    assert (seen.error is None) == (case["error"] is None)
    assert case["error"] is None or case["error"] in str(seen.error)


def check_skipping(case: dict[str, Any], key: str, seen: Seen) -> None:
    if case.get("free") and seen.error:
        return
    assert len(seen.headers) == case[key]["count"]
    assert (seen.error is None) == (case[key]["error"] is None)


def check_exact(case: dict[str, Any], stream: bytes) -> None:
    """The exact reader gives the same where nothing is wrong, and an error wherever bytes are missing."""
    for source in (io.BytesIO, Pipe):
        for bodies in (True, False):
            seen = read_all(source(stream), exact=True, bodies=bodies)
            if case["error"] is None and not case.get("free"):
                assert seen.headers == [header_of(part) for part in case["streams"] or []]
                assert seen.error is None
            else:
                assert seen.error is not None


def header_of(part: dict[str, Any]) -> PartHeader:
    name = text_bytes(part["stream_name"]).decode("utf-8", "surrogatepass")
    return PartHeader(part["id"], part["attributes"], part["size"], name, part["offset"])
