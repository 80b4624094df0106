from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from winlayers.errors import Malformed
from winlayers.formats.sddl import format_sddl, parse_sddl
from winlayers.formats.security import (
    Acl,
    Control,
    SecurityDescriptor,
    Sid,
    build_descriptor,
    check_descriptor,
    inherit,
    parse_descriptor,
)

OWNER = Sid.from_text("S-1-5-21-1-2-3-1001")
GROUP = Sid.from_text("S-1-5-21-1-2-3-513")

# Made on Windows, or by builders that others run on Windows.
GOLDEN = {
    "O:BAG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;FA;;;BA)(A;OICIIO;GA;;;CO)"
    "(A;OICI;0x1200a9;;;BU)(A;CI;LC;;;BU)(A;CI;DC;;;BU)": "AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAA"
    "AAAgAgAAAQEAAAAAAAUSAAAAAgCoAAcAAAAAAxgA/wEfAAECAAAAAAAFIAAAACACAAAAAxQA/wEfAAEBAAAAAAAFEgAAAAAA"
    "GAD/AR8AAQIAAAAAAAUgAAAAIAIAAAALFAAAAAAQAQEAAAAAAAMAAAAAAAMYAKkAEgABAgAAAAAABSAAAAAhAgAAAAIYAAQA"
    "AAABAgAAAAAABSAAAAAhAgAAAAIYAAIAAAABAgAAAAAABSAAAAAhAgAA",
    "O:BAG:SYD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1200a9;;;BU)": "AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAA"
    "AAAgAgAAAQEAAAAAAAUSAAAAAgBMAAMAAAAAABgA/wEfAAECAAAAAAAFIAAAACACAAAAABQA/wEfAAEBAAAAAAAFEgAAAAAA"
    "GACpABIAAQIAAAAAAAUgAAAAIQIAAA==",
    "O:BAG:BA": "AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAgAgAAAQIAAAAAAAUgAAAAIAIAAA==",
    "O:BUG:BU": "AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAhAgAAAQIAAAAAAAUgAAAAIQIAAA==",
}


@pytest.mark.parametrize("sddl", GOLDEN)
def test_golden_pairs_go_there_and_back_byte_for_byte(sddl: str) -> None:
    raw = base64.b64decode(GOLDEN[sddl])
    assert build_descriptor(parse_sddl(sddl)) == raw
    assert format_sddl(parse_descriptor(raw)) == sddl
    assert build_descriptor(parse_descriptor(raw)) == raw


def descriptor(
    control: int, parts: tuple[int, int, int, int], body: str = "", *, revision: int = 1
) -> bytes:
    head = bytes([revision, 0]) + control.to_bytes(2, "little")
    return head + b"".join(part.to_bytes(4, "little") for part in parts) + bytes.fromhex(body)


SYSTEM_SID = "010100000000000512000000"
EMPTY_ACL = "0200080000000000"


def test_absent_null_and_empty_dacl_differ() -> None:
    absent = parse_descriptor(descriptor(0x8000, (0, 0, 0, 0)))
    null = parse_descriptor(descriptor(0x8004, (0, 0, 0, 0)))
    empty = parse_descriptor(descriptor(0x8004, (0, 0, 0, 20), EMPTY_ACL))
    assert (absent.dacl, absent.control) == (None, Control.SELF_RELATIVE)
    assert (null.dacl, null.control) == (None, Control.SELF_RELATIVE | Control.DACL_PRESENT)
    assert (empty.dacl, empty.control) == (Acl(), null.control)
    assert list(map(format_sddl, (absent, null, empty))) == ["", "D:NO_ACCESS_CONTROL", "D:"]
    for sd in (absent, null, empty):
        assert parse_descriptor(build_descriptor(sd)) == sd


def test_acl_without_its_bit_is_not_looked_at() -> None:
    sd = parse_descriptor(descriptor(0x8000, (0, 0, 21, 9999)))
    assert (sd.sacl, sd.dacl) == (None, None)


