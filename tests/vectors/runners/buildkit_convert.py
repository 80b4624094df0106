"""buildkit_convert: plain tars made into Windows layers and back, as BuildKit does it on Linux."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from tests.vectors.runners._tar import GIGA, Dribble, kind_of
from tests.vectors.runners._text import b64
from winlayers.errors import Malformed
from winlayers.formats.tar import TarSource
from winlayers.layer.linuxtar import linux_to_windows, windows_to_linux


def run(case: dict[str, Any]) -> None:
    tar = b64(case["in"]) or b""
    for source in (io.BytesIO(tar), Dribble(tar)):
        out, error = convert(source, case)
        assert error == case["error"]
        assert out == (b64(case["out"]) or b"")
        assert hashlib.sha256(out).hexdigest() == case["sha256"]


def convert(source: TarSource, case: dict[str, Any]) -> tuple[bytes, str | None]:
    target = io.BytesIO()
    try:
        if case["op"] == "linux_to_windows":
            seconds, nanoseconds = case["now"]
            linux_to_windows(source, target, now_ns=seconds * GIGA + nanoseconds)
        else:
            assert case["op"] == "windows_to_linux"
            windows_to_linux(source, target)
    except Malformed as error:
        return target.getvalue(), kind_of(error)
    return target.getvalue(), None
