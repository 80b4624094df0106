"""Writes a transport folder, as an import hands it to Windows; ``transport`` has the form, and the way back.

What is not in the folder is done when Windows has taken it, by whoever owns the layer: the writer keeps a
list of removals, of hard links to be made, and of folders whose times must be set again. The utility VM
never goes through Windows, so it is written where it stays.

Source: microsoft/hcsshim internal/wclayer/legacy.go (legacyLayerWriter) and pkg/ociwclayer/import.go,
checked against the vectors legacy_layer and whole_layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from winlayers.base.fileobj import RawReader, read_into
from winlayers.errors import IllegalState, InvalidName, Malformed
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.reparse import steers_filter_driver, tag_of
from winlayers.layer.backupcontents import write_backup
from winlayers.layer.entry import Entry, EntryKind, LayerSummary, Part
from winlayers.layer.findings import Finding
from winlayers.layer.laws import is_opaque_marker
from winlayers.layer.names import (
    FILES,
    HIVES,
    MUTATED_FILES,
    ROOT_NAMES,
    UTILITY_VM,
    encode_name,
    fold,
)
from winlayers.layer.transportfolder import TransportFolder
from winlayers.layer.transporthost import PortableHost, TransportHost, info_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Beside each folder a file of this suffix, with the folder's attributes and backup stream.
DIRECTORY_SUFFIX = ".$wcidirs$"
TOMBSTONES = "tombstones.txt"
TOMBSTONES_HEAD = b"\xef\xbb\xbfVersion 1.0\n"

_BELOW_FILES = f"{FILES}/"
_BELOW_HIVES = f"{HIVES}/"
_UTILITY_FILES = f"{UTILITY_VM}/{FILES}"
_BELOW_UTILITY_FILES = f"{_UTILITY_FILES}/"
_NOT_IN_NAME = re.compile(r"[\0:\\]")
_CONTENT = (_BELOW_FILES, _BELOW_UTILITY_FILES)


@dataclass(frozen=True, slots=True)
class PendingLink:
    """A hard link to be made in the layer once Windows has it.

    Attributes:
        path: of the link.
        target: path of what it shares.
        source: folder of the parent that has the target, or None if the layer itself has it.
    """

    path: str
    target: str
    source: Path | None


class TransportWriter:
    """Writes entries as a transport folder; see ``layer.entry.EntryWriter``.

    An abort leaves the folder as it is; throwing it away is the caller's.

    Attributes:
        tombstones: paths that are to be removed from the layer, in order.
        links: hard links that are to be made in it after that.
        directories: folders of the layer whose times are to be set again at last, children first.
        has_utility_vm: whether the layer has a utility VM of its own.
    """

    def __init__(
        self,
        root: Path,
        parents: Sequence[Path] = (),
        *,
        utility_root: Path | None = None,
        backup_root: Path | None = None,
        host: TransportHost | None = None,
        tombstone_file: bool = False,
        strict: bool = True,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        """Begin in an empty folder.

        Args:
            root: the folder, which is there.
            parents: folders of the parents, nearest first; none for a base layer. Targets of hard links
                are looked for there, and the utility VM of the nearest is cloned.
            utility_root: folder that gets ``UtilityVM``; that of the layer, or None for ``root``.
            backup_root: folder that gets copies of files that Windows is going to change
                (``MUTATED_FILES``); None for no copies.
            host: what the system can do; None for a ``PortableHost``.
            tombstone_file: write ``tombstones.txt`` too, so that the folder can be read again. Windows
                takes removals apart from it.
            strict: refuse what the original refuses of a utility VM: one where the nearest parent has none, links
                to a parent's, and removals of what is not there.
            report: called with what is not carried over.
        """
        self.tombstones: list[str] = []
        self.links: list[PendingLink] = []
        self.directories: list[tuple[str, BasicInfo]] = []
        self.has_utility_vm = False
        self._places: list[TransportFolder] = []
        self._folder = self._open(root)
        self._utility = self._folder if utility_root is None else self._open(utility_root)
        self._backups = None if backup_root is None else self._open(backup_root)
        self._parents = [(parent, self._open(parent)) for parent in parents]
        self._host: TransportHost = PortableHost(report=report) if host is None else host
        self._tombstone_file = tombstone_file
        self._strict = strict
        self._report = report
        self._added: set[str] = set()  # folded
        self._put_off: list[tuple[str, BasicInfo]] = []  # folders that are reparse points
        self._size = 0
        self._entry_count = 0
        self._is_open = True

    # Entries

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """Add a file or directory.

        Raises:
            InvalidName: a name that is no place on disk.
            Malformed: no folder for it, or the name is taken; or a part is longer or shorter than it says.
        """
        self._begin(entry.path)
        entry = without_steering(entry, self._report)
        if _is_utility(entry.path):
            self._add_utility(entry, parts)
        elif entry.kind is EntryKind.DIRECTORY:
            self._add_directory(entry, parts)
        elif entry.path.startswith(_BELOW_HIVES):
            self._host.write_plain(self._folder, entry.path, entry, parts)
        else:
            self._write_record(entry.path, entry, parts)
        self._added.add(fold(entry.path))
        self._size += entry.size

    def link(self, entry: Entry) -> None:
        """Add a hard link; it is made later.

        Raises:
            Malformed: from or to a place where there are no hard links, or to nothing.
        """
        self._begin(entry.path)
        path, target = entry.path, entry.target
        check_link(path, target)
        self.links.append(PendingLink(path, target, self._find(path, target)))
        self._added.add(fold(path))

    def remove(self, path: str) -> None:
        """Add a removal: at once in the utility VM, else later.

        Raises:
            Malformed: in a base layer, or of what cannot be removed; in the utility VM also of what is not
                there.
        """
        self._begin(path)
        if not self._parents:
            raise _malformed("base layer cannot have tombstones", path, "whiteout-in-base")
        if is_opaque_marker(path):
            detail = "hides nothing on Windows"
            self._report(Finding("whiteout-opaque", path, detail))
        elif path.startswith(_BELOW_FILES):
            self.tombstones.append(path)
        elif path.startswith(_BELOW_UTILITY_FILES):
            if self._strict or self._host.has(self._utility, path):
                self._host.remove(self._utility, path)
        else:
            raise _malformed("invalid tombstone", path, "whiteout-outside")

    def commit(self) -> LayerSummary:
        """Finish the folder: folders that were put off, times, removals.

        Returns:
            What was counted.
        """
        self._check_open()
        for path, info in self._put_off:
            self._folder.make_directory(path)
            self._host.set_info(self._folder, path, info)
        self.directories.reverse()
        for path, info in self.directories:
            folder = self._utility if _is_utility(path) else self._folder
            self._host.set_info(folder, path, info)
        if self._folder.lstat(TOMBSTONES) is not None:
            self._folder.remove(TOMBSTONES)
        if self._tombstone_file:
            with self._folder.create(TOMBSTONES) as target:
                target.writelines(tombstone_lines(self.tombstones))
        self.abort()  # there is nothing more to write
        return LayerSummary(self._size, self._entry_count)

    def abort(self) -> None:
        """Write nothing more."""
        if self._is_open:
            self._is_open = False
            for folder in self._places:
                folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def _begin(self, path: str) -> None:
        """Count an entry, after a look at its path."""
        self._check_open()
        check_place(path)
        if any(name.endswith(DIRECTORY_SUFFIX) for name in path.split("/")):
            what = "a name that transport folders use themselves"
            raise InvalidName(f"{path!r} has {what}", finding="name-wcidirs")
        self._entry_count += 1

    def _open(self, place: Path) -> TransportFolder:
        folder = TransportFolder(place)
        self._places.append(folder)
        return folder

    def _check_open(self) -> None:
        if not self._is_open:
            raise IllegalState("the transport folder was committed or aborted before")

    # Files and Hives

    def _add_directory(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """A folder, and its record beside it."""
        self._folder.make_directory(entry.path)
        self._write_record(entry.path + DIRECTORY_SUFFIX, entry, parts)
        info = info_of(entry)
        if entry.reparse:
            # So that nothing more can be put in: the import would write it to where the link leads.
            self._folder.remove(entry.path)
            self._put_off.append((entry.path, info))
        else:
            self.directories.append((entry.path, info))

    def _write_record(
        self, path: str, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]
    ) -> None:
        """A file that holds the attributes and the backup stream of an entry, and has its times."""
        with self._folder.create(path) as target:
            target.write(entry.attributes.to_bytes(4, "little"))
            write_backup(target, entry, parts)
        self._host.set_info(self._folder, path, replace(info_of(entry), attributes=0))

    def _find(self, path: str, target: str) -> Path | None:
        """Where the target of a hard link is: None for this layer, else the folder of a parent."""
        if fold(target) in self._added:
            return None
        if _is_utility(target) and (self._strict or self.has_utility_vm):
            if self._host.has(self._utility, target):
                return None
        else:
            for parent, folder in self._parents:
                if self._host.has(folder, target):
                    return parent
        reason = f"failed to find link target {target!r}"
        raise _malformed(reason, path, "link-target-missing")

    # The utility VM

    def _add_utility(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """What is of the utility VM; in a layer with parents, first of all the folder itself."""
        path = entry.path
        if path == UTILITY_VM and self._parents:
            self._begin_utility(entry)
            return
        if self._parents and not self.has_utility_vm:
            raise _malformed("missing UtilityVM directory", path, "parent-missing")
        if path != UTILITY_VM and not f"{path}/".startswith(_BELOW_UTILITY_FILES):
            raise _malformed("invalid UtilityVM layer", path, "root-unknown")
        self.has_utility_vm |= path == _UTILITY_FILES
        if entry.kind is EntryKind.DIRECTORY:
            self._make_utility_directory(entry)
            self._host.write_plain(self._utility, path, entry, parts)
            self.directories.append((path, info_of(entry)))
            return
        if self._host.has(self._utility, path):
            # Never written into: it may be a name of the parent's file.
            self._host.remove(self._utility, path)
        if path in MUTATED_FILES and self._backups is not None:
            with self._backups.create(MUTATED_FILES[path]) as backup:
                self._host.write_plain(self._utility, path, entry, _keeping(parts, backup))
        else:
            self._host.write_plain(self._utility, path, entry, parts)

    def _begin_utility(self, entry: Entry) -> None:
        """The folder, with all files of the nearest parent's that has one."""
        if entry.kind is not EntryKind.DIRECTORY:
            raise _malformed("invalid UtilityVM layer", entry.path, "root-unknown")
        candidates = self._parents[:1] if self._strict else self._parents
        sources = (one for _, one in candidates if self._host.has_directory(one, _UTILITY_FILES))
        source = next(sources, None)
        if source is None and self._strict:
            raise _malformed("the parent has no utility VM", entry.path, "parent-missing")
        self._host.make_directory(self._utility, UTILITY_VM)
        if source is not None:
            self._host.clone_utility_vm(source, self._utility)
        self.has_utility_vm = True

    def _make_utility_directory(self, entry: Entry) -> None:
        """Keep a folder that is there, unless one of the two is a link or a file."""
        if self._host.has(self._utility, entry.path):
            if self._host.has_directory(self._utility, entry.path) and not entry.reparse:
                return
            self._host.remove(self._utility, entry.path)
        self._host.make_directory(self._utility, entry.path)


