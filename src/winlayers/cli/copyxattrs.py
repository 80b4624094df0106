"""What NTFS has and other file systems have not, beside a file in a tar or a folder.

A mount of winlayers or ntfs-3g has it in extended attributes, by the names of ``layer.ntfs3g``, and so has a
tar that was made of one with ``tar --xattrs``. An alternate stream is one of what has ``system.ntfs_attrib``
only. This module knows trees, and neither tars nor folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from winlayers.layer import ntfs3g
from winlayers.layer.entry import FILE_ATTRIBUTE_DIRECTORY
from winlayers.layer.ntfs3g import ACL, ATTRIBUTES, EA, NAMES, REPARSE, STREAM_PREFIX, TIMES
from winlayers.layer.tree import FileKind, Stat, Tree


def tells_directory(values: Mapping[str, bytes]) -> bool:
    """Whether the attributes say that it is a directory, as those of a link to one do."""
    return (
        bool(ntfs3g.unpack_attributes(values[ATTRIBUTES]) & FILE_ATTRIBUTE_DIRECTORY)
        if ATTRIBUTES in values
        else False
    )


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
        ATTRIBUTES: ntfs3g.pack_attributes(found.attributes),
        TIMES: ntfs3g.pack_times(
            (
                found.creation_filetime,
                found.write_filetime,
                found.access_filetime,
                found.change_filetime,
            )
        ),
        EA: tree.ea(path),
        REPARSE: b"" if found.kind in (FileKind.FILE, FileKind.DIRECTORY) else tree.reparse(path),
    }
    left_out = []
    for stream in tree.streams(path):
        if stream.size > ntfs3g.MAX_VALUE:
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
        tree.set_ea(path, ntfs3g.unpack_ea(values[EA]))
    if ACL in values:
        tree.set_security(path, values[ACL])
    if ATTRIBUTES in values:
        tree.set_attributes(path, ntfs3g.unpack_attributes(values[ATTRIBUTES]))
    if TIMES in values:
        times = ntfs3g.unpack_times(values[TIMES])
        tree.set_times(path, **dict(zip(ntfs3g.TIME_NAMES, times, strict=False)))
