"""What NTFS has and POSIX has not, as extended attributes, by the names that ntfs-3g uses.

``layer.ntfs3g`` has the table of them. Setting fewer than four times leaves the others, and a list of
extended attributes is taken in either form and given as Windows has it. One name is an addition:

    system.winlayers_sddl     the descriptor as SDDL

What a file has not is missing, and listings leave out second spellings. Other names, those of ACLs and
labels of Linux above all, are not supported. This module knows nothing of libfuse.

Source: ntfs-3g(8) and its page on extended attributes; xattr(7) for the limits.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from winlayers.errors import Malformed, UnknownFeature
from winlayers.formats.sddl import format_sddl, parse_sddl
from winlayers.formats.security import build_descriptor, parse_descriptor
from winlayers.layer import ntfs3g
from winlayers.layer.names import fold
from winlayers.layer.ntfs3g import MAX_VALUE, STREAM_PREFIX, Order
from winlayers.layer.tree import Tree

XATTR_CREATE = 1
XATTR_REPLACE = 2
_OF_LINUX = ("security.", "trusted.")
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
    value = _attribute(name, is_there=True).read(tree, path)
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
    except (Malformed, UnicodeDecodeError) as error:
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
    attribute = _attribute(name, is_there=True)
    if not attribute.removable:
        raise OSError(errno.EPERM, f"{name} cannot be removed")
    if not attribute.read(tree, path):
        raise _missing(name)
    attribute.write(tree, path, b"")


def _attribute(name: str, *, is_there: bool = False) -> _Attribute:
    """What is known of an attribute; ``is_there`` where it is to be there already."""
    try:
        return _ATTRIBUTES[name]
    except KeyError:
        # Who packs files asks for these, and takes any other answer for a failure.
        if is_there and name.startswith(_OF_LINUX):
            raise _missing(name) from None
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


def _attrib(order: Order) -> _Attribute:
    def read_attributes(tree: Tree, path: str) -> bytes:
        return ntfs3g.pack_attributes(tree.stat(path).attributes, order)

    def write_attributes(tree: Tree, path: str, value: bytes) -> None:
        tree.set_attributes(path, ntfs3g.unpack_attributes(value, order))

    return _Attribute(read_attributes, write_attributes, listed=order == "little")


def _times(order: Order) -> _Attribute:
    def read_times(tree: Tree, path: str) -> bytes:
        told = tree.stat(path)
        times = (
            told.creation_filetime,
            told.write_filetime,
            told.access_filetime,
            told.change_filetime,
        )
        return ntfs3g.pack_times(times, order)

    def write_times(tree: Tree, path: str, value: bytes) -> None:
        given = ntfs3g.unpack_times(value, order)
        tree.set_times(path, **dict(zip(ntfs3g.TIME_NAMES, given, strict=False)))

    return _Attribute(read_times, write_times, listed=order == "little")


def _write_ea(tree: Tree, path: str, value: bytes) -> None:
    tree.set_ea(path, ntfs3g.unpack_ea(value))


def _read_sddl(tree: Tree, path: str) -> bytes:
    descriptor = tree.security(path)
    return format_sddl(parse_descriptor(descriptor)).encode() if descriptor else b""


def _write_sddl(tree: Tree, path: str, value: bytes) -> None:
    # Programs that take the value from a command line may end it with a NUL or a line end.
    text = value.decode().rstrip("\0\r\n")
    tree.set_security(path, build_descriptor(parse_sddl(text)))


_ATTRIBUTES = {
    ntfs3g.ACL: _Attribute(Tree.security, Tree.set_security),
    "system.winlayers_sddl": _Attribute(_read_sddl, _write_sddl),
    ntfs3g.ATTRIBUTES: _attrib("little"),
    f"{ntfs3g.ATTRIBUTES}_be": _attrib("big"),
    ntfs3g.TIMES: _times("little"),
    f"{ntfs3g.TIMES}_be": _times("big"),
    ntfs3g.REPARSE: _Attribute(Tree.reparse, Tree.set_reparse, removable=True),
    ntfs3g.EA: _Attribute(Tree.ea, _write_ea, removable=True),
}
