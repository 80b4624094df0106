"""What the header of a tar entry says of a Windows file; ``tarencoder`` is the way back.

One header carries the metadata of one name: attributes and descriptor in ``MSWINDOWS.*`` records, the
creation time in ``LIBARCHIVE.creationtime``, the other times in the PAX fields, extended attributes in
``MSWINDOWS.xattr.*``, the target of a symbolic link or junction as the link name. ``WINLAYERS.*`` records
hold what those cannot. This module knows single headers only, no bodies and no sequences.

Source: microsoft/go-winio backuptar/tar.go (FileInfoFromHeader, BasicInfoHeader,
WriteTarFileFromBackupStream, WriteBackupStreamFromTarFile).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from winlayers.base.remembered import Remembered
from winlayers.errors import Malformed, WinlayersError
from winlayers.formats.ea import ExtendedAttribute, build_ea_list, parse_ea_list
from winlayers.formats.filetime import (
    GO_ZERO_TIME_FILETIME,
    BasicInfo,
    fits_filetime,
    ns_to_filetime,
    ns_to_filetime_go,
)
from winlayers.formats.pax import parse_pax_time
from winlayers.formats.reparse import check_reparse, encode_link, parse_reparse, print_name_of
from winlayers.formats.security import build_descriptor, check_descriptor
from winlayers.formats.tar import TarHeader
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.findings import Finding

CREATION_TIME = b"LIBARCHIVE.creationtime"
FILE_ATTRIBUTES = b"MSWINDOWS.fileattr"
RAW_DESCRIPTOR = b"MSWINDOWS.rawsd"
#: Descriptor as SDDL text, written by the first versions of the original.
SDDL_DESCRIPTOR = b"MSWINDOWS.sd"
MOUNT_POINT = b"MSWINDOWS.mountpoint"
EA_PREFIX = b"MSWINDOWS.xattr."
#: Ours: the whole EA list, where flags, doubles or names do not fit ``MSWINDOWS.xattr.*``.
WHOLE_EA = b"WINLAYERS.ea"
#: Ours: the whole reparse buffer, where the link name does not tell it.
WHOLE_REPARSE = b"WINLAYERS.reparse"
#: Ours: attributes of the backup stream of an alternate stream (8 = sparse).
STREAM_ATTRIBUTES = b"WINLAYERS.streamattr"

TYPE_REGULAR = b"0"
TYPE_LINK = b"1"
TYPE_SYMLINK = b"2"
TYPE_DIRECTORY = b"5"
TYPE_GLOBAL = b"g"
#: Types whose body is the content of a file. The original reads only that of ``0``.
FILE_TYPES = frozenset({TYPE_REGULAR, b"7", b"S"})

#: Fields of an Entry from ``kind`` to ``reparse``.
FileFields: TypeAlias = tuple[EntryKind, int, int, int, int, int, int, bytes, bytes, bytes]

_FILE, _DIRECTORY = EntryKind.FILE, EntryKind.DIRECTORY
_EPOCH = 116444736000000000
# Distinct texts remembered; a layer repeats a few hundred descriptors many thousand times.
_MEMORY = 4096
_MEMORY_SIZE = 4 << 20  # bytes of all of them


class Dialect(Enum):
    """Whose choices a reader or writer of layer tars makes.

    ``GO``: those of the original, byte for byte, its losses and errors included. ``FULL``: nothing of the
    content is lost; what the original cannot say stands in ``WINLAYERS.*`` records, which it skips.
    """

    GO = "go"
    FULL = "full"


def decode_base64(text: bytes, structure: str) -> bytes:
    """Base64 as Go's standard decoder takes it: padded, CR and LF skipped, trailing bits not looked at.

    Raises:
        Malformed: any other byte, or wrong padding.
    """
    stripped = text.translate(None, b"\r\n")
    try:
        return base64.b64decode(stripped, validate=True)
    except binascii.Error as error:
        raise Malformed(structure, f"base64 that does not decode ({error})") from error


class HeaderDecoder:
    """Turns headers into entries, remembering the texts that repeat.

    Args:
        dialect: decides what times mean outside the range of the original, and when they are absent.
        report: called with each finding that is no error; its offset is that of the header.
    """

    def __init__(
        self,
        dialect: Dialect = Dialect.FULL,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        self._dialect = dialect
        self._report = report
        self._descriptors: Remembered[bytes, bytes] = Remembered(_MEMORY, _MEMORY_SIZE)
        self._attributes: dict[bytes, int] = {}

    def file_entry(self, path: str, header: TarHeader) -> Entry:
        """The entry of a header that is no link and no whiteout.

        Args:
            path: path of the entry, already checked.
            header: as read; its body is not looked at.
        Returns:
            The entry. ``security`` objects are shared between entries with the same descriptor text.
        Raises:
            Malformed: attributes, a time, the descriptor, EAs or reparse data do not parse; carries the
                entry, the offset of the header and the code of the finding.
        """
        return Entry(path, *self.file_fields(path, header))

    def file_fields(self, path: str, header: TarHeader) -> FileFields:
        """The fields of ``file_entry`` after its path, in their order, for who needs no Entry.

        Args, Raises: as ``file_entry``.
        """
        pax = header.pax
        typeflag = header.typeflag
        security = ea = reparse = b""
        try:
            others = len(pax) - (b"mtime" in pax) - (b"atime" in pax) - (b"ctime" in pax)
            text = pax.get(FILE_ATTRIBUTES)
            if text is not None:
                others -= 1
                known = self._attributes.get(text)
                attributes = self._parse_attributes(text) if known is None else known
            else:
                attributes = 0x10 if typeflag == TYPE_DIRECTORY else 0
            text = pax.get(RAW_DESCRIPTOR)
            if text is not None:
                others -= 1
                if text:
                    security = self._descriptors.get(text) or self._parse_descriptor(text)
            created = pax.get(CREATION_TIME)
            if created is not None:
                others -= 1
            if others or typeflag == TYPE_SYMLINK:
                security, ea, reparse = self._rare_records(path, header, security)
            creation, access, write, change = self.times(path, header, created)
        except Malformed as error:
            raise Malformed(
                error.structure,
                error.reason,
                offset=header.offset,
                entry=path,
                finding=error.finding,
            ) from error
        # Windows goes by the attribute, whatever the type says.
        kind = _DIRECTORY if attributes & 0x10 else _FILE
        size = header.size if kind is _FILE and typeflag in FILE_TYPES else 0
        return kind, attributes, creation, access, write, change, size, security, ea, reparse

    def times(
        self, path: str, header: TarHeader, created: bytes | None
    ) -> tuple[int, int, int, int]:
        """Creation, access, write and change time of a header, by the dialect.

        Args:
            path: path of the entry, for reports.
            header: as read.
            created: value of ``LIBARCHIVE.creationtime``, or None.
        Returns:
            Four FILETIMEs. A creation time that is absent is the write time; an access or change time
            that is absent is the write time (FULL) or Go's zero time, in the year 1754 (GO).
        Raises:
            Malformed: ``created`` does not parse.
        """
        try:
            created_ns = None if created is None else parse_pax_time(created)
        except Malformed as error:
            error.finding = "time-invalid"
            raise
        if self._dialect is Dialect.GO:
            return _times_go(header, created_ns)
        write_ns, access_ns, change_ns = header.mtime_ns or 0, header.atime_ns, header.ctime_ns
        if access_ns is None:
            access_ns = write_ns
        if change_ns is None:
            change_ns = write_ns
        if created_ns is None:
            created_ns = write_ns
        # Any bit above 63, as in all negative numbers: before 1970, or centuries ahead.
        if (created_ns | access_ns | write_ns | change_ns) >> 63:
            return self._far_times(path, header, (created_ns, access_ns, write_ns, change_ns))
        return (
            created_ns // 100 + _EPOCH,
            access_ns // 100 + _EPOCH,
            write_ns // 100 + _EPOCH,
            change_ns // 100 + _EPOCH,
        )

    def basic_info(self, path: str, header: TarHeader) -> BasicInfo:
        """Times and attributes alone, whatever else is wrong with the header.

        Args:
            path: path of the entry, for reports.
            header: as read.
        Raises:
            Malformed: the attributes or the creation time do not parse.
        """
        text = header.pax.get(FILE_ATTRIBUTES)
        if text is not None:
            attributes = self._parse_attributes(text)
        else:
            attributes = 0x10 if header.typeflag == TYPE_DIRECTORY else 0
        return BasicInfo(*self.times(path, header, header.pax.get(CREATION_TIME)), attributes)

    def stream_attributes(self, header: TarHeader) -> int:
        """Attributes of the backup stream that an alternate stream's header tells (8 = sparse, or 0)."""
        return 8 if header.pax.get(STREAM_ATTRIBUTES) == b"8" else 0

    def _far_times(
        self, path: str, header: TarHeader, ns: tuple[int, int, int, int]
    ) -> tuple[int, int, int, int]:
        """The FILETIMEs of any four times; those outside its range set to the nearer end, and reported."""
        for value in ns:
            if not fits_filetime(value):
                detail = f"{value // 10**9} s since 1970 is outside the range of a FILETIME"
                self._report(Finding("time-range", path, detail, offset=header.offset))
        creation, access, write, change = (ns_to_filetime(value) for value in ns)
        return creation, access, write, change

    def _parse_attributes(self, text: bytes) -> int:
        """``MSWINDOWS.fileattr``: decimal digits only, below 2^32."""
        if not text.isdigit() or len(text) > 20 or int(text) >= 2**32:
            raise Malformed(
                "MSWINDOWS.fileattr",
                f"{text[:40]!r} is no number of 32 bits",
                finding="attributes-invalid",
            )
        if len(self._attributes) >= _MEMORY:
            self._attributes.clear()
        return self._attributes.setdefault(text, int(text))

    def _parse_descriptor(self, text: bytes) -> bytes:
        try:
            descriptor = decode_base64(text, "MSWINDOWS.rawsd")
            if descriptor:
                check_descriptor(descriptor)
        except Malformed as error:
            error.finding = "security-invalid"
            raise
        return self._descriptors.remember(text, descriptor, len(text))

    def _rare_records(
        self, path: str, header: TarHeader, security: bytes
    ) -> tuple[bytes, bytes, bytes]:
        """Descriptor, EA list and reparse buffer of a header that has more than the usual records."""
        pax = header.pax
        if SDDL_DESCRIPTOR in pax and RAW_DESCRIPTOR not in pax:
            security = _parse_sddl_record(pax[SDDL_DESCRIPTOR])
        return security, parse_ea_records(pax), self.reparse(path, header)

    def reparse(self, path: str, header: TarHeader) -> bytes:
        """The reparse buffer of a header: that of our record where it fits the link, else made of the link.

        Args:
            path: path of the entry, for reports.
            header: as read.
        Returns:
            The whole buffer; ``b""`` for what is no reparse point.
        Raises:
            Malformed: the record or the target make no reparse buffer.
        """
        whole = header.pax.get(WHOLE_REPARSE)
        is_link = header.typeflag == TYPE_SYMLINK
        if not is_link and whole is None:
            return b""
        try:
            target = header.linkname.decode("utf-8", "surrogatepass") if is_link else ""
            if whole is not None:
                buffer = decode_base64(whole, "WINLAYERS.reparse")
                check_reparse(buffer)
                parse_reparse(buffer)  # names of a link may reach past its buffer
                if not is_link or print_name_of(buffer) == target:
                    return buffer
                detail = f"the target is {target!r}, the buffer says {print_name_of(buffer)!r}"
                self._report(Finding("reparse-edited", path, detail, offset=header.offset))
            junction = MOUNT_POINT in header.pax
            exact = self._dialect is Dialect.FULL
            return encode_link(target.replace("/", "\\"), junction=junction, exact=exact)
        except (WinlayersError, UnicodeDecodeError) as error:
            reason = error.reason if isinstance(error, Malformed) else str(error)
            raise Malformed("reparse data", reason, finding="reparse-invalid") from error


