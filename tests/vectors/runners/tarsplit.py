"""tarsplit: tars framed line by line as Docker keeps them, and made whole again."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest

from tests.vectors.runners._tar import Dribble
from tests.vectors.runners._text import b64
from winlayers.errors import Malformed
from winlayers.formats.tar import TarReader
from winlayers.formats.tarsplit import assemble_tar, split_tar


def run(case: dict[str, Any]) -> None:
    tar = b64(case["tar"]) or b""
    if case["error"] is not None:
        with pytest.raises(Malformed):
            list(split_tar(io.BytesIO(tar)))
        return
    lines = b"".join(split_tar(io.BytesIO(tar)))
    assert joined(lines) == joined(case["json"].encode())
    assert joined(b"".join(split_tar(Dribble(tar)))) == joined(lines)
    assert case["read_len"] == len(tar)
    for packed in (lines, gzip.decompress(b64(case["json_gz"]) or b"")):
        back = b"".join(assemble_tar(io.BytesIO(packed), bodies_of(tar)))
        assert hashlib.sha256(back).hexdigest() == case["assembled_sha256"]
        assert (back == tar) is case["assembled_equal"]


def joined(text: bytes) -> tuple[list[bytes], bytes]:
    """The lines, but for the bytes at the end: the borders of their lines mean nothing."""
    lines = text.splitlines()
    tail = b""
    while lines and lines[-1].startswith(b'{"type":2,'):
        tail = base64.b64decode(json.loads(lines.pop())["payload"]) + tail
    return lines, tail


def bodies_of(tar: bytes) -> Callable[[bytes], BinaryIO]:
    reader = TarReader(io.BytesIO(tar))
    bodies = {header.name: reader.read() for header in reader}
    return lambda name: io.BytesIO(bodies[name])
