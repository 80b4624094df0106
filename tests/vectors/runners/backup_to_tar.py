"""Backup streams of single files, made into tar entries as the original does."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest

from tests.vectors.runners._text import b64, text_bytes
from winlayers.errors import WinlayersError
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.tar import TarWriter
from winlayers.layer.backupstreams import write_tar_from_backup
from winlayers.layer.names import decode_name
from winlayers.layer.tarheaders import Dialect

# Where a stream breaks off, bytes that were read together with the missing ones are not written.
BODY_TAIL = 512


def run(case: dict[str, Any]) -> None:
    path = decode_name(text_bytes(case["path"]).replace(b"\\", b"/"))
    stream = io.BytesIO(bytes.fromhex(case["stream"]))
    target = io.BytesIO()
    writer = TarWriter(target)
    errors: list[WinlayersError] = []
    try:
        write_tar_from_backup(
            writer,
            path,
            case["size"],
            basic_info(case["info"]),
            stream,
            seekable=case["seekable"],
            dialect=Dialect.GO,
        )
    except WinlayersError as error:
        errors.append(error)
    if case.get("free") and errors:
        return
    assert bool(errors) == (case["error"] is not None), errors or case["error"]
    if case["flush_error"] is not None:
        with pytest.raises(WinlayersError):
            writer.flush()
    elif not errors:
        writer.flush()
    expected = b64(case["tar"]) or b""
    if errors:
        written = target.getvalue()
        assert expected.startswith(written)
        assert len(expected) - len(written) < BODY_TAIL
        return
    assert target.getvalue() == expected
    assert hashlib.sha256(target.getvalue()).hexdigest() == case["sha256"]


def basic_info(info: dict[str, int]) -> BasicInfo:
    """The ``info`` of a case."""
    return BasicInfo(
        info["creation"], info["access"], info["write"], info["change"], info["attributes"]
    )
