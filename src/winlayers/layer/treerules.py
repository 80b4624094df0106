"""What a file system of Windows, and a layer, allow at a path: names, places and lengths.

    Files/...               may change
    UtilityVM/Files/...     may change
    all else                the top of the layer and its hives: only what is there

A *place* is given by its components from the root of the view. This module refuses to know what is there;
``layer.tree`` asks it before anything changes.

Source: [MS-FSCC] 2.1.5 (names), "Naming Files, Paths, and Namespaces" of the Win32 documentation;
microsoft/hcsshim pkg/ociwclayer (what of a layer can be replaced, names of whiteouts).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from winlayers.errors import InvalidArgument, InvalidName, Malformed, ReadOnlyFile
from winlayers.formats.ea import parse_ea_list
from winlayers.formats.filetime import MAX_FILETIME
from winlayers.formats.reparse import (
    TAG_MOUNT_POINT,
    parse_reparse,
    tag_of,
)
from winlayers.formats.security import check_descriptor
from winlayers.formats.text16 import utf16_unit_count, wtf8_encode
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_NORMAL,
    FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_ATTRIBUTE_SPARSE_FILE,
)
from winlayers.layer.names import MAX_PATH_UNITS, WHITEOUT_PREFIX, fault_of_component
from winlayers.layer.resolving import volume_of

#: Names that one file may have. Source: CreateHardLink in the Win32 reference.
MAX_LINKS = 1024
#: Bytes that the extended attributes of one file may take. Source: [MS-FSCC] 2.4.12 (EaSize).
MAX_EA_SIZE = 65_535

FILE_ATTRIBUTE_DEVICE = 0x40
FILE_ATTRIBUTE_COMPRESSED = 0x800
FILE_ATTRIBUTE_ENCRYPTED = 0x4000
#: Attributes that tell how a file is stored, or what it is: nobody sets them by name.
# Source: SetFileAttributes in the Win32 reference.
FIXED_ATTRIBUTES = (
    FILE_ATTRIBUTE_DIRECTORY
    | FILE_ATTRIBUTE_DEVICE
    | FILE_ATTRIBUTE_SPARSE_FILE
    | FILE_ATTRIBUTE_REPARSE_POINT
    | FILE_ATTRIBUTE_COMPRESSED
    | FILE_ATTRIBUTE_ENCRYPTED
)


def split_path(path: str) -> list[str]:
    """The components of a path of a tree; none for its root."""
    return [component for component in path.split("/") if component]


def check_new_name(place: Sequence[str]) -> None:
    """Refuse a name that Windows could not make, or no layer could carry.

    Args:
        place: where it shall be.
    Raises:
        InvalidName: it cannot be; carries the code of the finding where there is one.
        ReadOnlyFile: no names can be made there.
    """
    path, name = "/".join(place), place[-1]
    check_changeable(place, is_name=True)
    if fault := fault_of_component(name):
        code, reason = fault
        raise InvalidName(f"{path!r}: the name {reason}", finding=code)
    if name.startswith(WHITEOUT_PREFIX):
        raise InvalidName(
            f"{path!r}: a name that begins with {WHITEOUT_PREFIX!r} removes in a layer"
        )
    wtf8_encode(name)
    if utf16_unit_count(path) > MAX_PATH_UNITS:
        raise InvalidName(
            f"{path[:80]}… is longer than {MAX_PATH_UNITS} UTF-16 units", finding="name-too-long"
        )


def check_changeable(place: Sequence[str], *, is_name: bool = False) -> None:
    """Refuse changes outside of what a layer can change.

    Args:
        place: what shall be changed.
        is_name: whether its name is made, taken away or changed.
    Raises:
        ReadOnlyFile: it has a fixed place, or is a hive.
    """
    volume = volume_of(place)
    if volume is None or (is_name and len(place) == volume):
        where = "/".join(place) or "the top of the layer"
        raise ReadOnlyFile(f"{where}: only what is below Files and UtilityVM/Files can be changed")


def new_attributes(present: int, wanted: int) -> int:
    """What a file's attributes become when they are set.

    Args:
        present: FILE_ATTRIBUTE_* as they are.
        wanted: as they were asked for; those that say how the file is stored are not looked at.
    Raises:
        InvalidArgument: not 32 bits.
    """
    if not 0 <= wanted < 1 << 32:
        raise InvalidArgument(f"attributes {wanted:#x} do not fit in 32 bits")
    settable = wanted & ~FIXED_ATTRIBUTES & ~FILE_ATTRIBUTE_NORMAL
    return settable | (present & FIXED_ATTRIBUTES)


def check_filetimes(*filetimes: int | None) -> None:
    """Refuse times that no FILETIME can hold.

    Raises:
        InvalidArgument: outside 64 unsigned bits.
    """
    for filetime in filetimes:
        if filetime is not None and not 0 <= filetime <= MAX_FILETIME:
            raise InvalidArgument(f"time {filetime} does not fit in a FILETIME")


def check_security(path: str, descriptor: bytes) -> None:
    """Refuse what Windows would not take as a descriptor.

    Raises:
        InvalidArgument: it does not parse.
    """
    with _told_as_argument(path):
        check_descriptor(descriptor)


def check_ea(path: str, ea: bytes) -> None:
    """Refuse what Windows would not take as a list of extended attributes.

    Raises:
        InvalidArgument: it does not parse, or is too long.
    """
    if len(ea) > MAX_EA_SIZE:
        raise InvalidArgument(
            f"{path!r}: {len(ea)} bytes of extended attributes, not {MAX_EA_SIZE}"
        )
    with _told_as_argument(path):
        parse_ea_list(ea)


def check_reparse_data(path: str, data: bytes, *, is_directory: bool) -> None:
    """Refuse what Windows would not take as the reparse data of a file.

    Args:
        path: for the message.
        data: the whole buffer.
        is_directory: whether the file is a directory.
    Raises:
        InvalidArgument: it does not parse, is too long, or is that of a junction and given to a file.
    """
    with _told_as_argument(path):
        parse_reparse(data)
    if tag_of(data) == TAG_MOUNT_POINT and not is_directory:
        raise InvalidArgument(f"{path!r}: only a directory can be a junction")


@contextmanager
def _told_as_argument(path: str) -> Iterator[None]:
    """What a caller gave is not malformed input, but a wrong argument."""
    try:
        yield
    except Malformed as error:
        raise InvalidArgument(f"{path!r}: {error}") from error
