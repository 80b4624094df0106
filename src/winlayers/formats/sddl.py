"""SDDL: security descriptors as people write them.

    sddl   = ["O:" sid] ["G:" sid] ["D:" flags ace*] ["S:" flags ace*]     in any order, each once
    flags  = ("P" | "AR" | "AI" | "NO_ACCESS_CONTROL")*                    the last is a NULL ACL
    ace    = "(" type ";" ace-flags ";" rights ";" [guid] ";" [guid] ";" sid [";" extra] ")"
    rights = 0x1f01ff | 2032127 | 07600777 | two-letter codes
    extra  = condition, see ``sddl_conditions``, or resource attribute, see ``sddl_claims``

One pair of letters means different things in different fields: RA is an ACE type and a SID, FA a right and an
ACE flag, WD a right and a SID; so each field has its own table. Output has the form that Windows gives, where
that is known: O, G, D, S; aliases of SIDs that are the same everywhere; a mask by its one name (FA), by letters
for every bit, lowest first, or else in hexadecimal.

What is lost on the way to text: defaulted, trusted and resource manager control bits, slack in ACLs, an unusual
ACL revision. This module asks nobody for the domain or for names of accounts.
Source: MS-DTYP 2.5.1; the Win32 reference on ACE strings; tests/vectors/data/sddl.json.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from winlayers.errors import UnknownFeature
from winlayers.formats.acl import OBJECT_TYPES, Ace, AceFlags, AceType, Acl
from winlayers.formats.sddl_claims import format_claim, parse_claim
from winlayers.formats.sddl_conditions import format_condition, parse_condition
from winlayers.formats.sddl_tokens import Scanner, format_sid
from winlayers.formats.security import Control, SecurityDescriptor
from winlayers.formats.sids import Sid, name_of

__all__ = ["format_sddl", "name_of", "parse_sddl"]

NULL_ACL = "NO_ACCESS_CONTROL"

_TYPES = {
    "A": AceType.ACCESS_ALLOWED,
    "D": AceType.ACCESS_DENIED,
    "AU": AceType.SYSTEM_AUDIT,
    "AL": AceType.SYSTEM_ALARM,
    "OA": AceType.ACCESS_ALLOWED_OBJECT,
    "OD": AceType.ACCESS_DENIED_OBJECT,
    "OU": AceType.SYSTEM_AUDIT_OBJECT,
    "OL": AceType.SYSTEM_ALARM_OBJECT,
    "XA": AceType.ACCESS_ALLOWED_CALLBACK,
    "XD": AceType.ACCESS_DENIED_CALLBACK,
    "XU": AceType.SYSTEM_AUDIT_CALLBACK,
    "ZA": AceType.ACCESS_ALLOWED_CALLBACK_OBJECT,
    "ML": AceType.SYSTEM_MANDATORY_LABEL,
    "RA": AceType.SYSTEM_RESOURCE_ATTRIBUTE,
    "SP": AceType.SYSTEM_SCOPED_POLICY_ID,
    "TL": AceType.SYSTEM_PROCESS_TRUST_LABEL,
    "FL": AceType.SYSTEM_ACCESS_FILTER,
}
_TYPE_TEXT: dict[int, str] = {ace_type: text for text, ace_type in _TYPES.items()}

_CONDITIONAL = frozenset(
    {
        AceType.ACCESS_ALLOWED_CALLBACK,
        AceType.ACCESS_DENIED_CALLBACK,
        AceType.SYSTEM_AUDIT_CALLBACK,
        AceType.ACCESS_ALLOWED_CALLBACK_OBJECT,
    }
)
# Types of which the field for the rights is empty, as it means nothing there.
_WITHOUT_RIGHTS = frozenset({AceType.SYSTEM_RESOURCE_ATTRIBUTE, AceType.SYSTEM_SCOPED_POLICY_ID})
# Types in which flag 0x40 is about trust, not about auditing.
_TRUST = frozenset({AceType.SYSTEM_PROCESS_TRUST_LABEL, AceType.SYSTEM_ACCESS_FILTER})

_FLAGS = {
    "OI": AceFlags.OBJECT_INHERIT,
    "CI": AceFlags.CONTAINER_INHERIT,
    "NP": AceFlags.NO_PROPAGATE_INHERIT,
    "IO": AceFlags.INHERIT_ONLY,
    "ID": AceFlags.INHERITED,
    "CR": AceFlags.CRITICAL,
    "SA": AceFlags.SUCCESSFUL_ACCESS,
    "FA": AceFlags.FAILED_ACCESS,
    "TP": AceFlags.SUCCESSFUL_ACCESS,
}

_RIGHT_BITS = {
    "CC": 0x00000001,
    "DC": 0x00000002,
    "LC": 0x00000004,
    "SW": 0x00000008,
    "RP": 0x00000010,
    "WP": 0x00000020,
    "DT": 0x00000040,
    "LO": 0x00000080,
    "CR": 0x00000100,
    "SD": 0x00010000,
    "RC": 0x00020000,
    "WD": 0x00040000,
    "WO": 0x00080000,
    "GA": 0x10000000,
    "GX": 0x20000000,
    "GW": 0x40000000,
    "GR": 0x80000000,
}
_WHOLE_MASKS = {
    "FA": 0x001F01FF,
    "FR": 0x00120089,
    "FW": 0x00120116,
    "FX": 0x001200A0,
    "KA": 0x000F003F,
    "KR": 0x00020019,
    "KW": 0x00020006,
}
_LABEL_BITS = {"NW": 0x1, "NR": 0x2, "NX": 0x4}
_RIGHTS = {**_RIGHT_BITS, **_WHOLE_MASKS, **_LABEL_BITS, "KX": _WHOLE_MASKS["KR"]}
_WHOLE_MASK_TEXT = {mask: text for text, mask in _WHOLE_MASKS.items()}

_SECTION = re.compile(r"([OGDS]):")
_ACL_FLAG = re.compile(rf"AR|AI|P|{NULL_ACL}")
_LETTERS = re.compile(r"[A-Z]+")
_PAIR = re.compile(r"[A-Z]{2}")
_NUMBER = re.compile(r"[0-9][0-9A-Za-z]*")
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,8}")
_OCTAL = re.compile(r"0[0-7]{0,11}")
_DECIMAL = re.compile(r"[1-9][0-9]{0,9}")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class _AclBits:
    """The control bits that stand as flags before an ACL."""

    present: Control
    protected: Control
    auto_inherit_req: Control
    auto_inherited: Control

    @property
    def flags(self) -> dict[str, Control]:
        """Text and bit of each flag, in the order of output."""
        return {"P": self.protected, "AR": self.auto_inherit_req, "AI": self.auto_inherited}


_DACL = _AclBits(
    Control.DACL_PRESENT,
    Control.DACL_PROTECTED,
    Control.DACL_AUTO_INHERIT_REQ,
    Control.DACL_AUTO_INHERITED,
)
_SACL = _AclBits(
    Control.SACL_PRESENT,
    Control.SACL_PROTECTED,
    Control.SACL_AUTO_INHERIT_REQ,
    Control.SACL_AUTO_INHERITED,
)


def parse_sddl(text: str, *, domain: Sid | None = None) -> SecurityDescriptor:
    """Read an SDDL string.

    Args:
        text: the string; white space between tokens does not count.
        domain: SID of the domain or machine that aliases like DA and LA are relative to.
    Returns:
        The descriptor, self-relative; ``security.build_descriptor`` gives its bytes. As on Windows an OA
        without GUIDs is an A.
    Raises:
        Malformed: not SDDL, something given twice, an unknown alias, type, flag or right, or an alias that is
            relative to a domain without one; with the offset in characters.
    """
    scanner = Scanner(text, domain)
    sids: dict[str, Sid] = {}
    acls: dict[str, Acl | None] = {}
    control = Control.SELF_RELATIVE
    while not scanner.at_end():
        start = scanner.at
        found = scanner.match(_SECTION)
        if found is None:
            raise scanner.malformed("O:, G:, D: or S: expected")
        section = found[1]
        if section in sids or section in acls:
            raise scanner.malformed(f"{section}: is given twice", at=start)
        if section in "OG":
            sids[section] = scanner.sid()
        else:
            bits, acls[section] = _parse_acl(scanner, _DACL if section == "D" else _SACL)
            control |= bits
    return SecurityDescriptor(control, sids.get("O"), sids.get("G"), acls.get("S"), acls.get("D"))


def format_sddl(sd: SecurityDescriptor) -> str:
    """Write a descriptor as SDDL.

    Args:
        sd: the descriptor.
    Returns:
        The string; ``parse_sddl`` makes the same descriptor of it, apart from what the module's docstring names.
    Raises:
        UnknownFeature: something that SDDL has no form for: an ACE of unknown type, a condition that is none,
            bytes behind a SID, a SID without sub-authorities, text with a quote.
        Malformed: a damaged condition or resource attribute.
    """
    parts = []
    if sd.owner is not None:
        parts.append(f"O:{format_sid(sd.owner)}")
    if sd.group is not None:
        parts.append(f"G:{format_sid(sd.group)}")
    parts.append(_format_acl("D:", sd.control, _DACL, sd.dacl))
    parts.append(_format_acl("S:", sd.control, _SACL, sd.sacl))
    return "".join(parts)


def _parse_acl(scanner: Scanner, bits: _AclBits) -> tuple[Control, Acl | None]:
    control = bits.present
    is_null = False
    while (found := scanner.match(_ACL_FLAG)) is not None:
        if found[0] == NULL_ACL:
            is_null = True
        else:
            control |= bits.flags[found[0]]
    aces = []
    while scanner.comes("("):
        if is_null:
            raise scanner.malformed(f"{NULL_ACL} with ACEs")
        aces.append(_parse_ace(scanner))
    return control, None if is_null else Acl.of(aces)


def _format_acl(section: str, control: Control, bits: _AclBits, acl: Acl | None) -> str:
    if acl is None and bits.present not in control:
        return ""
    flags = "".join(text for text, bit in bits.flags.items() if bit in control)
    body = NULL_ACL if acl is None else "".join(map(_format_ace, acl.aces))
    return section + flags + body


def _parse_ace(scanner: Scanner) -> Ace:
    scanner.expect("(")
    ace_type = _parse_type(scanner)
    scanner.expect(";")
    flags = AceFlags(_parse_pairs(scanner, _FLAGS, "ACE flag"))
    scanner.expect(";")
    mask = _parse_rights(scanner)
    scanner.expect(";")
    object_type = _parse_guid(scanner, ace_type)
    scanner.expect(";")
    inherited_object_type = _parse_guid(scanner, ace_type)
    scanner.expect(";")
    sid = scanner.sid()
    application_data = _parse_application_data(scanner, ace_type)
    scanner.expect(")")
    if ace_type == AceType.ACCESS_ALLOWED_OBJECT and not (object_type or inherited_object_type):
        ace_type = AceType.ACCESS_ALLOWED
    return Ace(ace_type, flags, mask, sid, object_type, inherited_object_type, application_data)


def _format_ace(ace: Ace) -> str:
    if ace.type not in _TYPE_TEXT or ace.sid is None:
        raise UnknownFeature(f"an ACE of type {ace.type:#04x} has no SDDL form")
    fields = (
        _TYPE_TEXT[ace.type],
        _format_flags(ace),
        _format_rights(ace),
        str(ace.object_type or ""),
        str(ace.inherited_object_type or ""),
        format_sid(ace.sid),
        *_format_application_data(ace),
    )
    return f"({';'.join(fields)})"


def _parse_type(scanner: Scanner) -> AceType:
    scanner.skip_blanks()
    start = scanner.at
    found = scanner.match(_LETTERS)
    if found is None or found[0] not in _TYPES:
        raise scanner.malformed("unknown ACE type", at=start)
    return _TYPES[found[0]]


def _parse_pairs(scanner: Scanner, table: Mapping[str, int], what: str) -> int:
    bits = 0
    while (found := scanner.match(_PAIR)) is not None:
        if found[0] not in table:
            raise scanner.malformed(f"unknown {what} {found[0]}", at=found.start())
        bits |= table[found[0]]
    return bits


def _format_flags(ace: Ace) -> str:
    trust = "SA" if ace.type in _TRUST else "TP"
    return "".join(text for text, bit in _FLAGS.items() if text != trust and bit in ace.flags)


def _parse_rights(scanner: Scanner) -> int:
    found = scanner.match(_NUMBER)
    if found is not None:
        return _parse_mask(scanner, found[0], found.start())
    return _parse_pairs(scanner, _RIGHTS, "right")


def _parse_mask(scanner: Scanner, text: str, start: int) -> int:
    for pattern, base in ((_HEX, 16), (_OCTAL, 8), (_DECIMAL, 10)):
        if pattern.fullmatch(text) and int(text, base) < 1 << 32:
            return int(text, base)
    raise scanner.malformed(f"rights {text[:20]!r} are no number of 32 bits", at=start)


def _format_rights(ace: Ace) -> str:
    if ace.mask == 0:
        return "" if ace.type in _WITHOUT_RIGHTS else "0x0"
    bits = _RIGHT_BITS
    if ace.type == AceType.SYSTEM_MANDATORY_LABEL:
        named = set(_LABEL_BITS.values())
        bits = {
            **_LABEL_BITS,
            **{text: bit for text, bit in _RIGHT_BITS.items() if bit not in named},
        }
    elif ace.mask in _WHOLE_MASK_TEXT:
        return _WHOLE_MASK_TEXT[ace.mask]
    if ace.mask & ~sum(bits.values()):
        return f"{ace.mask:#x}"
    return "".join(text for text, bit in bits.items() if ace.mask & bit)


def _parse_guid(scanner: Scanner, ace_type: AceType) -> uuid.UUID | None:
    found = scanner.match(_GUID)
    if found is None:
        return None
    if ace_type not in OBJECT_TYPES:
        raise scanner.malformed("GUID in an ACE that is no object ACE", at=found.start())
    return uuid.UUID(found[0])


def _parse_application_data(scanner: Scanner, ace_type: AceType) -> bytes:
    if ace_type in _CONDITIONAL:
        scanner.expect(";")
        return parse_condition(scanner)
    if ace_type == AceType.SYSTEM_RESOURCE_ATTRIBUTE:
        scanner.expect(";")
        return parse_claim(scanner)
    if ace_type == AceType.SYSTEM_ACCESS_FILTER and scanner.take(";"):
        return parse_condition(scanner)
    return b""


def _format_application_data(ace: Ace) -> tuple[str, ...]:
    """The seventh field, if there is one."""
    if ace.type in _CONDITIONAL:
        return (format_condition(ace.application_data),)
    if ace.type == AceType.SYSTEM_RESOURCE_ATTRIBUTE:
        return (format_claim(ace.application_data),)
    if not ace.application_data:
        return ()
    if ace.type == AceType.SYSTEM_ACCESS_FILTER:
        return (format_condition(ace.application_data),)
    raise UnknownFeature(
        f"an ACE of type {ace.type:#04x} with {len(ace.application_data)} bytes behind its SID"
        " has no SDDL form"
    )
