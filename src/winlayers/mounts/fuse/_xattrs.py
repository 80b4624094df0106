"""What NTFS has and POSIX has not, as extended attributes, by the names that ntfs-3g uses.

    system.ntfs_acl           the security descriptor, self-relative
    system.ntfs_attrib        u32  FILE_ATTRIBUTE_*; system.ntfs_attrib_be is the same in big-endian
    system.ntfs_times         4 u64  FILETIMEs: creation, last write, last access, change; _be likewise.
                              Setting fewer, from the start, leaves the others
    system.ntfs_reparse_data  the whole reparse buffer
    system.ntfs_ea            the list of extended attributes as Windows has them
    user.NAME                 the alternate stream NAME
    system.winlayers_sddl     the descriptor as SDDL; an addition

Integers are little-endian where the name does not say otherwise. What a file has not is missing, and
listings leave out second spellings. Other names, those of ACLs and labels of Linux above all, are not
supported. This module knows nothing of libfuse.

Source: ntfs-3g(8) and its page on extended attributes; xattr(7) for the limits.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from winlayers.errors import Malformed, UnknownFeature
from winlayers.formats.sddl import format_sddl, parse_sddl
from winlayers.formats.security import build_descriptor, parse_descriptor
from winlayers.layer.names import fold
from winlayers.layer.tree import Tree

XATTR_CREATE = 1
XATTR_REPLACE = 2
#: What the value of an attribute can be at most, by the kernel.
MAX_VALUE = 65536
STREAM_PREFIX = "user."
NO_ATTRIBUTE: int = getattr(errno, "ENOATTR", errno.ENODATA)


@dataclass(frozen=True, slots=True)
class _Attribute:
    """One of the named attributes.

    Attributes:
        read: its value; ``b""`` where the file has none.
        write: sets it; raises Malformed for a value that is none.
        removable: whether writing ``b""`` removes it.
        listed: whether listings have it.
    """

    read: Callable[[Tree, str], bytes]
    write: Callable[[Tree, str, bytes], None]
    removable: bool = False
    listed: bool = True


def names(tree: Tree, path: str) -> list[str]:
    """The attributes that a file or directory has."""
    told = [name for name, one in _ATTRIBUTES.items() if one.listed and _is_there(one, tree, path)]
    return told + [STREAM_PREFIX + stream.name for stream in tree.streams(path)]


def read(tree: Tree, path: str, name: str) -> bytes:
    """The value of an attribute.

    Raises:
        OSError: ENODATA, the file has it not; ENOTSUP, no file has; E2BIG, the alternate stream is
            longer than an attribute can be.
    """
    if name.startswith(STREAM_PREFIX):
        return _read_stream(tree, path, name.removeprefix(STREAM_PREFIX))
    value = _attribute(name).read(tree, path)
    if not value:
        raise _missing(name)
    return value


def write(tree: Tree, path: str, name: str, value: bytes, flags: int) -> None:
    """Set an attribute.

    Args:
        tree: where.
        path: of the file or directory.
        name: of the attribute.
        value: what it shall be.
        flags: XATTR_CREATE, only if it is missing; XATTR_REPLACE, only if it is there.
    Raises:
        OSError: EEXIST and ENODATA by the flags; EINVAL, the value is none for this attribute; ENOTSUP.
    """
    if name.startswith(STREAM_PREFIX):
        stream = name.removeprefix(STREAM_PREFIX)
        _check_flags(flags, name, exists=_has_stream(tree, path, stream))
        opened = tree.open(path, stream=stream, writable=True, create=True, truncate=True)
        with closing(opened) as content:
            content.write_at(0, value)
        return
    attribute = _attribute(name)
    _check_flags(flags, name, exists=bool(attribute.read(tree, path)))
    try:
        attribute.write(tree, path, value)
    except (Malformed, struct.error, UnicodeDecodeError) as error:
        raise OSError(errno.EINVAL, f"no value for {name}: {error}") from error


def remove(tree: Tree, path: str, name: str) -> None:
    """Take an attribute away.

    Raises:
        OSError: ENODATA, the file has it not; EPERM, every file has it; ENOTSUP.
    """
    if name.startswith(STREAM_PREFIX):
        stream = name.removeprefix(STREAM_PREFIX)
        if not _has_stream(tree, path, stream):
            raise _missing(name)
        tree.remove_stream(path, stream)
        return
    attribute = _attribute(name)
    if not attribute.removable:
        raise OSError(errno.EPERM, f"{name} cannot be removed")
    if not attribute.read(tree, path):
        raise _missing(name)
    attribute.write(tree, path, b"")


def _attribute(name: str) -> _Attribute:
    try:
        return _ATTRIBUTES[name]
    except KeyError:
        raise OSError(errno.ENOTSUP, f"{name} is not supported") from None


def _is_there(attribute: _Attribute, tree: Tree, path: str) -> bool:
    try:
        return bool(attribute.read(tree, path))
    except (Malformed, UnknownFeature):
        return False  # a descriptor that has no readable form


def _missing(name: str) -> OSError:
    return OSError(NO_ATTRIBUTE, f"there is no {name}")


def _check_flags(flags: int, name: str, *, exists: bool) -> None:
    if flags & XATTR_CREATE and exists:
        raise OSError(errno.EEXIST, f"there is {name} already")
    if flags & XATTR_REPLACE and not exists:
        raise _missing(name)


# -- alternate streams -------------------------------------------------------------------------------


def _has_stream(tree: Tree, path: str, stream: str) -> bool:
    folded = fold(stream)
    return any(fold(one.name) == folded for one in tree.streams(path))


def _read_stream(tree: Tree, path: str, stream: str) -> bytes:
    if not _has_stream(tree, path, stream):
        raise _missing(STREAM_PREFIX + stream)
    with closing(tree.open(path, stream=stream)) as content:
        if content.size > MAX_VALUE:
            raise OSError(errno.E2BIG, f"stream {stream!r} has {content.size} bytes")
        return content.read_at(0, content.size)


# -- the named ones ------------------------------------------------------------------------------------


def _attrib(form: str) -> _Attribute:
    packing = struct.Struct(form + "I")

    def read_attributes(tree: Tree, path: str) -> bytes:
        return packing.pack(tree.stat(path).attributes)

    def write_attributes(tree: Tree, path: str, value: bytes) -> None:
        tree.set_attributes(path, packing.unpack(value)[0])

    return _Attribute(read_attributes, write_attributes, listed=form == "<")


def _times(form: str) -> _Attribute:
    def read_times(tree: Tree, path: str) -> bytes:
        told = tree.stat(path)
        return struct.pack(
            form + "4Q",
            told.creation_filetime,
            told.write_filetime,
            told.access_filetime,
            told.change_filetime,
        )

    def write_times(tree: Tree, path: str, value: bytes) -> None:
        count = len(value) // 8
        if not 1 <= count <= 4:
            raise struct.error(f"{len(value)} bytes")
        given = struct.unpack(f"{form}{count}Q", value)
        tree.set_times(path, **dict(zip(_TIME_NAMES, given, strict=False)))

    return _Attribute(read_times, write_times, listed=form == "<")


_TIME_NAMES = ("creation", "write", "access", "change")


def _read_sddl(tree: Tree, path: str) -> bytes:
    descriptor = tree.security(path)
    return format_sddl(parse_descriptor(descriptor)).encode() if descriptor else b""


def _write_sddl(tree: Tree, path: str, value: bytes) -> None:
    # Programs that take the value from a command line may end it with a NUL or a line end.
    text = value.decode().rstrip("\0\r\n")
    tree.set_security(path, build_descriptor(parse_sddl(text)))


_ATTRIBUTES = {
    "system.ntfs_acl": _Attribute(Tree.security, Tree.set_security),
    "system.winlayers_sddl": _Attribute(_read_sddl, _write_sddl),
    "system.ntfs_attrib": _attrib("<"),
    "system.ntfs_attrib_be": _attrib(">"),
    "system.ntfs_times": _times("<"),
    "system.ntfs_times_be": _times(">"),
    "system.ntfs_reparse_data": _Attribute(Tree.reparse, Tree.set_reparse, removable=True),
    "system.ntfs_ea": _Attribute(Tree.ea, Tree.set_ea, removable=True),
}
