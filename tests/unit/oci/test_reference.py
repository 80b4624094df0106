"""Names of images, as Docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.base.digest import Digest
from winlayers.errors import InvalidReference
from winlayers.oci.reference import Reference

D = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("ubuntu:22.04", "docker.io/library/ubuntu:22.04", "ubuntu:22.04"),
        ("user/image", "docker.io/user/image", "user/image"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("index.docker.io/library/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/a", "localhost/a", "localhost/a"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("localhost:5000/a:t", "localhost:5000/a:t", "localhost:5000/a:t"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
        ("HOST/a", "HOST/a", "HOST/a"),
        (
            "mcr.microsoft.com/windows/nanoserver:ltsc2022",
            "mcr.microsoft.com/windows/nanoserver:ltsc2022",
            "mcr.microsoft.com/windows/nanoserver:ltsc2022",
        ),
        (f"a@{D}", f"docker.io/library/a@{D}", f"a@{D}"),
        (f"x.y/a:t@{D}", f"x.y/a:t@{D}", f"x.y/a:t@{D}"),
        ("a__b.c-d--e_f", "docker.io/library/a__b.c-d--e_f", "a__b.c-d--e_f"),
        ("a:_T.x-1", "docker.io/library/a:_T.x-1", "a:_T.x-1"),
        ("docker.io/x.y/a", "docker.io/x.y/a", "docker.io/x.y/a"),
        ("docker.io/localhost/a:t", "docker.io/localhost/a:t", "docker.io/localhost/a:t"),
        (
            "docker.io/index.docker.io/a",
            "docker.io/index.docker.io/a",
            "docker.io/index.docker.io/a",
        ),
        ("docker.io/library/localhost", "docker.io/library/localhost", "localhost"),
    ],
)
def test_name_is_made_whole(text: str, whole: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert str(reference) == whole
    assert reference.familiar() == familiar
    assert Reference.parse(whole) == reference
    assert Reference.parse(familiar) == reference


def test_parts_of_a_name() -> None:
    reference = Reference.parse(f"localhost:5000/a/b:t@{D}")
    assert reference == Reference("localhost:5000", "a/b", "t", Digest.parse(D))
    assert reference.name == "localhost:5000/a/b"


def test_default_tag_only_where_nothing_else_stands() -> None:
    assert str(Reference.parse("x.y/a").with_default_tag()) == "x.y/a:latest"
    assert str(Reference.parse("x.y/a:b").with_default_tag()) == "x.y/a:b"
    assert str(Reference.parse(f"x.y/a@{D}").with_default_tag()) == f"x.y/a@{D}"


def test_short_name_that_would_be_read_as_an_id_is_not_made() -> None:
    reference = Reference("docker.io", "library/" + "a" * 64)
    assert reference.familiar() == "library/" + "a" * 64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "words of a-z"),
        ("Ubuntu", "in lowercase"),
        ("x.y/A", "in lowercase"),
        ("a//b", "words of a-z"),
        ("a/", "words of a-z"),
        ("/a", "words of a-z"),
        ("a___b", "words of a-z"),
        ("a..b", "words of a-z"),
        ("-a", "words of a-z"),
        ("a-", "words of a-z"),
        ("é", "words of a-z"),
        ("a b", "words of a-z"),
        ("a\n", "words of a-z"),
        ("../x", "is no host"),
        ("https://x.y/a", "is no host"),
        ("x.y:port/a", "is no host"),
        ("-x.y/a", "is no host"),
        ("x." * 131 + "/a", "is no host"),
        ("a:", "tag is empty"),
        ("a:t:u", "is not a tag"),
        ("a:-t", "is not a tag"),
        ("a:" + "t" * 129, "is not a tag"),
        ("a:t\n", "is not a tag"),
        ("a@", "is not a digest"),
        ("a@sha256:00", "64 lowercase hex digits"),
        (f"a@{D}@{D}", "64 lowercase hex digits"),
        ("a" * 64, "is an image ID"),
        ("x.y/" + "a" * 256, "has 256 characters"),
    ],
)
def test_other_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)
    assert reason in str(caught.value)


def test_message_of_a_huge_name_is_short() -> None:
    for text in (
        "x" * 100_000 + ".y/a",
        "a:" + "x" * 100_000,
        "a/" * 50_000 + ":",
        "a@" + "b" * 200,
    ):
        with pytest.raises(InvalidReference) as caught:
            Reference.parse(text)
        assert len(str(caught.value)) < 1000


def test_longest_repository() -> None:
    assert len(Reference.parse("x.y/" + "a" * 255).repository) == 255


@settings(derandomize=True, deadline=None)
@given(st.text("aA0.:/@-_[]\n", max_size=30) | st.text(max_size=20))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar()) == reference
