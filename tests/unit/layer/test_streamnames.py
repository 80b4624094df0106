"""Names of alternate streams."""

from __future__ import annotations

import pytest

from winlayers.errors import InvalidName, Malformed
from winlayers.layer.streamnames import bare_name, check_stream_name, full_name


@pytest.mark.parametrize("name", ["s", "Zone.Identifier", "\x05Info", "a b?*", "\ud800", "n" * 255])
def test_name_comes_back(name: str) -> None:
    assert bare_name(full_name(name), "Files/a") == name


def test_type_may_be_missing() -> None:
    assert bare_name(":s", "Files/a") == "s"


def test_name_without_colon_is_malformed() -> None:
    with pytest.raises(Malformed, match="colon"):
        bare_name("s:$DATA", "Files/a")


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("", "name-character"),
        ("a:b", "name-character"),
        ("a/b", "name-character"),
        ("a\\b", "name-character"),
        ("a\0", "name-nul"),
        ("n" * 256, "name-too-long"),
        ("😀" * 128, "name-too-long"),
    ],
)
def test_name_that_cannot_be_is_refused(name: str, finding: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_stream_name(name, "Files/a")
    assert caught.value.finding == finding
