"""Text to and from the calls."""

from __future__ import annotations

import ctypes

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native._strings import (
    WideText,
    build_wide,
    owned_text,
    read_units,
    read_wide,
)
from winlayers.errors import InvalidArgument, TooLarge

TEXTS = ["", "a", "läyer\U0001f600", "half \ud800", "\udfff other half", "x" * 40000]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_text_comes_back(text: str) -> None:
    array = build_wide(text)
    assert len(array) == len(text.encode("utf-16-le", "surrogatepass")) // 2 + 1
    assert array[-1] == 0
    assert read_wide(ctypes.addressof(array)) == text
    assert read_units(array) == text


@pytest.mark.parametrize("text", ["\0", "a\0b", "a\0"])
def test_nul_in_a_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        build_wide(text)


def test_buffer_without_a_nul_is_read_to_its_end() -> None:
    assert read_units((ctypes.c_uint16 * 3)(97, 98, 99)) == "abc"


def test_bytes_of_a_nul_across_two_units_end_nothing() -> None:
    assert read_units(build_wide("\u0100a\u6100\u0061")) == "\u0100a\u6100a"


def test_text_without_an_end_is_refused() -> None:
    array = build_wide("abcdef")
    with pytest.raises(TooLarge, match="5 units"):
        read_wide(ctypes.addressof(array), limit=5)
    assert read_wide(ctypes.addressof(array), limit=6) == "abcdef"


@pytest.mark.parametrize("value", ["text", b"bytes", ctypes.create_string_buffer(4), 5])
def test_parameter_takes_arrays_of_units_only(value: object) -> None:
    with pytest.raises(TypeError, match="build_wide"):
        WideText.from_param(value)  # type: ignore[arg-type]


def test_parameter_takes_null() -> None:
    assert WideText.from_param(None) is None


def test_owned_text_is_freed_also_after_an_error() -> None:
    array = build_wide("given")
    freed = []
    with pytest.raises(RuntimeError), owned_text(lambda one: freed.append(one.value)) as text:
        text.address.value = ctypes.addressof(array)
        assert text.read() == "given"
        raise RuntimeError
    assert freed == [ctypes.addressof(array)]


def test_owned_text_that_was_not_given_is_not_freed() -> None:
    freed: list[object] = []
    with owned_text(freed.append) as text:
        assert text.read() == ""
    assert freed == []


def test_text_that_windows_gives_is_read_and_freed(fake: Fake) -> None:
    with owned_text(lambda one: fake.api.call("CoTaskMemFree", one)) as text:
        fake.api.call("GetBaseImages", text.address)
        assert fake.live() == (1, 0)
        assert text.read() == '{"Images":[]}'
    assert fake.calls() == ["GetBaseImages", "CoTaskMemFree"]
