from __future__ import annotations

import pytest

from winlayers.errors import Malformed, UnknownFeature
from winlayers.formats.sddl_conditions import MAX_DEPTH, format_condition, parse_condition
from winlayers.formats.sddl_tokens import Scanner

USERS = "51" + "10000000" + "01020000000000052000000021020000"
SYSTEM = "51" + "0c000000" + "010100000000000512000000"


def text(code: int, value: str) -> str:
    data = value.encode("utf-16-le")
    return f"{code:02x}" + len(data).to_bytes(4, "little").hex() + data.hex()


def integer(value: int, sign: int = 3, base: int = 2, code: int = 4) -> str:
    return f"{code:02x}" + value.to_bytes(8, "little", signed=True).hex() + f"{sign:02x}{base:02x}"


def listed(*values: str) -> str:
    data = "".join(values)
    return "50" + (len(data) // 2).to_bytes(4, "little").hex() + data


def code_of(*tokens: str) -> bytes:
    data = b"artx" + bytes.fromhex("".join(tokens))
    return data + bytes(-len(data) % 4)


def parse(condition: str) -> bytes:
    scanner = Scanner(condition, None)
    data = parse_condition(scanner)
    assert scanner.at_end()
    return data


A, B, C = (text(0xF8, name) for name in "abc")

PAIRS = [
    ("(a)", (A,)),
    ("(@USER.a)", (text(0xF9, "a"),)),
    ("(@RESOURCE.c)", (text(0xFA, "c"),)),
    ("(@DEVICE.a)", (text(0xFB, "a"),)),
    ("(Exists a)", (A, "87")),
    ("(Not_Exists @USER.a)", (text(0xF9, "a"), "8d")),
    ("(a == 1)", (A, integer(1), "80")),
    ("(a != +1)", (A, integer(1, sign=1), "81")),
    ("(a < -1)", (A, integer(-1, sign=2), "82")),
    ("(a <= 0x1f)", (A, integer(31, base=3), "83")),
    ("(a > 017)", (A, integer(15, base=1), "84")),
    ("(a >= -0x8000000000000000)", (A, integer(-(1 << 63), sign=2, base=3), "85")),
    ("(a == 0)", (A, integer(0), "80")),
    ("(a == 00)", (A, integer(0, base=1), "80")),
    ("(a == -0)", (A, integer(0, sign=2), "80")),
    ('(a Contains "b c")', (A, text(0x10, "b c"), "86")),
    ('(a Any_of {"b", "c"})', (A, listed(text(0x10, "b"), text(0x10, "c")), "88")),
    ("(a Not_Contains #)", (A, "1800000000", "8e")),
    ("(a Not_Any_of {1, #01ff})", (A, listed(integer(1), "180200000001ff"), "8f")),
    ("(a == {})", (A, listed(), "80")),
    ("(a == SID(SY))", (A, SYSTEM, "80")),
    ("(@USER.Project Any_of @RESOURCE.Project)",
     (text(0xF9, "Project"), text(0xFA, "Project"), "88")),
    ("(a == b)", (A, B, "80")),
    ("(Member_of SID(SY))", (SYSTEM, "89")),
    ("(Device_Member_of {SID(SY)})", (listed(SYSTEM), "8a")),
    ("(Member_of_Any {SID(SY), SID(BU)})", (listed(SYSTEM, USERS), "8b")),
    ("(Device_Member_of_Any {SID(SY)})", (listed(SYSTEM), "8c")),
    ("(Not_Member_of {SID(SY)})", (listed(SYSTEM), "90")),
    ("(Not_Device_Member_of {SID(SY)})", (listed(SYSTEM), "91")),
    ("(Not_Member_of_Any {SID(SY)})", (listed(SYSTEM), "92")),
    ("(Not_Device_Member_of_Any {})", (listed(), "93")),
    ("(!(a))", (A, "a2")),
    ("(!(!(a)))", (A, "a2", "a2")),
    ("(a && b)", (A, B, "a0")),
    ("(a && b && c)", (A, B, "a0", C, "a0")),
    ("(a && (b && c))", (A, B, C, "a0", "a0")),
    ("(a || b && c)", (A, B, C, "a0", "a1")),
    ("(a && b || c)", (A, B, "a0", C, "a1")),
    ("((a || b) && c)", (A, B, "a1", C, "a0")),
    ("(!(a) && b)", (A, "a2", B, "a0")),
    ("(!(a && b) || c)", (A, B, "a0", "a2", C, "a1")),
    ('(@USER.Title == "PM" && (@USER.Division == "Finance" || @USER.Division == "Sales"))',
     (text(0xF9, "Title"), text(0x10, "PM"), "80",
      text(0xF9, "Division"), text(0x10, "Finance"), "80",
      text(0xF9, "Division"), text(0x10, "Sales"), "80", "a1", "a0")),
    ("(APPID://PATH Contains \"*\")", (text(0xF8, "APPID://PATH"), text(0x10, "*"), "86")),
    ("(@USER.ad://ext/a:b;[c] == 1)", (text(0xF9, "ad://ext/a:b;[c]"), integer(1), "80")),
    ("(@USER.a%0020b%d83d%de00 == 1)", (text(0xF9, "a b\U0001f600"), integer(1), "80")),
    ("(a%0020b)", (text(0xF8, "a b"),)),
    ("(%0031a == 1)", (text(0xF8, "1a"), integer(1), "80")),
    ("(a == %0031)", (A, text(0xF8, "1"), "80")),
    ("(%0040user.a)", (text(0xF8, "@user.a"),)),
    ("(%0065XISTS)", (text(0xF8, "eXISTS"),)),
    ("(Existsx)", (text(0xF8, "Existsx"),)),
    ("(Exists1)", (text(0xF8, "Exists1"),)),
    ("(Contains Contains 1)", (text(0xF8, "Contains"), integer(1), "86")),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "tokens"), PAIRS)