def _times_go(header: TarHeader, created_ns: int | None) -> tuple[int, int, int, int]:
    """As the original reads them: absent is Go's zero time, and all wraps at 64 bits."""
    found = (header.atime_ns, header.mtime_ns, header.ctime_ns)
    access, write, change = (
        GO_ZERO_TIME_FILETIME if ns is None else ns_to_filetime_go(ns) for ns in found
    )
    creation = write if created_ns is None else ns_to_filetime_go(created_ns)
    return creation, access, write, change


def parse_descriptor_records(pax: dict[bytes, bytes]) -> bytes:
    """The security descriptor of a header as it stands there, whether it parses or not.

    Args:
        pax: the records of the header.
    Returns:
        The raw descriptor, or the one that the SDDL text says; ``b""`` without either.
    Raises:
        Malformed: base64 or SDDL that does not parse.
    """
    text = pax.get(RAW_DESCRIPTOR)
    if text is None:
        return _parse_sddl_record(pax.get(SDDL_DESCRIPTOR, b""))
    return decode_base64(text, "MSWINDOWS.rawsd")


def parse_ea_records(pax: dict[bytes, bytes]) -> bytes:
    """The EA list of a header: our record of the whole list if there is one, else one record an attribute.

    Args:
        pax: the records of the header.
    Returns:
        The list, that of single records sorted by name; ``b""`` for no attributes.
    Raises:
        Malformed: base64 that does not decode, or what makes no list.
    """
    return _parse_whole_ea(pax[WHOLE_EA]) if WHOLE_EA in pax else _parse_xattrs(pax)


