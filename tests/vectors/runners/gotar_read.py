"""gotar_read: foreign and damaged tars read as Go's archive/tar reads them."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from tests.vectors.runners._tar import MIB, Dribble, Entry, comparable, read_all, same_header
from tests.vectors.runners._text import b64


def run(case: dict[str, Any]) -> None:
    tar = b64(case["tar"])
    assert tar is not None
    entries, error = read_all(io.BytesIO(tar))
    assert error == case["error"]
    expected = case["headers"] or []
    assert len(entries) == len(expected)
    for entry, fields in zip(entries, expected, strict=True):
        same_header(entry[0], fields)
        same_body(entry, fields)
    slowly, slow_error = read_all(Dribble(tar))
    assert comparable(slowly) == comparable(entries)
    assert slow_error == error


def same_body(entry: Entry, fields: dict[str, Any]) -> None:
    _, data, error = entry
    assert error == fields.get("data_error")
    if "data" in fields:
        assert data == (b64(fields["data"]) or b"")
    elif fields["data_len"] == -1:
        assert hashlib.sha256(data[:MIB]).hexdigest() == fields["data_first_mib_sha256"]
    else:
        assert len(data) == fields["data_len"]
        assert hashlib.sha256(data).hexdigest() == fields["data_sha256"]
