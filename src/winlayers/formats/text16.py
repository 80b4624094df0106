"""Names as Windows keeps them: UTF-16LE in its structures, WTF-8 in a tar, ``str`` in between.

Windows does not check that a name is well-formed UTF-16, so a name may hold half of a surrogate pair.
Such a *lone surrogate* stays one character of the ``str`` (``\\ud800`` to ``\\udfff``), two bytes of the
UTF-16 and three bytes (``ED A0..BF xx``) of the tar name; UTF-8 with that one addition is called WTF-8.
Every name has one spelling in each of the three, and the functions here refuse any other.

The original driver goes through Go strings and loses such names on the way. ``exact=False`` and
``utf8_decode_go`` do the same, for output that must equal the original's. This module knows nothing of
paths and of what a name may hold.
Source: the WTF-8 encoding (wtf-8.codeberg.page); Go's conversions between string, rune and UTF-16.
"""

from __future__ import annotations

import codecs
import re

from winlayers.errors import InvalidName, Malformed

REPLACEMENT = "\ufffd"
_LONE = re.compile(r"[\ud800-\udfff]")
_SPLIT_PAIR = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
_SHOWN = 80


def utf16_decode(
    data: bytes,
    *,
    exact: bool = True,
    structure: str = "UTF-16 text",
    offset: int | None = None,
) -> str:
    """UTF-16LE bytes as text.

    Args:
        data: whole 16-bit units, without a byte order mark; NULs are characters like others.
        exact: keep lone surrogates; otherwise each becomes U+FFFD, as in Go.
        structure: what the text is part of, for the error.
        offset: where it starts there, in bytes, for the error.
    Returns:
        The text; surrogate pairs are joined.
    Raises:
        Malformed: an odd number of bytes.
    """
    if len(data) % 2:
        raise Malformed(
            structure, f"UTF-16 text of {len(data)} bytes, an odd number", offset=offset
        )
    text = data.decode("utf-16-le", "surrogatepass")
    return text if exact else _LONE.sub(REPLACEMENT, text)


def utf16_encode(text: str, *, exact: bool = True) -> bytes:
    """Text as UTF-16LE bytes, without a byte order mark or a final NUL.

    Args:
        text: the text.
        exact: keep lone surrogates. Otherwise each becomes three U+FFFD: Go sees the three bytes that it
            has in WTF-8, and replaces every byte that is not part of valid UTF-8.
    """
    if not exact:
        text = _LONE.sub(3 * REPLACEMENT, text)
    return text.encode("utf-16-le", "surrogatepass")


def utf16_unit_count(text: str) -> int:
    """How many 16-bit units the text has in UTF-16; Windows limits names by them."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def has_lone_surrogate(text: str) -> bool:
    """Whether a name holds half of a surrogate pair, so that it is no UTF-8."""
    return not text.isascii() and _LONE.search(text) is not None


def wtf8_decode(raw: bytes) -> str:
    """A name from a tar, strictly.

    Args:
        raw: bytes of the name.
    Returns:
        The name, lone surrogates kept.
    Raises:
        InvalidName: not WTF-8, so nothing that a Windows file could be called: invalid, cut or overlong
            UTF-8, or a surrogate pair written as two groups of three bytes, which would be a second
            spelling of one Windows name.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        # Nearly all names end above; what follows is for lone surrogates and for rubbish.
        return _wtf8_decode_lone(raw)


def wtf8_encode(text: str) -> bytes:
    """A name as it is written in a tar; the way back of ``wtf8_decode``.

    Raises:
        InvalidName: the text holds a surrogate pair as two characters; no name decoded here does.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        if _SPLIT_PAIR.search(text):
            raise InvalidName(
                f"name {text[:_SHOWN]!r} holds a surrogate pair in two halves"
            ) from None
        return text.encode("utf-8", "surrogatepass")


def utf8_decode_go(raw: bytes) -> str:
    """Bytes as the text that Go's ``[]rune(s)`` makes of them.

    Args:
        raw: any bytes.
    Returns:
        The text, where each *byte* that is not part of valid UTF-8 has become one U+FFFD. (Python's
        ``replace`` makes one U+FFFD of a whole cut sequence.)
    """
    return raw.decode("utf-8", _ONE_BYTE)


def _wtf8_decode_lone(raw: bytes) -> str:
    """``wtf8_decode`` of what is not plain UTF-8."""
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise InvalidName(
            f"name {_shown(raw)} is not UTF-8 at byte {error.start} ({error.reason})"
        ) from error
    if _SPLIT_PAIR.search(text):
        raise InvalidName(f"name {_shown(raw)} holds a surrogate pair in two halves")
    return text


def _replace_one_byte(error: UnicodeError) -> tuple[str, int]:
    """An error handler that replaces a single byte and lets the decoder look at the next."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return REPLACEMENT, error.start + 1


def _shown(raw: bytes) -> str:
    """Bytes for a message, cut where they are long."""
    return repr(raw if len(raw) <= _SHOWN else raw[:_SHOWN] + b"...")


_ONE_BYTE = "winlayers.replace-one-byte"
codecs.register_error(_ONE_BYTE, _replace_one_byte)
