"""The header of a tar entry that says what an entry is; ``tarheaders`` is the way back.

The original has a place for most of what NTFS keeps, and loses the rest. ``Dialect.GO`` does as it does,
byte for byte, and reports each loss; ``Dialect.FULL`` adds ``WINLAYERS.*`` records, which the original
reads past, and only where something would be lost. This module knows single headers only, no bodies and
no sequences.

Source: microsoft/go-winio backuptar/tar.go (BasicInfoHeader, WriteTarFileFromBackupStream), checked
against the vectors backup_to_tar.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from winlayers.errors import InvalidName, Malformed, Unsupported
from winlayers.formats.ea import ExtendedAttribute, parse_ea_list
from winlayers.formats.filetime import filetime_to_ns, filetime_to_ns_go
from winlayers.formats.pax import format_pax_time, is_valid_record
from winlayers.formats.reparse import (
    TAG_MOUNT_POINT,
    check_reparse,
    encode_link,
    parse_reparse,
    print_name_of,
    tag_of,
)
from winlayers.formats.tar import TarFormat, TarHeader
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_DIRECTORY,
    STREAM_ATTRIBUTE_SPARSE,
    Entry,
    EntryKind,
    Part,
)
from winlayers.layer.findings import Finding
from winlayers.layer.names import WHITEOUT_PREFIX, encode_name
from winlayers.layer.tarheaders import (
    CREATION_TIME,
    EA_PREFIX,
    FILE_ATTRIBUTES,
    MOUNT_POINT,
    RAW_DESCRIPTOR,
    STREAM_ATTRIBUTES,
    TYPE_DIRECTORY,
    TYPE_LINK,
    TYPE_REGULAR,
    TYPE_SYMLINK,
    WHOLE_EA,
    WHOLE_REPARSE,
    Dialect,
)

# Mode bits as the original writes them: the kind alone, no permissions.
_MODE_DIRECTORY = 0o040000
_MODE_DATA = 0o100000
_MODE_SYMLINK = 0o120000
_MODE_LINK = 0o644


class HeaderEncoder:
    """Turns entries into headers.

    Args:
        dialect: the golden bytes of the original, or nothing lost.
        report: called with each loss.

    Attributes:
        dialect, report: as given.
    """

    def __init__(
        self,
        dialect: Dialect = Dialect.FULL,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        self.dialect = dialect
        self.report = report

    def file_header(self, entry: Entry, *, has_data: bool) -> TarHeader:
        """The header of a file or directory.

        Args:
            entry: what to write. FILE_ATTRIBUTE_DIRECTORY follows its kind.
            has_data: whether unnamed data was found, be it empty; the original keeps that in the mode.
        Returns:
            The header. Its size is that of the entry; after type ``2`` no body may follow.
        Raises:
            Malformed: EAs or reparse data do not parse.
            Unsupported: a reparse tag that the original cannot write (GO).
            InvalidName: an EA name that the original cannot write (GO).
        """
        header = self._plain_header(entry)
        if entry.kind is EntryKind.DIRECTORY:
            header.typeflag, header.mode = TYPE_DIRECTORY, _MODE_DIRECTORY
        else:
            header.size = entry.size
        if has_data:
            header.mode |= _MODE_DATA
        if entry.security:
            header.pax[RAW_DESCRIPTOR] = base64.b64encode(entry.security)
        if entry.ea:
            self._add_ea(header, entry)
        if entry.reparse:
            self._add_reparse(header, entry)
        return header

    def link_header(self, entry: Entry) -> TarHeader:
        """The header of a hard link: times and attributes are in it, the descriptor is not."""
        header = self._plain_header(entry)
        header.typeflag, header.mode = TYPE_LINK, _MODE_LINK
        header.linkname = encode_name(entry.target)
        return header

    def stream_header(self, owner: TarHeader, part: Part) -> TarHeader:
        """The header of an alternate stream, which follows its owner.

        Args:
            owner: header of the file or directory, made here.
            part: the stream.
        """
        header = TarHeader(
            owner.name + b":" + encode_name(part.name),
            TYPE_REGULAR,
            size=part.size,
            mode=owner.mode,
            mtime_ns=owner.mtime_ns,
            atime_ns=owner.atime_ns,
            ctime_ns=owner.ctime_ns,
            format=TarFormat.PAX,
        )
        if part.attributes & STREAM_ATTRIBUTE_SPARSE and self.dialect is Dialect.FULL:
            header.pax[STREAM_ATTRIBUTES] = b"8"
        return header

    def whiteout_header(self, path: str) -> TarHeader:
        """The bare header that removes ``path``: nothing is set but the name."""
        folder, slash, name = path.rpartition("/")
        return TarHeader(encode_name(f"{folder}{slash}{WHITEOUT_PREFIX}{name}"), TYPE_REGULAR)

    def _plain_header(self, entry: Entry) -> TarHeader:
        """Name, times and attributes: what files, directories and links have in common."""
        attributes = entry.attributes
        if entry.kind is EntryKind.DIRECTORY:
            attributes |= FILE_ATTRIBUTE_DIRECTORY
        elif entry.kind is EntryKind.FILE:
            attributes &= ~FILE_ATTRIBUTE_DIRECTORY
        creation = self._time(entry, entry.creation_filetime)
        return TarHeader(
            encode_name(entry.path),
            TYPE_REGULAR,
            mtime_ns=self._time(entry, entry.write_filetime),
            atime_ns=self._time(entry, entry.access_filetime),
            ctime_ns=self._time(entry, entry.change_filetime),
            pax={FILE_ATTRIBUTES: b"%d" % attributes, CREATION_TIME: format_pax_time(creation)},
            format=TarFormat.PAX,
        )

    def _time(self, entry: Entry, filetime: int) -> int:
        """A FILETIME as nanoseconds since 1970; in GO it wraps, which is reported."""
        exact = filetime_to_ns(filetime)
        if self.dialect is Dialect.FULL:
            return exact
        wrapped = filetime_to_ns_go(filetime)
        if wrapped != exact:
            detail = f"{exact // 10**9} s since 1970 becomes {wrapped // 10**9} s"
            self.report(Finding("time-wrapped", entry.path, detail))
        return wrapped

    def _add_ea(self, header: TarHeader, entry: Entry) -> None:
        """One record an attribute; ours besides where names, flags or doubles do not fit those."""
        attributes = _parse_ea(entry)
        names = {attribute.name for attribute in attributes}
        unfit = {name for name in names if not is_valid_record(EA_PREFIX + name, b"")}
        flagged = any(attribute.flags for attribute in attributes)
        lossy = bool(unfit) or flagged or len(names) < len(attributes)
        if self.dialect is Dialect.GO and lossy:
            if unfit:
                raise InvalidName(f"{entry.path!r} has an extended attribute {min(unfit)!r}")
            detail = "flags, or all but the last value of a name"
            self.report(Finding("ea-lost", entry.path, detail))
        elif lossy:
            header.pax[WHOLE_EA] = base64.b64encode(entry.ea)
        for attribute in attributes:
            if attribute.name not in unfit:
                header.pax[EA_PREFIX + attribute.name] = base64.b64encode(attribute.value)

    def _add_reparse(self, header: TarHeader, entry: Entry) -> None:
        """The link as a symbolic link of the tar; ours where that says too little."""
        if self.dialect is Dialect.GO:
            target = print_name_of(entry.reparse, exact=False)
            if not _is_rebuilt(entry.reparse, target):
                detail = "only the print name of the link is kept"
                self.report(Finding("reparse-rebuilt", entry.path, detail))
            self._add_link(header, entry, target)
            return
        full_target = _full_target(entry)
        if full_target is not None and not entry.size and "\0" not in full_target:
            self._add_link(header, entry, full_target)
            if _is_rebuilt(entry.reparse, full_target):
                return
        header.pax[WHOLE_REPARSE] = base64.b64encode(entry.reparse)

    def _add_link(self, header: TarHeader, entry: Entry, target: str) -> None:
        header.typeflag = TYPE_SYMLINK
        header.mode |= _MODE_SYMLINK
        header.linkname = encode_name(target)
        if tag_of(entry.reparse) == TAG_MOUNT_POINT:
            header.pax[MOUNT_POINT] = b"1"


def _parse_ea(entry: Entry) -> list[ExtendedAttribute]:
    try:
        return parse_ea_list(entry.ea)
    except Malformed as error:
        raise Malformed(
            error.structure, error.reason, entry=entry.path, finding="ea-invalid"
        ) from error


def _full_target(entry: Entry) -> str | None:
    """The print name of a link; None for reparse points of other kinds."""
    try:
        check_reparse(entry.reparse)
        return print_name_of(entry.reparse)
    except Unsupported:
        return None
    except Malformed as error:
        raise Malformed(
            error.structure, error.reason, entry=entry.path, finding="reparse-invalid"
        ) from error


def _is_rebuilt(buffer: bytes, target: str) -> bool:
    """Whether a reader makes the same link of the print name alone; the layout does not count."""
    junction = tag_of(buffer) == TAG_MOUNT_POINT
    try:
        rebuilt = encode_link(target.replace("/", "\\"), junction=junction, exact=True)
        return parse_reparse(rebuilt) == parse_reparse(buffer)
    except (Malformed, InvalidName):
        # Names that do not fit, or a buffer that only the lenient reader of the original takes.
        return False