def test_parts_may_come_in_any_order_with_gaps() -> None:
    body = EMPTY_ACL + "ffffffff" + EMPTY_ACL + SYSTEM_SID + SYSTEM_SID + "ff"
    sd = parse_descriptor(descriptor(0x8014, (40, 52, 20, 32), body))
    assert format_sddl(sd) == "O:SYG:SYD:S:"
    assert len(build_descriptor(sd)) == 20 + 12 + 12 + 8 + 8


def test_owner_and_group_may_share_bytes() -> None:
    assert format_sddl(parse_descriptor(descriptor(0x8000, (20, 20, 0, 0), SYSTEM_SID))) == (
        "O:SYG:SY"
    )


def test_part_that_overlaps_another_is_read_as_what_it_is_there() -> None:
    with pytest.raises(Malformed, match="ACL revision 1"):
        parse_descriptor(descriptor(0x8004, (20, 0, 0, 20), SYSTEM_SID))


def test_resource_manager_byte_counts_only_with_its_bit() -> None:
    plain = bytearray(descriptor(0x8000, (0, 0, 0, 0)))
    plain[1] = 7
    assert parse_descriptor(bytes(plain)).resource_manager == 0
    marked = bytearray(descriptor(0xC000, (0, 0, 0, 0)))
    marked[1] = 7
    assert parse_descriptor(bytes(marked)).resource_manager == 7
    assert build_descriptor(parse_descriptor(bytes(marked))) == marked


def test_build_sets_the_bits_of_what_is_there() -> None:
    sd = SecurityDescriptor(control=Control.DACL_PROTECTED, dacl=Acl(), sacl=Acl())
    assert parse_descriptor(build_descriptor(sd)) == replace(
        sd,
        control=Control.DACL_PROTECTED
        | Control.SELF_RELATIVE
        | Control.DACL_PRESENT
        | Control.SACL_PRESENT,
    )


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        (b"", "0 bytes, less than its header", 0),
        (descriptor(0x8000, (0, 0, 0, 0))[:19], "19 bytes", 0),
        (descriptor(0x8000, (0, 0, 0, 0), revision=2), "revision 2", 0),
        (descriptor(0x0004, (0, 0, 0, 0)), "not self-relative", 2),
        (descriptor(0x8000, (4, 0, 0, 0), SYSTEM_SID), "in the header", 4),
        (descriptor(0x8000, (0, 21, 0, 0), "00" + SYSTEM_SID), "no multiple of 4", 8),
        (descriptor(0x8010, (0, 0, 32, 0), SYSTEM_SID), "behind the end", 12),
        (descriptor(0x8004, (0, 0, 0, 0xFFFFFFFC), SYSTEM_SID), "behind the end", 16),
        (descriptor(0x8000, (24, 0, 0, 0), SYSTEM_SID), "SID", 24),
        (descriptor(0x8004, (0, 0, 0, 20), EMPTY_ACL[:-2]), "padding", 26),
    ],
)
def test_damaged_descriptor_is_malformed(data: bytes, reason: str, offset: int) -> None:
    for function in (parse_descriptor, check_descriptor):
        with pytest.raises(Malformed, match=reason) as caught:
            function(data)
        assert caught.value.structure == "security descriptor"
        assert caught.value.offset == offset


def test_check_accepts_what_is_sound() -> None:
    raw = base64.b64decode(next(iter(GOLDEN.values())))
    assert parse_descriptor(raw).dacl is not None
    check_descriptor(raw)


def child(parent: str, explicit: str | None = None, *, is_directory: bool = False) -> str:
    sd = inherit(
        parse_sddl(parent),
        is_directory=is_directory,
        owner=OWNER,
        group=GROUP,
        explicit=None if explicit is None else parse_sddl(explicit),
    )
    return format_sddl(replace(sd, owner=None, group=None))


@pytest.mark.parametrize("parent", ["", "D:", "D:NO_ACCESS_CONTROL", "D:AI(A;;FA;;;WD)"])
def test_without_anything_to_inherit_owner_and_system_have_all(parent: str) -> None:
    assert child(parent) == f"D:(A;;FA;;;{OWNER})(A;;FA;;;SY)"


