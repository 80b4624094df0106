"""What the vector files share: text that may be hex, repeated text, base64."""

from __future__ import annotations

import base64
from typing import Any


def text_bytes(value: Any) -> bytes:
    """A text field as bytes: a string, ``{"hex"}`` or ``{"repeat", "count"}``."""
    if isinstance(value, dict):
        if "hex" in value:
            return bytes.fromhex(value["hex"])
        return (value["repeat"] * value["count"]).encode()
    assert isinstance(value, str)
    return value.encode("utf-8", "surrogatepass")


def b64(value: str | None) -> bytes | None:
    """Base64 or None."""
    return None if value is None else base64.b64decode(value)
