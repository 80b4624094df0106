"""Security descriptors: owner, group and access lists of a file, in the one piece that layers carry.

    0   u8   revision, 1
    1   u8   resource manager control, 0 unless RM_CONTROL_VALID is set
    2   u16  control: which parts are there and how they are inherited
    4   u32  offset of the owner's SID
    8   u32  offset of the group's SID
    12  u32  offset of the SACL: audit, labels, resource attributes
    16  u32  offset of the DACL: who may do what
    20       the parts, each at a multiple of 4, in any order

Offsets count from the start; 0 means that there is none. With DACL_PRESENT set an offset of 0 is a *NULL DACL*,
which lets everybody do everything; a DACL without ACEs lets nobody do anything; with DACL_PRESENT clear
nothing is said. Bytes from a layer are kept as they came: what is parsed is for looking and changing.

Parts may overlap or leave gaps, and bytes may follow the last one; Windows does not mind, and every part is read
within its own bounds. This module knows nothing of SDDL text, of layers or of tokens, and checks no access.
Source: MS-DTYP 2.4.6 (descriptor), 2.5.3.4 (inheritance; where its pseudo-code and its prose part, the prose and
Windows as tested by others hold); two descriptors made on Windows in tests/vectors/data/sddl.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import IntFlag
from typing import TypeVar

from winlayers.formats.acl import (
    NO_FLAGS,
    STRUCTURE,
    Ace,
    AceFlags,
    AceType,
    Acl,
    build_acl,
    read_acl,
)
from winlayers.formats.cursor import Builder, Cursor
from winlayers.formats.sids import CREATOR_GROUP, CREATOR_OWNER, SYSTEM, Sid, read_sid

__all__ = [
    "Ace",
    "AceFlags",
    "AceType",
    "Acl",
    "Control",
    "SecurityDescriptor",
    "Sid",
    "build_descriptor",
    "check_descriptor",
    "inherit",
    "parse_descriptor",
]

HEADER_SIZE = 20
_CONTROL_AT, _OWNER_AT, _GROUP_AT, _SACL_AT, _DACL_AT = 2, 4, 8, 12, 16

FILE_ALL_ACCESS = 0x1F01FF
_GENERIC_FILE_RIGHTS = {
    0x80000000: 0x120089,  # GENERIC_READ
    0x40000000: 0x120116,  # GENERIC_WRITE
    0x20000000: 0x1200A0,  # GENERIC_EXECUTE
    0x10000000: FILE_ALL_ACCESS,  # GENERIC_ALL
}
_GENERIC_RIGHTS = 0xF0000000

_INHERITABLE = AceFlags.OBJECT_INHERIT | AceFlags.CONTAINER_INHERIT
_INHERITANCE = (
    _INHERITABLE | AceFlags.NO_PROPAGATE_INHERIT | AceFlags.INHERIT_ONLY | AceFlags.INHERITED
)

_PartT = TypeVar("_PartT")


class Control(IntFlag):
    """The control field of a descriptor; names of MS-DTYP 2.4.6."""

    OWNER_DEFAULTED = 0x0001
    GROUP_DEFAULTED = 0x0002
    DACL_PRESENT = 0x0004
    DACL_DEFAULTED = 0x0008
    SACL_PRESENT = 0x0010
    SACL_DEFAULTED = 0x0020
    DACL_TRUSTED = 0x0040
    SERVER_SECURITY = 0x0080
    DACL_AUTO_INHERIT_REQ = 0x0100
    SACL_AUTO_INHERIT_REQ = 0x0200
    DACL_AUTO_INHERITED = 0x0400
    SACL_AUTO_INHERITED = 0x0800
    DACL_PROTECTED = 0x1000
    SACL_PROTECTED = 0x2000
    RM_CONTROL_VALID = 0x4000
    SELF_RELATIVE = 0x8000


@dataclass(frozen=True, slots=True)
class SecurityDescriptor:
    """What a descriptor says.

    Attributes:
        control: flags; SELF_RELATIVE is set in all that come from bytes or SDDL.
        owner: None if there is none.
        group: None if there is none.
        sacl: None if there is none, or a NULL one if ``control`` has SACL_PRESENT.
        dacl: None if there is none, or a NULL one if ``control`` has DACL_PRESENT.
        resource_manager: the byte whose meaning RM_CONTROL_VALID gives; otherwise 0.
    """

    control: Control = Control.SELF_RELATIVE
    owner: Sid | None = None
    group: Sid | None = None
    sacl: Acl | None = None
    dacl: Acl | None = None
    resource_manager: int = 0


def parse_descriptor(data: bytes) -> SecurityDescriptor:
    """Read a self-relative security descriptor.

    Args:
        data: the descriptor; bytes behind its last part do not count.
    Returns:
        What it says. Not in it are gaps, slack and the order of the parts, an ACL whose bit in ``control`` is
        clear, and bits of object ACEs without meaning.
    Raises:
        Malformed: cut short, another revision, not self-relative, or a part that is not at a multiple of 4,
            lies in the header, or does not fit; with the offset in bytes.
    """
    cursor = Cursor(data, STRUCTURE)
    if len(data) < HEADER_SIZE:
        raise cursor.malformed(f"{len(data)} bytes, less than its header")
    revision = cursor.u8()
    resource_manager = cursor.u8()
    control = Control(cursor.u16())
    if revision != 1:
        raise cursor.malformed(f"revision {revision}, not 1", at=0)
    if Control.SELF_RELATIVE not in control:
        raise cursor.malformed("not self-relative", at=_CONTROL_AT)
    with_sacl, with_dacl = Control.SACL_PRESENT in control, Control.DACL_PRESENT in control
    return SecurityDescriptor(
        control,
        owner=_read_part(cursor, _OWNER_AT, read_sid),
        group=_read_part(cursor, _GROUP_AT, read_sid),
        sacl=_read_part(cursor, _SACL_AT, read_acl) if with_sacl else None,
        dacl=_read_part(cursor, _DACL_AT, read_acl) if with_dacl else None,
        resource_manager=resource_manager if Control.RM_CONTROL_VALID in control else 0,
    )


def _read_part(cursor: Cursor, field: int, read: Callable[[Cursor], _PartT]) -> _PartT | None:
    """The part whose offset is in the header at ``field``."""
    cursor.seek(field)
    offset = cursor.u32()
    if offset == 0:
        return None
    if offset < HEADER_SIZE or offset % 4:
        raise cursor.malformed(f"a part at {offset}: in the header, or no multiple of 4", at=field)
    if offset >= cursor.at + cursor.remaining:
        raise cursor.malformed(f"a part at {offset}, behind the end", at=field)
    cursor.seek(offset)
    return read(cursor)


def check_descriptor(data: bytes) -> None:
    """Refuse what ``parse_descriptor`` would refuse.

    Args:
        data: the descriptor.
    Raises:
        Malformed: as ``parse_descriptor``.
    """
    parse_descriptor(data)


def build_descriptor(sd: SecurityDescriptor) -> bytes:
    """The self-relative form: header, owner, group, SACL, DACL without gaps.

    Args:
        sd: what it says; SELF_RELATIVE and the bits of the ACLs that are there need not be set.
    Returns:
        The bytes, equal to those that Windows makes of SDDL.
    Raises:
        InvalidArgument: an ACL that is too large, or an ACE that has no binary form (see ``build_acl``).
    """
    control = sd.control | Control.SELF_RELATIVE
    control |= Control.SACL_PRESENT if sd.sacl is not None else Control(0)
    control |= Control.DACL_PRESENT if sd.dacl is not None else Control(0)
    header = Builder(STRUCTURE)
    header.u8(1)
    header.u8(sd.resource_manager, "resource manager control")
    header.u16(control)
    body = b""
    for part in (
        sd.owner and sd.owner.build(),
        sd.group and sd.group.build(),
        sd.sacl and build_acl(sd.sacl),
        sd.dacl and build_acl(sd.dacl),
    ):
        header.u32(0 if part is None else HEADER_SIZE + len(body))
        body += part or b""
    return header.build() + body


def inherit(
    parent: SecurityDescriptor,
    *,
    is_directory: bool,
    owner: Sid,
    group: Sid,
    explicit: SecurityDescriptor | None = None,
) -> SecurityDescriptor:
    """The descriptor of a new file or directory, as NTFS makes it.

    Explicit ACEs come first, then those of the parent in its order. The flag INHERITED and AUTO_INHERITED are
    given only if the parent is auto-inherited itself. Where no ACE of the parent reaches this kind of child and
    no DACL was given, the child has the default DACL: full access for its owner and for SYSTEM. An explicit NULL
    DACL stays one.

    Args:
        parent: descriptor of the directory that it is made in.
        is_directory: whether a directory is made.
        owner: of the creator; CREATOR OWNER becomes the owner of the child.
        group: of the creator; CREATOR GROUP becomes the group of the child.
        explicit: a descriptor given with the creation; what it has comes before what would be inherited, and its
            ACEs that are flagged as inherited are left out.
    Returns:
        The child's descriptor. It will not change with its parent later.
    Source: MS-DTYP 2.5.3.4.
    """
    given = explicit or SecurityDescriptor()
    heir = _Heir(is_directory, given.owner or owner, given.group or group)
    dacl_control, dacl = _inherited_acl(heir, _DACL, parent, parent.dacl, given, given.dacl)
    sacl_control, sacl = _inherited_acl(heir, _SACL, parent, parent.sacl, given, given.sacl)
    if _DACL.present not in dacl_control:
        dacl_control, dacl = _DACL.present, _default_dacl(heir.owner)
    control = Control.SELF_RELATIVE | dacl_control | sacl_control
    return SecurityDescriptor(control, heir.owner, heir.group, sacl, dacl)


@dataclass(frozen=True, slots=True)
class _Side:
    """The control bits of one of the two ACLs."""

    present: Control
    auto_inherited: Control
    protected: Control


_DACL = _Side(Control.DACL_PRESENT, Control.DACL_AUTO_INHERITED, Control.DACL_PROTECTED)
_SACL = _Side(Control.SACL_PRESENT, Control.SACL_AUTO_INHERITED, Control.SACL_PROTECTED)


def _default_dacl(owner: Sid) -> Acl:
    everything = Ace(AceType.ACCESS_ALLOWED, mask=FILE_ALL_ACCESS, sid=owner)
    return Acl.of((everything, replace(everything, sid=SYSTEM)))


def _inherited_acl(
    heir: _Heir,
    side: _Side,
    parent: SecurityDescriptor,
    parent_acl: Acl | None,
    given: SecurityDescriptor,
    given_acl: Acl | None,
) -> tuple[Control, Acl | None]:
    """Control bits and ACL of one side; no bits if nothing was given and nothing is inherited."""
    is_given = side.present in given.control or given_acl is not None
    if is_given and given_acl is None:
        return side.present | (given.control & side.protected), None
    aces: list[Ace] = []
    for ace in given_acl.aces if given_acl is not None else ():
        if AceFlags.INHERITED not in ace.flags:
            aces += heir.explicit(ace)
    if is_given and side.protected in given.control:
        control = side.protected
    else:
        control = parent.control & side.auto_inherited
        mark = AceFlags.INHERITED if control else NO_FLAGS
        for ace in parent_acl.aces if parent_acl is not None else ():
            aces += heir.inherited(ace, mark)
    if not is_given and not aces:
        return Control(0), None
    return control | side.present, Acl.of(aces)


@dataclass(frozen=True, slots=True)
class _Heir:
    """The new object, and what becomes of one ACE on its way there."""

    is_directory: bool
    owner: Sid
    group: Sid

    def explicit(self, ace: Ace) -> Iterator[Ace]:
        """An ACE that was given with the creation; generic rights and creators are resolved.

        What a directory would hand on is kept unresolved in a second, inherit-only ACE.
        """
        if AceFlags.INHERIT_ONLY in ace.flags or not _is_special(ace):
            yield ace
            return
        handed_on = ace.flags & _INHERITABLE if self.is_directory else NO_FLAGS
        yield replace(self._effective(ace), flags=ace.flags & ~_INHERITANCE)
        if handed_on:
            yield replace(ace, flags=ace.flags | AceFlags.INHERIT_ONLY)

    def inherited(self, ace: Ace, mark: AceFlags) -> Iterator[Ace]:
        """What the child gets of an ACE of its parent: nothing, one ACE, or two."""
        if ace.inherited_object_type is not None:
            return  # it is meant for one class of directory service objects, never for files
        if self.is_directory:
            effective = AceFlags.CONTAINER_INHERIT in ace.flags
            propagates = AceFlags.NO_PROPAGATE_INHERIT not in ace.flags
        else:
            effective = AceFlags.OBJECT_INHERIT in ace.flags
            propagates = False
        kept = (ace.flags & ~_INHERITANCE) | mark
        handed_on = kept | (ace.flags & _INHERITABLE)
        if effective and propagates and not _is_special(ace):
            yield replace(ace, flags=handed_on)
            return
        if effective:
            yield replace(self._effective(ace), flags=kept)
        if propagates and ace.flags & _INHERITABLE:
            yield replace(ace, flags=handed_on | AceFlags.INHERIT_ONLY)

    def _effective(self, ace: Ace) -> Ace:
        """The ACE as it holds for the object itself: rights of files, and no creator."""
        sid = ace.sid
        if sid == CREATOR_OWNER:
            sid = self.owner
        elif sid == CREATOR_GROUP:
            sid = self.group
        return replace(ace, mask=_map_generic(ace.mask), sid=sid)


def _is_special(ace: Ace) -> bool:
    """Whether the ACE means something else in the child than in what the child hands on."""
    return ace.sid in (CREATOR_OWNER, CREATOR_GROUP) or bool(ace.mask & _GENERIC_RIGHTS)


def _map_generic(mask: int) -> int:
    """Generic rights replaced by what they mean for files."""
    mapped = mask & ~_GENERIC_RIGHTS
    for generic, rights in _GENERIC_FILE_RIGHTS.items():
        mapped |= rights if mask & generic else 0
    return mapped
