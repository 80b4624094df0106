from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from winlayers.errors import InvalidArgument, Malformed, UnknownFeature
from winlayers.formats.acl import build_acl
from winlayers.formats.sddl import format_sddl, name_of, parse_sddl
from winlayers.formats.security import (
    Ace,
    AceFlags,
    AceType,
    Acl,
    Control,
    SecurityDescriptor,
    Sid,
    build_descriptor,
    parse_descriptor,
)
from winlayers.formats.sids import ALIASES, DOMAIN_ALIASES, SYSTEM

DOMAIN = Sid.from_text("S-1-5-21-1-2-3")
GUID = "ab721a53-1e2f-11d0-9819-00aa0040529b"


def dacl_of(text: str) -> str:
    sd = parse_sddl(text)
    assert sd.dacl is not None
    return build_acl(sd.dacl).hex()


def ace_of(text: str) -> Ace:
    sd = parse_sddl(text)
    acl = sd.dacl or sd.sacl
    assert acl is not None
    (ace,) = acl.aces
    return ace


@pytest.mark.parametrize("alias", ALIASES)
def test_alias_goes_there_and_back_in_every_place(alias: str) -> None:
    text = f"O:{alias}G:{alias}D:(A;;FA;;;{alias})"
    sd = parse_sddl(text)
    assert sd.owner == sd.group == ALIASES[alias]
    assert format_sddl(sd) == text


@pytest.mark.parametrize("alias", DOMAIN_ALIASES)
def test_alias_of_a_domain_needs_the_domain(alias: str) -> None:
    rid = DOMAIN_ALIASES[alias]
    assert parse_sddl(f"O:{alias}", domain=DOMAIN).owner == Sid(5, (21, 1, 2, 3, rid))
    with pytest.raises(Malformed, match=f"{alias} is relative to a domain") as caught:
        parse_sddl(f"O:{alias}")
    assert caught.value.structure == "SDDL"
    assert caught.value.offset == 2


def test_unknown_sid_stays_literal() -> None:
    text = "O:S-1-5-21-7-8-9-1001G:S-1-0x010000000000-1D:(A;;FA;;;S-1-15-3-1024-1)"
    assert format_sddl(parse_sddl(text)) == text


def test_hexadecimal_sid_ends_before_the_next_section() -> None:
    sd = parse_sddl("O:S-1-0x5-0x12D:")
    assert sd.owner == SYSTEM
    assert sd.dacl == Acl()
    assert parse_sddl("O:S-1-5-0x1D").owner == Sid(5, (29,))


def test_letters_mean_what_their_field_says() -> None:
    ace = ace_of("D:(A;SAFA;WDRCSD;;;WD)")
    assert ace.flags == AceFlags.SUCCESSFUL_ACCESS | AceFlags.FAILED_ACCESS
    assert ace.mask == 0x70000
    assert ace.sid == ALIASES["WD"]
    assert ace_of('S:(RA;;;;;WD;("a",TI,0x0,1))').type == AceType.SYSTEM_RESOURCE_ATTRIBUTE
    assert ace_of("D:(A;;KA;;;RA)").mask == 0xF003F
    assert ace_of("D:(A;CR;CR;;;RC)").flags == AceFlags.CRITICAL


@pytest.mark.parametrize(
    ("rights", "mask", "back"),
    [
        ("FA", 0x1F01FF, "FA"),
        ("KX", 0x20019, "KR"),
        ("FRFX", 0x1200A9, "0x1200a9"),
        ("GRGX", 0xA0000000, "GXGR"),
        ("WOCC", 0x80001, "CCWO"),
        ("0x1F01FF", 0x1F01FF, "FA"),
        ("0XF", 0xF, "CCDCLCSW"),
        ("2032127", 0x1F01FF, "FA"),
        ("07600777", 0x1F01FF, "FA"),
        ("0x100000", 0x100000, "0x100000"),
        ("0x2000000", 0x2000000, "0x2000000"),
        ("4294967295", 0xFFFFFFFF, "0xffffffff"),
        ("037777777777", 0xFFFFFFFF, "0xffffffff"),
        ("NX", 4, "LC"),
        ("", 0, "0x0"),
        ("0", 0, "0x0"),
        (" RC SD ", 0x30000, "SDRC"),
    ],
)
def test_rights(rights: str, mask: int, back: str) -> None:
    sd = parse_sddl(f"D:(A;;{rights};;;WD)")
    assert sd.dacl is not None
    assert sd.dacl.aces[0].mask == mask
    assert format_sddl(sd) == f"D:(A;;{back};;;WD)"


