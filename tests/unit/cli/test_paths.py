"""What people type and what they read."""

from __future__ import annotations

import pytest

from winlayers.cli.paths import path_argument, shown_path, split_stream
from winlayers.errors import InvalidName


@pytest.mark.parametrize(
    ("text", "path", "stream"),
    [
        ("/a.txt", "/a.txt", ""),
        ("a.txt:s", "a.txt", "s"),
        ("C:\\a.txt", "C:\\a.txt", ""),
        ("C:\\dir\\a.txt:s", "C:\\dir\\a.txt", "s"),
        ("c:a.txt:s:$DATA", "c:a.txt", "s"),
        ("/a.txt::$data", "/a.txt", ""),
        ("\\\\?\\C:\\a.txt:s", "\\\\?\\C:\\a.txt", "s"),
        ("C:", "C:", ""),
        ("C:\\", "C:\\", ""),
        ("/dir/:s", "/dir/", "s"),
    ],
)
def test_stream_is_told_from_a_drive(text: str, path: str, stream: str) -> None:
    assert split_stream(text) == (path, stream)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("Files", "/"),
        ("Files/a/b", "/a/b"),
        ("FILES/a", "/a"),
        ("Hives/Software_Base", "Hives/Software_Base"),
        ("UtilityVM/Files/a", "UtilityVM/Files/a"),
        ("Filesystem/a", "Filesystem/a"),
        ("", ""),
    ],
)
def test_path_is_shown_as_in_the_container(path: str, shown: str) -> None:
    assert shown_path(path, raw=False) == shown
    assert shown_path(path, raw=True) == path


def test_bytes_of_a_surrogate_become_it_again() -> None:
    argument = b"a\xed\xa0\x80".decode("utf-8", "surrogateescape")
    assert path_argument(argument) == "a\ud800"
    assert path_argument("größe") == "größe"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidName):
        path_argument(b"a\xff".decode("utf-8", "surrogateescape"))
