"""Sizes as people write them: "20GB" to bytes and back.

The grammar and the texts are those of docker/go-units, with its odd corners, so that options which work
with Docker work here and fail with the same words: the number may be anything that Go takes for a
floating-point number (``1e3``, ``0x1p4``, ``1_000``), the value is a 64-bit float all the way, and one that is too
large for a signed 64-bit number becomes -2**63.

    number [one blank] [k m g t p] [b or ib]        in either case; or b alone

Source: docker/go-units size.go; checked against its answers in tests/vectors/data/units.json.
"""

from __future__ import annotations

import re

from winlayers.errors import InvalidArgument

_PREFIXES = "kmgtp"
_DECIMAL_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")

_LAST_OF_NUMBER = re.compile(r"[0-9. ](?=[^0-9. ]*\Z)")
_DIGITS = r"[0-9](?:_?[0-9])*"
_HEX_DIGITS = r"[0-9a-f](?:_?[0-9a-f])*"
_DECIMAL = re.compile(
    rf"[+-]?(?:{_DIGITS}\.?|(?:{_DIGITS})?\.{_DIGITS})(?:e[+-]?{_DIGITS})?",
    re.ASCII | re.IGNORECASE,
)
_HEX = re.compile(
    rf"[+-]?0x(?:_?{_HEX_DIGITS}\.?|(?:_?{_HEX_DIGITS})?\.{_HEX_DIGITS})p[+-]?{_DIGITS}",
    re.ASCII | re.IGNORECASE,
)
_WORD = re.compile(r"[+-]?inf(?:inity)?|nan", re.ASCII | re.IGNORECASE)
_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    '"': r"\"",
    "\\": r"\\",
}


def ram_in_bytes(text: str) -> int:
    """A size in powers of 1024: ``1k`` and ``1KiB`` are 1024 bytes.

    Args:
        text: number and unit; bytes without a unit.
    Returns:
        Bytes, cut off to a whole number; -2**63 for more than a signed 64-bit number holds.
    Raises:
        InvalidArgument: with the text of Docker's error.
    """
    return _parse_size(text, 1024)


def from_human_size(text: str) -> int:
    """A size in powers of 1000: ``1k`` and, against its name, ``1KiB`` are 1000 bytes.

    Args, Returns, Raises: as ``ram_in_bytes``.
    """
    return _parse_size(text, 1000)


def human_size(size: float) -> str:
    """Bytes with four significant digits and a unit of powers of 1000: ``2.746MB``."""
    return human_size_with_precision(size, 4)


def human_size_with_precision(size: float, precision: int) -> str:
    """Bytes with ``precision`` significant digits and a unit of powers of 1000: ``2.75MB``."""
    return _format_size(size, precision, 1000, _DECIMAL_UNITS)


def bytes_size(size: float) -> str:
    """Bytes with four significant digits and a unit of powers of 1024: ``2.619MiB``."""
    return _format_size(size, 4, 1024, _BINARY_UNITS)


def _parse_size(text: str, base: int) -> int:
    last = _LAST_OF_NUMBER.search(text)
    if last is None:
        raise InvalidArgument(f"invalid size: '{text}'")
    number_end = last.start() if last.group() == " " else last.end()
    value = _parse_float(text[:number_end])
    if value < 0:
        raise InvalidArgument(f"invalid size: '{text}'")
    return _to_int64(value * float(base ** _exponent(text[last.end() :])))


def _exponent(suffix: str) -> int:
    """The power of the base that a unit stands for."""
    if len(suffix.encode("utf-8", "surrogatepass")) > 3:
        raise InvalidArgument(f"invalid suffix: '{suffix}'")
    # Letter by letter: Go does not lower a sigma at the end of a word in another way.
    lowered = "".join(letter.lower()[0] for letter in suffix)
    if lowered in ("", "b"):
        return 0
    power = _PREFIXES.find(lowered[0]) + 1
    if power == 0 or lowered[1:] not in ("", "b", "ib"):
        raise InvalidArgument(f"invalid suffix: '{lowered}'")
    return power


def _parse_float(text: str) -> float:
    """A number as Go's ``strconv.ParseFloat`` takes it."""
    digits = text.replace("_", "")
    if _WORD.fullmatch(text):
        return float(text)
    if _DECIMAL.fullmatch(text):
        value = float(digits)
    elif _HEX.fullmatch(text):
        value = _hex_float(digits)
    else:
        raise InvalidArgument(f"strconv.ParseFloat: parsing {_quote(text)}: invalid syntax")
    if value in (float("inf"), float("-inf")):
        raise InvalidArgument(f"strconv.ParseFloat: parsing {_quote(text)}: value out of range")
    return value


def _hex_float(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return float("inf")


def _to_int64(value: float) -> int:
    """A float as the signed 64-bit number that amd64 makes of it: what does not fit is -2**63."""
    if not -(2.0**63) <= value < 2.0**63:
        return -(2**63)
    return int(value)


def _quote(text: str) -> str:
    """Text in quotes, as Go's ``%q`` writes it."""
    return '"' + "".join(map(_quote_character, text)) + '"'


def _quote_character(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _format_size(size: float, precision: int, base: int, units: tuple[str, ...]) -> str:
    index = 0
    while size >= base and index < len(units) - 1:
        size /= base
        index += 1
    return f"{size:.{precision}g}{units[index]}"
