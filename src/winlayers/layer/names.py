"""Names and paths of a Windows layer: folding, what is allowed, what has a meaning of its own.

A path is a ``str`` made from UTF-8 that may hold lone surrogates (WTF-8), relative, with ``/`` between
its components. NTFS compares names one UTF-16 unit at a time through its upper-case table, without any
Unicode normalisation; ``fold`` does the same. This module refuses to know entries and stores.

Source: [MS-FSCC] 2.1.5 (names), "Naming Files, Paths, and Namespaces" of the Win32 documentation
(devices, illegal characters), microsoft/hcsshim internal/safefile (traversal) and internal/longpath.
"""

from __future__ import annotations

import re

from winlayers.errors import InvalidName
from winlayers.formats.text16 import utf16_unit_count, wtf8_decode

FILES = "Files"
HIVES = "Hives"
UTILITY_VM = "UtilityVM"
#: The only names at the top of a layer.
ROOT_NAMES = frozenset({FILES, HIVES, UTILITY_VM})
#: Whiteouts and hard links stand below these, and hard links lead there; see ``layer.laws``.
CONTENT_PREFIXES = (f"{FILES}/", f"{UTILITY_VM}/{FILES}/")

WHITEOUT_PREFIX = ".wh."
#: OCI's marker for a directory that hides all that lies below it in the parents.
OPAQUE_WHITEOUT = ".wh..wh..opq"
#: The five hives of a container, as their files are called in the tar and in Windows.
HIVE_FILES: dict[str, str] = {
    "System": "SYSTEM",
    "Software": "SOFTWARE",
    "Sam": "SAM",
    "Security": "SECURITY",
    "DefaultUser": "DEFAULT",
}

_BOOT = "UtilityVM/Files/EFI/Microsoft/Boot/"
#: Files that Windows changes after import, and the copy kept of each; matched with case.
MUTATED_FILES: dict[str, str] = {
    _BOOT + "BCD": "bcd.bak",
    _BOOT + "BCD.LOG": "bcd.log.bak",
    _BOOT + "BCD.LOG1": "bcd.log1.bak",
    _BOOT + "BCD.LOG2": "bcd.log2.bak",
}

MAX_COMPONENT_UNITS = 255
MAX_PATH_UNITS = 32767

