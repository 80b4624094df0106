"""Digests: the written form, and reading with a check at the end."""

from __future__ import annotations

import hashlib
import io
from dataclasses import FrozenInstanceError

import pytest

from winlayers.base.digest import Digest, DigestReader, digest_of
from winlayers.errors import DigestMismatch, InvalidArgument

CONTENT = b"content of a layer" * 100_000
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
SHA512 = "sha512:" + hashlib.sha512(CONTENT).hexdigest()


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_written_form_comes_back(text: str) -> None:
    digest = Digest.parse(text)
    assert str(digest) == text
    assert digest == Digest(*text.split(":"))
    assert hash(digest) == hash(Digest.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        SHA256[7:],
        SHA256[:-1],
        SHA256 + "0",
        SHA256 + "\n",
        SHA256.upper(),
        "sha256:" + SHA256[7:].upper(),
        "sha256:" + "g" * 64,
        "sha256:" + "٣" * 64,
        "sha512:" + SHA256[7:],
        "md5:" + "0" * 32,
        "sha256 :" + "0" * 64,
    ],
)
def test_anything_else_is_an_invalid_argument(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Digest.parse(text)


@pytest.mark.parametrize("text", ["a" * 5000, "a" * 5000 + ":", "sha256:" + "a" * 5000])
def test_little_of_a_long_text_is_quoted(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"a{100,150}\.\.\.'") as caught:
        Digest.parse(text)
    assert len(str(caught.value)) < 300


def test_digest_of_the_wrong_algorithm_is_quoted_whole() -> None:
    with pytest.raises(InvalidArgument, match=SHA512[7:]):
        Digest.parse("sha256:" + SHA512[7:])


def test_digest_is_a_value() -> None:
    digest = Digest.parse(SHA256)
    with pytest.raises(FrozenInstanceError):
        digest.hex = "0"  # type: ignore[misc]  # that is what is tried
    assert sorted([Digest.parse(SHA512), digest]) == [digest, Digest.parse(SHA512)]


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_file_is_digested_from_its_position(text: str) -> None:
    source = io.BytesIO(b"before" + CONTENT)
    source.seek(6)
    assert str(digest_of(source, text[:6])) == text


def test_unknown_algorithm_is_an_invalid_argument() -> None:
    with pytest.raises(InvalidArgument, match="md5"):
        digest_of(io.BytesIO(), "md5")


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_reader_passes_the_content_on_and_verifies_it(text: str) -> None:
    reader = DigestReader(io.BytesIO(CONTENT), Digest.parse(text))
    buffer = bytearray(5)
    assert reader.readinto(buffer) == 5
    rest = b"".join(iter(lambda: reader.read(99_999), b""))
    assert bytes(buffer) + rest == CONTENT
    assert str(reader.digest) == text
    assert reader.size == len(CONTENT)


def test_reader_without_expectation_tells_the_digest() -> None:
    reader = DigestReader(io.BytesIO(CONTENT))
    assert reader.read() == CONTENT
    assert str(reader.digest) == SHA256


def test_wrong_content_is_found_at_the_end_only() -> None:
    reader = DigestReader(io.BytesIO(CONTENT + b"x"), Digest.parse(SHA256), what="blob 7")
    while reader.size <= len(CONTENT):
        assert reader.read(100_000)
    with pytest.raises(DigestMismatch, match=f"blob 7 has digest .* not {SHA256}") as caught:
        reader.read(100_000)
    assert caught.value.expected == SHA256
    with pytest.raises(DigestMismatch):
        DigestReader(io.BytesIO(), Digest.parse(SHA256)).read()


def test_verify_reads_what_is_left() -> None:
    reader = DigestReader(io.BytesIO(CONTENT), Digest.parse(SHA256))
    reader.read(5)
    assert str(reader.verify()) == SHA256
    with pytest.raises(DigestMismatch):
        DigestReader(io.BytesIO(CONTENT[1:]), Digest.parse(SHA256)).verify()


def test_reading_nothing_is_not_the_end() -> None:
    reader = DigestReader(io.BytesIO(CONTENT), Digest.parse(SHA256))
    assert reader.read(0) == b""
    assert reader.read() == CONTENT
