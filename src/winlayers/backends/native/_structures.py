"""The structures that the calls of Windows take, for 64-bit Windows.

Widths are fixed: ``long`` has 8 bytes on other systems and 4 on Windows, ``wchar_t`` the other way round, so neither
is used. Text and other structures inside are addresses (``c_void_p``): a structure does not keep what it
points to, its maker does. Fields are called as in the documents, with underscores. What is packed there
(TOKEN_PRIVILEGES, the headers of backup streams) is built from bytes by those who use it.
Source: the Win32 and WDK references; WC_LAYER_DESCRIPTOR and DriverInfo from the published callers of vmcompute.
``tests/native/fake/layouts.h`` has all sizes and offsets, which the headers of mingw-w64 confirm.
"""

from __future__ import annotations

import ctypes

Void = ctypes.c_void_p


class Guid(ctypes.Structure):
    """GUID: 16 bytes, in the order of ``winlayers.formats.guid``."""

    _fields_ = (
        ("data1", ctypes.c_uint32),
        ("data2", ctypes.c_uint16),
        ("data3", ctypes.c_uint16),
        ("data4", ctypes.c_uint8 * 8),
    )


class DriverInfo(ctypes.Structure):
    """DriverInfo of vmcompute: which kind of layers, and the folder that ids are relative to."""

    flavour: int
    home_dir: int | None
    _fields_ = (("flavour", ctypes.c_int32), ("home_dir", Void))


class WcLayerDescriptor(ctypes.Structure):
    """WC_LAYER_DESCRIPTOR: a parent, by its id and its folder."""

    layer_id: Guid
    flags: int
    path: int | None
    _fields_ = (("layer_id", Guid), ("flags", ctypes.c_uint32), ("path", Void))


class FileBasicInfo(ctypes.Structure):
    """FILE_BASIC_INFO: times in 100 ns since 1601, 0 to leave one as it is; attributes."""

    creation_time: int
    last_access_time: int
    last_write_time: int
    change_time: int
    file_attributes: int
    _fields_ = (
        ("creation_time", ctypes.c_int64),
        ("last_access_time", ctypes.c_int64),
        ("last_write_time", ctypes.c_int64),
        ("change_time", ctypes.c_int64),
        ("file_attributes", ctypes.c_uint32),
    )


class FileStandardInfo(ctypes.Structure):
    """FILE_STANDARD_INFO: sizes in bytes, names of the file."""

    allocation_size: int
    end_of_file: int
    number_of_links: int
    delete_pending: int
    directory: int
    _fields_ = (
        ("allocation_size", ctypes.c_int64),
        ("end_of_file", ctypes.c_int64),
        ("number_of_links", ctypes.c_uint32),
        ("delete_pending", ctypes.c_uint8),
        ("directory", ctypes.c_uint8),
    )


class FileAttributeTagInfo(ctypes.Structure):
    """FILE_ATTRIBUTE_TAG_INFO: attributes, and the tag of a reparse point."""

    file_attributes: int
    reparse_tag: int
    _fields_ = (("file_attributes", ctypes.c_uint32), ("reparse_tag", ctypes.c_uint32))


class FileIdInfo(ctypes.Structure):
    """FILE_ID_INFO: which file of which volume; the same for every name of a file."""

    volume_serial_number: int
    _fields_ = (("volume_serial_number", ctypes.c_uint64), ("file_id", ctypes.c_uint8 * 16))


class FileDispositionInfoEx(ctypes.Structure):
    """FILE_DISPOSITION_INFORMATION_EX: how a file is deleted."""

    flags: int
    _fields_ = (("flags", ctypes.c_uint32),)


class FileLinkInformation(ctypes.Structure):
    """FILE_LINK_INFORMATION, with room for the first unit of the name: the rest follows it."""

    replace_if_exists: int
    root_directory: int | None
    file_name_length: int
    _fields_ = (
        ("replace_if_exists", ctypes.c_uint8),
        ("root_directory", Void),
        ("file_name_length", ctypes.c_uint32),
        ("file_name", ctypes.c_uint16 * 1),
    )


class UnicodeString(ctypes.Structure):
    """UNICODE_STRING: lengths in bytes, no NUL counted."""

    length: int
    maximum_length: int
    buffer: int | None
    _fields_ = (("length", ctypes.c_uint16), ("maximum_length", ctypes.c_uint16), ("buffer", Void))


class ObjectAttributes(ctypes.Structure):
    """OBJECT_ATTRIBUTES: a name below an open folder."""

    length: int
    root_directory: int | None
    object_name: int | None
    attributes: int
    _fields_ = (
        ("length", ctypes.c_uint32),
        ("root_directory", Void),
        ("object_name", Void),
        ("attributes", ctypes.c_uint32),
        ("security_descriptor", Void),
        ("security_quality_of_service", Void),
    )