# First and last unit, stride, what to add: RtlUpcaseUnicodeChar of Windows 10, 973 units.
# fmt: off
_RUNS = (
    (0x0061, 0x007A, 1, -32), (0x00E0, 0x00F6, 1, -32), (0x00F8, 0x00FE, 1, -32),
    (0x00FF, 0x00FF, 1, 121), (0x0101, 0x012F, 2, -1), (0x0133, 0x0137, 2, -1),
    (0x013A, 0x0148, 2, -1), (0x014B, 0x0177, 2, -1), (0x017A, 0x017E, 2, -1),
    (0x0180, 0x0180, 1, 195), (0x0183, 0x0185, 2, -1), (0x0188, 0x0188, 1, -1),
    (0x018C, 0x018C, 1, -1), (0x0192, 0x0192, 1, -1), (0x0195, 0x0195, 1, 97),
    (0x0199, 0x0199, 1, -1), (0x019A, 0x019A, 1, 163), (0x019E, 0x019E, 1, 130),
    (0x01A1, 0x01A5, 2, -1), (0x01A8, 0x01A8, 1, -1), (0x01AD, 0x01AD, 1, -1),
    (0x01B0, 0x01B0, 1, -1), (0x01B4, 0x01B6, 2, -1), (0x01B9, 0x01B9, 1, -1),
    (0x01BD, 0x01BD, 1, -1), (0x01BF, 0x01BF, 1, 56), (0x01C6, 0x01C6, 1, -2),
    (0x01C9, 0x01C9, 1, -2), (0x01CC, 0x01CC, 1, -2), (0x01CE, 0x01DC, 2, -1),
    (0x01DD, 0x01DD, 1, -79), (0x01DF, 0x01EF, 2, -1), (0x01F3, 0x01F3, 1, -2),
    (0x01F5, 0x01F5, 1, -1), (0x01F9, 0x021F, 2, -1), (0x0223, 0x0233, 2, -1),
    (0x023C, 0x023C, 1, -1), (0x0242, 0x0242, 1, -1), (0x0247, 0x024F, 2, -1),
    (0x0250, 0x0250, 1, 10783), (0x0251, 0x0251, 1, 10780), (0x0253, 0x0253, 1, -210),
    (0x0254, 0x0254, 1, -206), (0x0256, 0x0257, 1, -205), (0x0259, 0x0259, 1, -202),
    (0x025B, 0x025B, 1, -203), (0x0260, 0x0260, 1, -205), (0x0263, 0x0263, 1, -207),
    (0x0268, 0x0268, 1, -209), (0x0269, 0x0269, 1, -211), (0x026B, 0x026B, 1, 10743),
    (0x026F, 0x026F, 1, -211), (0x0271, 0x0271, 1, 10749), (0x0272, 0x0272, 1, -213),
    (0x0275, 0x0275, 1, -214), (0x027D, 0x027D, 1, 10727), (0x0280, 0x0280, 1, -218),
    (0x0283, 0x0283, 1, -218), (0x0288, 0x0288, 1, -218), (0x0289, 0x0289, 1, -69),
    (0x028A, 0x028B, 1, -217), (0x028C, 0x028C, 1, -71), (0x0292, 0x0292, 1, -219),
    (0x0371, 0x0373, 2, -1), (0x0377, 0x0377, 1, -1), (0x037B, 0x037D, 1, 130),
    (0x03AC, 0x03AC, 1, -38), (0x03AD, 0x03AF, 1, -37), (0x03B1, 0x03C1, 1, -32),
    (0x03C3, 0x03CB, 1, -32), (0x03CC, 0x03CC, 1, -64), (0x03CD, 0x03CE, 1, -63),
    (0x03D7, 0x03D7, 1, -8), (0x03D9, 0x03EF, 2, -1), (0x03F2, 0x03F2, 1, 7),
    (0x03F8, 0x03F8, 1, -1), (0x03FB, 0x03FB, 1, -1), (0x0430, 0x044F, 1, -32),
    (0x0450, 0x045F, 1, -80), (0x0461, 0x0481, 2, -1), (0x048B, 0x04BF, 2, -1),
    (0x04C2, 0x04CE, 2, -1), (0x04CF, 0x04CF, 1, -15), (0x04D1, 0x0523, 2, -1),
    (0x0561, 0x0586, 1, -48), (0x1D79, 0x1D79, 1, 35332), (0x1D7D, 0x1D7D, 1, 3814),
    (0x1E01, 0x1E95, 2, -1), (0x1EA1, 0x1EFF, 2, -1), (0x1F00, 0x1F07, 1, 8),
    (0x1F10, 0x1F15, 1, 8), (0x1F20, 0x1F27, 1, 8), (0x1F30, 0x1F37, 1, 8), (0x1F40, 0x1F45, 1, 8),
    (0x1F51, 0x1F57, 2, 8), (0x1F60, 0x1F67, 1, 8), (0x1F70, 0x1F71, 1, 74),
    (0x1F72, 0x1F75, 1, 86), (0x1F76, 0x1F77, 1, 100), (0x1F78, 0x1F79, 1, 128),
    (0x1F7A, 0x1F7B, 1, 112), (0x1F7C, 0x1F7D, 1, 126), (0x1F80, 0x1F87, 1, 8),
    (0x1F90, 0x1F97, 1, 8), (0x1FA0, 0x1FA7, 1, 8), (0x1FB0, 0x1FB1, 1, 8), (0x1FB3, 0x1FB3, 1, 9),
    (0x1FC3, 0x1FC3, 1, 9), (0x1FD0, 0x1FD1, 1, 8), (0x1FE0, 0x1FE1, 1, 8), (0x1FE5, 0x1FE5, 1, 7),
    (0x1FF3, 0x1FF3, 1, 9), (0x214E, 0x214E, 1, -28), (0x2170, 0x217F, 1, -16),
    (0x2184, 0x2184, 1, -1), (0x24D0, 0x24E9, 1, -26), (0x2C30, 0x2C5E, 1, -48),
    (0x2C61, 0x2C61, 1, -1), (0x2C65, 0x2C65, 1, -10795), (0x2C66, 0x2C66, 1, -10792),
    (0x2C68, 0x2C6C, 2, -1), (0x2C73, 0x2C73, 1, -1), (0x2C76, 0x2C76, 1, -1),
    (0x2C81, 0x2CE3, 2, -1), (0x2D00, 0x2D25, 1, -7264), (0xA641, 0xA65F, 2, -1),
    (0xA663, 0xA66D, 2, -1), (0xA681, 0xA697, 2, -1), (0xA723, 0xA72F, 2, -1),
    (0xA733, 0xA76F, 2, -1), (0xA77A, 0xA77C, 2, -1), (0xA77F, 0xA787, 2, -1),
    (0xA78C, 0xA78C, 1, -1), (0xFF41, 0xFF5A, 1, -32),
)
# fmt: on

