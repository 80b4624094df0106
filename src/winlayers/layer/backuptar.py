"""The layer tar: the form in which layers travel between machines and lie in registries.

Each entry is one tar entry; what NTFS keeps besides is in PAX records (see ``tarheaders``):

    Files/dir/name            a file, directory, symbolic link or junction; a hard link is type ``1``
    Files/dir/name:stream     an alternate stream, right after its owner
    Files/dir/.wh.name        a whiteout: ``Files/dir/name`` of the parents is gone
    Files/dir/.wh..wh..opq    an opaque whiteout, which Windows does not know: the entry is a WHITEOUT
                              whose last name is ``.wh..opq``

The reader checks what one entry tells: its names, where whiteouts and links may stand, its metadata. What
needs all names (each once, folders first, link targets) is for whoever keeps them. Neither side knows
where the bytes come from or go to, and both work in one pass.

Source: microsoft/hcsshim pkg/ociwclayer/import.go and export.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from winlayers.base.remembered import Remembered
from winlayers.errors import InvalidArgument, InvalidName, Malformed
from winlayers.formats.tar import TarHeader, TarReader, TarSource
from winlayers.formats.text16 import has_lone_surrogate, utf16_decode, utf16_encode
from winlayers.layer.backuptarwriter import BackupTarWriter
from winlayers.layer.entry import Entry, EntryKind, Extent, Part
from winlayers.layer.findings import Finding
from winlayers.layer.laws import OPAQUE_TARGET, fault_of_link, fault_of_whiteout
from winlayers.layer.names import (
    LENIENT_FAULTS,
    MAX_PATH_UNITS,
    ROOT_NAMES,
    WHITEOUT_PREFIX,
    decode_name,
    fault_of_component,
    fold,
    is_plain,
    split_tar_name,
)
from winlayers.layer.streamnames import TYPE_SUFFIX, check_stream_name
from winlayers.layer.tarheaders import (
    FILE_TYPES,
    TYPE_DIRECTORY,
    TYPE_GLOBAL,
    TYPE_LINK,
    TYPE_REGULAR,
    TYPE_SYMLINK,
    Dialect,
    HeaderDecoder,
)

__all__ = ["BackupTarReader", "BackupTarWriter"]

_KNOWN_TYPES = FILE_TYPES | {TYPE_LINK, TYPE_SYMLINK, TYPE_DIRECTORY}
# Folders remembered; their names need not be checked again for every file in them.
_MEMORY = 8192
_MEMORY_SIZE = 4 << 20  # bytes of all of them


def _ignore(finding: Finding) -> None:
    """For whoever does not want to know."""


class BackupTarReader:
    """Reads the entries of a layer tar; see ``layer.entry.EntryReader``.

    After an error about one entry, iterating again goes on with the next. What follows the end marker is
    left to the caller.

    Attributes:
        header: the tar header of the current entry, which has its raw name and its offset in the tar.
    """

    def __init__(
        self,
        source: BinaryIO | TarSource,
        *,
        dialect: Dialect = Dialect.FULL,
        base: bool | None = None,
        lenient_names: bool = False,
        on_finding: Callable[[Finding], None] = _ignore,
        on_header: Callable[[TarHeader], None] | None = None,
    ) -> None:
        """Begin at the present position of ``source``, which is offset 0 of the tar.

        Args:
            source: the uncompressed tar; more may be read of it than is used.
            dialect: decides about times (see ``HeaderDecoder.times``), and whether lone surrogates in
                names of alternate streams are kept (FULL).
            base: whether the layer has no parents, so that a whiteout is malformed; None if not known.
            lenient_names: report names that only ``\\\\?\\`` paths can make, instead of refusing them.
            on_finding: called with what is odd but no error.
            on_header: called with each header as soon as it was read, while the tar stands at its body.
        """
        self.header = TarHeader(b"", TYPE_REGULAR)
        self._tar = TarReader(source)
        self._decoder = HeaderDecoder(dialect, on_finding)
        self._exact = dialect is Dialect.FULL
        self._base = base
        self._lenient = lenient_names
        self._report = on_finding
        self._on_header = on_header
        self._folders: Remembered[bytes, str] = Remembered(_MEMORY, _MEMORY_SIZE)
        self._ahead: TarHeader | None = None
        self._path = ""
        self._data: Part | None = None  # of the current entry, not given out yet
        self._stream_prefix: bytes | None = None  # what the names of its streams begin with
        self._stream_names: set[str] = set()
        self._part: Part | None = None  # that the tar stands at

    @property
    def tar_offset(self) -> int:
        """Bytes of the tar used so far; after the last entry where its end marker ends."""
        return self._tar.offset

    @property
    def end_marker(self) -> int:
        """Zero blocks seen at the end: 2 usually; with 0 the tar may have been cut."""
        return self._tar.end_marker

    def __iter__(self) -> Iterator[Entry]:
        """The entries from here on.

        Raises:
            Malformed: the tar, or an entry of it; most carry the code of a finding.
            InvalidName: a name that a layer cannot hold; carries the code of the finding.
        """
        while True:
            while self._stream_prefix is not None:
                self._next_part()
            header, self._ahead = self._ahead, None
            if header is None:
                header = self._next_header()
                if header is None:
                    return
            self.header = header
            entry = self._entry(header)
            if entry is not None:
                yield entry

    def parts(self) -> Iterator[Part]:
        """The parts of the current entry: its data if it is a file, then the alternate streams.

        Raises:
            Malformed: two alternate streams of one name.
            InvalidName: an alternate stream whose name cannot be one.
        """
        while (part := self._next_part()) is not None:
            yield part

    def open_part(self, part: Part) -> BinaryIO:
        """The bytes of the part last given out, holes as zeros.

        Raises:
            InvalidArgument: another part.
        """
        if part is not self._part:
            raise InvalidArgument(f"part {part.name!r} of {self._path!r} is not the current one")
        return self._tar.open_body()

    def close(self) -> None:
        """Nothing to be done: the source is the caller's."""

    def _next_header(self) -> TarHeader | None:
        header = self._tar.next()
        if header is not None and self._on_header is not None:
            self._on_header(header)
        return header

    # Entries

    def _entry(self, header: TarHeader) -> Entry | None:
        """What a header says; None for those that are no entry of the layer."""
        self._part = self._data = None
        if header.typeflag == TYPE_GLOBAL:
            return None
        folder, name = self._locate(header)
        if not name:
            return None
        path = self._path = folder + name
        if name.startswith(WHITEOUT_PREFIX):
            return self._whiteout(folder, name[len(WHITEOUT_PREFIX) :], header)
        self._check_name(name, path, header)
        if not folder and name not in ROOT_NAMES:
            raise self._malformed("name", "is outside Files, Hives and UtilityVM", "root-unknown")
        if header.typeflag == TYPE_LINK:
            return self._link(path, header)
        entry = self._decoder.file_entry(path, header)
        if entry.kind is EntryKind.FILE and header.typeflag in FILE_TYPES:
            self._data = Part("", entry.size, 0, _extents(path, header))
        if header.typeflag not in _KNOWN_TYPES or (header.size and not self._has_use_of_body()):
            detail = f"type {header.typeflag!r}, {header.size} bytes that are not read"
            self._report(Finding("type-unsupported", path, detail, offset=header.offset))
        self._stream_prefix = header.name.rstrip(b"/") + b":"
        self._stream_names.clear()
        return entry

    def _has_use_of_body(self) -> bool:
        """Whether the body of the current entry, if it has one, is content."""
        return self._data is not None or self.header.typeflag in (TYPE_SYMLINK, TYPE_DIRECTORY)

    def _whiteout(self, folder: str, name: str, header: TarHeader) -> Entry:
        path = folder + name
        fault = fault_of_whiteout(path, is_base=bool(self._base))
        if fault is not None:
            code, reason = fault
            raise self._malformed("whiteout", reason, code)
        if name == OPAQUE_TARGET:
            hidden = folder.removesuffix("/")
            detail = f"hides all that the parents have in {hidden!r}"
            self._report(Finding("whiteout-opaque", hidden, detail, offset=header.offset))
        else:
            self._check_name(name, path, header)
        return Entry(path, EntryKind.WHITEOUT)

    def _link(self, path: str, header: TarHeader) -> Entry:
        try:
            components = split_tar_name(header.linkname)
        except InvalidName as error:
            raise self._malformed("hard link", f"its target: {error}", "link-outside") from error
        target = "/".join(components)
        fault = fault_of_link(path, target)
        if fault is not None:
            code, reason = fault
            raise self._malformed("hard link", reason, code)
        for component in components:
            self._check_name(component, target, header)
        entry = self._decoder.file_entry(path, header)
        times = (
            entry.creation_filetime,
            entry.access_filetime,
            entry.write_filetime,
            entry.change_filetime,
        )
        return Entry(path, EntryKind.LINK, entry.attributes, *times, target=target)

    # Parts

    def _next_part(self) -> Part | None:
        """Go on to the next part of the current entry; None when the tar stands at another entry."""
        self._part = None
        if self._data is not None:
            self._part, self._data = self._data, None
        elif self._stream_prefix is not None:
            prefix = self._stream_prefix
            self._stream_prefix = None  # also when the next header is an error
            header = self._next_header()
            if header is None:
                return None
            if header.typeflag != TYPE_REGULAR or not header.name.startswith(prefix):
                self._ahead = header
                return None
            self._stream_prefix = prefix
            self._part = self._stream(header, header.name[len(prefix) :])
        return self._part

    def _stream(self, header: TarHeader, raw: bytes) -> Part:
        """The alternate stream of a header whose name ends in ``:`` and ``raw``."""
        name = decode_name(raw).removesuffix(TYPE_SUFFIX)
        if not self._exact and has_lone_surrogate(name):
            name = utf16_decode(utf16_encode(name, exact=False))
            detail = f"alternate stream is called {name!r} now"
            self._report(Finding("name-replaced", self._path, detail, offset=header.offset))
        check_stream_name(name, self._path)
        folded = fold(name)
        if folded in self._stream_names:
            reason = f"{name!r} comes twice"
            raise Malformed(
                "alternate stream",
                reason,
                offset=header.offset,
                entry=self._path,
                finding="stream-duplicate",
            )
        self._stream_names.add(folded)
        attributes = self._decoder.stream_attributes(header)
        return Part(name, header.size, attributes, _extents(self._path, header))

    # Names

    def _locate(self, header: TarHeader) -> tuple[str, str]:
        """The folder, checked and with its slash, and the name, not checked; both empty for the root."""
        raw = header.name
        head, _, last = raw.rstrip(b"/").rpartition(b"/")
        is_simple = last not in (b"", b".", b"..") and b"\\" not in last
        folder = self._folders.get(head)
        if folder is not None and is_simple and len(raw) <= MAX_PATH_UNITS:
            return folder, decode_name(last)
        components = split_tar_name(raw)
        if not components:
            return "", ""
        *folders, name = components
        folder = "".join(f"{component}/" for component in folders)
        self._path = folder + name
        for component in folders:
            self._check_name(component, folder, header)
        if folders and folders[0] not in ROOT_NAMES:
            if name.startswith(WHITEOUT_PREFIX):
                return folder, name  # refused as a whiteout
            raise self._malformed("name", "is outside Files, Hives and UtilityVM", "root-unknown")
        if b"\\" in raw:
            detail = "a backslash separates names"
            self._report(Finding("name-separator", self._path, detail, offset=header.offset))
        if folders and is_simple:
            self._folders.remember(head, folder, len(head))
        return folder, name

    def _check_name(self, name: str, path: str, header: TarHeader) -> None:
        """Refuse or report a component that Windows has trouble with."""
        if has_lone_surrogate(name):
            detail = f"{name!r} is no text"
            self._report(Finding("name-surrogate", path, detail, offset=header.offset))
        if is_plain(name, fold(name)):
            return
        if ":" in name:
            raise self._malformed("alternate stream", "does not follow its owner", "stream-orphan")
        fault = fault_of_component(name)
        if fault is None:
            return
        code, reason = fault
        if code not in LENIENT_FAULTS or not self._lenient:
            raise InvalidName(f"component {name!r} of {path!r} {reason}", finding=code)
        self._report(Finding(code, path, f"{name!r} {reason}", offset=header.offset))

    def _malformed(self, structure: str, reason: str, finding: str) -> Malformed:
        return Malformed(
            structure, reason, offset=self.header.offset, entry=self._path, finding=finding
        )


def _extents(path: str, header: TarHeader) -> tuple[Extent, ...]:
    """Where the bytes of an entry's body lie in the tar."""
    if header.sparse is None:
        return (Extent(0, header.body_offset, header.size),) if header.size else ()
    extents = []
    source_offset = header.body_offset
    for offset, size in header.sparse:
        if size:
            extents.append(Extent(offset, source_offset, size))
            source_offset += size
    if source_offset != header.body_offset + header.stored_size:
        reason = f"tells of {source_offset - header.body_offset} of {header.stored_size} bytes"
        raise Malformed("sparse map", reason, offset=header.offset, entry=path)
    return tuple(extents)