def _parse_sddl_record(text: bytes) -> bytes:
    """``MSWINDOWS.sd`` of old layers as a raw descriptor."""
    if not text:
        return b""
    # Late: few layers have it, and every import waits for the start of two processes.
    from winlayers.formats.sddl import parse_sddl

    try:
        return build_descriptor(parse_sddl(text.decode("ascii")))
    except (WinlayersError, UnicodeDecodeError) as error:
        reason = error.reason if isinstance(error, Malformed) else str(error)
        raise Malformed("MSWINDOWS.sd", reason, finding="security-invalid") from error


def _parse_xattrs(pax: dict[bytes, bytes]) -> bytes:
    """The EA list of the ``MSWINDOWS.xattr.*`` records, sorted by name; ``b""`` without any."""
    keys = sorted(key for key in pax if key.startswith(EA_PREFIX))
    if not keys:
        return b""
    try:
        return build_ea_list(
            ExtendedAttribute(
                key[len(EA_PREFIX) :], decode_base64(pax[key], key.decode("utf-8", "replace")), 0
            )
            for key in keys
        )
    except WinlayersError as error:
        reason = error.reason if isinstance(error, Malformed) else str(error)
        raise Malformed("extended attributes", reason, finding="ea-invalid") from error


def _parse_whole_ea(text: bytes) -> bytes:
    try:
        data = decode_base64(text, "WINLAYERS.ea")
        parse_ea_list(data)
    except Malformed as error:
        error.finding = "ea-invalid"
        raise
    return data


def has_reparse_record(header: TarHeader) -> bool:
    """Whether a header tells that its entry is a reparse point, whatever its type."""
    return WHOLE_REPARSE in header.pax or MOUNT_POINT in header.pax