def test_text_and_byte_code_stand_for_each_other(condition: str, tokens: tuple[str, ...]) -> None:
    assert parse(condition) == code_of(*tokens)
    assert format_condition(code_of(*tokens)) == condition


def test_condition_as_windows_wrote_it() -> None:
    data = bytes.fromhex("61727478fa02000000630000")
    assert format_condition(data) == "(@RESOURCE.c)"
    assert parse("(@Resource.c)") == data


@pytest.mark.parametrize(
    ("condition", "same"),
    [
        ("( @User.a==1&&b )", "(@USER.a == 1 && b)"),
        ("((((a))))", "(a)"),
        ("(!a)", "(!(a))"),
        ("(!!a&&b)", "(!(!(a)) && b)"),
        ("(!exists a)", "(!(Exists a))"),
        ("(member_OF{SID(SY),SID(BU)})", "(Member_of {SID(SY), SID(BU)})"),
        ("(a CONTAINS{1,2})", "(a Contains {1, 2})"),
        ("(a==#1#2#3##)", "(a == #01020300)"),
        ("(a==#AB)", "(a == #ab)"),
        ("(1a == a)", "(%0031a == a)"),
        ("(a == 0X1F)", "(a == 0x1f)"),
        ("(\u00e4 == 1)", "(%00e4 == 1)"),
        ("(@USER.\u65e5 == 1)", "(@USER.%65e5 == 1)"),
    ],
)
def test_other_spellings_mean_the_same(condition: str, same: str) -> None:
    assert format_condition(parse(condition)) == same


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("", r"'\(' expected"),
        ("a", r"'\(' expected"),
        ("()", "attribute expected"),
        ("(a", "expected"),
        ("(a b)", "unknown operator b"),
        ("(a = 1)", "expected"),
        ("(a == )", "attribute expected"),
        ('("a" == a)', "attribute expected"),
        ("(a == 1 b)", "&&, || or"),
        ("(a & b)", "expected"),
        ("(a &&)", "attribute expected"),
        ("(a || && b)", "attribute expected"),
        ("(!)", "attribute expected"),
        ("(Exists)", "attribute expected"),
        ("(Exists 'a')", "attribute expected"),
        ("(@Other.a)", "attribute expected"),
        ("(@User.)", "attribute expected"),
        ("(@USER.a%12)", "four hexadecimal digits"),
        ("(a%)", "four hexadecimal digits"),
        ("(Member_of 1)", "SID"),
        ("(Member_of {1})", "SID"),
        ("(Member_of SID(ZZ))", "unknown alias"),
        ("(Member_of SID(SY)", "expected"),
        ("(Member_of {SID(SY})", "expected"),
        ("(a == {1 2})", "',' expected"),
        ("(a == {1,})", "value expected"),
        ("(a == {,1})", "value expected"),
        ("(a == {b})", "value expected"),
        ("(a == 1b)", "value expected"),
        ("(a == {{1}})", "value expected"),
        ('(a == "b)', "expected"),
        ("(a == 08)", "no octal number"),
        ("(a == 0x8000000000000000)", "is not -9223372036854775808 to"),
        ("(a == -9223372036854775809)", "is not -9223372036854775808 to"),
        ("(a == " + "9" * 5000 + ")", "value expected"),
        ("(" * (MAX_DEPTH + 2) + "a", "nested deeper"),
        ("(" + "!" * 60000 + "a)", "nested deeper"),
    ],
)
def test_text_that_is_no_condition_is_malformed(condition: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        parse(condition)
    assert caught.value.structure == "SDDL"
    assert caught.value.offset is not None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (code_of(), "0 expressions"),
        (code_of(A, B), "2 expressions"),
        (code_of(integer(1)), "1 expressions, not one|expressions"),
        (code_of("80"), "operator without fitting operands"),
        (code_of(A, "80"), "operator without fitting operands"),
        (code_of(integer(1), A, "80"), "operator without fitting operands"),
        (code_of(A, B, "a0", C, "80"), "operator without fitting operands"),
        (code_of(integer(1), "87"), "operator without fitting operands"),
        (code_of(A, "89"), "operator without fitting operands"),
        (code_of(listed(integer(1)), "89"), "operator without fitting operands"),
        (code_of(integer(1), "a2"), "operator without fitting operands"),
        (code_of(A, "a0"), "operator without fitting operands"),
        (code_of(integer(1), A, "a1"), "operator without fitting operands"),
        (code_of(A, "00", B), "padding in the middle"),
        (code_of(A, listed(listed()), "80"), "list in a list"),
        (code_of(A, integer(1, sign=0), "80"), "sign 0"),
        (code_of(A, integer(1, sign=2), "80"), "sign 2"),
        (code_of(A, integer(1, base=4), "80"), "base 4"),
        (b"artx\xf8", "size"),
        (b"artx\xf8\x04\x00\x00\x00a\x00", "operand of 4 bytes"),
        (b"artx\xf8\xff\xff\xff\xffa\x00\x00", "operand of 4294967295 bytes"),
        (b"artx\xf8\x01\x00\x00\x00a", "odd number"),
        (code_of(A, "51", "08000000", "0101000000000005", "80"), "sub-authorities"),
    ],
)
def test_damaged_byte_code_is_malformed(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        format_condition(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no condition"),
        (b"ARTX", "no condition"),
        (code_of("7f"), "token 0x7f"),
        (code_of(A, listed("7f"), "80"), "token 0x7f"),
        (code_of(text(0xF8, "")), "without a name"),
        (code_of(A, text(0x10, 'b"'), "80"), "quote"),
        (code_of(A, text(0x10, "b\0"), "80"), "NUL"),
        (code_of(A, "51", "08000000", "0100000000000005", "80"), "no sub-authorities"),
        (code_of(A, "a2" * 129), "nested deeper"),
        (code_of(A, "a2" * 60000), "nested deeper"),
    ],
)
def test_condition_without_sddl_form_is_refused_precisely(data: bytes, reason: str) -> None:
    with pytest.raises(UnknownFeature, match=reason):
        format_condition(data)


def test_shorter_integers_are_shown_as_numbers() -> None:
    assert format_condition(code_of(A, integer(5, code=1), "80")) == "(a == 5)"
    assert format_condition(code_of(A, integer(-5, sign=3, code=2), "80")) == "(a == -5)"


def test_deepest_condition_goes_there_and_back() -> None:
    data = code_of(A, "a2" * (MAX_DEPTH // 2))
    assert parse(format_condition(data)) == data
    nested = code_of(A * 257, "a0" * 256)
    assert parse(format_condition(nested)) == nested
    flat = code_of(A, (B + "a0") * 5000)
    assert parse(format_condition(flat)) == flat
