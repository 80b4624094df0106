"""Inheritance cases: the descriptor of a new file or folder below ``parent``."""

from __future__ import annotations

from typing import Any

from winlayers.formats.sddl import parse_sddl
from winlayers.formats.security import Acl, Sid, build_descriptor, inherit, parse_descriptor


def run(case: dict[str, Any]) -> None:
    parent = parse_descriptor(bytes.fromhex(case["parent"]))
    assert parse_sddl(case["parent_sddl"]) == parent
    explicit = case["explicit"] and parse_descriptor(bytes.fromhex(case["explicit"]))
    child = inherit(
        parent,
        is_directory=case["is_dir"],
        owner=Sid.from_text(case["owner"]),
        group=Sid.from_text(case["group"]),
        explicit=explicit or None,
    )
    expected = case["child"]
    assert child.control == expected["control"]
    assert str(child.owner) == expected["owner"]
    assert str(child.group) == expected["group"]
    any_order = case.get("any_order", False)
    assert shown(child.dacl, any_order) == listed(expected["dacl"], any_order)
    assert shown(child.sacl, any_order) == listed(expected["sacl"], any_order)
    assert parse_descriptor(build_descriptor(child)) == child


def shown(acl: Acl | None, any_order: bool) -> list[tuple[int, int, int, str]] | None:
    """Type, flags, mask and SID of each ACE of ours."""
    if acl is None:
        return None
    aces = [(int(ace.type), int(ace.flags), ace.mask, str(ace.sid)) for ace in acl.aces]
    return sorted(aces) if any_order else aces


def listed(
    aces: list[dict[str, Any]] | None, any_order: bool
) -> list[tuple[int, int, int, str]] | None:
    """Type, flags, mask and SID of each ACE of the vector."""
    if aces is None:
        return None
    found = [(ace["type"], ace["flags"], ace["mask"], ace["sid"]) for ace in aces]
    return sorted(found) if any_order else found
