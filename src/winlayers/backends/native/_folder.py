r"""Files below an open folder, by paths that never lead out of it.

A path is opened from the handle of the folder, and Windows refuses it where a link is on the way, whatever others do
meanwhile. A link at its end is opened itself where that is asked for, and is never followed. Paths are relative;
``:`` is refused in them, as it would name a stream: streams are named apart. This module does not know layers.
Source: NtCreateFile and FILE_LINK_INFORMATION, FILE_DISPOSITION_INFORMATION_EX of the WDK documentation;
FILE_BASIC_INFO and FILE_FULL_DIR_INFO of the Win32 documentation.

    offset  size  field of FILE_FULL_DIR_INFO
    0       4     from this entry to the next, 0 in the last
    56      4     attributes
    60      4     bytes of the name
    68            the name
"""

from __future__ import annotations

import ctypes
import ntpath
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from winlayers.backends.native import _failures
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import Access, Share, closing
from winlayers.backends.native._strings import build_wide
from winlayers.backends.native._structures import (
    FileAttributeTagInfo,
    FileBasicInfo,
    FileDispositionInfoEx,
    FileLinkInformation,
    IoStatusBlock,
    ObjectAttributes,
    UnicodeString,
)
from winlayers.errors import InvalidArgument, Malformed, WindowsCallFailed
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.text16 import utf16_decode, utf16_encode
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_NORMAL,
    FILE_ATTRIBUTE_READONLY,
    FILE_ATTRIBUTE_REPARSE_POINT,
)
from winlayers.layer.streamnames import check_stream_name, full_name

NOT_FOUND = frozenset({2, 3})
"""Codes of Windows where a file, or a folder on the way to it, is not there."""

MAX_UNITS = 32767
SHARE_ALL = Share.READ | Share.WRITE | Share.DELETE

OPEN = 1
CREATE = 2

FOLDER_ONLY = 0x1
OPEN_LINK = 0x200000

READ_ATTRIBUTES = 0x80

_WRITE_ATTRIBUTES = 0x100
_DONT_REPARSE = 0x1000
_UNSIGNED = 2**64 - 1
_LATEST = 2**63 - 1
_BACKUP_AND_SYNCHRONOUS = 0x4020

_BASIC_INFO, _ATTRIBUTE_TAG, _LIST, _LIST_AGAIN = 0, 9, 14, 15
_LINK, _DISPOSITION, _DISPOSITION_EX = 11, 13, 64

_LISTING_BYTES = 1 << 16
_ENTRY_NAME = 68
_NO_MORE_FILES = 18
_NO_SUCH_CLASS = frozenset({0xC0000002, 0xC0000003})


def clean_path(path: str) -> str:
    r"""A path as Windows takes it below a handle: ``a/./b/..\c`` is ``a\c``.

    Raises:
        InvalidArgument: empty, absolute, out of the folder, with ``:`` or NUL, or longer than 32767 units.
    """
    clean = ntpath.normpath(path.replace("/", "\\")) if path else "."
    if clean == "." or clean.startswith("\\") or clean.split("\\")[0] == "..":
        raise InvalidArgument(f"{path[:80]!r} is no path below a folder")
    if ":" in clean or "\0" in clean:
        raise InvalidArgument(f"{path[:80]!r} holds ':' or NUL, which no name has")
    units = len(utf16_encode(clean)) // 2
    if units > MAX_UNITS:
        raise InvalidArgument(f"a path of {units} units; {MAX_UNITS} are allowed")
    return clean


@contextmanager
def open_below(
    api: Libraries,
    folder: int,
    path: str,
    access: int,
    *,
    share: Share = SHARE_ALL,
    disposition: int = OPEN,
    options: int = 0,
    stream: str = "",
) -> Iterator[int]:
    """Open or create a file or folder below an open folder.

    Args:
        api: the libraries.
        folder: handle of the folder.
        path: relative to it.
        access: rights to have, beside SYNCHRONIZE.
        share: what others may do meanwhile.
        disposition: ``OPEN`` or ``CREATE``.
        options: ``FOLDER_ONLY``, ``OPEN_LINK``.
        stream: bare name of an alternate stream to open in place of the data.
    Raises:
        InvalidArgument: no such path is allowed.
        InvalidName: no alternate stream can be called so.
        WindowsCallFailed: it does not open, or a link is on the way.
    """
    text = build_wide(clean_path(path) + (_checked_stream(path, stream) if stream else ""))
    size = ctypes.sizeof(text) - 2
    name = UnicodeString(size, size, ctypes.addressof(text))
    attributes = ObjectAttributes(
        *(ctypes.sizeof(ObjectAttributes), folder, ctypes.addressof(name), _DONT_REPARSE)
    )
    handle = ctypes.c_void_p()
    api.call(
        "NtCreateFile",
        *(ctypes.byref(handle), access | Access.SYNCHRONIZE),
        *(ctypes.byref(attributes), ctypes.byref(IoStatusBlock()), None, 0, share, disposition),
        *(options | _BACKUP_AND_SYNCHRONOUS, None, 0),
    )
    with closing(api, handle.value or 0):
        yield handle.value or 0


