"""Regular expressions of strangers: what Python finds is found, and nothing takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import InvalidArgument
from winlayers.services.containerd.patterns import Pattern

ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\W", r"\.", "^", "$", "é"]
)
REPEATS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"])


def _joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.builds("({}){}".format, parts, REPEATS)
    return group | st.builds("{}|{}".format, parts, parts) | st.builds("{}{}".format, parts, parts)


# Python takes no anchor that repeats, and so none is in these.
PATTERNS = st.recursive(
    ATOMS.flatmap(
        lambda atom: (
            st.just(atom) if atom in "^$" else st.builds("{}{}".format, st.just(atom), REPEATS)
        )
    ),
    _joined,
    max_leaves=6,
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(PATTERNS, st.text("abc.1é", max_size=8))
def test_finds_what_python_finds(pattern: str, text: str) -> None:
    assert Pattern(pattern).is_in(text) is (re.search(pattern, text, re.ASCII) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "x", True),
        ("^$", "", True),
        ("^$", "x", False),
        (r"\Aa.c\z", "abc", True),
        (r"\Aa.c\z", "abcd", False),
        ("a.c", "a\nc", False),
        ("(?s)a.c", "a\nc", True),
        ("(?i)extract-[A-F]+", "EXTRACT-abc", True),
        ("(?is)^A.b$", "a\nB", True),
        ("(?:ab){2,3}$", "ababab", True),
        ("^(?:ab){2,3}$", "ab", False),
        (r"[\d\-x]+", "-", True),
        (r"[]a]", "]", True),
        (r"[^]a]", "]", False),
        (r"^[\w-]+\t[\x2d]?".replace(r"\x2d", "-"), "a-b\t", True),
        (r"^default/\d+/sha256:[0-9a-f]{64}$", "default/12/sha256:" + "0a" * 32, True),
        (r"\S\D\s", "ab ", True),
        (r"a\|b", "a|b", True),
    ],
)
def test_what_is_taken(pattern: str, text: str, expected: bool) -> None:
    assert Pattern(pattern).is_in(text) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "(a", "a)", "[", "[a", "[b-a]", "[]", "*", "a**", "a{2}{3}", "|*", "+a"),
        *("a{", "a{x}", "a{,3}", "a{3,2}", "a{1001}", "a{99999999999}", "a{-1}", "\\"),
        *(
            r"\1",
            r"\b",
            r"\p{L}",
            r"\x41",
            "(?=a)",
            "(?<n>a)",
            "(?P<n>a)",
            "(?m)a",
            "(?i",
            "(?",
            "(?)",
        ),
        *("[[:alpha:]]", "(?<!a)b", "a(?i)b", r"[\b]", "[a-", "[\\"),
        *(
            "(" * 100 + ")" * 100,
            "(" * 100_000,
            "a" * 2001,
            "(((a{99}){99}){99})",
            "(((){999}){999}){999}",
        ),
    ],
)
def test_what_is_refused(pattern: str) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidArgument, match="regular expression"):
        Pattern(pattern)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "^(a|a)*$", "(a*)*b", "a*a*a*a*a*b", ".*.*.*.*=.*", "(.*a){20}b", "(a?){30}a{30}b"],
)
def test_what_makes_others_go_back_for_hours_is_answered_at_once(pattern: str) -> None:
    started = time.monotonic()
    assert not Pattern(pattern).is_in("a" * 3000 + "!")
    assert time.monotonic() - started < 1


def test_steps_have_an_end_over_all_texts() -> None:
    pattern = Pattern("x|y", max_steps=1000)
    with pytest.raises(InvalidArgument, match="takes too long"):
        for _ in range(100):
            assert not pattern.is_in("a" * 50)


def test_pattern_that_is_elsewhere_at_each_character_has_an_end() -> None:
    pattern = Pattern("(a|b)*a(a|b){300}c", max_steps=100_000)
    text = "".join("ab"[number.bit_count() % 2] for number in range(8000))
    with pytest.raises(InvalidArgument, match="takes too long"):
        pattern.is_in(text)


def test_what_is_known_is_forgotten_when_it_is_much() -> None:
    pattern = Pattern("[^a]b")
    text = "".join(chr(0x4E00 + number) for number in range(20_000))
    assert not pattern.is_in(text)
    assert pattern.is_in(text + "b")