def test_empty_explicit_dacl_stays_empty_and_null_stays_null() -> None:
    assert child("D:AI(A;;FA;;;WD)", "D:") == "D:AI"
    assert child("D:AI(A;OI;FA;;;WD)", "D:NO_ACCESS_CONTROL") == "D:NO_ACCESS_CONTROL"
    assert child("D:AI(A;OI;FA;;;WD)", "D:PNO_ACCESS_CONTROL") == "D:PNO_ACCESS_CONTROL"


def test_explicit_ace_that_a_directory_hands_on_is_split() -> None:
    assert child("D:AI", "D:P(A;OICI;GA;;;CO)", is_directory=True) == (
        f"D:P(A;;FA;;;{OWNER})(A;OICIIO;GA;;;CO)"
    )
    assert child("D:AI", "D:P(A;OICI;GR;;;CG)") == f"D:P(A;;FR;;;{GROUP})"
    assert child("D:AI", "D:P(A;OICIIO;GA;;;CO)", is_directory=True) == "D:P(A;OICIIO;GA;;;CO)"


def test_directory_hands_creators_and_generic_rights_on_unresolved() -> None:
    parent = "D:AI(A;OICI;GA;;;CO)(A;OI;GR;;;WD)(A;CINP;FR;;;CG)(A;CI;FR;;;BU)"
    assert child(parent, is_directory=True) == (
        f"D:AI(A;ID;FA;;;{OWNER})(A;OICIIOID;GA;;;CO)(A;OIIOID;GR;;;WD)"
        f"(A;ID;FR;;;{GROUP})(A;CIID;FR;;;BU)"
    )
    assert child(parent) == f"D:AI(A;ID;FA;;;{OWNER})(A;ID;FR;;;WD)"


def test_child_of_a_parent_that_is_not_auto_inherited_is_not_either() -> None:
    assert child("D:(A;OIID;FR;;;WD)S:(AU;OISA;FR;;;WD)") == "D:(A;;FR;;;WD)S:(AU;SA;FR;;;WD)"


def test_explicit_acl_without_its_bit_counts_too() -> None:
    explicit = replace(parse_sddl("D:(A;;FR;;;WD)"), control=Control.SELF_RELATIVE)
    sd = inherit(
        parse_sddl("D:AI"), is_directory=False, owner=OWNER, group=GROUP, explicit=explicit
    )
    assert format_sddl(replace(sd, owner=None, group=None)) == "D:AI(A;;FR;;;WD)"


def test_audit_and_label_are_inherited_too() -> None:
    parent = "D:AI(A;OI;FA;;;BA)S:AI(AU;OISAFA;GA;;;WD)(ML;OICI;NW;;;LW)(AU;CI;FA;;;WD)"
    assert child(parent) == "D:AI(A;ID;FA;;;BA)S:AI(AU;IDSAFA;FA;;;WD)(ML;ID;NW;;;LW)"
    assert child("D:AI(A;OI;FA;;;BA)S:AI(AU;CI;FA;;;WD)") == "D:AI(A;ID;FA;;;BA)"
    assert child(parent, "S:P(AU;;GR;;;SY)") == "D:AI(A;ID;FA;;;BA)S:P(AU;;FR;;;SY)"


def test_object_ace_for_one_class_is_never_inherited_by_files() -> None:
    guid = "ab721a53-1e2f-11d0-9819-00aa0040529b"
    assert child(f"D:AI(OA;OI;CC;;{guid};WD)(OA;OI;CC;{guid};;WD)") == (
        f"D:AI(OA;ID;CC;{guid};;WD)"
    )


def test_ace_of_unknown_type_is_handed_on_as_it_is() -> None:
    raw = descriptor(0x8404, (0, 0, 0, 20), "0200100001000000" + "99030800aabbccdd")
    sd = inherit(parse_descriptor(raw), is_directory=True, owner=OWNER, group=GROUP)
    assert sd.dacl is not None
    (ace,) = sd.dacl.aces
    assert (ace.type, ace.flags, ace.raw.hex()) == (0x99, 0x13, "aabbccdd")
