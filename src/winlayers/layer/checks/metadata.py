"""Descriptors, times, attributes, extended attributes and alternate streams of an entry.

What does not parse is refused by an import, and no business of this module; it looks at what parses and
still goes wrong, or is lost.

Source: [MS-FSCC] 2.4.7 (times and attributes that can be set), 2.4.15 (extended attributes), 2.6
(attributes); [MS-DTYP] 2.4.6 (descriptors); microsoft/go-winio backuptar/tar.go (what is lost).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from winlayers.errors import Malformed
from winlayers.formats.ea import ExtendedAttribute, parse_ea_list
from winlayers.formats.filetime import GO_ZERO_TIME_FILETIME
from winlayers.formats.security import Control, parse_descriptor
from winlayers.formats.sids import Sid
from winlayers.layer.checks.subject import Subject, volume_of
from winlayers.layer.entry import (
    ATTRIBUTE_NAMES,
    FILE_ATTRIBUTE_REPARSE_POINT,
    STREAM_ATTRIBUTE_SPARSE,
    Entry,
    EntryKind,
    attribute_names,
)
from winlayers.layer.findings import Finding
from winlayers.layer.names import FILES, fold
from winlayers.layer.view import NODE_IMPLIED, NODE_STREAMS, Node

MAX_EA_SIZE = 65535
MAX_EA_NAME_SIZE = 254

_BUILTIN_USERS = Sid(5, (32, 545))
_EA_NAME = re.compile(rb'[^\x00-\x1f\\/:*?"<>|,+=\[\];]+')

_TEMPORARY = 0x100
_STORED_PLAIN = 0x800 | 0x4000  # COMPRESSED, ENCRYPTED
_ELSEWHERE = 0x1000 | 0x40000 | 0x400000  # OFFLINE, RECALL_ON_OPEN, RECALL_ON_DATA_ACCESS
_KNOWN_ATTRIBUTES = sum(ATTRIBUTE_NAMES)

_TIME_NAMES = ("creation", "access", "write", "change")
# 0, -1 and -2: leave the time alone, stop keeping it up to date, go on with that.
_UNSET_TIMES = frozenset({0, 2**64 - 1, 2**64 - 2})
_NEGATIVE_TIME = 2**63


class MetadataCheck:
    """Looks at the metadata of one entry after another; descriptors are looked at once each.

    Args:
        subject: the layer.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._descriptors: dict[bytes, tuple[tuple[str, str], ...]] = {}

    def check(self, node: Node, entry: Entry) -> Iterator[Finding]:
        """Look at an entry that is no whiteout.

        Args:
            node: its row.
            entry: its metadata.
        """
        if node.flags & NODE_IMPLIED:
            return
        if node.kind is not EntryKind.LINK:
            yield from self._check_security(node, entry)
            yield from self._check_times(entry)
        yield from self._check_attributes(node, entry)
        if entry.ea:
            yield from self._check_ea(entry)
        if node.flags & NODE_STREAMS:
            yield from self._check_streams(node)

    def _check_security(self, node: Node, entry: Entry) -> Iterator[Finding]:
        if not entry.security:
            yield from self._check_absence(node)
            return
        faults = self._descriptors.get(entry.security)
        if faults is None:
            faults = tuple(_faults_of_descriptor(entry.security))
            self._descriptors[entry.security] = faults
        for code, detail in faults:
            yield self._subject.finding(code, entry.path, detail)

    def _check_absence(self, node: Node) -> Iterator[Finding]:
        """An entry without a descriptor.

        The original exports what is not strictly below Files, but for base layers, without any.
        """
        volume = volume_of(fold(node.path))
        if volume is None or len(node.path) == len(volume):
            return
        if volume != FILES and not self._subject.is_base:
            return
        if self._subject.below is not None and node.is_directory:
            below = self._subject.below.lookup(node.path)
            if below is not None and below.is_directory:
                if self._subject.below.entry(below).security:
                    detail = f"layer {below.layer_id} has one for this folder"
                    yield self._subject.finding("security-not-repeated", node.path, detail)
                return
        yield self._subject.finding("security-missing", node.path, "has none")

    def _check_times(self, entry: Entry) -> Iterator[Finding]:
        times = (
            entry.creation_filetime,
            entry.access_filetime,
            entry.write_filetime,
            entry.change_filetime,
        )
        for code, names in (
            ("time-unset", _named(times, lambda time: time in _UNSET_TIMES)),
            ("time-1754", _named(times, lambda time: time == GO_ZERO_TIME_FILETIME)),
            (
                "time-refused",
                _named(times, lambda time: time >= _NEGATIVE_TIME and time not in _UNSET_TIMES),
            ),
        ):
            if names:
                yield self._subject.finding(code, entry.path, f"time of {names}")

    def _check_attributes(self, node: Node, entry: Entry) -> Iterator[Finding]:
        attributes = entry.attributes
        is_link = node.kind is EntryKind.LINK
        if attributes & FILE_ATTRIBUTE_REPARSE_POINT and not (entry.reparse or is_link):
            detail = "has the attribute REPARSE_POINT"
            yield self._subject.finding("reparse-missing", entry.path, detail)
        if attributes & _TEMPORARY and node.kind is EntryKind.DIRECTORY:
            yield self._subject.finding("attributes-refused", entry.path, "has TEMPORARY")
        for code, bits in (
            ("attributes-offline", attributes & _ELSEWHERE),
            ("attributes-not-applied", attributes & _STORED_PLAIN),
            ("attributes-unknown", attributes & ~_KNOWN_ATTRIBUTES),
        ):
            if bits:
                detail = f"has {', '.join(attribute_names(bits))}"
                yield self._subject.finding(code, entry.path, detail)

    def _check_ea(self, entry: Entry) -> Iterator[Finding]:
        try:
            attributes = parse_ea_list(entry.ea)
        except Malformed as error:
            yield self._subject.finding("ea-invalid", entry.path, error.reason)
            return
        if len(entry.ea) > MAX_EA_SIZE:
            detail = f"they take {len(entry.ea):,} bytes"
            yield self._subject.finding("ea-too-large", entry.path, detail)
        for attribute in attributes:
            if not _EA_NAME.fullmatch(attribute.name) or len(attribute.name) > MAX_EA_NAME_SIZE:
                yield self._subject.finding("ea-name", entry.path, f"{attribute.name!r}")
        if detail := lost_of_ea(attributes):
            yield self._subject.finding("ea-lost", entry.path, detail)

    def _check_streams(self, node: Node) -> Iterator[Finding]:
        has_data = node.kind is EntryKind.FILE and node.size > 0
        for part in self._subject.table.parts(node.row):
            if not part.name:
                continue
            if not has_data:
                detail = f"alternate stream {part.name!r} of what has no data"
                yield self._subject.finding("stream-lost", node.path, detail)
            elif part.attributes & STREAM_ATTRIBUTE_SPARSE:
                detail = f"alternate stream {part.name!r}"
                yield self._subject.finding("stream-sparse", node.path, detail)


def lost_of_ea(attributes: list[ExtendedAttribute]) -> str:
    """What the original loses of extended attributes, ``""`` for nothing."""
    lost = []
    if any(attribute.flags for attribute in attributes):
        lost.append("flags")
    if len({attribute.name for attribute in attributes}) < len(attributes):
        lost.append("all but the last value of a name")
    return " and ".join(lost)


def _named(times: tuple[int, ...], is_meant: Callable[[int], bool]) -> str:
    return ", ".join(name for name, time in zip(_TIME_NAMES, times, strict=True) if is_meant(time))


def _faults_of_descriptor(data: bytes) -> Iterator[tuple[str, str]]:
    """Codes and details of what a descriptor leaves open."""
    try:
        descriptor = parse_descriptor(data)
    except Malformed as error:
        yield "security-invalid", error.reason
        return
    if descriptor.owner is None:
        yield "security-no-owner", "names no owner"
    elif descriptor.owner == _BUILTIN_USERS:
        yield "security-owner-users", "the owner is O:BU"
    if Control.DACL_PRESENT not in descriptor.control:
        yield "security-no-dacl", "has no DACL"
    elif descriptor.dacl is None:
        yield "security-null-dacl", "has a NULL DACL"