def _keeping(
    parts: Iterable[tuple[Part, BinaryIO]], backup: BinaryIO
) -> Iterator[tuple[Part, BinaryIO]]:
    """The parts, the data among them written to ``backup`` as it is read."""
    for part, source in parts:
        yield part, source if part.name else _KeepingReader(source, backup)


class _KeepingReader(RawReader):
    """A file object that writes down what is read through it."""

    def __init__(self, source: BinaryIO, backup: BinaryIO) -> None:
        self._source = source
        self._backup = backup

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._source.read(-1 if size is None else size)
        self._backup.write(data)
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return read_into(self, buffer)


def check_place(path: str) -> None:
    """Refuse a path that is no place in the folder of a layer.

    Raises:
        InvalidName: a component that is none.
        Malformed: it is outside what a layer has.
    """
    names = path.split("/")
    for name in names:
        if name in ("", ".", "..") or _NOT_IN_NAME.search(name):
            raise InvalidName(f"{path!r} has a component {name!r}", finding="name-traversal")
    if names[0] not in ROOT_NAMES:
        raise _malformed("it is outside Files, Hives and UtilityVM", path, "root-unknown")


def check_link(path: str, target: str) -> None:
    """Refuse a hard link from or to a place where there are none.

    Raises:
        Malformed: it is one.
    """
    if not (path.startswith(_CONTENT) and target.startswith(_CONTENT)):
        raise _malformed("invalid hard link in layer", path, "link-outside")


def without_steering(entry: Entry, report: Callable[[Finding], None]) -> Entry:
    """An entry without a reparse point that would steer the filter which shows layers; that is reported."""
    if not entry.reparse or not steers_filter_driver(tag_of(entry.reparse)):
        return entry
    report(Finding("reparse-dropped", entry.path, f"tag {tag_of(entry.reparse):#x}"))
    return replace(entry, reparse=b"")


def tombstone_lines(paths: Iterable[str]) -> Iterator[bytes]:
    """The lines of ``tombstones.txt`` for paths below ``Files``, its head first."""
    yield TOMBSTONES_HEAD
    for path in paths:
        yield encode_name(path.removeprefix(FILES).replace("/", "\\")) + b"\n"


def _is_utility(path: str) -> bool:
    return path == UTILITY_VM or path.startswith(f"{UTILITY_VM}/")


def _malformed(reason: str, path: str, finding: str) -> Malformed:
    return Malformed("transport folder", reason, entry=path, finding=finding)
