"""Runs reparse.json: link buffers, built from a target and read back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vectors.runners._text import text_bytes
from winlayers.errors import Malformed, Unsupported, WinlayersError
from winlayers.formats.reparse import (
    TAG_MOUNT_POINT,
    MountPoint,
    encode_link,
    parse_reparse,
    print_name_of,
    tag_of,
)
from winlayers.formats.text16 import utf8_decode_go


def run(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    if case["op"] == "encode":
        check_encode(case, data)
    elif case.get("free"):
        check_free(case, data)
    elif case["error"] is None:
        assert print_name_of(data, exact=False) == case["target"]
        assert (tag_of(data) == TAG_MOUNT_POINT) == case["mountpoint"]
    else:
        with pytest.raises(WinlayersError) as caught:
            print_name_of(data, exact=False)
        if not case["error"].startswith("panic"):
            assert isinstance(caught.value, Unsupported)
            assert str(caught.value) == case["error"]


def check_encode(case: dict[str, Any], data: bytes) -> None:
    target = utf8_decode_go(text_bytes(case["target"]))
    assert encode_link(target, junction=case["mountpoint"], exact=False) == data
    link = parse_reparse(data)
    assert link.print_name == target  # type: ignore[union-attr]  # only links are encoded
    assert isinstance(link, MountPoint) == case["mountpoint"]


def check_free(case: dict[str, Any], data: bytes) -> None:
    """The original wraps an offset in 16 bits; ours refuses it, and the vectors allow that."""
    assert case["name"] == "offset_wrap"
    with pytest.raises(Malformed):
        print_name_of(data, exact=False)
