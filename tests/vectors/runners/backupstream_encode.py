"""Runs backupstream_encode.json: parts written one after another as the original writes them."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.vectors.runners._text import text_bytes
from winlayers.errors import Malformed
from winlayers.formats.backupstream import BackupReader, BackupWriter, PartHeader
from winlayers.formats.text16 import utf8_decode_go


def run(case: dict[str, Any]) -> None:
    target = io.BytesIO()
    writer = BackupWriter(target, exact=False)
    error = case["error"]
    for index, part in enumerate(case["streams"] or []):
        failing = error["op"] if error and error["stream"] == index else None
        if failing == "header":
            with pytest.raises(Malformed, match=error["error"]):
                writer.header(header_of(part))
            break
        writer.header(header_of(part))
        if failing == "data":
            with pytest.raises(Malformed, match=error["error"]):
                writer.write(bytes.fromhex(part["data"]))
            break
        writer.write(bytes.fromhex(part["data"]))
    else:
        assert error is None
        writer.close()
    assert target.getvalue() == bytes.fromhex(case["bytes"])
    if error is None:
        check_way_back(target.getvalue(), case)


def header_of(part: dict[str, Any]) -> PartHeader:
    """The name may be any bytes; Go makes text of them before it writes UTF-16."""
    name = utf8_decode_go(text_bytes(part["stream_name"]))
    return PartHeader(part["id"], part["attributes"], part["size"], name, part["offset"])


def check_way_back(stream: bytes, case: dict[str, Any]) -> None:
    reader = BackupReader(io.BytesIO(stream))
    for part in case["streams"] or []:
        written, read = header_of(part), reader.next()
        written.name = written.name.partition("\0")[0]
        if written.id != 9:
            written.offset = 0
        assert read == written
        assert reader.read() == bytes.fromhex(part["data"])
    assert reader.next() is None
