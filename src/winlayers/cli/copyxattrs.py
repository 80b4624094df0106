"""What NTFS has and other file systems have not, beside a file in a tar or a folder: by ntfs-3g's names.

    system.ntfs_acl            security descriptor, self-relative
    system.ntfs_attrib         u32  FILE_ATTRIBUTE_*
    system.ntfs_times          4 u64  FILETIMEs: creation, write, access, change
    system.ntfs_ea             list of extended attributes as Windows has them
    system.ntfs_reparse_data   whole reparse buffer
    user.NAME                  alternate stream NAME, of what has system.ntfs_attrib

Integers are little-endian. A mount of winlayers or ntfs-3g has them, and so has a tar that was made of one
with ``tar --xattrs``. This module knows trees, and neither tars nor folders.

Source: ntfs-3g(8) and its page on extended attributes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import closing

from winlayers.errors import Malformed
from winlayers.layer.entry import FILE_ATTRIBUTE_DIRECTORY
from winlayers.layer.tree import FileKind, Stat, Tree

ACL = "system.ntfs_acl"
ATTRIBUTES = "system.ntfs_attrib"
TIMES = "system.ntfs_times"
EA = "system.ntfs_ea"
REPARSE = "system.ntfs_reparse_data"
STREAM_PREFIX = "user."
#: All that are looked for by name.
NAMES = (ATTRIBUTES, ACL, TIMES, EA, REPARSE)

_U32 = struct.Struct("<I")
_FILETIMES = struct.Struct("<4Q")
#: An alternate stream of more bytes does not go into an extended attribute, as the kernel limits them.
MAX_STREAM = 65536


def is_known(name: str) -> bool:
    """Whether a name is one of those above."""
    return name in NAMES or name.startswith(STREAM_PREFIX)


def tells_directory(values: Mapping[str, bytes]) -> bool:
    """Whether the attributes say that it is a directory, as those of a link to one do."""
    return bool(_number(values) & FILE_ATTRIBUTE_DIRECTORY) if ATTRIBUTES in values else False


def collect(tree: Tree, found: Stat) -> tuple[dict[str, bytes], list[str]]:
    """What a file of a tree has.

    Args:
        tree: where it is.
        found: the file.
    Returns:
        The attributes by name, and the alternate streams that are too big for one.
    """
    path = found.path
    values = {
        ACL: tree.security(path),
        ATTRIBUTES: _U32.pack(found.attributes),
        TIMES: _FILETIMES.pack(
            found.creation_filetime,
            found.write_filetime,
            found.access_filetime,
            found.change_filetime,
        ),
        EA: tree.ea(path),
        REPARSE: b"" if found.kind in (FileKind.FILE, FileKind.DIRECTORY) else tree.reparse(path),
    }
    left_out = []
    for stream in tree.streams(path):
        if stream.size > MAX_STREAM:
            left_out.append(stream.name)
            continue
        with closing(tree.open(path, stream=stream.name)) as content:
            values[STREAM_PREFIX + stream.name] = content.read_at(0, stream.size)
    return {name: value for name, value in values.items() if value or name not in NAMES}, left_out


def apply(tree: Tree, path: str, values: Mapping[str, bytes]) -> None:
    """Give a file of a tree what was collected; times come last, as all else changes them.

    Args:
        tree: where it is.
        path: the file; what it has and ``values`` do not tell stays.
        values: by name; its reparse data is not looked at.
    Raises:
        Malformed: a value is none of its kind.
    """
    if ATTRIBUTES in values:
        for name, value in values.items():
            if name.startswith(STREAM_PREFIX):
                stream = name.removeprefix(STREAM_PREFIX)
                opened = tree.open(path, stream=stream, writable=True, create=True, truncate=True)
                with closing(opened) as content:
                    content.write_at(0, value)
    if EA in values:
        tree.set_ea(path, values[EA])
    if ACL in values:
        tree.set_security(path, values[ACL])
    if ATTRIBUTES in values:
        tree.set_attributes(path, _number(values))
    if TIMES in values:
        creation, write, access, change = _unpacked(_FILETIMES, TIMES, values[TIMES])
        tree.set_times(path, creation=creation, access=access, write=write, change=change)


def _number(values: Mapping[str, bytes]) -> int:
    return int(_unpacked(_U32, ATTRIBUTES, values[ATTRIBUTES])[0])


def _unpacked(form: struct.Struct, name: str, value: bytes) -> tuple[int, ...]:
    if len(value) != form.size:
        raise Malformed(
            f"extended attribute {name}", f"it has {len(value)} bytes instead of {form.size}"
        )
    return form.unpack(value)
