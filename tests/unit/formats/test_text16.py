from __future__ import annotations

import pytest

from winlayers.errors import InvalidName, Malformed
from winlayers.formats.text16 import (
    utf8_decode_go,
    utf16_decode,
    utf16_encode,
    utf16_unit_count,
    wtf8_decode,
    wtf8_encode,
)

NAMES = [
    ("", b"", b""),
    ("a", b"a\0", b"a"),
    ("ü", b"\xfc\0", b"\xc3\xbc"),
    ("\U0001f600", b"\x3d\xd8\x00\xde", b"\xf0\x9f\x98\x80"),
    ("\ud800", b"\x00\xd8", b"\xed\xa0\x80"),
    ("\udfffx", b"\xff\xdfx\0", b"\xed\xbf\xbfx"),
    ("\udc00\ud800", b"\x00\xdc\x00\xd8", b"\xed\xb0\x80\xed\xa0\x80"),
    ("a\0b", b"a\0\0\0b\0", b"a\0b"),
]


@pytest.mark.parametrize(("text", "utf16", "wtf8"), NAMES)
def test_name_has_one_spelling_in_each_encoding(text: str, utf16: bytes, wtf8: bytes) -> None:
    assert utf16_encode(text) == utf16
    assert utf16_decode(utf16) == text
    assert wtf8_encode(text) == wtf8
    assert wtf8_decode(wtf8) == text
    assert utf16_unit_count(text) == len(utf16) // 2


def test_odd_utf16_is_malformed() -> None:
    with pytest.raises(Malformed, match="odd") as caught:
        utf16_decode(b"a\0b", structure="link", offset=7)
    assert (caught.value.structure, caught.value.offset) == ("link", 7)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xff", "byte 0"),
        (b"a\xe6\x97", "byte 1"),
        (b"\xc0\x80", "byte 0"),
        (b"\xe0\x80\x80", "byte 0"),
        (b"\xf4\x90\x80\x80", "byte 0"),
        (b"\xed\xa0", "byte 0"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "two halves"),
        (b"\xed\xa0\x80\xed\xa0\x80\xed\xb0\x80", "two halves"),
    ],
    ids=[
        "invalid",
        "cut",
        "overlong2",
        "overlong3",
        "too-large",
        "cut-lone",
        "pair",
        "lone-then-pair",
    ],
)
def test_other_spellings_are_invalid_names(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidName, match=reason):
        wtf8_decode(raw)


def test_message_about_a_long_name_stays_short() -> None:
    with pytest.raises(InvalidName) as caught:
        wtf8_decode(b"a" * 100_000 + b"\xff")
    assert len(str(caught.value)) < 200


def test_pair_in_two_halves_is_not_written() -> None:
    with pytest.raises(InvalidName, match="two halves"):
        wtf8_encode("\ud83d\ude00")


def test_go_decodes_each_lone_unit_as_one_replacement() -> None:
    data = utf16_encode("a\ud800\udfff\ud800\ud800b")
    # D800 DFFF is a pair; the two that follow are lone.
    assert utf16_decode(data, exact=False) == "a\U000103ff\ufffd\ufffdb"


def test_go_encodes_each_lone_surrogate_as_three_replacements() -> None:
    assert utf16_encode("a\ud800b", exact=False) == utf16_encode("a\ufffd\ufffd\ufffdb")
    assert utf16_encode("\U0001f600", exact=False) == utf16_encode("\U0001f600")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain \xc3\xbc", "plain ü"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xe6\x97", "\ufffd\ufffd"),
        (b"\xe6\x97a", "\ufffd\ufffda"),
        (b"\xc0\x80", "\ufffd\ufffd"),
        (b"\xf0\x9f\x98", "\ufffd\ufffd\ufffd"),
        (b"\xe6\xf0\x9f\x98\x80", "\ufffd\U0001f600"),
    ],
)
def test_go_replaces_single_bytes(raw: bytes, text: str) -> None:
    assert utf8_decode_go(raw) == text


def test_go_replacement_serves_only_decoding() -> None:
    with pytest.raises(UnicodeEncodeError):
        "\ud800".encode("utf-8", "winlayers.replace-one-byte")
