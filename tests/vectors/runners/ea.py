"""Runs ea.json: lists of extended attributes, built and parsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.vectors.runners._text import text_bytes
from winlayers.errors import WinlayersError
from winlayers.formats.ea import ExtendedAttribute, build_ea_list, parse_ea_list


def run(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    attributes = [
        ExtendedAttribute(text_bytes(ea["ea_name"]), bytes.fromhex(ea["value"]), ea["flags"])
        for ea in case["eas"] or []
    ]
    if case["op"] == "encode":
        check(case, lambda: build_ea_list(attributes), data)
    else:
        check(case, lambda: parse_ea_list(data), attributes)


def check(case: dict[str, Any], convert: Callable[[], object], answer: object) -> None:
    if case["error"] is None:
        assert convert() == answer
    else:
        with pytest.raises(WinlayersError) as caught:
            convert()
        assert case["error"] in str(caught.value)
