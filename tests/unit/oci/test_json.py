"""JSON within limits, and as Go writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import Malformed, TooLarge, WinlayersError
from winlayers.oci._json import MAX_DEPTH, JsonObject, read_object, write_json
from winlayers.oci.model import parse_config, parse_document


def outcome_of(parse: Callable[[bytes], Any], raw: bytes) -> Any:
    """What it gives, or the error of this package that it raises."""
    try:
        return parse(raw)
    except WinlayersError as error:
        return error


def read(raw: bytes) -> dict[str, object]:
    return read_object(raw, "text", limit=1 << 20)


def test_object_keeps_the_order_of_its_fields() -> None:
    assert list(read(b' {"b": 1, "a": 2.5, "c": null}\n').items()) == [
        ("b", 1),
        ("a", 2.5),
        ("c", None),
    ]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{} x", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'{"a":1,"b":2,"a":1}', "'a' stands twice"),
        (b'{"x":[{"a":1,"\\u0061":2}]}', "'a' stands twice"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "too long"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "deeper than 64"),
        (b'{"a":' + b"[" * 190_000, "deeper than 64"),
    ],
)
def test_text_that_readers_could_differ_on_is_malformed(raw: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        read(raw)
    assert reason in str(caught.value)


def test_depth_up_to_the_limit_is_read() -> None:
    inner = MAX_DEPTH - 1
    assert read(b'{"a":' + b"[" * inner + b"]" * inner + b"}")
    with pytest.raises(Malformed, match="deeper"):
        read(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}")


def test_size_is_checked_first() -> None:
    with pytest.raises(TooLarge, match="text has 3 bytes; at most 2"):
        read_object(b"xxx", "text", limit=2)


def test_objects_and_arrays_are_counted_before_they_are_made() -> None:
    with pytest.raises(TooLarge, match="more than 200000 objects and arrays"):
        read(b'{"a":[' + b"[]," * 200_000 + b"[]]}")


def test_written_as_go_does() -> None:
    value = {"b": '<&>\u2028\u2029é\n\t\x01"\\/\x7f', "a": [1, True, None, 1.5]}
    assert write_json(value).decode() == (
        '{"b":"\\u003c\\u0026\\u003e\\u2028\\u2029é\\n\\t\\u0001\\"\\\\/\x7f","a":[1,true,null,1.5]}'
    )


def test_lone_surrogate_is_written_as_it_was_read() -> None:
    raw = b'{"a":"\\ud800"}'
    assert write_json(read(raw)) == raw


def test_field_is_found_without_case_and_null_is_none() -> None:
    fields = JsonObject({"Name": "x", "gone": None, "mediaTYPE\u212a": 1}, "text")
    assert fields.text("name") == "x"
    assert "gone" not in fields
    assert fields.key("gone") == "gone"
    assert fields.value("mediatypek") == 1
    assert fields.key("other") is None


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None)
@given(st.dictionaries(st.text(), _values))
def test_what_is_written_is_read_again(value: dict[str, object]) -> None:
    raw = write_json(value)
    assert read(raw) == value
    assert json.loads(raw) == value
    assert write_json(read(raw)) == raw


_names = st.sampled_from(
    [
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "digest",
        "size",
        "urls",
        "annotations",
        "platform",
        "os",
        "architecture",
        "os.version",
        "os.features",
        "rootfs",
        "diff_ids",
        "history",
        "empty_layer",
        "type",
        "created",
    ]
)
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-1, 3)
    | st.sampled_from(["", "layers", "sha256:" + "a" * 64, "application/json"])
)
_documents = st.dictionaries(
    _names,
    st.recursive(
        _leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=6),
        max_leaves=25,
    ),
    max_size=8,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(_documents)
def test_hostile_document_is_read_or_refused(value: dict[str, object]) -> None:
    raw = write_json(value)
    for parse in (parse_document, parse_config):
        outcome = outcome_of(parse, raw)
        assert str(outcome) if isinstance(outcome, WinlayersError) else outcome.raw == raw


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.binary(max_size=60) | st.text('{}[]":,\\u0eE+-. \x00né', max_size=40).map(str.encode))
def test_hostile_bytes_are_read_or_malformed(raw: bytes) -> None:
    assert isinstance(outcome_of(read, raw), dict | Malformed)
