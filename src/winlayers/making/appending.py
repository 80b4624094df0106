"""Plain files as the entries of a new layer on others.

They go below ``Files``, at a place. What Windows would give them they get:

* what is new inherits its descriptor from the directory that it comes to; owner Administrators, group SYSTEM;
* a file that is there keeps its descriptor, attributes and time of creation, gets other bytes and loses its streams;
* a directory that is there, or on the way, stands in the layer as it is below, and is spelled so;
* all times are the time of writing that the source tells; what has none, as a directory that had to be made, has now.

Names to be deleted become whiteouts. Links are not written through. The order is whiteouts, then files as they come,
each after the directories on its way; then ``Hives``, empty, as Windows has it in any layer on another.

This module refuses to know where files come from.

Source: [MS-FSA] 2.1.5.1 (creation, overwriting); microsoft/hcsshim internal/wclayer/legacy.go (``Hives``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from winlayers.errors import (
    InvalidArgument,
    InvalidName,
    IsADirectory,
    NotADirectory,
    PathNotFound,
)
from winlayers.formats.filetime import fits_filetime, ns_to_filetime
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_SPARSE_FILE,
    Entry,
    EntryKind,
    Part,
)
from winlayers.layer.names import (
    FILES,
    HIVES,
    WHITEOUT_PREFIX,
    fault_of_component,
    fold,
    split_user_path,
)
from winlayers.layer.newentries import NewEntries
from winlayers.layer.posixlinks import symbolic_link
from winlayers.layer.view import Node, View
from winlayers.making.plainfiles import PlainFile, PlainKind


@dataclass(frozen=True, slots=True)
class Times:
    """The clock of a new layer.

    Attributes:
        now_ns: for what has no time, in nanoseconds since 1970.
        latest_ns: what is later gets this time (``SOURCE_DATE_EPOCH``); None for no limit.
    """

    now_ns: int
    latest_ns: int | None = None

    def filetime(self, write_ns: int | None) -> int:
        """The time that a file gets, in 100 ns since 1601."""
        time_ns = self.now_ns if write_ns is None else write_ns
        if self.latest_ns is not None:
            time_ns = min(time_ns, self.latest_ns)
        return ns_to_filetime(time_ns if fits_filetime(time_ns) else self.now_ns)


class AppendedFiles:
    """Reads plain files as a layer; see ``layer.entry.EntryReader``. Once only.

    Args:
        files: what is to be in the layer; a directory need not come before what is in it.
        below: what the layer will stand on.
        times: see there.
        place: directory of the container that the files go to, as ``C:\\app``; made where it is not there.
        deleted: paths of the container that go.
    """

    def __init__(
        self,
        files: Iterable[PlainFile],
        below: View,
        times: Times,
        *,
        place: str = "",
        deleted: Sequence[str] = (),
    ) -> None:
        self._files = files
        self._below = below
        self._times = times
        self._place = split_user_path(place)
        self._deleted = [split_user_path(path) for path in deleted]
        self._new = NewEntries()
        # By folded path: spelling and descriptor of each directory that has an entry, spelling of all others.
        self._directories: dict[str, tuple[str, bytes]] = {}
        self._others: dict[str, str] = {}
        self._gone: set[str] = set()
        self._file: PlainFile | None = None
        self._node: Node | None = None  # of the view below, whose streams the entry has
        self._open: BinaryIO | None = None

    def __iter__(self) -> Iterator[Entry]:
        """The entries.

        Raises:
            InvalidName: a name that Windows cannot have.
            InvalidArgument: a name that comes twice, or is deleted and comes.
            PathNotFound: what is to be deleted, or what a hard link shares, is not there.
            NotADirectory: something on the way is a file or a link.
            IsADirectory: a file would take the place of a directory.
        """
        yield from self._way([FILES])
        for components in self._deleted:
            yield from self._whiteout(components)
        for file in self._files:
            yield from self._added(file)
            self._let_go()
        if self._below.layer_ids:
            yield self._hives()
            self._let_go()

    def parts(self) -> Iterator[Part]:
        if self._file is not None:
            return iter((Part("", self._file.size),))
        return iter(self._below.parts(self._node) if self._node is not None else ())

    def open_part(self, part: Part) -> BinaryIO:
        self._close_open()
        if self._file is not None:
            assert self._file.open is not None, "a file that cannot be opened"
            self._open = self._file.open()
        else:
            assert self._node is not None, "an entry without parts"
            self._open = self._below.open(self._node, part.name)
        return self._open

    def close(self) -> None:
        """Stop. The view, and what the files come from, stay open."""
        self._let_go()

    def _let_go(self) -> None:
        self._close_open()
        self._file = self._node = None

    def _close_open(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    # -- directories --------------------------------------------------------------------------------

    def _way(self, components: Sequence[str]) -> Iterator[Entry]:
        """The entries of directories that have none yet; ``components`` is all of them, from the top."""
        for depth, name in enumerate(components, 1):
            above = fold("/".join(components[: depth - 1]))
            folded = f"{above}/{fold(name)}" if above else fold(name)
            if folded in self._directories:
                continue
            path = self._path_in(above, name)
            node = self._below.lookup(path)
            if folded in self._others or (node is not None and not node.is_directory):
                raise NotADirectory(f"{path!r} is a file or a link; nothing can be put below it")
            yield self._directory(above, path, node, None)
            self._let_go()

    def _directory(self, above: str, path: str, node: Node | None, write_ns: int | None) -> Entry:
        if node is not None and node.is_directory:
            entry = self._below.entry(node)
            self._node = node
        else:
            entry = self._entry(EntryKind.DIRECTORY, above, path, write_ns)
        self._directories[fold(path)] = entry.path, entry.security
        return entry

    def _path_in(self, above: str, name: str) -> str:
        """The path of a name in a directory that has an entry; a new name is checked."""
        fault = fault_of_component(name)
        if fault is not None:
            raise InvalidName(f"{name!r} {fault[1]}", finding=fault[0])
        if name.startswith(WHITEOUT_PREFIX):
            raise InvalidName(f"{name!r} would be a whiteout; say what is to be deleted instead")
        spelled = f"{self._directories[above][0]}/{name}" if above else name
        if fold(spelled) in self._gone:
            raise InvalidArgument(f"{spelled!r} is to be deleted, and is in what is added")
        found = self._below.lookup(spelled)
        return found.path if found is not None and found.is_directory else spelled

    def _whiteout(self, components: Sequence[str]) -> Iterator[Entry]:
        path = "/".join((FILES, *components))
        node = self._below.lookup(path)
        if node is None or not components:
            raise PathNotFound(f"{path!r} is not in the image, so it cannot be deleted")
        yield from self._way([FILES, *components[:-1]])
        folded = fold(path)
        if folded in self._gone or folded in self._directories:
            raise InvalidArgument(f"{path!r} is to be deleted twice, or with something in it")
        self._gone.add(folded)
        yield Entry(node.path, EntryKind.WHITEOUT)

    def _hives(self) -> Entry:
        node = self._below.lookup(HIVES)
        if node is not None and node.is_directory:
            self._node = node
            return self._below.entry(node)
        now = self._times.filetime(None)
        return Entry(HIVES, EntryKind.DIRECTORY, 0x10, now, now, now, now)

    # -- files --------------------------------------------------------------------------------------

    def _added(self, file: PlainFile) -> Iterator[Entry]:
        components = (FILES, *self._place, *file.parts)
        yield from self._way(components[:-1])
        above = fold("/".join(components[:-1]))
        path = self._path_in(above, components[-1])
        folded = fold(path)
        is_directory = file.kind is PlainKind.DIRECTORY
        if folded in self._directories and is_directory:
            return
        if folded in self._directories or folded in self._others:
            raise InvalidArgument(f"{path!r} comes twice, case not regarded")
        node = self._below.lookup(path)
        if is_directory:
            if node is not None and node.is_reparse_point:
                raise NotADirectory(f"{path!r} is a link in the image, and no directory")
            yield self._directory(above, path, node, file.write_ns)
            return
        if node is not None and node.is_directory:
            raise IsADirectory(
                f"{path!r} is a directory in the image; a file would take away all that is in it"
            )
        self._others[folded] = path
        yield self._leaf(file, above, path, node)

    def _leaf(self, file: PlainFile, above: str, path: str, node: Node | None) -> Entry:
        if file.kind is PlainKind.HARD_LINK:
            return self._link(file, path)
        if file.kind is PlainKind.SYMLINK:
            reparse = symbolic_link(file.target)
            kind = EntryKind.DIRECTORY if self._leads_to_directory(file) else EntryKind.FILE
            return self._entry(kind, above, path, file.write_ns, reparse)
        self._file = file
        entry = replace(self._entry(EntryKind.FILE, above, path, file.write_ns), size=file.size)
        if node is None or node.is_reparse_point:
            return entry
        old = self._below.entry(self._below.resolve(node))
        return replace(
            entry,
            attributes=(old.attributes | FILE_ATTRIBUTE_ARCHIVE) & ~FILE_ATTRIBUTE_SPARSE_FILE,
            creation_filetime=old.creation_filetime,
            security=old.security,
        )

    def _link(self, file: PlainFile, path: str) -> Entry:
        shared = "/".join((FILES, *self._place, *file.shares))
        target = self._others.get(fold(shared))
        if target is None or target == path:
            raise PathNotFound(
                f"{path!r} is a hard link to {shared!r}, which does not come before it"
            )
        time = self._times.filetime(file.write_ns)
        attributes = FILE_ATTRIBUTE_ARCHIVE
        return Entry(path, EntryKind.LINK, attributes, time, time, time, time, target=target)

    def _leads_to_directory(self, file: PlainFile) -> bool:
        """Whether a symbolic link leads to a directory that is below, or has come before it."""
        target = file.target.replace("\\", "/")
        has_drive = target[1:2] == ":"
        names = [] if has_drive or target[:1] == "/" else [*self._place, *file.parts[:-1]]
        for name in (target[2:] if has_drive else target).split("/"):
            if name == "..":
                del names[-1:]
            elif name not in ("", "."):
                names.append(name)
        path = "/".join((FILES, *names))
        node = self._below.lookup(path)
        return fold(path) in self._directories or (node is not None and node.is_directory)

    def _entry(
        self, kind: EntryKind, above: str, path: str, write_ns: int | None, reparse: bytes = b""
    ) -> Entry:
        security = self._directories[above][1] if above else b""
        time = self._times.filetime(write_ns)
        return replace(self._new.entry(kind, security, time, reparse), path=path)
