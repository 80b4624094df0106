"""Builds the index of a pack while its tar goes by.

This is the hot path of the import: one call of ``IndexBuilder.add`` for each header. A name whose folder
was seen and whose characters raise no question takes the short way; all else (the first of a folder,
whiteouts, links, odd names) goes through ``_add_odd``, which checks everything. Laws that need all names
are kept by the keys of the tables, by ``rows``, and by a few queries at the end, of ``links`` and here.

The memory is bounded: what is remembered of rows and distinct descriptors is forgotten when there is too
much of it, and then found by query.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from winlayers.backends.sealed import index
from winlayers.backends.sealed.index import FLAG_MAPPED, sql_text, to_signed
from winlayers.backends.sealed.links import HardLinks
from winlayers.backends.sealed.rows import BATCH, EntryRows
from winlayers.base.remembered import Remembered
from winlayers.errors import InvalidName, Malformed
from winlayers.formats.tar import TarHeader, TarReader, TarSource
from winlayers.formats.text16 import has_lone_surrogate
from winlayers.layer.entry import EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.laws import OPAQUE_TARGET, fault_of_link, fault_of_whiteout
from winlayers.layer.names import (
    LENIENT_FAULTS,
    OPAQUE_WHITEOUT,
    ROOT_NAMES,
    UPCASE,
    WHITEOUT_PREFIX,
    fault_of_component,
    fold,
    is_plain,
    split_tar_name,
)
from winlayers.layer.streamnames import check_stream_name
from winlayers.layer.tarheaders import (
    FILE_TYPES,
    TYPE_DIRECTORY,
    TYPE_GLOBAL,
    TYPE_LINK,
    TYPE_REGULAR,
    TYPE_SYMLINK,
    FileFields,
    HeaderDecoder,
)
from winlayers.layer.view import NODE_EA, NODE_IMPLIED, NODE_OPAQUE, NODE_REPARSE, NODE_STREAMS

# Plain ints: SQLite takes an enum's members the slow way.
_FILE, _DIRECTORY, _LINK, _WHITEOUT = (int(kind) for kind in EntryKind)
_PLAIN_TYPES = frozenset({TYPE_REGULAR, TYPE_DIRECTORY, TYPE_SYMLINK})
_REMEMBERED_DESCRIPTORS = 4096
_REMEMBERED_BYTES = 4 << 20  # of descriptors, which may have 128 KiB
# Findings kept in an index, characters of them, and how many missing folders of one entry are told.
_BREACHES_KEPT = 10_000
_BREACH_CHARACTERS_KEPT = 16 << 20
_MISSING_TOLD = 16

# Times, size, body and descriptor of a row that has none of them.
_NO_METADATA = (0,) * 7


class IndexBuilder:
    """Takes the headers of a layer's tar, in order, and writes its index.

    Args:
        path: the index to make.
        is_base: the layer has no parents.
        report: called with findings that are no errors.
        tolerant: report breaches of the laws too, and go on as well as can be; for looking into tars
            that are not imported.
        lenient_names: report names that only ``\\\\?\\`` paths can make, instead of refusing them.
    """

    def __init__(
        self,
        path: Path,
        *,
        is_base: bool,
        report: Callable[[Finding], None],
        tolerant: bool = False,
        lenient_names: bool = False,
    ) -> None:
        self._db = index.create(path)
        self._db.execute("BEGIN")
        self._is_base = is_base
        self._report_to = report
        self._tolerant = tolerant
        self._lenient_names = lenient_names or tolerant
        self._decode = HeaderDecoder(report=self.report).file_fields
        self._stream_attributes = HeaderDecoder().stream_attributes
        self._rows = EntryRows(self._db, self._breach_at)
        self._links = HardLinks(self._db, self._rows, self._breach_at)
        # Two of the rows' own, asked for once each entry.
        self._pending, self._folders = self._rows.pending, self._rows.folders
        self._descriptors: Remembered[bytes, int] = Remembered(
            _REMEMBERED_DESCRIPTORS, _REMEMBERED_BYTES, {b"": 0}
        )
        self._next_row = 1
        self._owner_path = ""
        self._owner_name = b""
        self._owner_row = 0
        self._owner_streams = 0
        self._breach_count = 0
        self._breach_size = 0
        self._has_surrogates = False
        self.size = 0
        self.entry_count = 0

    def add(self, header: TarHeader) -> None:
        """Take the next header.

        Raises:
            Malformed: it breaks a law of layers, or says something that does not parse; carries the
                entry, the offset of the header and the code of the finding.
        """
        try:
            path = header.name.decode()
        except UnicodeDecodeError:
            return self._add_odd(header)
        if path[-1:] == "/":
            path = path[:-1]
        head, _, last = path.rpartition("/")
        parent = self._folders.get(head)
        if not parent or header.typeflag not in _PLAIN_TYPES or last[:4] == WHITEOUT_PREFIX:
            return self._add_odd(header)
        folded = last.upper() if last.isascii() else last.translate(UPCASE)
        if not is_plain(last, folded):
            return self._add_odd(header)
        self._add_file(path, last, folded, parent, header)
        return None

    def finish(self, find_in_parents: Callable[[str], bool | None]) -> None:
        """Check what needs all names, and complete the rows.

        Args:
            find_in_parents: for the path of a hard link's target that is not in this layer: whether
                the parents have a file there, False if it is a folder, None if they have nothing.
        Raises:
            Malformed: as ``add``.
        """
        self._rows.flush()
        self._rows.forget_doubles()
        self._links.resolve(find_in_parents)
        self._db.execute(
            "UPDATE entries SET flags = flags | ? WHERE id IN"
            " (SELECT parent FROM entries WHERE kind = ? AND folded = ? AND name = ?)",
            (NODE_OPAQUE, _WHITEOUT, fold(OPAQUE_TARGET), OPAQUE_TARGET),
        )
        self._db.execute(
            "UPDATE entries SET flags = flags | ? WHERE id IN (SELECT entry FROM streams)",
            (NODE_STREAMS,),
        )

    def commit(self, facts: dict[str, object]) -> None:
        """Write the facts and end the file; nothing is synced."""
        index.write_facts(
            self._db,
            {
                **facts,
                "schema": index.SCHEMA_VERSION,
                "size": self.size,
                "entry_count": self.entry_count,
                "surrogates": int(self._has_surrogates),
            },
        )
        self._db.execute("COMMIT")
        self._db.close()

    def close(self) -> None:
        """Give up what was not committed."""
        self._db.close()

    # -- one entry -------------------------------------------------------------------------------

    def _add_file(
        self,
        path: str,
        name: str | bytes,
        folded: str | bytes,
        parent: int,
        header: TarHeader,
        kind: int | None = None,
    ) -> None:
        """An entry with metadata, whose name is checked and whose folder is known."""
        try:
            fields = self._decode(path, header)
        except Malformed as error:
            fields = self._undecoded(path, header, error)
        decoded, attributes, creation, access, write, change, size, security, ea, reparse = fields
        row = self._next_row
        self._next_row = row + 1
        if kind is None:
            kind = _DIRECTORY if decoded is EntryKind.DIRECTORY else _FILE
        flags = 0
        descriptor = self._descriptors.get(security)
        if descriptor is None:
            descriptor = self._intern(security)
        if ea or reparse:
            flags = self._add_details(row, ea, reparse)
        if header.sparse is not None:
            self._add_extents(row, 0, header)
            flags |= FLAG_MAPPED
        if (creation | access | write | change) >> 63:
            creation, access = to_signed(creation), to_signed(access)
            write, change = to_signed(write), to_signed(change)
        self._pending.append(
            (
                row,
                parent,
                folded,
                None if name == folded else name,
                kind,
                attributes,
                creation,
                access,
                write,
                change,
                size,
                header.body_offset,
                descriptor,
                flags,
                header.offset,
            )
        )
        self.entry_count += 1
        if header.typeflag == TYPE_REGULAR:
            self.size += header.size
        self._owner_path = path
        self._owner_name = header.name
        self._owner_row = row
        self._owner_streams = 0
        if kind == _DIRECTORY and not reparse:
            self._folders.remember(path, row, len(path))
        if len(self._pending) >= BATCH:
            self._rows.flush()

    def _undecoded(self, path: str, header: TarHeader, error: Malformed) -> FileFields:
        """What a tolerant reading makes of a header that does not parse: an entry without metadata."""
        if not self._tolerant:
            raise error
        finding = Finding(
            error.finding or "security-invalid", path, error.reason, offset=header.offset
        )
        self.report(finding)
        if header.typeflag == TYPE_DIRECTORY:
            return EntryKind.DIRECTORY, 0x10, 0, 0, 0, 0, 0, b"", b"", b""
        size = header.size if header.typeflag in FILE_TYPES else 0
        return EntryKind.FILE, 0, 0, 0, 0, 0, size, b"", b"", b""

    def _add_odd(self, header: TarHeader) -> None:
        """Any entry, all checked."""
        if header.typeflag == TYPE_GLOBAL:
            return  # applies to nothing
        shown = header.name.decode("utf-8", "backslashreplace")
        try:
            components = split_tar_name(header.name)
        except InvalidName as error:
            self._breach(error.finding or "name-character", shown, header, str(error))
            return
        if not components:
            self._breach("name-traversal", shown, header, "names the root of the layer itself")
            return
        if b"\\" in header.name:
            detail = "the name holds a backslash, taken for a separator"
            self.report(Finding("name-separator", shown, detail, offset=header.offset))
        *heads, last = components
        path = "/".join(components)
        top = components[0]
        if len(components) == 1 and header.typeflag == TYPE_REGULAR:
            top = top.partition(":")[0]  # an alternate stream of a top
        if last.startswith(WHITEOUT_PREFIX):
            self._add_whiteout("/".join(heads), last, header)
            return
        if top not in ROOT_NAMES:
            what = f"{components[0]!r} is none of Files, Hives and UtilityVM"
            if not self._breach("root-unknown", path, header, what):
                return
        if ":" in last and header.typeflag == TYPE_REGULAR and self._add_stream(path, header):
            return
        if not self._check_component(last, path, header):
            return
        parent = self._folder("/".join(heads), path, header)
        if parent is None:
            return
        if header.typeflag == TYPE_LINK:
            self._add_link(path, last, parent, header)
            return
        if header.typeflag not in _PLAIN_TYPES:
            what = f"type {header.typeflag.decode('latin-1')!r} of a tar is no file, folder or link"
            self.report(Finding("type-unsupported", path, what, offset=header.offset))
        self._add_file(path, sql_text(last), sql_text(fold(last)), parent, header)

    def _check_component(self, name: str, path: str, header: TarHeader) -> bool:
        """Whether the entry can be added; reports what is let pass."""
        if has_lone_surrogate(name):
            self._has_surrogates = True
            detail = f"{name!a} holds half of a surrogate pair"
            self.report(Finding("name-surrogate", path, detail, offset=header.offset))
        fault = fault_of_component(name)
        if fault is None:
            return True
        code, reason = fault
        detail = f"{name!a} {reason}"
        if self._lenient_names and code in LENIENT_FAULTS:
            self.report(Finding(code, path, detail, offset=header.offset))
            return True
        return self._breach(code, path, header, detail)

    def _folder(self, head: str, path: str, header: TarHeader) -> int | None:
        """The row of the folder that an entry stands in, or None where a breach was tolerated."""
        row = self._folders.get(head)
        if row is not None:
            return row
        components = head.split("/")
        row, kind, depth = self._rows.walk(components)
        if kind != _DIRECTORY:
            what = "a whiteout" if kind == _WHITEOUT else "no folder"
            detail = f"{'/'.join(components[:depth])!r} is {what}"
            self._breach("parent-not-directory", path, header, detail)
            return None
        for end, component in enumerate(components[depth:], depth + 1):
            if end <= depth + _MISSING_TOLD:
                detail = f"there is no entry for {'/'.join(components[:end])!r} before it"
                self._breach("parent-missing", path, header, detail)
            row = self._add_bare(row, component, _DIRECTORY, header)
        return self._folders.remember(head, row, len(head))

    def _add_bare(self, parent: int, name: str, kind: int, header: TarHeader) -> int:
        """A row without metadata: a whiteout under the name that it hides, or an implied folder."""
        row = self._next_row
        self._next_row += 1
        folded = fold(name)
        shown = None if name == folded else sql_text(name)
        attributes, flags = (0x10, NODE_IMPLIED) if kind == _DIRECTORY else (0, 0)
        self._pending.append(
            (
                *(row, parent, sql_text(folded), shown, kind, attributes),
                *_NO_METADATA,
                *(flags, header.offset),
            )
        )
        if len(self._pending) >= BATCH:
            self._rows.flush()
        return row

    def _add_whiteout(self, head: str, last: str, header: TarHeader) -> None:
        hidden = last[len(WHITEOUT_PREFIX) :]
        slash = "/" if head else ""
        path = f"{head}{slash}{hidden}"
        fault = fault_of_whiteout(path, is_base=self._is_base)
        if fault is not None:
            code, detail = fault
            shown = path if code == "whiteout-in-base" else f"{head}{slash}{last}"
            if not self._breach(code, shown, header, detail):
                return
        if last == OPAQUE_WHITEOUT:
            detail = f"all that the parents have in {head!r} is hidden"
            self.report(Finding("whiteout-opaque", head, detail, offset=header.offset))
        elif not self._check_component(hidden, path, header):
            return
        parent = self._folder(head, path, header)
        if parent is not None:
            self._add_bare(parent, hidden, _WHITEOUT, header)
            self.entry_count += 1
            self._owner_path = ""

    def _add_link(self, path: str, name: str, parent: int, header: TarHeader) -> None:
        try:
            target = "/".join(split_tar_name(header.linkname))
        except InvalidName as error:
            self._breach("link-outside", path, header, f"its target: {error}")
            return
        fault = fault_of_link(path, target)
        if fault is not None:
            code, detail = fault
            self._breach(code, path, header, detail)
            return
        if has_lone_surrogate(target):
            self._has_surrogates = True
        row = self._next_row
        self._add_file(path, sql_text(name), sql_text(fold(name)), parent, header, _LINK)
        self._owner_path = ""  # streams belong to the entry that holds the data
        self._links.add(row, target)

    def _add_stream(self, path: str, header: TarHeader) -> bool:
        """Take an alternate stream in; False if the name is none."""
        owner, _, stream = path.rpartition("/")[2].partition(":")
        if not owner or not stream:
            return False
        stream = stream.removesuffix(":$DATA")
        prefix = self._owner_name.rstrip(b"/") + b":"
        # Byte for byte, as all readers of such tars have it.
        if not self._owner_path or not header.name.startswith(prefix):
            detail = (
                f"{stream!r} stands after {self._owner_path or 'nothing'!r}, not after its file"
            )
            self._breach("stream-orphan", path, header, detail)
            return True
        try:
            check_stream_name(stream, self._owner_path)
        except InvalidName as error:
            self._breach(error.finding or "name-character", path, header, str(error))
            return True
        if has_lone_surrogate(stream):
            self._has_surrogates = True
        self._owner_streams += 1
        number = self._owner_streams
        attributes = self._stream_attributes(header)
        mapped = header.sparse is not None
        try:
            self._db.execute(
                "INSERT INTO streams VALUES (?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?)",
                (
                    self._owner_row,
                    number,
                    sql_text(fold(stream)),
                    sql_text(stream),
                    header.size,
                    attributes,
                    header.body_offset,
                    mapped,
                ),
            )
        except sqlite3.IntegrityError:
            self._breach("stream-duplicate", path, header, "the file has it already")
            return True
        if mapped:
            self._add_extents(self._owner_row, number, header)
        return True

    def _add_details(self, row: int, ea: bytes, reparse: bytes) -> int:
        self._db.execute(
            "INSERT INTO details (entry, ea, reparse) VALUES (?, ?, ?)",
            (row, ea or None, reparse or None),
        )
        return (NODE_EA if ea else 0) | (NODE_REPARSE if reparse else 0)

    def _add_extents(self, row: int, number: int, header: TarHeader) -> None:
        source = header.body_offset
        for offset, size in header.sparse or ():
            self._db.execute(
                "INSERT INTO extents VALUES (?, ?, ?, ?, ?)", (row, number, offset, source, size)
            )
            source += size

    def _intern(self, descriptor: bytes) -> int:
        self._db.execute("INSERT OR IGNORE INTO descriptors (bytes) VALUES (?)", (descriptor,))
        found: int = self._db.execute(
            "SELECT id FROM descriptors WHERE bytes = ?", (descriptor,)
        ).fetchone()[0]
        return self._descriptors.remember(descriptor, found, len(descriptor))

    # -- breaches and findings -------------------------------------------------------------------

    def _breach(self, code: str, path: str, header: TarHeader, detail: str) -> bool:
        """Refuse the layer, or report the breach; whether the entry is to be kept all the same."""
        self._breach_at(code, path, header.offset, detail)
        return code not in _NEVER_KEPT

    def _breach_at(self, code: str, path: str, offset: int, detail: str) -> None:
        if not self._tolerant:
            raise Malformed("layer tar", detail, offset=offset, entry=path, finding=code)
        self.report(Finding(code, path, detail, offset=offset))

    def report(self, finding: Finding) -> None:
        """Report a finding, and keep it in the index."""
        self._report_to(finding)
        self._breach_count += 1
        self._breach_size += len(finding.entry) + len(finding.detail)
        is_kept = self._breach_size <= _BREACH_CHARACTERS_KEPT
        if is_kept and self._breach_count <= _BREACHES_KEPT:
            if has_lone_surrogate(finding.entry):
                self._has_surrogates = True
            self._db.execute(
                "INSERT INTO breaches VALUES (?, CAST(? AS TEXT), ?, ?)",
                (finding.code, sql_text(finding.entry), finding.detail, finding.offset),
            )


def index_tar(
    source: TarSource, builder: IndexBuilder, find_in_parents: Callable[[str], bool | None]
) -> bool:
    """Read a tar to its end marker into an index.

    Args:
        source: the tar; what follows the end marker is left in it.
        builder: takes the headers.
        find_in_parents: as for ``IndexBuilder.finish``.
    Returns:
        Whether there was an end marker.
    """
    has_end = add_headers(source, builder)
    builder.finish(find_in_parents)
    return has_end


def add_headers(source: TarSource, builder: IndexBuilder) -> bool:
    """Read a tar to its end marker, and leave it to the caller to finish the index.

    Args:
        source: the tar; what follows the end marker is left in it.
        builder: takes the headers.
    Returns:
        Whether there was an end marker.
    """
    reader = TarReader(source)
    for header in reader:
        builder.add(header)
    return reader.end_marker > 0


#: Breaches after which not even a tolerant reading can place the entry.
_NEVER_KEPT = frozenset(
    {
        "name-nul",
        "name-traversal",
        "name-encoding",
        "name-too-long",
        "whiteout-outside",
        "whiteout-invalid",
    }
)
