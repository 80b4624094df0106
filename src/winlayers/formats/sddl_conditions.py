"""Conditions of ACEs: the byte code in a callback ACE, and its text in SDDL.

The byte code starts with ``artx`` and has its operators behind their operands, up to zeros that pad it to a
multiple of 4. Each token is a u8, and for operands more:

    01..04  integer of 8, 16, 32, 64 bits: always a u64, u8 sign (1 +, 2 -, 3 none), u8 base (1 octal, 2 decimal, 3 hex)
    10      text: u32 size in bytes, UTF-16LE
    18      bytes: u32 size, bytes
    50      list: u32 size in bytes, operands of the kinds above and below, but no list
    51      SID: u32 size, SID
    f8..fb  attribute, local, of user, resource, device: u32 size in bytes, UTF-16LE name
    80..93  comparisons, see the tables below;  a0 && a1 || a2 !

In SDDL:

    condition  = "(" expression ")"               ! binds closest, then &&, then ||; equal ones from the left
    expression = "!" expression | expression "&&" expression | expression "||" expression | "(" expression ")" | term
    term       = attribute | attribute operator operand | ("Exists" | ...) attribute | ("Member_of" | ...) sids
    attribute  = name | "@User." name | "@Resource." name | "@Device." name
    operand    = attribute | value | "{" value "," ... "}"
    value      = integer | text | octets | "SID(" sid ")"

Conditions are kept as bytes everywhere else; this module is only asked to show or to read them, and never
evaluates one. Source: MS-DTYP 2.4.4.17 and 2.5.1.1; one expression made on Windows in the unit tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from winlayers.errors import UnknownFeature
from winlayers.formats.cursor import Builder, Cursor
from winlayers.formats.sddl_tokens import (
    LOCAL_NAME,
    PREFIXED_NAME,
    Integer,
    Scanner,
    decode_name,
    encode_name,
    format_sid,
    quote,
)
from winlayers.formats.sids import Sid

STRUCTURE = "condition"
SIGNATURE = b"artx"
MAX_DEPTH = 256

_PADDING = 0x00
_INT64 = 0x04
_INTEGERS = frozenset({0x01, 0x02, 0x03, _INT64})
_TEXT, _OCTETS, _LIST, _SID = 0x10, 0x18, 0x50, 0x51
_AND, _OR, _NOT = 0xA0, 0xA1, 0xA2
_LOCAL = 0xF8

_COMPARISONS = {
    "==": 0x80,
    "!=": 0x81,
    "<=": 0x83,
    "<": 0x82,
    ">=": 0x85,
    ">": 0x84,
    "Contains": 0x86,
    "Any_of": 0x88,
    "Not_Contains": 0x8E,
    "Not_Any_of": 0x8F,
}
_EXISTENCE = {"Exists": 0x87, "Not_Exists": 0x8D}
_MEMBERSHIP = {
    "Member_of": 0x89,
    "Device_Member_of": 0x8A,
    "Member_of_Any": 0x8B,
    "Device_Member_of_Any": 0x8C,
    "Not_Member_of": 0x90,
    "Not_Device_Member_of": 0x91,
    "Not_Member_of_Any": 0x92,
    "Not_Device_Member_of_Any": 0x93,
}
_PREFIXES = {"@USER.": 0xF9, "@RESOURCE.": 0xFA, "@DEVICE.": 0xFB}

_COMPARISON_TEXT = {code: text for text, code in _COMPARISONS.items()}
_EXISTENCE_TEXT = {code: text for text, code in _EXISTENCE.items()}
_MEMBERSHIP_TEXT = {code: text for text, code in _MEMBERSHIP.items()}
_PREFIX_TEXT = {code: text for text, code in _PREFIXES.items()} | {_LOCAL: ""}
_KEYWORDS = {text.lower(): code for text, code in (_EXISTENCE | _MEMBERSHIP).items()}
_WORDS = {text.lower(): code for text, code in _COMPARISONS.items() if text[0].isalpha()}

_SIGNS = {"+": 1, "-": 2, "": 3}
_BASES = {8: 1, 10: 2, 16: 3}
_BASE_FORMAT = {1: "0{:o}", 2: "{:d}", 3: "0x{:x}"}

_SIGN = re.compile("|".join(map(re.escape, (s for s in _COMPARISONS if not s[0].isalpha()))))
_WORD = re.compile(rf"[A-Za-z_]+(?![{LOCAL_NAME}%]|[^\x00-\x7f])")
_PREFIXED = re.compile(
    rf"(@(?:user|resource|device)\.)((?:[{PREFIXED_NAME}%]|[^\x00-\x7f])+)", re.IGNORECASE
)
_DIGIT = re.compile(r"[0-9]")
_PLAIN = re.compile(rf"(?:[{LOCAL_NAME}%]|[^\x00-\x7f])+")
_PREFIXED_CHARACTER = re.compile(rf"[{PREFIXED_NAME}]")
_PLAIN_CHARACTER = re.compile(rf"[{LOCAL_NAME}]")

# How closely an expression binds; a value binds to nothing.
_VALUE, _SIDS, _BY_OR, _BY_AND, _TERM, _ATTRIBUTE = range(6)
_LOGICAL = {_AND: ("&&", _BY_AND), _OR: ("||", _BY_OR)}
_LOGICAL_CODES = {text: code for code, (text, _) in _LOGICAL.items()}


def parse_condition(scanner: Scanner) -> bytes:
    """Read a condition, with the parentheses around it.

    Args:
        scanner: moved to behind the closing parenthesis.
    Returns:
        The byte code with its signature, padded to a multiple of 4.
    Raises:
        Malformed: not of the form above, a number out of range, or more than ``MAX_DEPTH`` of ``(`` and ``!``
            open at once.
    """
    scanner.expect("(")
    builder = Builder(STRUCTURE)
    builder.put(SIGNATURE)
    # Operators wait here for their second operand; 0 is an open parenthesis.
    waiting: list[int] = []
    while True:
        _parse_operand(scanner, builder, waiting)
        while scanner.take(")"):
            if not _close(builder, waiting):
                builder.pad(4)
                return builder.build()
        _parse_logical(scanner, builder, waiting)


def _parse_operand(scanner: Scanner, builder: Builder, waiting: list[int]) -> None:
    """All up to the end of the next term."""
    while (is_not := scanner.take("!")) or scanner.take("("):
        waiting.append(_NOT if is_not else 0)
        if sum(code in (0, _NOT) for code in waiting) > MAX_DEPTH:
            raise scanner.malformed(f"condition nested deeper than {MAX_DEPTH}")
    builder.put(_parse_term(scanner))
    _apply(builder, waiting, {_NOT})


def _parse_logical(scanner: Scanner, builder: Builder, waiting: list[int]) -> None:
    for text, code in _LOGICAL_CODES.items():
        if scanner.take(text):
            _apply(builder, waiting, {_AND} if code == _AND else {_AND, _OR})
            waiting.append(code)
            return
    raise scanner.malformed("&&, || or ) expected")


def _close(builder: Builder, waiting: list[int]) -> bool:
    """End a parenthesis; False if it is the one around the whole condition."""
    _apply(builder, waiting, {_AND, _OR})
    if not waiting:
        return False
    waiting.pop()
    _apply(builder, waiting, {_NOT})
    return True


def _apply(builder: Builder, waiting: list[int], codes: set[int]) -> None:
    """Write the operators on top of those that wait, as long as they are of ``codes``."""
    while waiting and waiting[-1] in codes:
        builder.u8(waiting.pop())


def _parse_term(scanner: Scanner) -> bytes:
    scanner.skip_blanks()
    start = scanner.at
    word = scanner.match(_WORD)
    keyword = None if word is None else _KEYWORDS.get(word[0].lower())
    if word is None or keyword is None:
        scanner.at = start
        return _parse_comparison(scanner)
    if keyword in _EXISTENCE_TEXT:
        return _parse_attribute(scanner) + bytes([keyword])
    return _parse_list_or_value(scanner, only_sids=True) + bytes([keyword])


def _parse_comparison(scanner: Scanner) -> bytes:
    left = _parse_attribute(scanner)
    scanner.skip_blanks()
    start = scanner.at
    if (sign := scanner.match(_SIGN)) is not None:
        code = _COMPARISONS[sign[0]]
    else:
        word = scanner.match(_WORD)
        if word is None:
            return left
        if word[0].lower() not in _WORDS:
            raise scanner.malformed(f"unknown operator {word[0][:30]}", at=start)
        code = _WORDS[word[0].lower()]
    if scanner.comes("@"):
        return left + _parse_attribute(scanner) + bytes([code])
    return left + _parse_list_or_value(scanner, only_sids=False) + bytes([code])


def _parse_attribute(scanner: Scanner) -> bytes:
    code = _LOCAL
    found = scanner.match(_PREFIXED)
    if found is not None:
        code = _PREFIXES[found[1].upper()]
        name = decode_name(scanner, found[2], found.start(2))
        return _sized(code, name)
    scanner.skip_blanks()
    start = scanner.at
    found = scanner.match(_PLAIN)
    if found is None or found[0][0] == "@":
        raise scanner.malformed("attribute expected", at=start)
    return _sized(code, decode_name(scanner, found[0], start))


def _parse_list_or_value(scanner: Scanner, *, only_sids: bool) -> bytes:
    if not scanner.take("{"):
        return _parse_value(scanner, only_sids=only_sids)
    values: list[bytes] = []
    while not scanner.take("}"):
        if values:
            scanner.expect(",")
        values.append(_parse_value(scanner, only_sids=only_sids, in_list=True))
    return _sized(_LIST, b"".join(values))


def _parse_value(scanner: Scanner, *, only_sids: bool, in_list: bool = False) -> bytes:
    if scanner.take("SID("):
        sid = scanner.sid()
        scanner.expect(")")
        return _sized(_SID, sid.build())
    if only_sids:
        raise scanner.malformed("SID(...) expected")
    text = scanner.text()
    if text is not None:
        return _sized(_TEXT, text)
    if scanner.comes("#"):
        return _sized(_OCTETS, scanner.octets())
    number = scanner.integer(-1 << 63, (1 << 63) - 1)
    if number is not None:
        return _build_integer(number)
    if in_list or scanner.match(_DIGIT) is not None:
        # A name may start with a digit, but on this side it would be a number gone wrong.
        raise scanner.malformed("value expected")
    return _parse_attribute(scanner)


def _build_integer(number: Integer) -> bytes:
    value = number.value.to_bytes(8, "little", signed=True)
    return bytes([_INT64]) + value + bytes([_SIGNS[number.sign], _BASES[number.base]])


def _sized(code: int, data: bytes) -> bytes:
    return bytes([code]) + len(data).to_bytes(4, "little") + data


@dataclass(frozen=True, slots=True)
class _Piece:
    """Text of one part of the expression.

    Attributes:
        text: without parentheses around it.
        rank: how closely it binds.
        depth: how many ``(`` and ``!`` are open at once in it.
    """

    text: str
    rank: int
    depth: int = 0


def format_condition(data: bytes) -> str:
    """Write a condition as SDDL, with parentheses around it.

    Args:
        data: the application data of an ACE: signature, byte code, padding.
    Returns:
        The text, with no more parentheses than ``parse_condition`` needs to give the same byte code.
    Raises:
        Malformed: damaged byte code, or an expression that is none.
        UnknownFeature: no condition, or one that SDDL has no form for: an unknown token, text with a quote, or
            about ``MAX_DEPTH`` of ``(`` and ``!`` open at once.
    """
    if not data.startswith(SIGNATURE):
        raise UnknownFeature("the data of a callback ACE is no condition, so it has no SDDL form")
    cursor = Cursor(data, STRUCTURE, at=len(SIGNATURE))
    stack: list[_Piece] = []
    while cursor.remaining:
        start = cursor.at
        code = cursor.u8()
        if code == _PADDING:
            if any(cursor.take(cursor.remaining)):
                raise cursor.malformed("padding in the middle", at=start)
        else:
            stack.append(_next_piece(cursor, code, stack, start))
    if len(stack) != 1 or stack[0].rank < _BY_OR:
        raise cursor.malformed(f"{len(stack)} expressions, not one")
    return f"({stack[0].text})"


def _next_piece(cursor: Cursor, code: int, stack: list[_Piece], start: int) -> _Piece:
    if code in _PREFIX_TEXT:
        return _Piece(_format_attribute(code, _take_sized(cursor)), _ATTRIBUTE)
    if code in _COMPARISON_TEXT:
        right = _pop(cursor, stack, start, {_VALUE, _SIDS, _ATTRIBUTE})
        left = _pop(cursor, stack, start, {_ATTRIBUTE})
        return _Piece(f"{left.text} {_COMPARISON_TEXT[code]} {right.text}", _TERM)
    if code in _EXISTENCE_TEXT:
        name = _pop(cursor, stack, start, {_ATTRIBUTE})
        return _Piece(f"{_EXISTENCE_TEXT[code]} {name.text}", _TERM)
    if code in _MEMBERSHIP_TEXT:
        sids = _pop(cursor, stack, start, {_SIDS})
        return _Piece(f"{_MEMBERSHIP_TEXT[code]} {sids.text}", _TERM)
    if code in _LOGICAL or code == _NOT:
        return _combine(cursor, code, stack, start)
    return _format_value(cursor, code, start)


def _combine(cursor: Cursor, code: int, stack: list[_Piece], start: int) -> _Piece:
    """A piece of the operands of a logical operator."""
    right = _pop(cursor, stack, start, {_BY_OR, _BY_AND, _TERM, _ATTRIBUTE})
    if code == _NOT:
        wrapped = _wrap(right)
        return _Piece(f"!{wrapped.text}", _TERM, wrapped.depth + 1)
    left = _pop(cursor, stack, start, {_BY_OR, _BY_AND, _TERM, _ATTRIBUTE})
    text, rank = _LOGICAL[code]
    left = _wrap(left) if left.rank < rank else left
    right = _wrap(right) if right.rank <= rank else right
    return _Piece(f"{left.text} {text} {right.text}", rank, max(left.depth, right.depth))


def _wrap(piece: _Piece) -> _Piece:
    if piece.depth > MAX_DEPTH - 2:
        raise UnknownFeature(f"a condition nested deeper than {MAX_DEPTH} has no SDDL form here")
    return _Piece(f"({piece.text})", piece.rank, piece.depth + 1)


def _pop(cursor: Cursor, stack: list[_Piece], start: int, ranks: set[int]) -> _Piece:
    if not stack or stack[-1].rank not in ranks:
        raise cursor.malformed("operator without fitting operands", at=start)
    return stack.pop()


def _take_sized(cursor: Cursor) -> bytes:
    return cursor.take(cursor.u32("size"), "operand")


def _format_attribute(code: int, data: bytes) -> str:
    if code != _LOCAL:
        return _PREFIX_TEXT[code] + encode_name(data, _PREFIXED_CHARACTER)
    name = encode_name(data, _PLAIN_CHARACTER)
    if name[0] in "0123456789@" or name.lower() in _KEYWORDS:
        # Else it would be taken for a number, another kind of attribute or an operator.
        return f"%{ord(name[0]):04x}{name[1:]}"
    return name


def _format_value(cursor: Cursor, code: int, start: int) -> _Piece:
    if code == _LIST:
        return _format_list(cursor, _take_sized(cursor))
    if code in _INTEGERS:
        return _Piece(_format_integer(cursor), _VALUE)
    if code == _TEXT:
        return _Piece(quote(_take_sized(cursor), STRUCTURE), _VALUE)
    if code == _OCTETS:
        return _Piece(f"#{_take_sized(cursor).hex()}", _VALUE)
    if code == _SID:
        return _Piece(f"SID({format_sid(Sid.parse(_take_sized(cursor)))})", _SIDS)
    raise UnknownFeature(f"{STRUCTURE}: token {code:#04x} at byte {start} is unknown")


def _format_list(cursor: Cursor, data: bytes) -> _Piece:
    inner = Cursor(data, STRUCTURE)
    pieces = []
    while inner.remaining:
        code = inner.u8()
        if code == _LIST:
            raise cursor.malformed("a list in a list")
        pieces.append(_format_value(inner, code, inner.at - 1))
    are_sids = all(piece.rank == _SIDS for piece in pieces)
    text = ", ".join(piece.text for piece in pieces)
    return _Piece(f"{{{text}}}", _SIDS if are_sids else _VALUE)


def _format_integer(cursor: Cursor) -> str:
    start = cursor.at
    value = int.from_bytes(cursor.take(8, "integer"), "little", signed=True)
    sign, base = cursor.u8("sign"), cursor.u8("base")
    if base not in _BASE_FORMAT or sign not in _SIGNS.values() or (value > 0 and sign == 2):
        raise cursor.malformed(f"integer {value} of sign {sign} and base {base}", at=start)
    text = _BASE_FORMAT[base].format(abs(value))
    return f"{'-' if value < 0 or sign == 2 else '+' if sign == 1 else ''}{text}"
