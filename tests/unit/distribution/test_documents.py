"""Small JSON from anybody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.distribution._documents import MAX_DEPTH, object_of, read_object, text_of
from winlayers.errors import Malformed, TooLarge

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(derandomize=True, max_examples=50)
@given(st.dictionaries(st.text(), VALUES))
def test_object_is_read(value: dict[str, Any]) -> None:
    assert read_object(json.dumps(value).encode(), "x") == value


@settings(derandomize=True, max_examples=200)
@given(st.binary() | st.text('[]{}"\\:,a1').map(str.encode))
def test_anything_is_an_object_or_refused(raw: bytes) -> None:
    refusal, fields = "", {}
    try:
        fields = read_object(raw, "some text")
    except Malformed as error:
        refusal = str(error)
    assert refusal.startswith("some text: ") or json.loads(raw) == fields


def test_depth_has_a_limit() -> None:
    inner = MAX_DEPTH - 1
    assert read_object(b'{"a":' + b"[" * inner + b"]" * inner + b"}", "x")
    with pytest.raises(Malformed, match="deeper than 64"):
        read_object(b'{"a":' + b"[" * (inner + 1) + b"]" * (inner + 1) + b"}", "x")


@pytest.mark.parametrize("text", ["[" * 99, '\\"' + "{" * 99, "\\\\"])
def test_brackets_in_texts_do_not_count(text: str) -> None:
    assert read_object(json.dumps({"a": text}).encode(), "x") == {"a": text}


@pytest.mark.parametrize("raw", [b"[" * 1_000_000, b'{"a":' * 200_000, b'"' * 1_000_000])
def test_hostile_text_is_refused_soon(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_object(raw, "x")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16", "utf-32"])
def test_text_that_is_no_utf8_is_refused(encoding: str) -> None:
    # The second byte of the first value would be taken for a quote, and hide the depth.
    text = '{"a":"\u2200","b":' + "[" * 100_000 + "]" * 100_000 + "}"
    with pytest.raises(Malformed, match=r"it is not (UTF-8|JSON)"):
        read_object(text.encode(encoding), "x")


def test_size_has_a_limit() -> None:
    with pytest.raises(TooLarge):
        read_object(b" " * (1 << 20) + b"{}", "x")


def test_field_of_another_type_counts_as_missing() -> None:
    fields = {"a": 7, "b": "text", "c": {"d": 1}}
    assert [text_of(fields, name) for name in "abcx"] == ["", "text", "", ""]
    assert [object_of(fields, name) for name in "abcx"] == [{}, {}, {"d": 1}, {}]
