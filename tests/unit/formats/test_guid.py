from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.guid import (
    LAYER_NAMESPACE,
    build_guid,
    format_guid,
    layer_guid,
    legacy_guid,
    named_guid,
    parse_guid,
    parse_guid_text,
)

PAIRS = Path(__file__).parents[2] / "data" / "guid_pairs.tsv"
TEXT = "73c39589-192e-4c64-9acf-6c5d0aa18528"
BYTES = bytes.fromhex("8995c3732e19644c9acf6c5d0aa18528")


def pairs() -> dict[str, uuid.UUID]:
    lines = [line for line in PAIRS.read_text().splitlines() if not line.startswith("#")]
    return {name: uuid.UUID(guid) for name, guid in (line.split("\t") for line in lines)}


def test_first_three_fields_are_little_endian() -> None:
    assert parse_guid(BYTES) == parse_guid_text(TEXT)
    assert build_guid(parse_guid_text(TEXT)) == BYTES
    assert format_guid(parse_guid(BYTES)) == TEXT


@pytest.mark.parametrize("size", [0, 15, 17])
def test_guid_of_another_size_is_malformed(size: int) -> None:
    with pytest.raises(Malformed, match="not 16"):
        parse_guid(bytes(size))


@pytest.mark.parametrize("text", [TEXT.upper(), f"{{{TEXT}}}"])
def test_printed_guid_may_be_upper_case_or_in_braces(text: str) -> None:
    assert format_guid(parse_guid_text(text)) == TEXT


@pytest.mark.parametrize(
    "text",
    ["", "{}", TEXT[:-1], "{" + TEXT, TEXT.replace("-", ""), f"urn:uuid:{TEXT}", TEXT + "\n"],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a GUID"):
        parse_guid_text(text)


@pytest.mark.parametrize(
    ("namespace", "name", "guid"),
    [
        (uuid.NAMESPACE_DNS, b"www.sample.com", "4e4463eb-b0e8-54fa-8c28-12d1ab1d45b3"),
        (
            uuid.NAMESPACE_URL,
            b"https://www.sample.com/test",
            "9e44625a-0d85-5e0a-99bc-8e8a77df5ea2",
        ),
        (uuid.NAMESPACE_OID, b"1.3.6.1.4.1.343", "6aab0456-7392-582a-b92a-ba5a7096945d"),
    ],
)
def test_named_guid_is_version_5(namespace: uuid.UUID, name: bytes, guid: str) -> None:
    assert format_guid(named_guid(namespace, name)) == guid


def test_legacy_guid_is_the_sha1_in_windows_order() -> None:
    # SHA-1 of "abc" begins a9993e36 4706 816a ba3e25717850c26c.
    assert format_guid(legacy_guid("abc")) == "363e99a9-0647-6a81-ba3e-25717850c26c"


def test_layer_guid_depends_on_the_name_alone_and_not_on_its_case() -> None:
    guid = layer_guid("ABCdef")
    assert guid == layer_guid("abcdef") == named_guid(LAYER_NAMESPACE, b"abcdef")
    assert guid != layer_guid("abcde")
    assert (guid.version, guid.variant) == (5, uuid.RFC_4122)


def test_known_ids_are_used_instead() -> None:
    known = pairs()
    assert len(known) == 18
    for name, guid in known.items():
        assert layer_guid(name.upper(), known) == guid
        assert (guid.version, guid.variant) == (5, uuid.RFC_4122)
        assert layer_guid(name) != guid
    assert layer_guid("other", known) == layer_guid("other")
