"""SIDs: the numbers by which Windows names users and groups, their text and the well-known ones.

    0   u8   revision, 1
    1   u8   count of sub-authorities, 0 to 15
    2   u48  authority, big-endian
    8   u32  sub-authorities, little-endian, one after the other

Text: ``S-1-`` authority, then each sub-authority after a ``-``. An authority of 2^32 or more is written
as ``0x`` and twelve digits. SDDL has two letters for the best known SIDs; those of ``DOMAIN_ALIASES`` stand
for a relative id under the SID of a domain or machine, so they mean nothing without one.

This module knows nothing of access rights and asks no account database: a SID without a name stays a SID.
Source: MS-DTYP 2.4.2 (SID) and 2.4.2.4 (well-known SIDs), SDDL aliases of 2.5.1.1 and of the Win32 reference.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.cursor import Cursor

MAX_SUB_AUTHORITIES = 15

_NUMBER = r"(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})"
_TEXT = re.compile(rf"[sS]-1-({_NUMBER})((?:-{_NUMBER})+)")


@dataclass(frozen=True, slots=True)
class Sid:
    """A security identifier.

    Attributes:
        authority: who gives out the rest, 48 bits (5 is NT, 1 World, 15 app packages, 16 labels).
        sub_authorities: up to 15 numbers of 32 bits; the last one is called the relative id.
    Raises:
        InvalidArgument: a number out of range, or too many of them.
    """

    authority: int
    sub_authorities: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.authority < 1 << 48:
            raise InvalidArgument(f"SID authority {self.authority} does not fit in 48 bits")
        if len(self.sub_authorities) > MAX_SUB_AUTHORITIES:
            raise InvalidArgument(
                f"a SID has at most {MAX_SUB_AUTHORITIES} sub-authorities, not {len(self.sub_authorities)}"
            )
        if not all(0 <= number < 1 << 32 for number in self.sub_authorities):
            raise InvalidArgument("a SID sub-authority does not fit in 32 bits")

    def __str__(self) -> str:
        authority = str(self.authority) if self.authority < 1 << 32 else f"0x{self.authority:012x}"
        return "-".join(["S-1", authority, *map(str, self.sub_authorities)])

    def build(self) -> bytes:
        """The binary form: 8 bytes and 4 for each sub-authority."""
        count = len(self.sub_authorities)
        head = bytes((1, count)) + self.authority.to_bytes(6, "big")
        return head + struct.pack(f"<{count}I", *self.sub_authorities)

    @classmethod
    def parse(cls, data: bytes) -> Sid:
        """Read a SID that fills ``data``.

        Args:
            data: the binary form, nothing before or after it.
        Returns:
            The SID.
        Raises:
            Malformed: another revision, too many sub-authorities, or another size than they need.
        """
        cursor = Cursor(data, "SID")
        sid = read_sid(cursor)
        if cursor.remaining:
            raise cursor.malformed(f"{cursor.remaining} bytes after the end")
        return sid

    @classmethod
    def from_text(cls, text: str) -> Sid:
        """Read ``S-1-5-32-544`` and the like; two-letter aliases are for ``sddl.parse_sddl``.

        Args:
            text: the SID and nothing else; numbers decimal or ``0x`` hexadecimal.
        Returns:
            The SID.
        Raises:
            Malformed: not a SID, no or more than 15 sub-authorities, a number out of range.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise Malformed("SID", f"{text[:80]!r} is not of the form S-1-5-32-544")
        authority = _number(found[1])
        numbers = tuple(map(_number, found[2][1:].split("-")))
        if authority >= 1 << 48:
            raise Malformed("SID", "authority does not fit in 48 bits")
        if len(numbers) > MAX_SUB_AUTHORITIES:
            raise Malformed("SID", f"{len(numbers)} sub-authorities, at most 15 are possible")
        if max(numbers) >= 1 << 32:
            raise Malformed("SID", "a sub-authority does not fit in 32 bits")
        return cls(authority, numbers)


def read_sid(cursor: Cursor) -> Sid:
    """Read the SID that starts where the cursor is.

    Args:
        cursor: moved to the byte after the SID.
    Returns:
        The SID.
    Raises:
        Malformed: cut short, another revision than 1, more than 15 sub-authorities; with the offset.
    """
    start = cursor.at
    revision = cursor.u8("SID revision")
    count = cursor.u8("SID count")
    if revision != 1:
        raise cursor.malformed(f"SID revision {revision}, not 1", at=start)
    if count > MAX_SUB_AUTHORITIES:
        raise cursor.malformed(f"SID with {count} sub-authorities, not 0 to 15", at=start)
    authority = int.from_bytes(cursor.take(6, "SID authority"), "big")
    numbers = cursor.take(4 * count, "SID sub-authorities")
    return Sid(authority, struct.unpack(f"<{count}I", numbers))


