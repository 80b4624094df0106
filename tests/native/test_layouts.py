"""The structures of ctypes have the sizes and offsets of the list that the headers of mingw-w64 confirm."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from winlayers.backends.native import _structures

LIST = (Path(__file__).parent / "fake" / "layouts.h").read_text("utf-8")
SIZES = {name: int(size) for name, size in re.findall(r"\bS\((\w+), (\d+)\)", LIST)}
OFFSETS = [
    (one, field, int(at)) for one, field, at in re.findall(r"\bF\((\w+), ([\w.]+), (\d+)\)", LIST)
]

CLASSES = {
    "GUID": _structures.Guid,
    "DRIVER_INFO": _structures.DriverInfo,
    "WC_LAYER_DESCRIPTOR": _structures.WcLayerDescriptor,
    "FILE_BASIC_INFO": _structures.FileBasicInfo,
    "FILE_STANDARD_INFO": _structures.FileStandardInfo,
    "FILE_ATTRIBUTE_TAG_INFO": _structures.FileAttributeTagInfo,
    "FILE_ID_INFO": _structures.FileIdInfo,
    "DISPOSITION_EX": _structures.FileDispositionInfoEx,
    "FILE_LINK_INFORMATION": _structures.FileLinkInformation,
    "UNICODE_STRING": _structures.UnicodeString,
    "OBJECT_ATTRIBUTES": _structures.ObjectAttributes,
    "IO_STATUS_BLOCK": _structures.IoStatusBlock,
    "OVERLAPPED": _structures.Overlapped,
    "OSVERSIONINFOW": _structures.OsVersionInfo,
    "TRUSTEE_W": _structures.Trustee,
    "EXPLICIT_ACCESS_W": _structures.ExplicitAccess,
    "VIRTUAL_STORAGE_TYPE": _structures.VirtualStorageType,
    "OPEN_VHD": _structures.OpenVirtualDiskParameters,
    "CREATE_VHD": _structures.CreateVirtualDiskParameters,
    "GET_VIRTUAL_DISK_INFO": _structures.GetVirtualDiskInfo,
    "RM_UNIQUE_PROCESS": _structures.RmUniqueProcess,
    "RM_PROCESS_INFO": _structures.RmProcessInfo,
}


def field_of(documented: str) -> str:
    """The field of a structure here, by its name in the documents."""
    bare = re.sub(r"^(?:Version2\.|dw(?=[A-Z])|sz(?=[A-Z])|h(?=E))", "", documented)
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=OS|SD)(?=V)", "_", bare).lower()


@pytest.mark.parametrize("name", CLASSES)
def test_structure_is_laid_out_as_the_list_says(name: str) -> None:
    structure = CLASSES[name]
    offsets = {field_of(field): at for one, field, at in OFFSETS if one == name}
    assert {field: getattr(structure, field).offset for field in offsets} == offsets
    assert ctypes.sizeof(structure) == SIZES[name]


def test_every_structure_is_in_the_list() -> None:
    declared = {
        one
        for one in vars(_structures).values()
        if isinstance(one, type) and issubclass(one, ctypes.Structure)
    }
    assert declared == set(CLASSES.values())


@pytest.mark.parametrize("name", CLASSES)
def test_no_field_has_a_width_that_depends_on_the_system(name: str) -> None:
    changing = (ctypes.c_wchar, ctypes.c_wchar_p)
    for _, kind, *bits in CLASSES[name]._fields_:
        assert kind not in changing
        assert bits == []