class IoStatusBlock(ctypes.Structure):
    """IO_STATUS_BLOCK: what a call of ntdll did."""

    status: int | None
    information: int
    _fields_ = (("status", Void), ("information", ctypes.c_size_t))


class Overlapped(ctypes.Structure):
    """OVERLAPPED: where in a file to read; an event would tell of the end of it."""

    internal: int
    internal_high: int
    offset: int
    offset_high: int
    _fields_ = (
        ("internal", ctypes.c_uint64),
        ("internal_high", ctypes.c_uint64),
        ("offset", ctypes.c_uint32),
        ("offset_high", ctypes.c_uint32),
        ("event", Void),
    )


class OsVersionInfo(ctypes.Structure):
    """OSVERSIONINFOW: which Windows it is; the size must be set before it is asked for."""

    os_version_info_size: int
    major_version: int
    minor_version: int
    build_number: int
    _fields_ = (
        ("os_version_info_size", ctypes.c_uint32),
        ("major_version", ctypes.c_uint32),
        ("minor_version", ctypes.c_uint32),
        ("build_number", ctypes.c_uint32),
        ("platform_id", ctypes.c_uint32),
        ("csd_version", ctypes.c_uint16 * 128),
    )


class Trustee(ctypes.Structure):
    """TRUSTEE_W: whom a right is given to; a SID by its address."""

    _fields_ = (
        ("multiple_trustee", Void),
        ("multiple_trustee_operation", ctypes.c_int32),
        ("trustee_form", ctypes.c_int32),
        ("trustee_type", ctypes.c_int32),
        ("ptstr_name", Void),
    )


class ExplicitAccess(ctypes.Structure):
    """EXPLICIT_ACCESS_W: a right to be given."""

    _fields_ = (
        ("grf_access_permissions", ctypes.c_uint32),
        ("grf_access_mode", ctypes.c_int32),
        ("grf_inheritance", ctypes.c_uint32),
        ("trustee", Trustee),
    )


class VirtualStorageType(ctypes.Structure):
    """VIRTUAL_STORAGE_TYPE: all zero lets Windows find out."""

    _fields_ = (("device_id", ctypes.c_uint32), ("vendor_id", Guid))


class OpenVirtualDiskParameters(ctypes.Structure):
    """OPEN_VIRTUAL_DISK_PARAMETERS, version 2; the access asked for must then be 0."""

    version: int
    get_info_only: int
    read_only: int
    _fields_ = (
        ("version", ctypes.c_uint32),
        ("get_info_only", ctypes.c_int32),
        ("read_only", ctypes.c_int32),
        ("resiliency_guid", Guid),
    )


class CreateVirtualDiskParameters(ctypes.Structure):
    """CREATE_VIRTUAL_DISK_PARAMETERS, version 2; sizes in bytes."""

    version: int
    maximum_size: int
    block_size_in_bytes: int
    sector_size_in_bytes: int
    parent_path: int | None
    _fields_ = (
        ("version", ctypes.c_uint64),  # 4 bytes, and 4 before what follows it
        ("unique_id", Guid),
        ("maximum_size", ctypes.c_uint64),
        ("block_size_in_bytes", ctypes.c_uint32),
        ("sector_size_in_bytes", ctypes.c_uint32),
        ("physical_sector_size_in_bytes", ctypes.c_uint32),
        ("parent_path", Void),
        ("source_path", Void),
        ("open_flags", ctypes.c_uint32),
        ("parent_virtual_storage_type", VirtualStorageType),
        ("source_virtual_storage_type", VirtualStorageType),
        ("resiliency_guid", Guid),
    )


class GetVirtualDiskInfo(ctypes.Structure):
    """GET_VIRTUAL_DISK_INFO, asked for whether the disk is attached; the other answers are as long."""

    version: int
    is_loaded: int
    _fields_ = (
        ("version", ctypes.c_uint64),  # 4 bytes, and 4 before what follows it
        ("is_loaded", ctypes.c_int32),
        ("others", ctypes.c_uint8 * 20),
    )


class RmUniqueProcess(ctypes.Structure):
    """RM_UNIQUE_PROCESS: a process, by its number and when it started, in two halves."""

    process_id: int
    _fields_ = (("process_id", ctypes.c_uint32), ("process_start_time", ctypes.c_uint32 * 2))


class RmProcessInfo(ctypes.Structure):
    """RM_PROCESS_INFO: a process that has a file open, with texts inside."""

    process: RmUniqueProcess
    str_app_name: ctypes.Array[ctypes.c_uint16]
    str_service_short_name: ctypes.Array[ctypes.c_uint16]
    _fields_ = (
        ("process", RmUniqueProcess),
        ("str_app_name", ctypes.c_uint16 * 256),
        ("str_service_short_name", ctypes.c_uint16 * 64),
        ("application_type", ctypes.c_uint32),
        ("app_status", ctypes.c_uint32),
        ("tssession_id", ctypes.c_uint32),
        ("b_restartable", ctypes.c_int32),
    )
