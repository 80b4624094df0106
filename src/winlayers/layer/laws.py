"""The laws of a sequence of entries, checked with all its names in memory.

``Laws`` is for whoever takes entries in one by one and can hold their names: the memory backend, and
backends that write to a file system. An index on disk answers the same questions with queries. What one
entry alone tells is asked of ``fault_of_whiteout`` and ``fault_of_link`` by all of them, and by readers.
This module refuses to know contents and where they go.

Source: the laws stand in ``layer.entry``; what breaks them on Windows is from microsoft/hcsshim
pkg/ociwclayer/import.go and internal/wclayer/legacy.go.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from winlayers.errors import InvalidName, Malformed
from winlayers.formats.text16 import utf16_unit_count
from winlayers.layer.entry import Entry, EntryKind, Part
from winlayers.layer.names import (
    CONTENT_PREFIXES,
    LENIENT_FAULTS,
    MAX_PATH_UNITS,
    OPAQUE_WHITEOUT,
    ROOT_NAMES,
    WHITEOUT_PREFIX,
    fault_of_component,
    fold,
)
from winlayers.layer.streamnames import check_stream_name
from winlayers.layer.view import Node

#: Last component of the path of an opaque whiteout: the name of its marker without the prefix.
OPAQUE_TARGET = OPAQUE_WHITEOUT.removeprefix(WHITEOUT_PREFIX)

_CONTENT = " and ".join(prefix.removesuffix("/") for prefix in CONTENT_PREFIXES)


class _Role(Enum):
    """What a name of the layer means for the names after it."""

    DIRECTORY = auto()
    CLOSED_DIRECTORY = auto()  # a reparse point
    FILE = auto()
    WHITEOUT = auto()


def is_opaque_marker(path: str) -> bool:
    """Whether the path of a whiteout is that of an opaque one, which stands for the directory's content."""
    return path.endswith("/" + OPAQUE_TARGET)


def fault_of_whiteout(path: str, *, is_base: bool) -> tuple[str, str] | None:
    """What is wrong with a whiteout, but for the characters of its name.

    The name after the prefix may begin with the prefix again: such a whiteout removes nothing, because no
    layer can have the name, but it is none the less a whiteout.

    Args:
        path: of what it hides.
        is_base: whether its layer has no parents.
    Returns:
        None, or the code of the finding and the reason.
    Source: microsoft/hcsshim internal/wclayer/legacy.go (Remove), pkg/ociwclayer/import.go.
    """
    if not path.startswith(CONTENT_PREFIXES):
        return "whiteout-outside", f"only names below {_CONTENT} can be removed"
    name = path.rpartition("/")[2]
    if name in ("", ".", ".."):
        return "whiteout-invalid", f"a whiteout of {name!r} would remove a folder around it"
    if is_base:
        return "whiteout-in-base", "a layer without parents has nothing to remove"
    return None


def fault_of_link(path: str, target: str) -> tuple[str, str] | None:
    """What is wrong with the two ends of a hard link.

    Each stands below one of the prefixes; it need not be the same.

    Args:
        path: of the link.
        target: path of what it leads to.
    Returns:
        None, or the code of the finding and the reason.
    Source: microsoft/hcsshim internal/wclayer/legacy.go (AddLink).
    """
    if not (path.startswith(CONTENT_PREFIXES) and target.startswith(CONTENT_PREFIXES)):
        return "link-outside", f"it or its target {target!r} is not below {_CONTENT}"
    if fold(path) == fold(target):
        return "link-to-self", "it is its own target"
    return None


