"""containerd's language of filters, for snapshots.

    filter    one or more selectors, joined by commas: all must hold; an empty one holds always
    selector  a field; or a field, an operator and a value
    field     names joined by dots; one with other characters is quoted: labels."a.b/c"
    operator  == equal, != not equal, ~= a regular expression is found
    value     all up to the next comma or space; or quoted by ", / or |, with the escapes of Go

Of several filters one must hold. The fields of a snapshot are ``name``, ``parent``, ``kind`` and ``labels.<name>``; a
field alone holds where there is something in it. Spaces between these parts say nothing.

Source: containerd/containerd filters/parser.go, filters/scanner.go, filters/quote.go, metadata/adaptors.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from winlayers.errors import InvalidArgument
from winlayers.services.containerd.patterns import Pattern
from winlayers.store.snapshots import Snapshot

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_VALUE = re.compile(r"[^\s,./|\"=!~][^\s,]*")
_SPACE = re.compile(r"\s*")
_QUOTED = re.compile(r'(["/|])((?:(?!\1)[^\\\n]|\\.)*)\1')
_ESCAPE = re.compile(
    r"\\(?:([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_OPERATORS = ("==", "!=", "~=")
_MAX_SIZE = 16384
_MAX_COUNT = 100
_MAX_CODE = 0x10FFFF

Matches = Callable[[Snapshot], bool]


@dataclass(frozen=True, slots=True)
class _Selector:
    field: tuple[str, ...]
    holds: Callable[[str], bool]

    def __call__(self, snapshot: Snapshot) -> bool:
        # What is not there is empty: it differs from all that is not.
        return self.holds(_value(snapshot, self.field))


def parse_filters(texts: Iterable[str]) -> Matches:
    """What holds for the snapshots that are meant.

    Args:
        texts: filters, of which one must hold; none is all.
    Raises:
        InvalidArgument: one cannot be read.
    """
    given = list(texts)
    if len(given) > _MAX_COUNT:
        raise InvalidArgument(f"{len(given)} filters are given, and {_MAX_COUNT} may be")
    parsed = [_Parser(text).parse() for text in given]
    if not parsed:
        return lambda snapshot: True
    return lambda snapshot: any(
        all(selector(snapshot) for selector in selectors) for selectors in parsed
    )


def _value(snapshot: Snapshot, field: tuple[str, ...]) -> str:
    match field:
        case ("name",):
            return snapshot.key
        case ("parent",):
            return snapshot.parent
        case ("kind",):
            return snapshot.kind.value
        case ("labels", *names) if names:
            return snapshot.labels.get(".".join(names), "")
    return ""


class _Parser:
    """Reads one filter."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> list[_Selector]:
        if len(self._text) > _MAX_SIZE:
            raise InvalidArgument(f"a filter has more than {_MAX_SIZE} characters")
        if not self._text:
            return []
        selectors = [self._selector()]
        while self._begins(","):
            self._at += 1
            selectors.append(self._selector())
        if self._at < len(self._text):
            raise self._fault("comma")
        return selectors

    def _selector(self) -> _Selector:
        names = [self._quoted(_WORD, "field")]
        while self._begins("."):
            self._at += 1
            names.append(self._quoted(_WORD, "field"))
        field = tuple(names)
        if self._at == len(self._text) or self._begins(","):
            return _Selector(field, bool)
        operator = self._text[self._at : self._at + 2]
        if operator not in _OPERATORS:
            raise self._fault("operator")
        self._at += 2
        value = self._quoted(_VALUE, "value")
        if operator == "==":
            return _Selector(field, lambda found: bool(found) and found == value)
        if operator == "!=":
            return _Selector(field, lambda found: found != value)
        return _Selector(field, Pattern(value).is_in)

    def _begins(self, text: str) -> bool:
        """Whether a text is next, but for spaces."""
        self._skip_space()
        return self._text.startswith(text, self._at)

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _quoted(self, plain: re.Pattern[str], what: str) -> str:
        self._skip_space()
        if match := _QUOTED.match(self._text, self._at):
            value = _ESCAPE.sub(lambda escape: self._unescaped(escape, match[1]), match[2])
            self._at = match.end()
            return value
        match = plain.match(self._text, self._at)
        if match is None:
            raise self._fault(what)
        self._at = match.end()
        return match[0]

    def _unescaped(self, escape: re.Match[str], quote: str) -> str:
        octal, *hexadecimal, char = escape.groups()
        if char is not None and char != quote and char not in _ESCAPED:
            raise self._fault(f"escape \\{char}")
        if char is not None:
            return _ESCAPED.get(char, char)
        code = int(octal, 8) if octal else int("".join(filter(None, hexadecimal)), 16)
        if code > _MAX_CODE:
            raise self._fault("character of such a number")
        return chr(code)

    def _fault(self, wanted: str) -> InvalidArgument:
        return InvalidArgument(
            f"filter {self._text[:200]!r} has no {wanted} at character {self._at}"
        )
