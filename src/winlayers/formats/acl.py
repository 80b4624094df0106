"""Access control lists: who may do what, one entry (ACE) after the other.

    ACL   0   u8   revision: 2; 4 if it holds object ACEs; 3 is obsolete
          1   u8   0
          2   u16  size in bytes, this header included; may leave slack behind the last ACE
          4   u16  count of ACEs, which decides where the list ends
          6   u16  0
          8        ACEs

    ACE   0   u8   type
          1   u8   flags
          2   u16  size in bytes, this header included, a multiple of 4
          4   u32  mask
          8        SID, then application data to the end of the ACE

    An object ACE has between mask and SID:
              u32  1 = object type follows, 2 = inherited object type follows
                   16 bytes GUID for each

ACEs of unknown type keep all behind their header as ``raw``. Application data is opaque here: conditions are
for ``sddl_conditions``, resource attributes for ``sddl_claims``. This module knows nothing of descriptors.
Source: MS-DTYP 2.4.4 (ACE) and 2.4.5 (ACL).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from winlayers.errors import InvalidArgument
from winlayers.formats.cursor import Builder, Cursor
from winlayers.formats.sids import Sid, read_sid

STRUCTURE = "security descriptor"
ACL_HEADER_SIZE = 8
ACE_HEADER_SIZE = 4
REVISION = 2
REVISION_OBJECT = 4

_OBJECT_TYPE_PRESENT = 1
_INHERITED_OBJECT_TYPE_PRESENT = 2


class AceType(IntEnum):
    """The types of ACE whose layout is known; names of MS-DTYP 2.4.4.1."""

    ACCESS_ALLOWED = 0x00
    ACCESS_DENIED = 0x01
    SYSTEM_AUDIT = 0x02
    SYSTEM_ALARM = 0x03
    ACCESS_ALLOWED_OBJECT = 0x05
    ACCESS_DENIED_OBJECT = 0x06
    SYSTEM_AUDIT_OBJECT = 0x07
    SYSTEM_ALARM_OBJECT = 0x08
    ACCESS_ALLOWED_CALLBACK = 0x09
    ACCESS_DENIED_CALLBACK = 0x0A
    ACCESS_ALLOWED_CALLBACK_OBJECT = 0x0B
    ACCESS_DENIED_CALLBACK_OBJECT = 0x0C
    SYSTEM_AUDIT_CALLBACK = 0x0D
    SYSTEM_ALARM_CALLBACK = 0x0E
    SYSTEM_AUDIT_CALLBACK_OBJECT = 0x0F
    SYSTEM_ALARM_CALLBACK_OBJECT = 0x10
    SYSTEM_MANDATORY_LABEL = 0x11
    SYSTEM_RESOURCE_ATTRIBUTE = 0x12
    SYSTEM_SCOPED_POLICY_ID = 0x13
    SYSTEM_PROCESS_TRUST_LABEL = 0x14
    SYSTEM_ACCESS_FILTER = 0x15


class AceFlags(IntFlag):
    """Flags of an ACE: who inherits it, and what an audit ACE reports."""

    OBJECT_INHERIT = 0x01
    CONTAINER_INHERIT = 0x02
    NO_PROPAGATE_INHERIT = 0x04
    INHERIT_ONLY = 0x08
    INHERITED = 0x10
    CRITICAL = 0x20
    SUCCESSFUL_ACCESS = 0x40
    FAILED_ACCESS = 0x80


NO_FLAGS = AceFlags(0)
OBJECT_TYPES = frozenset(
    {
        AceType.ACCESS_ALLOWED_OBJECT,
        AceType.ACCESS_DENIED_OBJECT,
        AceType.SYSTEM_AUDIT_OBJECT,
        AceType.SYSTEM_ALARM_OBJECT,
        AceType.ACCESS_ALLOWED_CALLBACK_OBJECT,
        AceType.ACCESS_DENIED_CALLBACK_OBJECT,
        AceType.SYSTEM_AUDIT_CALLBACK_OBJECT,
        AceType.SYSTEM_ALARM_CALLBACK_OBJECT,
    }
)
KNOWN_TYPES = frozenset(AceType)


@dataclass(frozen=True, slots=True)
class Ace:
    """One entry of an ACL.

    Attributes:
        type: an ``AceType``, or the number of an unknown one.
        flags: inheritance and audit flags.
        mask: the rights, 32 bits; 0 where the type is unknown.
        sid: whom it is about; None exactly where the type is unknown.
        object_type: only in object ACEs: the GUID of what it is about.
        inherited_object_type: only in object ACEs: the GUID of what may inherit it.
        application_data: what follows the SID: a condition or resource attribute, with its padding.
        raw: all behind the header of an ACE of unknown type.
    """

    type: int
    flags: AceFlags = NO_FLAGS
    mask: int = 0
    sid: Sid | None = None
    object_type: uuid.UUID | None = None
    inherited_object_type: uuid.UUID | None = None
    application_data: bytes = b""
    raw: bytes = b""

    @property
    def object_flags(self) -> int:
        """The field that tells which GUIDs an object ACE has: 1 its type, 2 that of its heirs."""
        flags = 0 if self.object_type is None else _OBJECT_TYPE_PRESENT
        if self.inherited_object_type is not None:
            flags |= _INHERITED_OBJECT_TYPE_PRESENT
        return flags


@dataclass(frozen=True, slots=True)
class Acl:
    """An access control list; without ACEs it lets nobody do anything.

    Attributes:
        revision: 2, 3 or 4, as in the binary form.
        aces: the entries, in the order in which they are evaluated.
    """

    revision: int = REVISION
    aces: tuple[Ace, ...] = ()

    @classmethod
    def of(cls, aces: Iterable[Ace]) -> Acl:
        """An ACL of the lowest revision that may hold these ACEs."""
        entries = tuple(aces)
        with_objects = any(ace.type in OBJECT_TYPES for ace in entries)
        return cls(REVISION_OBJECT if with_objects else REVISION, entries)


def read_acl(cursor: Cursor) -> Acl:
    """Read the ACL that starts where the cursor is.

    Args:
        cursor: over the whole descriptor, so that errors tell the offset in it.
    Returns:
        The ACL. Slack behind its last ACE is dropped.
    Raises:
        Malformed: unknown revision; an ACL larger than what is left, or an ACE larger than what is left of
            its ACL; an ACE whose size is no multiple of 4 or too small for its fields; a bad SID.
    """
    start = cursor.at
    revision = cursor.u8("ACL revision")
    cursor.u8("ACL padding")
    size = cursor.u16("ACL size")
    count = cursor.u16("ACE count")
    cursor.u16("ACL padding")
    if not REVISION <= revision <= REVISION_OBJECT:
        raise cursor.malformed(f"ACL revision {revision}, not 2 to 4", at=start)
    if size < ACL_HEADER_SIZE:
        raise cursor.malformed(f"ACL of {size} bytes, less than its header", at=start)
    end = start + size
    if size - ACL_HEADER_SIZE > cursor.remaining:
        raise cursor.malformed(f"ACL of {size} bytes does not fit", at=start)
    if count * ACE_HEADER_SIZE > size - ACL_HEADER_SIZE:
        raise cursor.malformed(f"{count} ACEs do not fit in an ACL of {size} bytes", at=start)
    return Acl(revision, tuple(_read_ace(cursor, end) for _ in range(count)))


def _read_ace(cursor: Cursor, acl_end: int) -> Ace:
    start = cursor.at
    ace_type = cursor.u8("ACE type")
    flags = AceFlags(cursor.u8("ACE flags"))
    size = cursor.u16("ACE size")
    end = start + size
    if end > acl_end:
        raise cursor.malformed(f"ACE of {size} bytes reaches past its ACL", at=start)
    if size % 4 or size < ACE_HEADER_SIZE:
        raise cursor.malformed(f"ACE of {size} bytes, not a multiple of 4", at=start)
    if ace_type not in KNOWN_TYPES:
        return Ace(ace_type, flags, raw=cursor.take(size - ACE_HEADER_SIZE))
    mask = cursor.u32("ACE mask")
    object_type = inherited_object_type = None
    if ace_type in OBJECT_TYPES:
        present = cursor.u32("object ACE flags")
        if present & _OBJECT_TYPE_PRESENT:
            object_type = _read_guid(cursor)
        if present & _INHERITED_OBJECT_TYPE_PRESENT:
            inherited_object_type = _read_guid(cursor)
    sid = read_sid(cursor)
    if cursor.at > end:
        raise cursor.malformed(f"ACE of {size} bytes is too small for its SID", at=start)
    application_data = cursor.take(end - cursor.at)
    return Ace(
        AceType(ace_type), flags, mask, sid, object_type, inherited_object_type, application_data
    )


def _read_guid(cursor: Cursor) -> uuid.UUID:
    return uuid.UUID(bytes_le=cursor.take(16, "GUID of an object ACE"))


def build_acl(acl: Acl) -> bytes:
    """The binary form of an ACL, without slack.

    Args:
        acl: the ACL; its revision is written as it is.
    Returns:
        At most 65,535 bytes, a multiple of 4.
    Raises:
        InvalidArgument: too large for its 16-bit sizes; an ACE of known type without a SID, or of unknown
            type with one; a mask of more than 32 bits.
    """
    body = b"".join(map(_build_ace, acl.aces))
    builder = Builder(STRUCTURE)
    builder.u8(acl.revision, "ACL revision")
    builder.u8(0)
    builder.u16(ACL_HEADER_SIZE + len(body), "ACL size")
    builder.u16(len(acl.aces), "ACE count")
    builder.u16(0)
    builder.put(body)
    return builder.build()


def _build_ace(ace: Ace) -> bytes:
    body = _build_ace_body(ace)
    builder = Builder(STRUCTURE)
    builder.u8(ace.type, "ACE type")
    builder.u8(ace.flags, "ACE flags")
    builder.u16(ACE_HEADER_SIZE + len(body), "ACE size")
    builder.put(body)
    return builder.build()


def _build_ace_body(ace: Ace) -> bytes:
    if (ace.sid is None) is (ace.type in KNOWN_TYPES):
        raise InvalidArgument(f"an ACE of type {ace.type:#x} needs {_needs(ace)}")
    builder = Builder(STRUCTURE)
    if ace.sid is None:
        builder.put(ace.raw)
    else:
        builder.u32(ace.mask, "ACE mask")
        if ace.type in OBJECT_TYPES:
            builder.u32(ace.object_flags)
            for guid in (ace.object_type, ace.inherited_object_type):
                builder.put(guid.bytes_le if guid is not None else b"")
        builder.put(ace.sid.build())
        builder.put(ace.application_data)
    builder.pad(4)
    return builder.build()


def _needs(ace: Ace) -> str:
    return "a SID" if ace.sid is None else "raw bytes and no SID"
