"""containerd's language of filters, for snapshots.

    filter    one or more selectors, joined by commas: all must hold
    selector  a field; or a field, an operator and a value
    field     names joined by dots; one with other characters is quoted: labels."a.b/c"
    operator  == equal, != not equal, ~= a regular expression is found
    value     a word, or quoted by " or |

Of several filters one must hold. The fields of a snapshot are ``name``, ``parent``, ``kind`` and ``labels.<name>``; a
field alone holds where there is something in it.

Source: containerd/containerd filters/parser.go, filters/scanner.go, snapshots/storage (adaptors).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from winlayers.errors import InvalidArgument
from winlayers.store.snapshots import Snapshot

_WORD = re.compile(r"[A-Za-z0-9_]+")
# An unquoted value goes to the next comma.
_VALUE = re.compile(r"[^\s\",|]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\|((?:[^|\\]|\\.)*)\|', re.DOTALL)
_OPERATORS = ("==", "!=", "~=")
_MAX_SIZE = 16384

Matches = Callable[[Snapshot], bool]


@dataclass(frozen=True, slots=True)
class _Selector:
    field: tuple[str, ...]
    holds: Callable[[str], bool]

    def __call__(self, snapshot: Snapshot) -> bool:
        value = _value(snapshot, self.field)
        return value is not None and self.holds(value)


def parse_filters(texts: Iterable[str]) -> Matches:
    """What holds for the snapshots that are meant.

    Args:
        texts: filters, of which one must hold; none is all.
    Raises:
        InvalidArgument: one cannot be read.
    """
    parsed = [_Parser(text).parse() for text in texts]
    if not parsed:
        return lambda snapshot: True
    return lambda snapshot: any(
        all(selector(snapshot) for selector in selectors) for selectors in parsed
    )


def _value(snapshot: Snapshot, field: tuple[str, ...]) -> str | None:
    match field:
        case ("name",):
            return snapshot.key
        case ("parent",):
            return snapshot.parent or None
        case ("kind",):
            return snapshot.kind.value
        case ("labels", *names) if names:
            return snapshot.labels.get(".".join(names))
    return None


class _Parser:
    """Reads one filter."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> list[_Selector]:
        if len(self._text) > _MAX_SIZE:
            raise InvalidArgument(f"a filter has more than {_MAX_SIZE} characters")
        selectors = [self._selector()]
        while self._at < len(self._text):
            if self._text[self._at] != ",":
                raise self._fault("a comma")
            self._at += 1
            selectors.append(self._selector())
        return selectors

    def _selector(self) -> _Selector:
        names = [self._name()]
        while self._text.startswith(".", self._at):
            self._at += 1
            names.append(self._name())
        operator = self._text[self._at : self._at + 2]
        if operator not in _OPERATORS:
            return _Selector(tuple(names), bool)
        self._at += 2
        value = self._quoted(_VALUE, "a value")
        if operator == "==":
            return _Selector(tuple(names), lambda found: found == value)
        if operator == "!=":
            return _Selector(tuple(names), lambda found: found != value)
        try:
            pattern = re.compile(value)
        except (re.error, RecursionError) as error:
            raise InvalidArgument(f"{value[:100]!r} is no regular expression: {error}") from None
        return _Selector(tuple(names), lambda found: pattern.search(found) is not None)

    def _name(self) -> str:
        return self._quoted(_WORD, "a field")

    def _quoted(self, plain: re.Pattern[str], what: str) -> str:
        if match := _QUOTED.match(self._text, self._at):
            self._at = match.end()
            return re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2])
        match = plain.match(self._text, self._at)
        if match is None:
            raise self._fault(what)
        self._at = match.end()
        return match[0]

    def _fault(self, wanted: str) -> InvalidArgument:
        return InvalidArgument(
            f"filter {self._text[:200]!r} has no {wanted.removeprefix('a ')} at character {self._at}"
        )
