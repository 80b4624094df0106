"""Laws of security descriptors and SDDL: nothing is lost on a way there and back, and only our errors come out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from winlayers.errors import WinlayersError
from winlayers.formats.acl import KNOWN_TYPES, OBJECT_TYPES
from winlayers.formats.sddl import format_sddl, parse_sddl
from winlayers.formats.sddl_claims import format_claim, parse_claim
from winlayers.formats.sddl_conditions import format_condition, parse_condition
from winlayers.formats.sddl_tokens import Scanner
from winlayers.formats.security import (
    Ace,
    AceFlags,
    AceType,
    Acl,
    Control,
    SecurityDescriptor,
    Sid,
    build_descriptor,
    inherit,
    parse_descriptor,
)
from winlayers.formats.sids import ALIASES

T = TypeVar("T")
R = TypeVar("R")

LAWS = settings(derandomize=True, max_examples=100, deadline=None, database=None)

# What SDDL can say of the control field.
ACL_BITS = (
    Control.DACL_AUTO_INHERIT_REQ | Control.DACL_AUTO_INHERITED | Control.DACL_PROTECTED,
    Control.SACL_AUTO_INHERIT_REQ | Control.SACL_AUTO_INHERITED | Control.SACL_PROTECTED,
)
PLAIN_SDDL_TYPES = (
    AceType.ACCESS_ALLOWED,
    AceType.ACCESS_DENIED,
    AceType.SYSTEM_AUDIT,
    AceType.SYSTEM_ALARM,
    AceType.SYSTEM_MANDATORY_LABEL,
    AceType.SYSTEM_SCOPED_POLICY_ID,
    AceType.SYSTEM_PROCESS_TRUST_LABEL,
    AceType.SYSTEM_ACCESS_FILTER,
)
CALLBACK_SDDL_TYPES = (
    AceType.ACCESS_ALLOWED_CALLBACK,
    AceType.ACCESS_DENIED_CALLBACK,
    AceType.SYSTEM_AUDIT_CALLBACK,
    AceType.ACCESS_ALLOWED_CALLBACK_OBJECT,
    AceType.SYSTEM_ACCESS_FILTER,
)

NUMBERS = st.integers(0, (1 << 32) - 1)
SIDS = st.sampled_from(list(ALIASES.values())) | st.builds(
    Sid, st.integers(0, (1 << 48) - 1), st.lists(NUMBERS, min_size=1, max_size=15).map(tuple)
)
FLAGS = st.integers(0, 255).map(AceFlags)
MASKS = NUMBERS | st.sampled_from((0, 0x1F01FF, 0x1200A9, 1 << 28, 1 << 31))
GUIDS = st.uuids() | st.just(uuid.UUID(int=0))

NAMES = st.text(min_size=1, max_size=6)
VALUES = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1).map(str),
    st.integers(0, (1 << 63) - 1).map(hex),
    st.integers(0, 255).map("0{:o}".format),
    st.binary(max_size=4).map(lambda data: f"#{data.hex()}"),
    st.text(st.characters(exclude_characters='"\0'), max_size=5).map('"{}"'.format),
    SIDS.map(lambda sid: f"SID({sid})"),
)


def listed(values: list[str]) -> str:
    return f"{{{', '.join(values)}}}"


ATTRIBUTES = st.builds(
    lambda prefix, name: prefix + escaped(name),
    st.sampled_from(("", "@User.", "@Resource.", "@Device.")),
    NAMES,
)


def escaped(name: str) -> str:
    data = name.encode("utf-16-le")
    return "".join(f"%{data[at + 1]:02x}{data[at]:02x}" for at in range(0, len(data), 2))


OPERATORS = st.sampled_from(
    ("==", "!=", "<", "<=", ">", ">=", "Contains", "Any_of", "Not_Contains", "Not_Any_of")
)
TERMS = st.one_of(
    ATTRIBUTES,
    ATTRIBUTES.map("Exists {}".format),
    st.lists(SIDS.map("SID({})".format), max_size=3).map(listed).map("Not_Member_of_Any {}".format),
    st.builds(
        "{} {} {}".format,
        ATTRIBUTES,
        OPERATORS,
        ATTRIBUTES | VALUES | st.lists(VALUES, max_size=3).map(listed),
    ),
)
EXPRESSIONS = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.builds("({}) && ({})".format, inner, inner),
        st.builds("({}) || ({})".format, inner, inner),
        st.builds("{} && {}".format, inner, inner),
        st.builds("{} || {}".format, inner, inner),
    ),
    max_leaves=8,
)
CONDITIONS = EXPRESSIONS.map(lambda text: parse_condition(Scanner(f"({text})", None)))
CLAIM_VALUES = {
    "TI": st.integers(-(1 << 63), (1 << 63) - 1).map(str),
    "TU": st.integers(0, (1 << 64) - 1).map(str),
    "TS": st.text(st.characters(exclude_characters='"\0'), max_size=5).map('"{}"'.format),
    "TD": SIDS.map(str),
    "TB": st.sampled_from("01"),
    "TX": st.binary(max_size=5).map(lambda data: data.hex() or "#"),
}
CLAIMS = st.sampled_from(sorted(CLAIM_VALUES)).flatmap(
    lambda kind: st.builds(
        lambda name, flags, values: f'("{escaped(name)}",{",".join([kind, hex(flags), *values])})',
        NAMES,
        NUMBERS,
        st.lists(CLAIM_VALUES[kind], max_size=4),
    )
)


@st.composite
def any_aces(draw: st.DrawFn) -> Ace:
    """An ACE that has a binary form."""
    ace_type = draw(st.integers(0, 0x18))
    flags = draw(FLAGS)
    data = draw(st.binary(max_size=12).map(lambda data: data + bytes(-len(data) % 4)))
    if ace_type not in KNOWN_TYPES:
        return Ace(ace_type, flags, raw=data)
    ace = Ace(ace_type, flags, draw(MASKS), draw(SIDS), application_data=data)
    if ace_type in OBJECT_TYPES:
        guids = draw(st.tuples(st.none() | GUIDS, st.none() | GUIDS))
        ace = replace(ace, object_type=guids[0], inherited_object_type=guids[1])
    return ace


@st.composite
def sddl_aces(draw: st.DrawFn) -> Ace:
    """An ACE that SDDL has a form for, too."""
    kind = draw(st.sampled_from(("plain", "object", "callback")))
    flags, mask, sid = draw(FLAGS), draw(MASKS), draw(SIDS)
    if kind == "plain":
        return Ace(draw(st.sampled_from(PLAIN_SDDL_TYPES)), flags, mask, sid)
    if kind == "object":
        ace_type = draw(
            st.sampled_from((AceType.ACCESS_ALLOWED_OBJECT, AceType.SYSTEM_AUDIT_OBJECT))
        )
        return Ace(ace_type, flags, mask, sid, draw(GUIDS), draw(st.none() | GUIDS))
    ace_type = draw(st.sampled_from(CALLBACK_SDDL_TYPES))
    return Ace(ace_type, flags, mask, sid, application_data=draw(CONDITIONS))


@st.composite
def descriptors(draw: st.DrawFn, aces: st.SearchStrategy[Ace]) -> SecurityDescriptor:
    """A descriptor as SDDL can say it; each ACL is absent, NULL, or there."""
    control = Control.SELF_RELATIVE
    acls: list[Acl | None] = []
    for present, bits in zip((Control.DACL_PRESENT, Control.SACL_PRESENT), ACL_BITS, strict=True):
        acl = draw(st.none() | st.lists(aces, max_size=4).map(Acl.of))
        acls.append(acl)
        if acl is not None or draw(st.booleans()):
            control |= present | (draw(st.integers(0, 0xFFFF).map(Control)) & bits)
    owner, group = draw(st.tuples(st.none() | SIDS, st.none() | SIDS))
    return SecurityDescriptor(control, owner, group, sacl=acls[1], dacl=acls[0])


SAMPLE = build_descriptor(
    parse_sddl(
        "O:BAG:SYD:PAI(A;OICI;FA;;;BA)(OA;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;WD)"
        '(XA;;FX;;;WD;(@User.a == {1, "b"} && !(Member_of {SID(BA)}) || Exists c))'
        'S:(RA;;;;;WD;("a",TS,0x0,"b","c"))(RA;;;;;WD;("a",TX,0x0,0102))(ML;;NW;;;LW)'
    )
)


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """Sound bytes with a few of them changed, or cut."""
    data = bytearray(sound)
    places = st.integers(0, len(data) - 1)
    for place in draw(st.lists(places, max_size=4)):
        data[place] = draw(st.integers(0, 255) | st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)))
    return bytes(data[: draw(st.none() | places)])


@LAWS
@given(descriptors(any_aces()))
def test_descriptor_goes_to_bytes_and_back(sd: SecurityDescriptor) -> None:
    raw = build_descriptor(sd)
    assert parse_descriptor(raw) == sd
    assert build_descriptor(parse_descriptor(raw)) == raw


@LAWS
@given(descriptors(sddl_aces()))
def test_bytes_go_to_sddl_and_back(sd: SecurityDescriptor) -> None:
    raw = build_descriptor(sd)
    text = format_sddl(parse_descriptor(raw))
    assert build_descriptor(parse_sddl(text)) == raw
    assert format_sddl(parse_sddl(text)) == text


@LAWS
@given(SIDS)
def test_sid_goes_to_text_and_back(sid: Sid) -> None:
    assert Sid.from_text(str(sid)) == sid
    assert Sid.parse(sid.build()) == sid


@LAWS
@given(CLAIMS)
def test_claim_goes_to_bytes_and_back(text: str) -> None:
    data = parse_claim(Scanner(text, None))
    assert parse_claim(Scanner(format_claim(data), None)) == data


@LAWS
@given(CONDITIONS)
def test_condition_goes_to_text_and_back(data: bytes) -> None:
    scanner = Scanner(format_condition(data), None)
    assert parse_condition(scanner) == data
    assert scanner.at_end()


def attempt(function: Callable[[T], R], argument: T) -> R | WinlayersError:
    """What the function gives, or our error; any other error fails the test."""
    try:
        return function(argument)
    except WinlayersError as error:
        return error


def read_and_show(data: bytes) -> SecurityDescriptor:
    """Read bytes; what could be read has to come back from bytes and, where it has one, from SDDL."""
    sd = parse_descriptor(data)
    assert parse_descriptor(build_descriptor(sd)) == sd
    text = attempt(format_sddl, sd)
    if isinstance(text, str):
        assert format_sddl(parse_sddl(text)) == text
    return sd


@settings(LAWS, max_examples=400)
@given(st.binary(max_size=120) | damaged(SAMPLE))
def test_any_bytes_give_a_descriptor_or_our_error(data: bytes) -> None:
    assert isinstance(attempt(read_and_show, data), SecurityDescriptor | WinlayersError)


@LAWS
@given(st.binary(max_size=60).map(b"artx".__add__) | damaged(SAMPLE[-200:]))
def test_any_bytes_give_a_condition_a_claim_or_our_error(data: bytes) -> None:
    for function in (format_condition, format_claim):
        text = attempt(function, data)
        assert isinstance(text, WinlayersError) or text.startswith("(")


FRAGMENTS = st.sampled_from(
    (
        *(
            "O:",
            "G:",
            "D:",
            "S:",
            "(",
            ")",
            ";",
            ";;;",
            "A",
            "XA",
            "RA",
            "OI",
            "FA",
            "0x1",
            "BA",
            "P",
        ),
        *(
            "AI",
            "NO_ACCESS_CONTROL",
            "S-1-5-",
            "18",
            "DA",
            "@User.",
            "a",
            "==",
            "{",
            "}",
            '"',
            "#",
            "%",
        ),
        *("&&", "||", "!", "SID(", "Member_of", "Exists", "TS", "TX", ",", " ", "\ud800", "\u0663"),
        "(A;;FA;;;BA)",
        "(XA;;FA;;;BA;(",
        '(RA;;;;;WD;("',
    )
)


@settings(LAWS, max_examples=400)
@given(st.lists(FRAGMENTS, max_size=30).map("".join) | st.text(max_size=30))
def test_any_text_gives_a_descriptor_or_our_error(text: str) -> None:
    sd = attempt(parse_sddl, text)
    assert isinstance(sd, WinlayersError) or parse_descriptor(build_descriptor(sd)) == sd


@LAWS
@given(descriptors(any_aces()), st.booleans(), SIDS, SIDS, st.none() | descriptors(any_aces()))
def test_what_is_inherited_is_a_sound_descriptor(
    parent: SecurityDescriptor,
    is_directory: bool,
    owner: Sid,
    group: Sid,
    explicit: SecurityDescriptor | None,
) -> None:
    child = inherit(parent, is_directory=is_directory, owner=owner, group=group, explicit=explicit)
    assert parse_descriptor(build_descriptor(child)) == child
    assert Control.DACL_PRESENT in child.control
    assert child.owner == ((explicit and explicit.owner) or owner)
    handed_on = AceFlags.OBJECT_INHERIT | AceFlags.CONTAINER_INHERIT
    for acl in (child.dacl, child.sacl):
        for ace in acl.aces if acl is not None else ():
            if AceFlags.INHERITED in ace.flags:
                assert AceFlags.NO_PROPAGATE_INHERIT not in ace.flags
                assert is_directory or not ace.flags & (handed_on | AceFlags.INHERIT_ONLY)


@LAWS
@given(descriptors(any_aces()), SIDS, SIDS)
def test_second_generation_inherits_the_same_as_the_first(
    parent: SecurityDescriptor, owner: Sid, group: Sid
) -> None:
    # An ACE that is not to be handed on stops at the first generation.
    aces = parent.dacl.aces if parent.dacl is not None else ()
    assume(not any(AceFlags.NO_PROPAGATE_INHERIT in ace.flags for ace in aces))
    folder = inherit(parent, is_directory=True, owner=owner, group=group)
    inner = inherit(folder, is_directory=True, owner=owner, group=group)
    if Control.DACL_AUTO_INHERITED in inner.control:
        assert inner.dacl == folder.dacl
