"""Security descriptors as text, both ways: ours against advapi32 of the Windows, or the Wine, that this runs on.

The cases are those of ``tests/vectors/data/sddl.json`` that are not marked as a fault of Wine.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.windows import is_wine
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._strings import read_wide
from winlayers.errors import WindowsCallFailed, WinlayersError
from winlayers.formats.sddl import format_sddl, parse_sddl
from winlayers.formats.security import SecurityDescriptor, build_descriptor, parse_descriptor

DATA = Path(__file__).parents[1] / "vectors" / "data" / "sddl.json"
CASES = [case for case in json.loads(DATA.read_text("utf-8"))["cases"] if case["trust"] != "wine"]
REVISION = 1
ALL_PARTS = 0xF  # owner, group, DACL, SACL

api = Libraries()


def windows_parse(text: str) -> SecurityDescriptor:
    raw, size = ctypes.c_void_p(), ctypes.c_uint32()
    name = "ConvertStringSecurityDescriptorToSecurityDescriptorW"
    api.call(name, text, REVISION, ctypes.byref(raw), ctypes.byref(size))
    try:
        return parse_descriptor(ctypes.string_at(raw.value or 0, size.value))
    finally:
        api.call("LocalFree", raw)


def windows_print(descriptor: bytes) -> str:
    text = ctypes.c_void_p()
    name = "ConvertSecurityDescriptorToStringSecurityDescriptorW"
    buffer = ctypes.create_string_buffer(descriptor, len(descriptor))
    api.call(name, buffer, REVISION, ALL_PARTS, ctypes.byref(text), None)
    try:
        return read_wide(text.value or 0)
    finally:
        api.call("LocalFree", text)


def print_sddl(descriptor: bytes) -> str:
    return format_sddl(parse_descriptor(descriptor))


#: Wine writes no control flags of a SACL, no type of a mandatory label, authorities as signed numbers, and knows
#: fewer aliases; it refuses or takes other odd texts. In these cases the documents decide, but for one that both refuse.
NOT_AS_WINE = pytest.mark.xfail(reason="as MS-DTYP has it, and Wine has not", strict=True)


BOTH_REFUSE = "to_sddl_530"


def marked(case: dict[str, Any]) -> Any:
    """A case, expected to fail where it says what the documents say, and Wine does otherwise."""
    marks = (
        [NOT_AS_WINE]
        if is_wine() and case["trust"] == "spec" and case["name"] != BOTH_REFUSE
        else []
    )
    return pytest.param(case, id=case["name"], marks=marks)


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_windows_says_the_same(case: dict[str, Any]) -> None:
    is_text = case["op"] == "to_raw"
    ours: Callable[[Any], object] = parse_sddl if is_text else print_sddl
    theirs: Callable[[Any], object] = windows_parse if is_text else windows_print
    given: Any = case["sddl"] if is_text else bytes.fromhex(case["raw"])
    if (case | case.get("expected", {}))["error"] is not None:
        with pytest.raises(WinlayersError):
            ours(given)
        with pytest.raises(WindowsCallFailed):
            theirs(given)
        return
    found = ours(given)
    assert theirs(given) == found
    if isinstance(found, SecurityDescriptor):
        assert windows_print(build_descriptor(found)) == format_sddl(found)