#: unit -> upper-case unit; units that are not in it map to themselves.
UPCASE: dict[int, int] = {
    unit: unit + delta
    for first, last, stride, delta in _RUNS
    for unit in range(first, last + 1, stride)
}


def fold(name: str) -> str:
    """The form of a name under which NTFS compares it.

    Args:
        name: a name or path; characters outside the BMP and lone surrogates stay as they are.
    Returns:
        The same text in Windows' upper case. It sorts as a directory of NTFS does, but for
        characters outside the BMP.
    Source: RtlUpcaseUnicodeChar; the table as published by msuhanov/yarp.
    """
    return name.upper() if name.isascii() else name.translate(UPCASE)


_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"]
)
# One character that Win32 refuses anywhere in a name, or a last one that it would strip.
_ILLEGAL = re.compile(r'[\x00-\x1f"*:<>?|\\/]')
#: What a good name matches: nothing illegal, and no blank or dot at its end.
GOOD_NAME = re.compile(r'[^\x00-\x1f"*:<>?|\\/]*[^\x00-\x1f"*:<>?|\\/ .]')


def is_device(name: str) -> bool:
    """Whether Win32 takes a name for a device, with any extension and trailing blanks."""
    return fold(name).partition(".")[0].rstrip(" ") in _DEVICES


def is_plain(name: str, folded: str) -> bool:
    """Whether a component raises no question at all (the quick test of the import).

    Args:
        name: one component.
        folded: ``fold(name)``.
    """
    return (
        GOOD_NAME.fullmatch(name) is not None
        and len(name) <= 127  # at most 254 units
        and folded.partition(".")[0].rstrip(" ") not in _DEVICES
    )


def fault_of_component(name: str) -> tuple[str, str] | None:
    """What is wrong with one component, if anything.

    Args:
        name: one component of a path, no separators.
    Returns:
        None, or the code of the finding and the reason, the gravest first: names that cannot exist,
        then names that only ``\\\\?\\`` paths can make.
    """
    if "\0" in name:
        return "name-nul", "holds a NUL"
    if name in ("", ".", ".."):
        return "name-traversal", f"has a component {name!r}"
    if "/" in name or "\\" in name:
        return "name-character", "holds a path separator"
    if utf16_unit_count(name) > MAX_COMPONENT_UNITS:
        return "name-too-long", f"is longer than {MAX_COMPONENT_UNITS} UTF-16 units"
    if illegal := _ILLEGAL.search(name):
        return "name-character", f"holds {illegal[0]!r}, which Windows does not allow in a name"
    if name[-1] in " .":
        return "name-trailing", "ends in a blank or a dot, which Windows strips"
    if is_device(name):
        return "name-reserved", "is the name of a device of Windows"
    return None