@pytest.mark.parametrize(
    "rights",
    [
        "ZZ",
        "FAX",
        "fa",
        "-1",
        "+1",
        "1x",
        "0x",
        "0xg",
        "08",
        "4294967296",
        "0x100000000",
        "9" * 5000,
    ],
)
def test_rights_that_are_none_are_malformed(rights: str) -> None:
    with pytest.raises(Malformed):
        parse_sddl(f"D:(A;;{rights};;;WD)")


@pytest.mark.parametrize(
    ("text", "revision"),
    [
        (f"D:(OA;;CR;{GUID};;WD)", 4),
        (f"D:(OA;CIIO;CR;{GUID};{GUID};WD)", 4),
        (f"D:(OD;;CR;;{GUID};WD)", 4),
        (f"S:(OU;SA;CR;{GUID};;WD)", 4),
        (f"S:(OL;;CR;{GUID};;WD)", 4),
        ("S:(AL;;GA;;;WD)", 2),
        ("D:(OD;;CR;;;WD)", 4),
        ('D:(XA;;FX;;;WD;(@USER.a == "b"))', 2),
        ("D:(XD;;FX;;;WD;(a))", 2),
        ("S:(XU;SA;FX;;;WD;(a))", 2),
        (f"D:(ZA;;CR;{GUID};;WD;(a))", 4),
        ("S:(ML;OICI;NWNRNX;;;HI)", 2),
        ("S:(ML;;NWSWGA;;;HI)", 2),
        ("S:(ML;;0x100001;;;HI)", 2),
        ('S:(RA;CI;;;;WD;("Project",TS,0x0,"Windows","SQL"))', 2),
        ("S:(SP;;;;;S-1-17-1-2)", 2),
        ("S:(TL;TP;CC;;;S-1-19-512-8192)", 2),
        ("S:(FL;;FX;;;WD)", 2),
        ("S:(FL;TP;FX;;;WD;(a == 1))", 2),
    ],
)
def test_every_ace_type_goes_there_and_back(text: str, revision: int) -> None:
    sd = parse_sddl(text)
    assert format_sddl(sd) == text
    raw = build_descriptor(sd)
    assert parse_descriptor(raw) == sd
    acl = sd.dacl or sd.sacl
    assert acl is not None
    assert acl.revision == revision


def test_object_ace_without_guids_becomes_a_plain_one_as_on_windows() -> None:
    assert parse_sddl("D:(OA;;CR;;;WD)") == parse_sddl("D:(A;;CR;;;WD)")


def test_guid_in_any_letter_case_is_printed_small() -> None:
    assert format_sddl(parse_sddl(f"D:(OA;;CR;{GUID.upper()};;WD)")) == f"D:(OA;;CR;{GUID};;WD)"


def test_flags_of_both_lists_are_their_own() -> None:
    sd = parse_sddl("D:PARAIS:AIP")
    assert sd.control == (
        Control.SELF_RELATIVE
        | Control.DACL_PRESENT
        | Control.DACL_PROTECTED
        | Control.DACL_AUTO_INHERIT_REQ
        | Control.DACL_AUTO_INHERITED
        | Control.SACL_PRESENT
        | Control.SACL_PROTECTED
        | Control.SACL_AUTO_INHERITED
    )
    assert format_sddl(sd) == "D:PARAIS:PAI"


def test_null_lists() -> None:
    sd = parse_sddl("D:PNO_ACCESS_CONTROLS:NO_ACCESS_CONTROL")
    assert (sd.dacl, sd.sacl) == (None, None)
    assert format_sddl(sd) == "D:PNO_ACCESS_CONTROLS:NO_ACCESS_CONTROL"
    assert parse_descriptor(build_descriptor(sd)) == sd


def test_order_of_sections_does_not_count_and_blanks_neither() -> None:
    text = " S:(AU; SA ;GA;;;WD) D: AI ( A ;OICI; FA;;; BA ) G: SY\tO:S-1-5-18\n"
    assert format_sddl(parse_sddl(text)) == "O:SYG:SYD:AI(A;OICI;FA;;;BA)S:(AU;SA;GA;;;WD)"


