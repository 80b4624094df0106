"""What a conversion of an entry to another form loses, told beforehand.

    for finding in losses_of(entry, parts, form=Form.FOLDER):
        print(finding)

The full dialect of a layer tar loses nothing but what the table in ``docs/reference/findings.md`` names, so
it is no form here. A writer that reports its losses as it goes uses the same codes. This module writes
nothing, and refuses to know how the forms are written.

Source: microsoft/go-winio backuptar/tar.go (what the original loses), by way of ``layer.tarencoder``, which
does as it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from winlayers.errors import InvalidName, Malformed, Unsupported
from winlayers.formats.reparse import (
    SYMLINK_FLAG_RELATIVE,
    TAG_NAMES,
    MountPoint,
    SymbolicLink,
    parse_reparse,
    steers_filter_driver,
    tag_of,
)
from winlayers.layer.entry import (
    STREAM_ATTRIBUTE_SPARSE,
    Entry,
    EntryKind,
    Part,
    attribute_names,
)
from winlayers.layer.findings import Finding
from winlayers.layer.names import FILES, fold
from winlayers.layer.tarencoder import HeaderEncoder
from winlayers.layer.tarheaders import Dialect


class Form(StrEnum):
    """Where entries go.

    ``GO_TAR``: a layer tar as the original writes it. ``FOLDER``: a folder of any OS, the tops of the layer
    as folders in it. ``LINUX_TAR``: a tar whose root is the container's ``C:``, for tools that know no
    Windows.
    """

    GO_TAR = "go-tar"
    FOLDER = "folder"
    LINUX_TAR = "linux-tar"


# Attributes that other systems have in their own way, or that say nothing: READONLY, DIRECTORY, ARCHIVE,
# NORMAL, SPARSE_FILE, REPARSE_POINT.
_CARRIED_ATTRIBUTES = 0x1 | 0x10 | 0x20 | 0x80 | 0x200 | 0x400


def losses_of(entry: Entry, parts: Iterable[Part] = (), *, form: Form) -> Iterator[Finding]:
    """Tell what a form has no place for.

    Args:
        entry: what is to be written.
        parts: its data and alternate streams; nothing is read of them.
        form: where it goes.
    Returns:
        A finding for each thing lost. Those that are no losses stand for entries at which the original
        stops.
    """
    if entry.kind is EntryKind.WHITEOUT:
        return iter(())
    if form is Form.GO_TAR:
        return iter(_lost_by_original(entry, list(parts)))
    return _lost_elsewhere(entry, parts, form)


def _lost_by_original(entry: Entry, parts: list[Part]) -> list[Finding]:
    found: list[Finding] = []
    encoder = HeaderEncoder(Dialect.GO, found.append)
    if entry.kind is EntryKind.LINK:
        encoder.link_header(entry)
        return found
    has_data = any(not part.name for part in parts)
    try:
        encoder.file_header(entry, has_data=has_data)
    except Unsupported as error:
        found.append(Finding("reparse-unsupported", entry.path, str(error)))
    except InvalidName as error:
        found.append(Finding("ea-lost", entry.path, str(error)))
    except Malformed as error:
        found.append(Finding(error.finding or "reparse-invalid", entry.path, error.reason))
    if entry.reparse and entry.size:
        found.append(Finding("link-with-data", entry.path, f"has {entry.size:,} bytes"))
    for part in parts:
        if part.name and not has_data:
            detail = f"alternate stream {part.name!r} of what has no data"
            found.append(Finding("stream-lost", entry.path, detail))
        elif part.name and part.attributes & STREAM_ATTRIBUTE_SPARSE:
            found.append(Finding("stream-sparse", entry.path, f"alternate stream {part.name!r}"))
    return found


def _lost_elsewhere(entry: Entry, parts: Iterable[Part], form: Form) -> Iterator[Finding]:
    path = entry.path
    if form is Form.LINUX_TAR and fold(path.partition("/")[0]) != fold(FILES):
        yield Finding("outside-files-lost", path, "is not below Files")
        return
    if entry.security:
        yield Finding("security-lost", path, f"descriptor of {len(entry.security)} bytes")
    if bits := entry.attributes & ~_CARRIED_ATTRIBUTES:
        yield Finding("attributes-lost", path, ", ".join(attribute_names(bits)))
    names = [
        name
        for name, time in (("creation", entry.creation_filetime), ("change", entry.change_filetime))
        if time != entry.write_filetime
    ]
    if names:
        yield Finding("time-lost", path, f"time of {' and '.join(names)}")
    if entry.ea:
        yield Finding("ea-lost", path, f"{len(entry.ea)} bytes of them")
    for part in parts:
        if part.name:
            yield Finding("stream-lost", path, f"alternate stream {part.name!r}")
    if entry.reparse:
        yield from _lost_of_reparse(entry)


def _lost_of_reparse(entry: Entry) -> Iterator[Finding]:
    """A symbolic link stays one if it is relative; all else changes or goes."""
    try:
        value = parse_reparse(entry.reparse)
    except Malformed as error:
        yield Finding("reparse-invalid", entry.path, error.reason)
        return
    if isinstance(value, MountPoint):
        yield Finding("reparse-rebuilt", entry.path, "a junction becomes a symbolic link")
    elif isinstance(value, SymbolicLink):
        if not value.flags & SYMLINK_FLAG_RELATIVE:
            detail = f"{value.substitute_name!r} has no meaning on another system"
            yield Finding("reparse-rebuilt", entry.path, detail)
    else:
        tag = tag_of(entry.reparse)
        code = "reparse-dropped" if steers_filter_driver(tag) else "reparse-lost"
        yield Finding(code, entry.path, f"tag 0x{tag:08x} ({TAG_NAMES.get(tag, 'unknown')})")
