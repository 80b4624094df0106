"""Runs units.json: sizes as text to bytes, and bytes to text."""

from __future__ import annotations

from typing import Any

import pytest

from winlayers.base.units import (
    bytes_size,
    from_human_size,
    human_size,
    human_size_with_precision,
    ram_in_bytes,
)
from winlayers.errors import InvalidArgument

PARSERS = {"RAMInBytes": ram_in_bytes, "FromHumanSize": from_human_size}


def run(case: dict[str, Any]) -> None:
    operation = case["op"]
    if operation in PARSERS and case["error"] is None:
        assert PARSERS[operation](case["input"]) == case["value"]
    elif operation in PARSERS:
        with pytest.raises(InvalidArgument) as caught:
            PARSERS[operation](case["input"])
        assert str(caught.value) == case["error"]
    else:
        assert format_size(operation, case["value"]) == case["output"]


def format_size(operation: str, value: float) -> str:
    if operation == "HumanSize":
        return human_size(value)
    if operation == "BytesSize":
        return bytes_size(value)
    assert operation == "HumanSizeWithPrecision3"
    return human_size_with_precision(value, 3)