#: Faults of names that a lenient import lets pass: such names can be made through ``\\?\``.
LENIENT_FAULTS = frozenset({"name-character", "name-trailing", "name-reserved"})


def split_tar_name(raw: bytes) -> tuple[str, ...]:
    """The components of a name in a tar.

    ``/`` and ``\\`` both separate, as they do on Windows; empty components and ``.`` are dropped.

    Args:
        raw: the name as it stands in the tar.
    Returns:
        The components; none for the root itself.
    Raises:
        InvalidName: not WTF-8, absolute, with a drive, a UNC or device prefix, or a ``..``; carries
            the code of the finding.
    """
    text = decode_name(raw)
    slashed = text.replace("\\", "/")
    shown = ascii(text)
    if slashed.startswith("/"):
        what = "a UNC or device path" if slashed.startswith("//") else "an absolute path"
        raise InvalidName(f"{shown} is {what}", finding="name-traversal")
    if (
        len(slashed) > 1
        and slashed[1] == ":"
        and slashed[0].isalpha()
        and slashed[2:3] in ("", "/")
    ):
        raise InvalidName(f"{shown} has a drive", finding="name-traversal")
    components = tuple(c for c in slashed.split("/") if c not in ("", "."))
    if ".." in components:
        raise InvalidName(f"{shown} has a component '..'", finding="name-traversal")
    if utf16_unit_count(slashed) > MAX_PATH_UNITS:
        raise InvalidName(
            f"{shown[:80]}… is longer than {MAX_PATH_UNITS} UTF-16 units", finding="name-too-long"
        )
    return components


def decode_name(raw: bytes) -> str:
    """A name of a tar as text.

    Raises:
        InvalidName: the bytes are not WTF-8.
    """
    try:
        return wtf8_decode(raw)
    except InvalidName as error:
        error.finding = "name-encoding"
        raise


def encode_name(name: str) -> bytes:
    """The bytes of a name or path in a tar (WTF-8)."""
    return name.encode("utf-8", "surrogatepass")


_DRIVE = re.compile(r"(?:[\\/]{2}[?.][\\/])?[A-Za-z]:")


def split_user_path(text: str) -> tuple[str, ...]:
    """The components of a path that a person typed.

    Takes ``/`` or ``\\`` between components, with or without a drive, ``\\\\?\\C:\\x`` too.

    Args:
        text: ``C:\\Windows\\win.ini``, ``/windows/WIN.INI``, ``Windows/win.ini``, ``""`` for the root.
    Returns:
        The components, ``..`` resolved.
    Raises:
        InvalidName: it leads above the root, or names another drive than C:.
    """
    rest = text
    if drive := _DRIVE.match(text):
        if drive[0][-2] not in "cC":
            raise InvalidName(f"{text!r}: a layer has only the drive C:")
        rest = text[drive.end() :]
    components: list[str] = []
    for component in rest.replace("\\", "/").split("/"):
        if component == "..":
            if not components:
                raise InvalidName(f"{text!r} leads above the root of the layer")
            components.pop()
        elif component not in ("", "."):
            components.append(component)
    return tuple(components)


def long_path(nt_path: str) -> str:
    """A Windows path in the form that has no limit of 260 characters.

    Args:
        nt_path: an absolute Windows path.
    Returns:
        It with ``\\\\?\\`` or ``\\\\?\\UNC\\`` before it; unchanged if it has such a prefix.
    Source: moby/moby pkg/longpath, microsoft/hcsshim internal/longpath.
    """
    if nt_path.startswith(("\\\\?\\", "\\\\.\\")):
        return nt_path
    if nt_path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + nt_path[2:]
    return "\\\\?\\" + nt_path
