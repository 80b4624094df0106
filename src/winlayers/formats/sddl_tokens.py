"""What the parts of an SDDL string have in common: walking through it, SIDs, names with escapes.

    sid       two-letter alias, or S-1-5-32-544 and the like
    name      of an attribute: letters, digits and some signs; any other 16-bit unit is %XXXX
    integer   10, -10, +10, 0x1f, 017: sign and base are kept
    text      "in quotes", without any escape
    octets    #01ff; each further # is a digit 0, also the first if it is needed for an even count

White space is passed over between tokens, as in the examples of MS-DTYP, never inside one. This module knows
nothing of ACEs, conditions and claims.
Source: MS-DTYP 2.5.1.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from winlayers.errors import Malformed, UnknownFeature
from winlayers.formats.sids import ALIAS_OF, ALIASES, DOMAIN_ALIASES, Sid
from winlayers.formats.text16 import utf16_decode, utf16_encode

STRUCTURE = "SDDL"

# Characters of attribute names, apart from %XXXX: of plain ones, and of @User.name and claims.
LOCAL_NAME = r"A-Za-z0-9:./_@"
PREFIXED_NAME = LOCAL_NAME + r"#$'*+;?\[\]\\^`{}~\-"

_BLANKS = re.compile(r"[\t-\r ]*")
_ALIAS = re.compile(r"[A-Z]{2}")
# D may be the last hexadecimal digit, or the start of "D:".
_SID = re.compile(
    r"[sS]-1-(?:0[xX][0-9a-fA-F]+(?!:)|[0-9]+)(?:-(?:0[xX][0-9a-fA-F]+(?!:)|[0-9]+))*"
)
_ESCAPE = re.compile(r"%([0-9a-fA-F]{4})")
_INTEGER = re.compile(rf"([+-]?)(0[xX][0-9a-fA-F]{{1,16}}|[0-9]{{1,24}})(?![{LOCAL_NAME}%])")
_TEXT = re.compile(r'"([^"\x00]*)"')
_OCTETS = re.compile(r"#?([0-9a-fA-F#]*)")

_BASE_OF_PREFIX = {"0x": 16, "0X": 16}


@dataclass(frozen=True, slots=True)
class Integer:
    """A number as it was written.

    Attributes:
        value: with its sign.
        sign: "+", "-" or "".
        base: 8, 10 or 16.
    """

    value: int
    sign: str
    base: int


class Scanner:
    """A place in an SDDL string, and what may be taken from there.

    Attributes:
        source: the whole string.
        at: the place, in characters from the start.
        domain: SID of the domain for aliases that need one, or None.
    """

    __slots__ = ("at", "domain", "source")

    def __init__(self, source: str, domain: Sid | None) -> None:
        self.source = source
        self.at = 0
        self.domain = domain

    def malformed(self, reason: str, *, at: int | None = None) -> Malformed:
        """An error about this string, to be raised by the caller.

        Args:
            reason: what is wrong.
            at: where, in characters; by default the place where the scanner is.
        """
        return Malformed(STRUCTURE, reason, offset=self.at if at is None else at)

    def skip_blanks(self) -> None:
        """Pass over white space."""
        found = _BLANKS.match(self.source, self.at)
        self.at = found.end() if found is not None else self.at

    def at_end(self) -> bool:
        """Whether only white space is left."""
        self.skip_blanks()
        return self.at == len(self.source)

    def comes(self, literal: str) -> bool:
        """Whether ``literal`` comes next, after white space."""
        self.skip_blanks()
        return self.source.startswith(literal, self.at)

    def take(self, literal: str) -> bool:
        """Pass over ``literal``, and white space before it, if it is there."""
        if not self.comes(literal):
            return False
        self.at += len(literal)
        return True

    def expect(self, literal: str) -> None:
        """Pass over ``literal``, which has to be there. Raises Malformed."""
        if not self.take(literal):
            raise self.malformed(f"{literal!r} expected, not {self._next()}")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Pass over what matches ``pattern`` here, after white space.

        Returns:
            The match, or None if there is none; then only white space was passed over.
        """
        self.skip_blanks()
        found = pattern.match(self.source, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def sid(self) -> Sid:
        """Take a SID or an alias.

        Raises:
            Malformed: neither, an unknown alias, one that needs a domain and has none, or a SID with numbers
                out of range.
        """
        self.skip_blanks()
        start = self.at
        found = self.match(_SID)
        if found is not None:
            return self._literal_sid(found[0], start)
        found = self.match(_ALIAS)
        if found is None:
            raise self.malformed(f"SID expected, not {self._next()}")
        alias = found[0]
        if alias in ALIASES:
            return ALIASES[alias]
        if alias not in DOMAIN_ALIASES:
            raise self.malformed(f"unknown alias {alias} of a SID", at=start)
        if self.domain is None:
            raise self.malformed(
                f"alias {alias} is relative to a domain, and none is known", at=start
            )
        return Sid(self.domain.authority, (*self.domain.sub_authorities, DOMAIN_ALIASES[alias]))

    def integer(self, low: int, high: int) -> Integer | None:
        """Take an integer, or None if there is none.

        Args:
            low: the smallest that is allowed.
            high: the largest that is allowed.
        Raises:
            Malformed: out of range, or an 8 or 9 behind a leading 0.
        """
        found = self.match(_INTEGER)
        if found is None:
            return None
        sign, digits = found.groups()
        base = _BASE_OF_PREFIX.get(digits[:2], 8 if digits[0] == "0" and digits != "0" else 10)
        try:
            magnitude = int(digits, base)
        except ValueError:
            raise self.malformed(f"{digits} is no octal number", at=found.start()) from None
        value = -magnitude if sign == "-" else magnitude
        if not low <= value <= high:
            raise self.malformed(f"{found[0]} is not {low} to {high}", at=found.start())
        return Integer(value, sign, base)

    def text(self) -> bytes | None:
        """Take text in quotes as UTF-16LE, or None if there is none."""
        found = self.match(_TEXT)
        return None if found is None else utf16_encode(found[1])

    def octets(self) -> bytes:
        """Take hexadecimal digits with or without ``#`` before them; there may be none."""
        found = self.match(_OCTETS)
        digits = "" if found is None else found[1].replace("#", "0")
        return bytes.fromhex("0" * (len(digits) % 2) + digits)

    def _literal_sid(self, text: str, start: int) -> Sid:
        try:
            return Sid.from_text(text)
        except Malformed as error:
            raise self.malformed(f"SID: {error.reason}", at=start) from None

    def _next(self) -> str:
        return (
            repr(self.source[self.at : self.at + 12]) if self.at < len(self.source) else "the end"
        )


def format_sid(sid: Sid) -> str:
    """A SID as SDDL has it: the alias of a well-known one, otherwise the numbers.

    Raises:
        UnknownFeature: a SID without sub-authorities, which SDDL cannot write.
    """
    if not sid.sub_authorities:
        raise UnknownFeature(f"SID {sid} has no sub-authorities, so SDDL has no form for it")
    return ALIAS_OF.get(sid) or str(sid)


def decode_name(scanner: Scanner, text: str, start: int) -> bytes:
    """The UTF-16LE bytes of an attribute name that was written with escapes.

    Args:
        scanner: for the error.
        text: the name as it is in the string.
        start: where it is there.
    Raises:
        Malformed: a ``%`` without four hexadecimal digits behind it.
    """
    name = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    if text.count("%") != len(_ESCAPE.findall(text)):
        raise scanner.malformed("% without four hexadecimal digits in a name", at=start)
    return utf16_encode(name)


def encode_name(data: bytes, allowed: re.Pattern[str]) -> str:
    """The way back of ``decode_name``.

    Args:
        data: the name in UTF-16LE.
        allowed: matches one character that needs no escape.
    Raises:
        Malformed: an odd number of bytes.
        UnknownFeature: an empty name, which SDDL cannot write.
    """
    name = utf16_decode(data, structure="attribute name")
    if not name:
        raise UnknownFeature("an attribute without a name has no SDDL form")
    return "".join(c if allowed.fullmatch(c) else _escape(c) for c in name)


def _escape(character: str) -> str:
    units = utf16_encode(character)
    return "".join(
        f"%{int.from_bytes(units[at : at + 2], 'little'):04x}" for at in range(0, len(units), 2)
    )


def quote(data: bytes, structure: str) -> str:
    """UTF-16LE text in quotes.

    Args:
        data: the text.
        structure: what it is part of, for errors.
    Raises:
        Malformed: an odd number of bytes.
        UnknownFeature: it holds a quote or a NUL, and SDDL has no escape for them.
    """
    text = utf16_decode(data, structure=structure)
    if '"' in text or "\0" in text:
        raise UnknownFeature(f"{structure}: text with a quote or a NUL has no SDDL form")
    return f'"{text}"'
