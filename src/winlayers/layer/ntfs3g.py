"""What NTFS has and other file systems have not, as ntfs-3g names and packs it in extended attributes.

    system.ntfs_acl            security descriptor, self-relative
    system.ntfs_attrib         u32  FILE_ATTRIBUTE_*
    system.ntfs_times          1 to 4 u64  FILETIMEs: creation, write, access, change
    system.ntfs_ea             list of extended attributes as the disk has it: the offset of the last one
                               is its own size. In a list of Windows it is 0
    system.ntfs_reparse_data   whole reparse buffer
    user.NAME                  alternate stream NAME, of a mount with streams_interface=xattr (the default)
    ntfs.streams.list          names of all of them with NULs between, with streams_interface=windows;
                               their content is the file FILE:NAME

Integers are little-endian; ``system.ntfs_attrib_be`` and ``system.ntfs_times_be`` are the same in big-endian.
This module knows bytes, and neither files nor what any of it means.

Source: ntfs-3g(8) and its page on extended attributes; the form of the list by what ntfs-3g takes and gives,
which tests/e2e/test_ntfs.py shows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal

from winlayers.errors import Malformed
from winlayers.formats.ea import build_ea_list, parse_ea_list

ACL = "system.ntfs_acl"
ATTRIBUTES = "system.ntfs_attrib"
TIMES = "system.ntfs_times"
EA = "system.ntfs_ea"
REPARSE = "system.ntfs_reparse_data"
STREAM_PREFIX = "user."
STREAM_LIST = "ntfs.streams.list"
#: All that are asked for by name.
NAMES = (ATTRIBUTES, ACL, TIMES, EA, REPARSE)
#: What the value of an attribute can be at most, by the kernel: xattr(7).
MAX_VALUE = 65536
#: The order of the times.
TIME_NAMES = ("creation", "write", "access", "change")

Order = Literal["little", "big"]
_MARKS = {"little": "<", "big": ">"}
_TIME_SIZE = 8


def is_known(name: str) -> bool:
    """Whether a name is one of those above that are little-endian."""
    return name in NAMES or name.startswith(STREAM_PREFIX)


def pack_attributes(attributes: int, order: Order = "little") -> bytes:
    """FILE_ATTRIBUTE_* as ``system.ntfs_attrib``."""
    return struct.pack(f"{_MARKS[order]}I", attributes)


def unpack_attributes(value: bytes, order: Order = "little") -> int:
    """FILE_ATTRIBUTE_* out of ``system.ntfs_attrib``.

    Raises:
        Malformed: the value has another size.
    """
    if len(value) != struct.calcsize("I"):
        raise _malformed(ATTRIBUTES, f"it has {len(value)} bytes instead of 4")
    return int.from_bytes(value, order)


def pack_times(times: Sequence[int], order: Order = "little") -> bytes:
    """Times as ``system.ntfs_times``.

    Args:
        times: in 100 ns since 1601-01-01 UTC, in the order of ``TIME_NAMES``; who sets fewer, from the
            start, leaves the others.
        order: of the bytes.
    """
    return struct.pack(f"{_MARKS[order]}{len(times)}Q", *times)


def unpack_times(value: bytes, order: Order = "little") -> tuple[int, ...]:
    """Times out of ``system.ntfs_times``: one to four, in 100 ns since 1601-01-01 UTC.

    Raises:
        Malformed: the value has another size.
    """
    count, rest = divmod(len(value), _TIME_SIZE)
    if rest or not 1 <= count <= len(TIME_NAMES):
        raise _malformed(TIMES, f"it has {len(value)} bytes instead of 8 for each of 1 to 4 times")
    return struct.unpack(f"{_MARKS[order]}{count}Q", value)


def pack_ea(ea: bytes) -> bytes:
    """A list of extended attributes of Windows as ``system.ntfs_ea``.

    Args:
        ea: list of FILE_FULL_EA_INFORMATION; may be empty.
    Raises:
        Malformed: it does not parse.
    """
    packed = bytearray()
    for attribute in parse_ea_list(ea):
        one = build_ea_list([attribute])
        packed += len(one).to_bytes(4, "little") + one[4:]
    return bytes(packed)


def unpack_ea(value: bytes) -> bytes:
    """A list of extended attributes as Windows has it, out of ``system.ntfs_ea``.

    Args:
        value: as the disk has it, or as Windows has it already.
    Raises:
        Malformed: it does not parse.
    """
    return build_ea_list(parse_ea_list(value))


def unpack_stream_names(value: bytes) -> list[str]:
    """The names of alternate streams out of ``ntfs.streams.list``; lone surrogates are kept.

    Raises:
        Malformed: a name is not UTF-8.
    """
    try:
        return [name.decode("utf-8", "surrogatepass") for name in value.split(b"\0") if name]
    except UnicodeDecodeError as error:
        raise _malformed(STREAM_LIST, "a name is not UTF-8") from error


def _malformed(name: str, reason: str) -> Malformed:
    return Malformed(f"extended attribute {name}", reason)
