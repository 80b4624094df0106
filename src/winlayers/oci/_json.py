"""Documents of JSON: read within limits, and written as Go's encoder writes them.

Reading refuses what two readers would take differently: a name that stands twice in one object, numbers that are
none, bytes that are no UTF-8. Names of fields are matched exactly first, then without case, as Go does.
This module knows nothing of images.

Source: RFC 8259; Go encoding/json ("Unmarshal" on names, "Marshal" on escapes).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

from winlayers.errors import Malformed, TooLarge

MAX_DEPTH = 64
"""Objects and arrays within each other; real documents have 6."""

MAX_BRACKETS = 200_000
"""Objects and arrays in one document, which cost far more memory than bytes; an index of 10,000 images has 30,000."""

_TOLD_SIZE = 300
_MAX_SIZE_VALUE = (1 << 63) - 1
_ESCAPED = re.compile("[<>&\u2028\u2029]")


class JsonObject:
    """The fields of one object, taken by name and checked for their type.

    A field that is ``null`` counts as one that is not there, as it does in Go.
    """

    __slots__ = ("_keys", "_what", "fields")

    def __init__(self, fields: Mapping[str, Any], what: str) -> None:
        """Look at an object.

        Args:
            fields: what it has.
            what: how errors name it.
        """
        self.fields = fields
        self._what = what
        self._keys: dict[str, list[str]] = {}
        for key in fields:
            self._keys.setdefault(_fold(key), []).append(key)

    def __contains__(self, name: str) -> bool:
        return self.value(name) is not None

    def key(self, name: str) -> str | None:
        """How a field is spelled here, or None where it is not here.

        Raises:
            Malformed: it is here in two spellings.
        """
        keys = self._keys.get(_fold(name), ())
        if len(keys) > 1:
            self.refuse(f"it has both {keys[0]!r} and {keys[1]!r}, which are one field")
        return keys[0] if keys else None

    def value(self, name: str) -> Any:
        """A field of any type, or None."""
        key = self.key(name)
        return None if key is None else self.fields[key]

    def text(self, name: str) -> str:
        """A string; ``""`` where there is none.

        Raises:
            Malformed: it is no string.
        """
        value = self.value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(f"{name!r} is not a string")
        return value

    def needed_text(self, name: str) -> str:
        """A string that has to be there and not be empty.

        Raises:
            Malformed: it is not.
        """
        return self.text(name) or self.refuse(f"it has no {name!r}")

    def size(self, name: str) -> int:
        """A number of bytes that has to be there: a whole number from 0 to 2^63 - 1.

        Raises:
            Malformed: it is not.
        """
        value = self.value(name)
        if value is None:
            self.refuse(f"it has no {name!r}")
        if type(value) is not int or not 0 <= value <= _MAX_SIZE_VALUE:
            self.refuse(f"{name!r} is not a number of bytes")
        return value

    def object(self, name: str) -> Mapping[str, Any]:
        """An object; an empty one where there is none.

        Raises:
            Malformed: it is no object.
        """
        value = self.value(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(f"{name!r} is not an object")
        return value

    def array(self, name: str, *, limit: int) -> list[Any]:
        """An array; an empty one where there is none.

        Raises:
            Malformed: it is no array.
            TooLarge: it has more than ``limit`` elements.
        """
        value = self.value(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(f"{name!r} is not an array")
        if len(value) > limit:
            raise TooLarge(
                f"{self._what}: {name!r} has {len(value)} elements; at most {limit} are taken"
            )
        return value

    def texts(self, name: str, *, limit: int) -> tuple[str, ...]:
        """An array of strings; see ``array``."""
        values = self.array(name, limit=limit)
        if not all(isinstance(value, str) for value in values):
            self.refuse(f"{name!r} has an element that is not a string")
        return tuple(values)

    def objects(self, name: str, *, limit: int) -> tuple[Mapping[str, Any], ...]:
        """An array of objects; see ``array``."""
        values = self.array(name, limit=limit)
        if not all(isinstance(value, dict) for value in values):
            self.refuse(f"{name!r} has an element that is not an object")
        return tuple(values)

    def pairs(self, name: str) -> Mapping[str, str]:
        """An object whose values are strings; an empty one where there is none.

        Raises:
            Malformed: it is something else.
        """
        value = self.object(name)
        if not all(isinstance(text, str) for text in value.values()):
            self.refuse(f"{name!r} has a value that is not a string")
        return value

    def refuse(self, reason: str) -> NoReturn:
        """Raise Malformed for this object."""
        raise malformed(self._what, reason)


def malformed(what: str, reason: str) -> Malformed:
    """The error for a document, its reason cut short where the document made it long."""
    return Malformed(what, reason if len(reason) <= _TOLD_SIZE else f"{reason[:_TOLD_SIZE]}...")


def read_object(raw: bytes, what: str, *, limit: int) -> dict[str, Any]:
    """Read a document that is one JSON object.

    Args:
        raw: UTF-8.
        what: how errors name it.
        limit: how many bytes it may have.
    Returns:
        Its fields in their order.
    Raises:
        TooLarge: it has more bytes, or more objects and arrays than are taken.
        Malformed: it is no JSON, no object, too deep, or has a name twice in one object.
    """
    if len(raw) > limit:
        raise TooLarge(f"{what} has {len(raw)} bytes; at most {limit} are taken")
    if raw.count(b"{") + raw.count(b"[") > MAX_BRACKETS:
        raise TooLarge(f"{what} has more than {MAX_BRACKETS} objects and arrays")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=lambda pairs: _unique(pairs, what),
            parse_constant=lambda name: _refuse_number(name, what),
            parse_float=lambda text: _finite(text, what),
        )
    except RecursionError:
        raise Malformed(what, f"it is deeper than {MAX_DEPTH} levels") from None
    except UnicodeDecodeError as error:
        raise Malformed(what, "it is not UTF-8", offset=error.start) from error
    except json.JSONDecodeError as error:
        raise Malformed(what, f"it is not JSON: {error.msg}", offset=error.pos) from error
    except ValueError as error:  # a whole number with thousands of digits
        raise Malformed(what, "it has a number that is too long") from error
    if not isinstance(value, dict):
        raise Malformed(what, "it is not a JSON object")
    _check_depth(value, what)
    return value


def write_json(value: object) -> bytes:
    """Write a value without blanks, escaped as Go does; objects keep the order of their fields.

    Args:
        value: what ``json`` can write; finite numbers only.
    Returns:
        UTF-8 without a line end.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    escaped = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return escaped.encode("utf-8", "backslashreplace")  # a lone surrogate becomes \udxxx again


def _fold(name: str) -> str:
    return name.lower().replace("ſ", "s")


def _unique(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    counts = Counter(name for name, _ in pairs)
    name = next(name for name, count in counts.items() if count > 1)
    raise malformed(what, f"{name!r} stands twice in one object")


def _refuse_number(name: str, what: str) -> NoReturn:
    raise Malformed(what, f"{name} is not JSON")


def _finite(text: str, what: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Malformed(what, "it has a number that is too large")
    return value


def _check_depth(document: dict[str, Any], what: str) -> None:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            values = one.values() if isinstance(one, dict) else one
            inner.extend(value for value in values if isinstance(value, dict | list))
        level = inner
        if not level:
            return
    raise Malformed(what, f"it is deeper than {MAX_DEPTH} levels")