class Laws:
    """Takes the entries of one layer in order and refuses the first that breaks a law.

    Args:
        is_base: whether the layer has no parents.
        find_below: looks a path up in what the layer stands on.
        lenient_names: let names pass that only ``\\\\?\\`` paths can make.
    """

    def __init__(
        self,
        *,
        is_base: bool,
        find_below: Callable[[str], Node | None],
        lenient_names: bool = False,
    ) -> None:
        self._is_base = is_base
        self._find_below = find_below
        self._lenient_names = lenient_names
        # By folded path. A whiteout stands under what it hides, so that one key finds every double.
        self._roles: dict[str, _Role] = {}
        self._streams: set[str] = set()  # of the present entry
        # Links whose target is not in the layer so far: (folded target, link).
        self._pending: list[tuple[str, Entry]] = []

    def admit(self, entry: Entry) -> None:
        """Take one more entry.

        Args:
            entry: the next one of the layer.
        Raises:
            Malformed: it breaks a law; carries the entry and the code of the finding.
        """
        folded = fold(entry.path)
        if entry.kind is EntryKind.WHITEOUT:
            self._check_whiteout(entry)
        self._check_names(entry, folded)
        self._check_once(entry, folded)
        self._check_parent(entry, folded)
        if entry.kind is EntryKind.LINK:
            self._check_link(entry)
        self._roles[folded] = _role_of(entry)
        self._streams.clear()

    def admit_part(self, entry: Entry, part: Part) -> None:
        """Take one more part of the entry last admitted.

        Args:
            entry: that entry.
            part: its next part.
        Raises:
            Malformed: data of a directory, a second part of one name, or a name that no stream can have.
        """
        folded = fold(part.name)
        if folded in self._streams:
            raise _breach("stream-duplicate", entry, f"stream {part.name!r} comes twice")
        self._streams.add(folded)
        if part.name:
            try:
                check_stream_name(part.name, entry.path)
            except InvalidName as error:
                raise Malformed(
                    "layer", str(error), entry=entry.path, finding=error.finding
                ) from error
        elif entry.kind is EntryKind.DIRECTORY:
            raise Malformed("layer", "is a directory with data", entry=entry.path)

    def finish(self) -> None:
        """Check what only the whole layer can tell.

        Raises:
            Malformed: a hard link has no target, or stands before it.
        """
        for target, entry in self._pending:
            if self._roles.get(target, _Role.WHITEOUT) is not _Role.WHITEOUT:
                raise _breach("link-before-target", entry, f"stands before {entry.target!r}")
            found = self._find_below(entry.target)
            if found is None:
                where = "the layer" if self._is_base else "the layer or its parents"
                raise _breach("link-target-missing", entry, f"no {entry.target!r} in {where}")
            if found.kind is EntryKind.DIRECTORY:
                raise _breach("link-to-directory", entry, f"{entry.target!r} is a directory")

    def _check_whiteout(self, entry: Entry) -> None:
        fault = fault_of_whiteout(entry.path, is_base=self._is_base)
        if fault is not None:
            code, reason = fault
            raise _breach(code, entry, reason)

    def _check_names(self, entry: Entry, folded: str) -> None:
        components = entry.path.split("/")
        if components[0] not in ROOT_NAMES:
            raise _breach("root-unknown", entry, f"is not below {', '.join(sorted(ROOT_NAMES))}")
        if utf16_unit_count(entry.path) > MAX_PATH_UNITS:
            raise _breach("name-too-long", entry, f"is longer than {MAX_PATH_UNITS} UTF-16 units")
        if folded.rpartition("/")[0] in self._roles:
            components = components[-1:]  # the others were looked at before
        if entry.kind is not EntryKind.WHITEOUT and components[-1].startswith(WHITEOUT_PREFIX):
            raise Malformed("layer", "is called as a whiteout is", entry=entry.path)
        for component in components:
            code, reason = fault_of_component(component) or ("", "")
            if code and not (self._lenient_names and code in LENIENT_FAULTS):
                raise _breach(code, entry, reason)

    def _check_once(self, entry: Entry, folded: str) -> None:
        role = self._roles.get(folded)
        if role is None:
            return
        if (role is _Role.WHITEOUT) is not (entry.kind is EntryKind.WHITEOUT):
            raise _breach("whiteout-and-entry", entry, "has an entry and a whiteout")
        raise _breach("name-duplicate", entry, "comes twice, case not regarded")

    def _check_parent(self, entry: Entry, folded: str) -> None:
        parent = folded.rpartition("/")[0]
        if not parent or self._roles.get(parent) is _Role.DIRECTORY:
            return
        while parent:
            role = self._roles.get(parent)
            if role not in (None, _Role.DIRECTORY):
                raise _breach("parent-not-directory", entry, "stands below what is no directory")
            parent = parent.rpartition("/")[0]
        raise _breach("parent-missing", entry, "has no entry of its directory before it")

    def _check_link(self, entry: Entry) -> None:
        fault = fault_of_link(entry.path, entry.target)
        if fault is not None:
            code, reason = fault
            raise _breach(code, entry, reason)
        target = fold(entry.target)
        role = self._roles.get(target)
        if role in (_Role.DIRECTORY, _Role.CLOSED_DIRECTORY):
            raise _breach("link-to-directory", entry, f"{entry.target!r} is a directory")
        if role is not _Role.FILE:
            # Not here, or removed here: then the parents' counts, unless it is yet to come.
            self._pending.append((target, entry))


def _role_of(entry: Entry) -> _Role:
    if entry.kind is EntryKind.DIRECTORY:
        return _Role.CLOSED_DIRECTORY if entry.reparse else _Role.DIRECTORY
    return _Role.WHITEOUT if entry.kind is EntryKind.WHITEOUT else _Role.FILE


def _breach(code: str, entry: Entry, reason: str) -> Malformed:
    return Malformed("layer", reason, entry=entry.path, finding=code)