def test_text_without_sections_is_an_empty_descriptor() -> None:
    assert parse_sddl("") == SecurityDescriptor()
    assert format_sddl(SecurityDescriptor()) == ""


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        ("O", "expected", 0),
        ("OBA", "expected", 0),
        ("O :BA", "expected", 0),
        ("X:", "expected", 0),
        ("not sddl", "expected", 0),
        ("O:", "SID expected, not the end", 2),
        ("O:ba", "SID expected", 2),
        ("O:ZZ", "unknown alias ZZ", 2),
        ("O:日本", "SID expected", 2),
        ("O:BAG", "expected", 4),
        ("O:BAO:BA", "O: is given twice", 4),
        ("D:D:", "D: is given twice", 2),
        ("O:S-1-5", "SID: ", 2),
        ("O:S-1-5-4294967296", "SID: .*32 bits", 2),
        ("D:PX", "expected", 3),
        ("D:A;;GA;;;BA)", "expected", 2),
        ("D:NO_ACCESS_CONTROL(A;;GA;;;BA)", "NO_ACCESS_CONTROL with ACEs", 19),
        ("D:()", "unknown ACE type", 3),
        ("D:(;;GA;;;BA)", "unknown ACE type", 3),
        ("D:(a;;GA;;;BA)", "unknown ACE type", 3),
        ("D:(Q;;GA;;;BA)", "unknown ACE type", 3),
        ("D:(A;O;GA;;;BA)", "';' expected", 5),
        ("D:(A;XX;GA;;;BA)", "unknown ACE flag XX", 5),
        ("D:(A;;ZZ;;;BA)", "unknown right ZZ", 6),
        ("D:(A;;GA;;;)", "SID expected", 11),
        ("D:(A;;GA;;;BA;)", r"'\)' expected", 13),
        ("D:(A;;GA;;;BA", r"'\)' expected, not the end", 13),
        ("D:(A;;GA;;BA)", "';' expected", 10),
        (f"D:(A;;GA;{GUID};;BA)", "GUID in an ACE that is no object ACE", 9),
        ("D:(OA;;GA;1234;;BA)", "';' expected", 10),
        ("D:(XA;;GA;;;BA)", "';' expected", 14),
        ("D:(XA;;GA;;;BA;)", r"'\(' expected", 15),
        ("D:(A;;GA;;;BA;(a))", r"'\)' expected", 13),
        ("S:(RA;;;;;WD)", "';' expected", 12),
        ("S:(ML;;NW;;;LW;(a))", r"'\)' expected", 14),
    ],
)
def test_text_that_is_no_sddl_is_malformed(text: str, reason: str, offset: int) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        parse_sddl(text)
    assert caught.value.structure == "SDDL"
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("ace", "reason"),
    [
        (Ace(0x04, raw=b"1234"), "type 0x04"),
        (Ace(0x99), "type 0x99"),
        (Ace(AceType.SYSTEM_ALARM_CALLBACK, sid=SYSTEM), "type 0x0e"),
        (Ace(AceType.ACCESS_ALLOWED, sid=SYSTEM, application_data=b"1234"), "4 bytes behind"),
        (Ace(AceType.ACCESS_ALLOWED, sid=Sid(5, ())), "no sub-authorities"),
        (Ace(AceType.ACCESS_ALLOWED_CALLBACK, sid=SYSTEM), "no condition"),
        (Ace(AceType.ACCESS_ALLOWED_CALLBACK, sid=SYSTEM, application_data=b"1234"), "no condit"),
    ],
)
def test_what_sddl_cannot_say_is_refused_precisely(ace: Ace, reason: str) -> None:
    with pytest.raises(UnknownFeature, match=reason):
        format_sddl(SecurityDescriptor(dacl=Acl(2, (ace,))))


def test_too_many_aces_are_refused_when_bytes_are_made() -> None:
    sd = parse_sddl("D:" + "(A;;FA;;;SY)" * 4000)
    with pytest.raises(InvalidArgument, match="ACL size"):
        build_descriptor(sd)


def test_names_are_to_be_had_here() -> None:
    assert name_of(SYSTEM) == "NT AUTHORITY\\SYSTEM"


def test_bytes_of_a_dacl() -> None:
    assert (
        dacl_of("D:(A;;FA;;;SY)") == "02001c0001000000" + "00001400ff011f00010100000000000512000000"
    )


@pytest.mark.parametrize("page", ["security.md", "sddl.md"])
def test_examples_of_the_reference_pages_run(page: str) -> None:
    path = Path(__file__).parents[3] / "docs" / "reference" / "formats" / page
    failed, attempted = doctest.testfile(str(path), module_relative=False)
    assert attempted > 5
    assert failed == 0
