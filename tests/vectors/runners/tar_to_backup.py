"""Entries of tars, made into the backup streams that the original would give to Windows."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest

from tests.vectors.runners._text import b64, text_bytes
from tests.vectors.runners.sddl import parts as descriptor_parts
from winlayers.errors import WinlayersError
from winlayers.formats.backupstream import BackupReader, PartId
from winlayers.formats.ea import parse_ea_list
from winlayers.formats.filetime import build_basic_info
from winlayers.formats.security import parse_descriptor
from winlayers.formats.tar import TarHeader, TarReader
from winlayers.layer.backupstreams import read_backup_from_tar
from winlayers.layer.tarheaders import (
    Dialect,
    HeaderDecoder,
    parse_descriptor_records,
    parse_ea_records,
)


def run(case: dict[str, Any]) -> None:
    if case.get("trust") == "wine":
        check_unknown(case)
        return
    reader = TarReader(io.BytesIO(b64(case["tar"]) or b""))
    entries = case["entries"] or []
    if not entries and case["error"]:
        with pytest.raises(WinlayersError):
            reader.next()
        return
    header = reader.next()
    for expected in entries:
        assert header is not None
        check_info(header, expected)
        check_metadata(header, expected)
        target = io.BytesIO()
        if expected.get("stream_error"):
            with pytest.raises(WinlayersError):
                read_backup_from_tar(reader, header, target, dialect=Dialect.GO)
            return
        header = read_backup_from_tar(reader, header, target, dialect=Dialect.GO)
        check_stream(target.getvalue(), expected)
        following = expected["next"]
        assert (None if header is None else header.name) == (
            None if following is None else text_bytes(following)
        )
    assert header is None
    assert case["error"] is None


def check_info(header: TarHeader, expected: dict[str, Any]) -> None:
    decoder = HeaderDecoder(Dialect.GO)
    if expected.get("info_error"):
        with pytest.raises(WinlayersError):
            decoder.basic_info("", header)
        return
    info = decoder.basic_info("", header)
    assert header.name == text_bytes(expected["path"])
    assert (header.size if header.typeflag == b"0" else 0) == expected["size"]
    assert build_basic_info(info).hex() == expected["info_bytes"]


def check_unknown(case: dict[str, Any]) -> None:
    """The descriptor is one of which it is not known what Windows makes: ours is a clean answer."""
    reader = TarReader(io.BytesIO(b64(case["tar"]) or b""))
    header = reader.next()
    assert header is not None
    try:
        found = parse_descriptor_records(header.pax)
        is_clean = parse_descriptor(found).control != 0
    except WinlayersError as error:
        is_clean = error.finding == "security-invalid"
    assert is_clean


def check_metadata(header: TarHeader, expected: dict[str, Any]) -> None:
    if expected.get("sd_error"):
        with pytest.raises(WinlayersError):
            parse_descriptor_records(header.pax)
    else:
        compare_descriptor(parse_descriptor_records(header.pax), expected)
    if expected.get("ea_error"):
        with pytest.raises(WinlayersError):
            parse_ea_records(header.pax)
    else:
        ea = parse_ea_records(header.pax)
        assert ea.hex() == expected["ea"]
        assert len(parse_ea_list(ea)) == expected["ea_count"]


def compare_descriptor(found: bytes, expected: dict[str, Any]) -> None:
    """As bytes, or part by part where only the parts are said to be right."""
    parts = expected.get("sd_parts")
    if parts is None:
        assert found.hex() == expected["sd"]
        return
    assert descriptor_parts(parse_descriptor(found)) == parts


def check_stream(found: bytes, expected: dict[str, Any]) -> None:
    if "sd_parts" not in expected:
        assert hashlib.sha256(found).hexdigest() == expected["stream_sha256"]
        return
    descriptor, rest = split_security(found)
    _, expected_rest = split_security(bytes.fromhex(expected["stream"]))
    assert rest == expected_rest
    compare_descriptor(descriptor, expected)


def split_security(stream: bytes) -> tuple[bytes, list[tuple[int, int, str, bytes]]]:
    """The body of the security part, and all other parts."""
    security = b""
    rest = []
    reader = BackupReader(io.BytesIO(stream))
    for header in reader:
        body = reader.read()
        if header.id == PartId.SECURITY:
            security = body
        else:
            rest.append((header.id, header.attributes, header.name, body))
    return security, rest