def _number(text: str) -> int:
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


# The well-known SIDs: SDDL alias, SID, name as Windows shows it.
_WELL_KNOWN = (
    ("WD", "S-1-1-0", "Everyone"),
    ("CO", "S-1-3-0", "CREATOR OWNER"),
    ("CG", "S-1-3-1", "CREATOR GROUP"),
    ("OW", "S-1-3-4", "OWNER RIGHTS"),
    ("NU", "S-1-5-2", "NT AUTHORITY\\NETWORK"),
    ("IU", "S-1-5-4", "NT AUTHORITY\\INTERACTIVE"),
    ("SU", "S-1-5-6", "NT AUTHORITY\\SERVICE"),
    ("AN", "S-1-5-7", "NT AUTHORITY\\ANONYMOUS LOGON"),
    ("ED", "S-1-5-9", "NT AUTHORITY\\ENTERPRISE DOMAIN CONTROLLERS"),
    ("PS", "S-1-5-10", "NT AUTHORITY\\SELF"),
    ("AU", "S-1-5-11", "NT AUTHORITY\\Authenticated Users"),
    ("RC", "S-1-5-12", "NT AUTHORITY\\RESTRICTED"),
    ("SY", "S-1-5-18", "NT AUTHORITY\\SYSTEM"),
    ("LS", "S-1-5-19", "NT AUTHORITY\\LOCAL SERVICE"),
    ("NS", "S-1-5-20", "NT AUTHORITY\\NETWORK SERVICE"),
    ("WR", "S-1-5-33", "NT AUTHORITY\\WRITE RESTRICTED"),
    ("BA", "S-1-5-32-544", "BUILTIN\\Administrators"),
    ("BU", "S-1-5-32-545", "BUILTIN\\Users"),
    ("BG", "S-1-5-32-546", "BUILTIN\\Guests"),
    ("PU", "S-1-5-32-547", "BUILTIN\\Power Users"),
    ("AO", "S-1-5-32-548", "BUILTIN\\Account Operators"),
    ("SO", "S-1-5-32-549", "BUILTIN\\Server Operators"),
    ("PO", "S-1-5-32-550", "BUILTIN\\Print Operators"),
    ("BO", "S-1-5-32-551", "BUILTIN\\Backup Operators"),
    ("RE", "S-1-5-32-552", "BUILTIN\\Replicator"),
    ("RU", "S-1-5-32-554", "BUILTIN\\Pre-Windows 2000 Compatible Access"),
    ("RD", "S-1-5-32-555", "BUILTIN\\Remote Desktop Users"),
    ("NO", "S-1-5-32-556", "BUILTIN\\Network Configuration Operators"),
    ("MU", "S-1-5-32-558", "BUILTIN\\Performance Monitor Users"),
    ("LU", "S-1-5-32-559", "BUILTIN\\Performance Log Users"),
    ("IS", "S-1-5-32-568", "BUILTIN\\IIS_IUSRS"),
    ("CY", "S-1-5-32-569", "BUILTIN\\Cryptographic Operators"),
    ("ER", "S-1-5-32-573", "BUILTIN\\Event Log Readers"),
    ("CD", "S-1-5-32-574", "BUILTIN\\Certificate Service DCOM Access"),
    ("RA", "S-1-5-32-575", "BUILTIN\\RDS Remote Access Servers"),
    ("ES", "S-1-5-32-576", "BUILTIN\\RDS Endpoint Servers"),
    ("MS", "S-1-5-32-577", "BUILTIN\\RDS Management Servers"),
    ("HA", "S-1-5-32-578", "BUILTIN\\Hyper-V Administrators"),
    ("AA", "S-1-5-32-579", "BUILTIN\\Access Control Assistance Operators"),
    ("RM", "S-1-5-32-580", "BUILTIN\\Remote Management Users"),
    ("UD", "S-1-5-84-0-0-0-0-0", "NT AUTHORITY\\USER MODE DRIVERS"),
    ("AC", "S-1-15-2-1", "APPLICATION PACKAGE AUTHORITY\\ALL APPLICATION PACKAGES"),
    ("LW", "S-1-16-4096", "Mandatory Label\\Low Mandatory Level"),
    ("ME", "S-1-16-8192", "Mandatory Label\\Medium Mandatory Level"),
    ("MP", "S-1-16-8448", "Mandatory Label\\Medium Plus Mandatory Level"),
    ("HI", "S-1-16-12288", "Mandatory Label\\High Mandatory Level"),
    ("SI", "S-1-16-16384", "Mandatory Label\\System Mandatory Level"),
    ("AS", "S-1-18-1", "Authentication authority asserted identity"),
    ("SS", "S-1-18-2", "Service asserted identity"),
)