def _checked_stream(path: str, stream: str) -> str:
    """What is put behind a path to name one of its alternate streams."""
    check_stream_name(stream, path)
    name = full_name(stream)
    units = len(utf16_encode(clean_path(path) + name)) // 2
    if units > MAX_UNITS:
        raise InvalidArgument(f"a path of {units} units; {MAX_UNITS} are allowed")
    return name


def make_folder(api: Libraries, folder: int, path: str) -> None:
    """Make a folder; its parent exists and it does not."""
    with open_below(api, folder, path, 0, disposition=CREATE, options=FOLDER_ONLY):
        pass


def read_info(api: Libraries, handle: int) -> BasicInfo:
    """Times and attributes of an open file."""
    info = FileBasicInfo()
    size = ctypes.sizeof(info)
    api.call("GetFileInformationByHandleEx", handle, _BASIC_INFO, ctypes.byref(info), size)
    return BasicInfo(
        info.creation_time & _UNSIGNED,
        info.last_access_time & _UNSIGNED,
        info.last_write_time & _UNSIGNED,
        info.change_time & _UNSIGNED,
        info.file_attributes,
    )


def write_info(api: Libraries, handle: int, info: BasicInfo) -> None:
    """Set times and attributes of an open file; what is 0 stays as it is.

    So does a time that no file of Windows can have, which a tar may tell all the same: one from 2^63 on, some
    29,000 years ahead.
    """
    times = (info.creation_filetime, info.access_filetime, info.write_filetime)
    given = FileBasicInfo(
        *(time if time <= _LATEST else 0 for time in (*times, info.change_filetime)),
        info.attributes,
    )
    size = ctypes.sizeof(given)
    api.call("SetFileInformationByHandle", handle, _BASIC_INFO, ctypes.byref(given), size)


def read_tag(api: Libraries, handle: int) -> int:
    """The tag of an open reparse point; 0 for what is none."""
    info = FileAttributeTagInfo()
    size = ctypes.sizeof(info)
    api.call("GetFileInformationByHandleEx", handle, _ATTRIBUTE_TAG, ctypes.byref(info), size)
    return info.reparse_tag if info.file_attributes & FILE_ATTRIBUTE_REPARSE_POINT else 0


def info_below(api: Libraries, folder: int, path: str) -> BasicInfo:
    """Times and attributes by path; of a link itself."""
    with open_below(api, folder, path, READ_ATTRIBUTES, options=OPEN_LINK) as handle:
        return read_info(api, handle)


def set_info_below(api: Libraries, folder: int, path: str, info: BasicInfo) -> None:
    """Set times and attributes by path, of a link itself; what is 0 stays as it is."""
    with open_below(api, folder, path, _WRITE_ATTRIBUTES, options=OPEN_LINK) as handle:
        write_info(api, handle, info)


def is_plain_folder(info: BasicInfo) -> bool:
    """Whether it is a folder and no reparse point."""
    return (
        info.attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)
        == FILE_ATTRIBUTE_DIRECTORY
    )


def list_folder(api: Libraries, handle: int) -> list[str]:
    """Names in an open folder, in the order that Windows has.

    Raises:
        WindowsCallFailed: Windows does not list it.
        Malformed: a list that leads out of itself.
    """
    buffer = ctypes.create_string_buffer(_LISTING_BYTES)
    names: list[str] = []
    which = _LIST_AGAIN
    while True:
        try:
            api.call("GetFileInformationByHandleEx", handle, which, buffer, _LISTING_BYTES)
        except WindowsCallFailed as error:
            if error.code == _NO_MORE_FILES:
                return names
            raise
        which = _LIST
        names += [name for name in _parse_listing(buffer.raw) if name not in (".", "..")]


