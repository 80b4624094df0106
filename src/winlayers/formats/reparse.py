"""Reparse points: the small buffer by which a file stands for something else.

    0   u32  tag: bit 31 = Microsoft's, bit 29 = stands for another named file
    4   u16  data size in bytes
    6   u16  reserved
    8        16 bytes GUID, only where bit 31 of the tag is clear; not counted in the data size
    8        data

Data of a symbolic link (0xA000000C) and of a mount point or junction (0xA0000003); offsets and sizes are in
bytes, offsets count from the end of these fields:

    0   u16  offset, then u16 size, of the substitute name: what the system opens
    4   u16  offset, then u16 size, of the print name: what people see
    8   u32  flags (1 = relative); only in symbolic links
    8/12     the two names in UTF-16LE, here each followed by a NUL

A tar has room for the print name alone; ``link_to`` makes the rest from it as the original does. Any other
tag is kept raw, except two whose layout is known well enough to be shown. This module knows nothing of tars
and does not follow links.
Source: MS-FSCC 2.1.2; names made from a target checked against tests/vectors/data/reparse.json; layouts of
app execution links and container links as published by others, so a buffer that differs stays raw.
"""

from __future__ import annotations

import string
import uuid
from dataclasses import dataclass
from typing import TypeAlias

from winlayers.errors import InvalidArgument, InvalidName, Malformed, Unsupported
from winlayers.formats.cursor import Builder, Cursor
from winlayers.formats.guid import GUID_SIZE, build_guid, parse_guid
from winlayers.formats.text16 import utf8_decode_go, utf16_decode, utf16_encode, wtf8_encode

TAG_MOUNT_POINT = 0xA0000003
TAG_SYMLINK = 0xA000000C
TAG_DEDUP = 0x80000013
TAG_WOF = 0x80000017
TAG_WCI = 0x80000018
TAG_WCI_1 = 0x90001018
TAG_CLOUD = 0x9000001A
TAG_APPEXECLINK = 0x8000001B
TAG_PROJFS = 0x9000001C
TAG_LX_SYMLINK = 0xA000001D
TAG_WCI_TOMBSTONE = 0xA000001F
TAG_PROJFS_TOMBSTONE = 0xA0000022
TAG_AF_UNIX = 0x80000023
TAG_WCI_LINK = 0xA0000027
TAG_WCI_LINK_1 = 0xA0001027
TAG_DATALESS_CIM = 0xA0000028

TAG_NAMES: dict[int, str] = {
    TAG_MOUNT_POINT: "MOUNT_POINT",
    0xC0000004: "HSM",
    0x80000005: "DRIVE_EXTENDER",
    0x80000006: "HSM2",
    0x80000007: "SIS",
    0x80000008: "WIM",
    0x80000009: "CSV",
    0x8000000A: "DFS",
    0x8000000B: "FILTER_MANAGER",
    TAG_SYMLINK: "SYMLINK",
    0xA0000010: "IIS_CACHE",
    0x80000012: "DFSR",
    TAG_DEDUP: "DEDUP",
    0xC0000014: "APPXSTRM",
    0x80000014: "NFS",
    0x80000015: "FILE_PLACEHOLDER",
    0x80000016: "DFM",
    TAG_WOF: "WOF",
    TAG_WCI: "WCI",
    TAG_WCI_1: "WCI_1",
    0xA0000019: "GLOBAL_REPARSE",
    TAG_CLOUD: "CLOUD",
    **{TAG_CLOUD | number << 12: f"CLOUD_{number:X}" for number in range(1, 16)},
    TAG_APPEXECLINK: "APPEXECLINK",
    TAG_PROJFS: "PROJFS",
    TAG_LX_SYMLINK: "LX_SYMLINK",
    0x8000001E: "STORAGE_SYNC",
    TAG_WCI_TOMBSTONE: "WCI_TOMBSTONE",
    0x80000020: "UNHANDLED",
    0x80000021: "ONEDRIVE",
    TAG_PROJFS_TOMBSTONE: "PROJFS_TOMBSTONE",
    TAG_AF_UNIX: "AF_UNIX",
    0x80000024: "LX_FIFO",
    0x80000025: "LX_CHR",
    0x80000026: "LX_BLK",
    TAG_WCI_LINK: "WCI_LINK",
    TAG_WCI_LINK_1: "WCI_LINK_1",
    0x90000027: "STORAGE_SYNC_FOLDER",
    TAG_DATALESS_CIM: "DATALESS_CIM",
}
"""Names of the known tags, without ``IO_REPARSE_TAG_``, for people to read."""

