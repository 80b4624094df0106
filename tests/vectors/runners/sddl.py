"""SDDL cases: text to the parts of a descriptor, and back.

Cases of ``trust`` "wine" say what Wine does where that is wrong, or not known of Windows: there anything but a
clean answer or a clean error is a failure. So that the case proves more than that nothing crashes, a clean
answer must be a descriptor that builds and comes back.
"""

from __future__ import annotations

from typing import Any

import pytest

from winlayers.errors import WinlayersError
from winlayers.formats.acl import build_acl
from winlayers.formats.sddl import format_sddl, parse_sddl
from winlayers.formats.security import (
    Acl,
    SecurityDescriptor,
    Sid,
    build_descriptor,
    parse_descriptor,
)


def run(case: dict[str, Any]) -> None:
    convert = to_raw if case["op"] == "to_raw" else to_sddl
    if case["trust"] == "wine":
        result = outcome(case)
        assert isinstance(result, WinlayersError) or (
            parse_descriptor(build_descriptor(result)) == result
        )
    elif case["error"] is not None:
        with pytest.raises(WinlayersError):
            convert(case)
    elif case["op"] == "to_raw":
        sd = to_raw(case)
        assert parts(sd) == case["parts"]
        assert case.get("back", case["sddl"]) == format_sddl(sd)
        assert parse_descriptor(build_descriptor(sd)) == sd
        if case["name"].startswith("windows_"):
            assert build_descriptor(sd).hex() == case["raw"]
    else:
        assert format_sddl(to_sddl(case)) == case["sddl"]


def outcome(case: dict[str, Any]) -> SecurityDescriptor | WinlayersError:
    try:
        return to_raw(case) if case["op"] == "to_raw" else to_sddl(case)
    except WinlayersError as error:
        return error


def to_raw(case: dict[str, Any]) -> SecurityDescriptor:
    sd = parse_sddl(case["sddl"])
    assert isinstance(format_sddl(sd), str)
    return sd


def to_sddl(case: dict[str, Any]) -> SecurityDescriptor:
    sd = parse_descriptor(bytes.fromhex(case["raw"]))
    assert isinstance(format_sddl(sd), str)
    return sd


def parts(sd: SecurityDescriptor) -> dict[str, Any]:
    """A descriptor as the vectors have it."""
    return {
        "control": sd.control,
        "owner": sid_hex(sd.owner),
        "group": sid_hex(sd.group),
        "sacl": acl_hex(sd.sacl),
        "dacl": acl_hex(sd.dacl),
    }


def sid_hex(sid: Sid | None) -> str | None:
    return None if sid is None else sid.build().hex()


def acl_hex(acl: Acl | None) -> str | None:
    return None if acl is None else build_acl(acl).hex()