# Those without an alias that are met in layers.
_NAMED = (
    ("S-1-0-0", "NULL SID"),
    ("S-1-2-0", "LOCAL"),
    ("S-1-2-1", "CONSOLE LOGON"),
    ("S-1-5-1", "NT AUTHORITY\\DIALUP"),
    ("S-1-5-3", "NT AUTHORITY\\BATCH"),
    ("S-1-5-13", "NT AUTHORITY\\TERMINAL SERVER USER"),
    ("S-1-5-14", "NT AUTHORITY\\REMOTE INTERACTIVE LOGON"),
    ("S-1-5-15", "NT AUTHORITY\\This Organization"),
    ("S-1-5-17", "NT AUTHORITY\\IUSR"),
    ("S-1-5-32-557", "BUILTIN\\Incoming Forest Trust Builders"),
    ("S-1-5-32-560", "BUILTIN\\Windows Authorization Access Group"),
    ("S-1-5-32-561", "BUILTIN\\Terminal Server License Servers"),
    ("S-1-5-32-562", "BUILTIN\\Distributed COM Users"),
    ("S-1-5-32-581", "BUILTIN\\System Managed Accounts Group"),
    ("S-1-5-32-582", "BUILTIN\\Storage Replica Administrators"),
    ("S-1-5-32-583", "BUILTIN\\Device Owners"),
    ("S-1-5-80-0", "NT SERVICE\\ALL SERVICES"),
    (
        "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
        "NT SERVICE\\TrustedInstaller",
    ),
    ("S-1-5-83-0", "NT VIRTUAL MACHINE\\Virtual Machines"),
    ("S-1-5-90-0", "Window Manager\\Window Manager Group"),
    ("S-1-5-93-2-1", "User Manager\\ContainerAdministrator"),
    ("S-1-5-93-2-2", "User Manager\\ContainerUser"),
    ("S-1-5-113", "NT AUTHORITY\\Local account"),
    ("S-1-5-114", "NT AUTHORITY\\Local account and member of Administrators group"),
    ("S-1-15-2-2", "APPLICATION PACKAGE AUTHORITY\\ALL RESTRICTED APPLICATION PACKAGES"),
    ("S-1-16-0", "Mandatory Label\\Untrusted Mandatory Level"),
    ("S-1-16-20480", "Mandatory Label\\Protected Process Mandatory Level"),
)

# Relative ids under the SID of a domain or machine: SDDL alias, id, name.
_RELATIVE = (
    ("RO", 498, "Enterprise Read-only Domain Controllers"),
    ("LA", 500, "Administrator"),
    ("LG", 501, "Guest"),
    ("DA", 512, "Domain Admins"),
    ("DU", 513, "Domain Users"),
    ("DG", 514, "Domain Guests"),
    ("DC", 515, "Domain Computers"),
    ("DD", 516, "Domain Controllers"),
    ("CA", 517, "Cert Publishers"),
    ("SA", 518, "Schema Admins"),
    ("EA", 519, "Enterprise Admins"),
    ("PA", 520, "Group Policy Creator Owners"),
    ("CN", 522, "Cloneable Domain Controllers"),
    ("AP", 525, "Protected Users"),
    ("KA", 526, "Key Admins"),
    ("EK", 527, "Enterprise Key Admins"),
    ("RS", 553, "RAS and IAS Servers"),
)

ALIASES: dict[str, Sid] = {alias: Sid.from_text(text) for alias, text, _ in _WELL_KNOWN}
DOMAIN_ALIASES: dict[str, int] = {alias: rid for alias, rid, _ in _RELATIVE}
ALIAS_OF: dict[Sid, str] = {sid: alias for alias, sid in ALIASES.items()}

_NAMES: dict[Sid, str] = {Sid.from_text(text): name for _, text, name in _WELL_KNOWN}
_NAMES |= {Sid.from_text(text): name for text, name in _NAMED}
_RELATIVE_NAMES: dict[int, str] = {rid: name for _, rid, name in _RELATIVE}

CREATOR_OWNER = ALIASES["CO"]
CREATOR_GROUP = ALIASES["CG"]
SYSTEM = ALIASES["SY"]


def name_of(sid: Sid) -> str | None:
    """The name by which Windows (in English) shows a well-known SID.

    Args:
        sid: any SID.
    Returns:
        ``BUILTIN\\Administrators``, ``NT SERVICE\\TrustedInstaller``, ...; for the fixed accounts of a
        domain or machine the name without the domain (``Domain Users``); None for all others.
    """
    numbers = sid.sub_authorities
    if sid.authority == 5 and len(numbers) == 5 and numbers[0] == 21:
        return _RELATIVE_NAMES.get(numbers[4])
    return _NAMES.get(sid)