MAX_REPARSE_SIZE = 16 * 1024
"""The largest buffer that Windows takes, in bytes, header included."""

SYMLINK_FLAG_RELATIVE = 1

_STRUCTURE = "reparse buffer"
_HEADER_SIZE = 8
_MICROSOFT = 1 << 31
_NAME_SURROGATE = 1 << 29
_LINK_TAGS = (TAG_SYMLINK, TAG_MOUNT_POINT)
_WCI_LINK_TAGS = (TAG_WCI, TAG_WCI_1, TAG_WCI_LINK, TAG_WCI_LINK_1)
_STEERING = {
    TAG_DEDUP,
    TAG_WOF,
    *_WCI_LINK_TAGS,
    TAG_WCI_TOMBSTONE,
    TAG_PROJFS,
    TAG_PROJFS_TOMBSTONE,
    TAG_DATALESS_CIM,
}
_CLOUD_MASK = 0xF000
# The 16-bit data size counts up to 12 bytes of fields and two NULs besides the names.
_MAX_NAMES_SIZE = 0xFFFF - 12 - 4


@dataclass(frozen=True, slots=True)
class SymbolicLink:
    """A symbolic link, to a file or to a directory.

    Attributes:
        substitute_name: what the system opens: an NT path, or a relative one with ``flags`` 1.
        print_name: what people see; the link name in a tar.
        flags: 32 bits; 1 = relative.
    """

    substitute_name: str
    print_name: str
    flags: int = 0


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A mount point, called junction where it leads to a directory.

    Attributes:
        substitute_name: what the system opens, an NT path.
        print_name: what people see; the link name in a tar. May be empty.
    """

    substitute_name: str
    print_name: str


@dataclass(frozen=True, slots=True)
class AppExecLink:
    """An alias of a packaged app, as in ``WindowsApps``.

    Attributes:
        version: 3 in all that is known.
        strings: package, entry point, executable, and the kind of application.
    """

    version: int
    strings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WciLink:
    """A file of a container volume whose content is in a lower layer.

    Attributes:
        tag: one of the four tags WCI, WCI_1, WCI_LINK, WCI_LINK_1.
        version: 1 in all that is known.
        layer_guid: the layer that has the content.
        name: path of the file in that layer.
    """

    tag: int
    version: int
    layer_guid: uuid.UUID
    name: str


@dataclass(frozen=True, slots=True)
class RawReparse:
    """Any other reparse point, its data untouched.

    Attributes:
        tag: 32 bits.
        data: what follows the header (and the GUID).
        guid: who owns the tag; None for Microsoft's tags, which have none.
        reserved: the 16 bits after the size, as they came.
    """

    tag: int
    data: bytes
    guid: uuid.UUID | None = None
    reserved: int = 0


ReparsePoint: TypeAlias = SymbolicLink | MountPoint | AppExecLink | WciLink | RawReparse


def is_microsoft_tag(tag: int) -> bool:
    """Whether Microsoft owns the tag; the buffer of any other has a GUID."""
    return bool(tag & _MICROSOFT)


def is_name_surrogate(tag: int) -> bool:
    """Whether a file with this tag stands for another named file, as links do."""
    return bool(tag & _NAME_SURROGATE)


def steers_filter_driver(tag: int) -> bool:
    """Whether the tag makes a filter driver of Windows put other content in the file's place.

    An import on Windows does not apply such a tag from outside: it would let a layer point the driver
    at things that are not in the layer.
    """
    return tag in _STEERING or tag & ~_CLOUD_MASK == TAG_CLOUD


def tag_of(data: bytes) -> int:
    """The tag of a reparse buffer.

    Raises:
        Malformed: fewer than 4 bytes.
    """
    return Cursor(data, _STRUCTURE).u32("tag")


def check_reparse(data: bytes) -> None:
    """Refuse a buffer that Windows would not take, whatever its tag.

    Args:
        data: the whole buffer.
    Raises:
        Malformed: more than 16 KiB, or not exactly as long as its header says.
    """
    if len(data) > MAX_REPARSE_SIZE:
        raise Malformed(_STRUCTURE, f"{len(data)} bytes, more than {MAX_REPARSE_SIZE}")
    cursor = Cursor(data, _STRUCTURE)
    tag, size = cursor.u32("tag"), cursor.u16("data size")
    expected = _HEADER_SIZE + size + (0 if is_microsoft_tag(tag) else GUID_SIZE)
    if len(data) != expected:
        raise Malformed(_STRUCTURE, f"{len(data)} bytes, but its header says {expected}", offset=4)


def parse_reparse(data: bytes) -> ReparsePoint:
    """A reparse buffer as a value.

    Args:
        data: the whole buffer, as Windows gives it.
    Returns:
        A link of the two kinds that tars know; one of the two others whose layout is known, if the buffer
        is exactly what ``build_reparse`` makes of it; else the raw data. Only for the two kinds of link
        can building give other bytes: the order of their names is not kept.
    Raises:
        Malformed: see ``check_reparse``; or a name of a link is cut or reaches past the end.
    """
    check_reparse(data)
    tag = tag_of(data)
    if tag in _LINK_TAGS:
        return _parse_link(data)
    known = _parse_known(data, tag)
    if known is not None and build_reparse(known) == data:
        return known
    cursor = Cursor(data, _STRUCTURE, at=6)
    reserved = cursor.u16()
    guid = None if is_microsoft_tag(tag) else parse_guid(cursor.take(GUID_SIZE, "GUID"))
    return RawReparse(tag, cursor.take(cursor.remaining), guid, reserved)


def build_reparse(value: ReparsePoint) -> bytes:
    """The buffer of a reparse point.

    Args:
        value: any of the values that ``parse_reparse`` gives.
    Raises:
        InvalidName: the names of a link are too long for the 16-bit sizes.
        InvalidArgument: a number, or raw data, too large for its field; a foreign tag without its GUID.
    """
    match value:
        case SymbolicLink():
            return _build_link(TAG_SYMLINK, value)
        case MountPoint():
            return _build_link(TAG_MOUNT_POINT, value)
        case AppExecLink():
            return _build(TAG_APPEXECLINK, _app_exec_data(value))
        case WciLink():
            return _build(value.tag, _wci_data(value))
    return _build(value.tag, value.data, value.guid, value.reserved)


def link_to(target: str, *, junction: bool) -> SymbolicLink | MountPoint:
    """The link that the original makes of a target alone.

    Args:
        target: the print name: a path of Windows, with ``\\``.
        junction: a mount point instead of a symbolic link.
    Returns:
        The link. A target with ``\\\\?\\``, with a drive or of a share leads to its NT path; all others, also
        ``\\rooted`` ones, are relative.
    """
    relative = False
    if target.startswith("\\\\?\\"):
        nt_path = "\\??\\" + target[4:]
    elif target.startswith("\\\\"):
        nt_path = "\\??\\UNC\\" + target[2:]
    elif target[1:2] == ":" and target[0] in string.ascii_letters:
        nt_path = "\\??\\" + target
    else:
        nt_path = target
        relative = True
    if junction:
        return MountPoint(nt_path, target)
    return SymbolicLink(nt_path, target, SYMLINK_FLAG_RELATIVE if relative else 0)


def encode_link(target: str, *, junction: bool, exact: bool) -> bytes:
    """The buffer of the link that the original makes of a target.

    Args:
        target: the print name: a path of Windows, with ``\\``.
        junction: a mount point instead of a symbolic link.
        exact: keep lone surrogates, and refuse what Windows would; otherwise do as the original: each
            lone surrogate becomes three U+FFFD, a NUL stays, and the size is not limited to 16 KiB.
    Raises:
        InvalidName: a NUL (``exact``), or a target too long.
    """
    if exact and "\0" in target:
        raise InvalidName(f"link target {target!r} holds a NUL")
    if not exact:
        target = utf8_decode_go(wtf8_encode(target))
    data = build_reparse(link_to(target, junction=junction))
    if exact and len(data) > MAX_REPARSE_SIZE:
        raise InvalidName(f"link target of {len(target)} characters is too long for Windows")
    return data


def print_name_of(data: bytes, *, exact: bool = True) -> str:
    """The print name of a link, read as leniently as the original does.

    Args:
        data: the buffer; its data size and its substitute name are not looked at.
        exact: keep lone surrogates; otherwise each becomes U+FFFD.
    Returns:
        The print name, NULs and all; may be empty.
    Raises:
        Unsupported: the tag is neither that of a symbolic link nor that of a mount point.
        Malformed: the name reaches past the buffer.
    """
    tag = tag_of(data)
    if tag not in _LINK_TAGS:
        raise Unsupported(f"unsupported reparse point {tag:x}")
    cursor = Cursor(data, _STRUCTURE, at=12)
    start, size = cursor.u16("print name offset"), cursor.u16("print name size")
    cursor.seek(_path_buffer(tag) + start)
    return utf16_decode(cursor.take(size // 2 * 2, "print name"), exact=exact)


def _path_buffer(tag: int) -> int:
    """Where the names of a link begin, in bytes."""
    return 20 if tag == TAG_SYMLINK else 16


def _parse_link(data: bytes) -> SymbolicLink | MountPoint:
    """A link out of a buffer whose size is right."""
    cursor = Cursor(data, _STRUCTURE)
    tag = cursor.u32("tag")
    cursor.seek(_HEADER_SIZE)
    substitute_at, substitute_size = cursor.u16("name offset"), cursor.u16("name size")
    print_at, print_size = cursor.u16("name offset"), cursor.u16("name size")
    flags = cursor.u32("flags") if tag == TAG_SYMLINK else 0
    base = cursor.at

    def name(at: int, size: int) -> str:
        cursor.seek(base + at)
        return utf16_decode(cursor.take(size, "name"), structure=_STRUCTURE, offset=base + at)

    substitute_name, print_name = name(substitute_at, substitute_size), name(print_at, print_size)
    if tag == TAG_SYMLINK:
        return SymbolicLink(substitute_name, print_name, flags)
    return MountPoint(substitute_name, print_name)


def _build(tag: int, data: bytes, guid: uuid.UUID | None = None, reserved: int = 0) -> bytes:
    """Header, GUID where the tag asks for one, and data."""
    buffer = Builder(_STRUCTURE)
    buffer.u32(tag, "tag")
    buffer.u16(len(data), "data size")
    buffer.u16(reserved, "reserved field")
    if is_microsoft_tag(tag) != (guid is None):
        raise InvalidArgument(f"{_STRUCTURE}: tag {tag:08x} asks for {_guid_rule(tag)}")
    if guid is not None:
        buffer.put(build_guid(guid))
    buffer.put(data)
    return buffer.build()


def _guid_rule(tag: int) -> str:
    return "no GUID" if is_microsoft_tag(tag) else "a GUID"


def _build_link(tag: int, link: SymbolicLink | MountPoint) -> bytes:
    """A link, the substitute name first and a NUL after each name, as the original lays it out."""
    substitute_name = utf16_encode(link.substitute_name)
    print_name = utf16_encode(link.print_name)
    if len(substitute_name) + len(print_name) > _MAX_NAMES_SIZE:
        raise InvalidName(f"link target of {len(link.print_name)} characters is too long")
    fields = Builder("link")
    fields.u16(0)
    fields.u16(len(substitute_name))
    fields.u16(len(substitute_name) + 2)
    fields.u16(len(print_name))
    if isinstance(link, SymbolicLink):
        fields.u32(link.flags, "flags")
    fields.put(substitute_name + b"\0\0" + print_name + b"\0\0")
    return _build(tag, fields.build())


def _parse_known(data: bytes, tag: int) -> AppExecLink | WciLink | None:
    """What can be shown of the tags known by layout, or None; the caller compares it with the buffer."""
    try:
        if tag == TAG_APPEXECLINK:
            return _parse_app_exec(Cursor(data, _STRUCTURE, at=_HEADER_SIZE))
        if tag in _WCI_LINK_TAGS:
            return _parse_wci(Cursor(data, _STRUCTURE, at=_HEADER_SIZE), tag)
    except Malformed:
        # Nobody vouches for these layouts: a buffer that does not fit is raw, not wrong.
        return None
    return None


def _parse_app_exec(cursor: Cursor) -> AppExecLink:
    version = cursor.u32("version")
    text = utf16_decode(cursor.take(cursor.remaining))
    return AppExecLink(version, tuple(text.split("\0")[:-1]))


def _app_exec_data(link: AppExecLink) -> bytes:
    data = Builder("app execution link")
    data.u32(link.version, "version")
    data.put(utf16_encode("".join(text + "\0" for text in link.strings)))
    return data.build()


def _parse_wci(cursor: Cursor, tag: int) -> WciLink:
    version = cursor.u32("version")
    cursor.u32("reserved field")
    guid = parse_guid(cursor.take(GUID_SIZE, "layer GUID"))
    name = utf16_decode(cursor.take(cursor.u16("name size"), "name"))
    return WciLink(tag, version, guid, name)


def _wci_data(link: WciLink) -> bytes:
    name = utf16_encode(link.name)
    data = Builder("container link")
    data.u32(link.version, "version")
    data.u32(0)
    data.put(build_guid(link.layer_guid))
    data.u16(len(name), "name size")
    data.put(name)
    return data.build()
