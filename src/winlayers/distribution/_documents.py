"""Small JSON that is no image: answers of registries, files of credentials.

Nothing here is kept or digested, so a lenient reader does; it refuses only what would harm. This module knows no
network.
"""

from __future__ import annotations

import json
import re
from typing import Any

from winlayers.errors import Malformed, TooLarge

MAX_SIZE = 1 << 20
MAX_DEPTH = 64
"""Objects and arrays within each other."""

_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def read_object(raw: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        raw: UTF-8, at most ``MAX_SIZE`` bytes.
        what: how errors name it.
    Raises:
        TooLarge: it has more bytes.
        Malformed: it is no JSON, or no object; nothing of its text is in the message.
    """
    if len(raw) > MAX_SIZE:
        raise TooLarge(f"{what} has {len(raw)} bytes; at most {MAX_SIZE} are taken")
    _check_depth(raw, what)
    try:
        # Given bytes, json would guess UTF-16 too, whose depth was not seen.
        value = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Malformed(what, "it is not UTF-8") from None
    except ValueError:
        # Without the cause: its text can show what stands in the document, as a password.
        raise Malformed(what, "it is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed(what, "it is not a JSON object")
    return value


def _check_depth(raw: bytes, what: str) -> None:
    """Refuse what would take the interpreter too deep, before it goes there."""
    depth = 0
    for match in _BRACKETS.finditer(raw):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Malformed(what, f"it is deeper than {MAX_DEPTH} levels")
        elif token in b"]}":
            depth -= 1


def text_of(fields: dict[str, Any], name: str) -> str:
    """A field that is a string; ``""`` where it is something else or not there."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def object_of(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """A field that is an object; an empty one where it is something else or not there."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}