def link_below(api: Libraries, folder: int, path: str, source_folder: int, source: str) -> None:
    """Give a file, or a link itself, one more name.

    Args:
        api: the libraries.
        folder: handle of the folder that the new name is below.
        path: the new name; its parent exists.
        source_folder: handle of the folder that the file is below.
        source: the file.
    Raises:
        InvalidArgument: no such path is allowed, or the parent is a link.
        WindowsCallFailed: Windows does not link it.
    """
    parent_path, name = ntpath.split(clean_path(path))
    with ExitStack() as stack:
        file = stack.enter_context(
            open_below(api, source_folder, source, _WRITE_ATTRIBUTES, options=OPEN_LINK)
        )
        parent = folder
        if parent_path:
            parent = stack.enter_context(
                open_below(api, folder, parent_path, Access.GENERIC_READ, options=FOLDER_ONLY)
            )
            if read_info(api, parent).attributes & FILE_ATTRIBUTE_REPARSE_POINT:
                raise InvalidArgument(f"{parent_path[:80]!r} is a link: nothing is put behind it")
        data = utf16_encode(name)
        start = FileLinkInformation.file_name.offset
        given = FileLinkInformation(0, parent, len(data))
        # Windows refuses less than the whole structure, which ends after two units of the name.
        size = max(start + len(data), ctypes.sizeof(FileLinkInformation))
        buffer = ctypes.create_string_buffer(bytes(given)[:start] + data, size)
        _set(api, file, buffer, size, _LINK)


def remove_below(api: Libraries, folder: int, path: str) -> None:
    """Remove a file, a link itself, or an empty folder; also one that is READONLY.

    Raises:
        InvalidArgument: no such path is allowed.
        WindowsCallFailed: it is not there, or does not go.
    """
    access = Access.DELETE | READ_ATTRIBUTES | _WRITE_ATTRIBUTES
    with open_below(api, folder, path, access, options=OPEN_LINK) as handle:
        try:
            _delete(api, handle)
        except WindowsCallFailed as error:
            if error.code != _failures.ACCESS_DENIED:
                raise
            kept = read_info(api, handle).attributes & ~FILE_ATTRIBUTE_READONLY
            write_info(api, handle, BasicInfo(0, 0, 0, 0, kept or FILE_ATTRIBUTE_NORMAL))
            _delete(api, handle)


def remove_tree(api: Libraries, folder: int, path: str) -> None:
    """Remove all there is at a path, which may be nothing; links are removed, never what they lead to.

    Raises:
        InvalidArgument: no such path is allowed.
        WindowsCallFailed: something does not go; what is left stays.
    """
    waiting = [(clean_path(path), False)]
    while waiting:
        place, is_emptied = waiting.pop()
        try:
            if is_emptied or not is_plain_folder(info_below(api, folder, place)):
                remove_below(api, folder, place)
                continue
            read = Access.GENERIC_READ
            with open_below(api, folder, place, read, options=FOLDER_ONLY) as handle:
                names = list_folder(api, handle)
        except WindowsCallFailed as error:
            if error.code not in NOT_FOUND:
                raise
            continue
        waiting.append((place, True))
        waiting += [(f"{place}\\{name}", False) for name in names]


def _delete(api: Libraries, handle: int) -> None:
    """Mark an open file to be deleted; where the newer call is missing, by the older one."""
    flags = FileDispositionInfoEx(1)
    try:
        _set(api, handle, flags, ctypes.sizeof(flags), _DISPOSITION_EX)
    except WindowsCallFailed as error:
        if error.raw not in _NO_SUCH_CLASS:
            raise
        _set(api, handle, ctypes.c_uint8(1), 1, _DISPOSITION)


def _set(
    api: Libraries,
    handle: int,
    data: ctypes.Array[ctypes.c_char] | ctypes.Structure | ctypes.c_uint8,
    size: int,
    which: int,
) -> None:
    block = ctypes.byref(IoStatusBlock())
    api.call("NtSetInformationFile", handle, block, ctypes.byref(data), size, which)


def _parse_listing(data: bytes) -> Iterator[str]:
    """Names in one block of FILE_FULL_DIR_INFO."""
    at = 0
    while True:
        if at + _ENTRY_NAME > len(data):
            raise Malformed("list of a folder", "an entry past its end", offset=at)
        step, size = struct.unpack_from("<I56xI", data, at)
        start = at + _ENTRY_NAME
        if start + size > len(data) or size % 2 or 0 < step < _ENTRY_NAME:
            raise Malformed("list of a folder", "an entry that does not fit", offset=at)
        yield utf16_decode(data[start : start + size])
        if not step:
            return
        at += step
