"""A file system of Windows worked out the plain way: nodes in dicts, nothing shared, nothing remembered.

To compare ``layer.tree`` over a scratch with. It holds everything in memory, copies a chain into itself
when it begins, and shares no code with the tree but how names are folded and descriptors inherited. Each verb
has the name and the order of refusals that the tree's has; what it raises is the class alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.model import model_of
from winlayers.backends.memory import HeldEntry
from winlayers.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    InUse,
    InvalidArgument,
    InvalidName,
    IsADirectory,
    NotADirectory,
    PathInUse,
    PathNotFound,
    ReadOnlyFile,
)
from winlayers.formats.security import (
    SecurityDescriptor,
    build_descriptor,
    inherit,
    parse_descriptor,
)
from winlayers.formats.sids import ALIASES, SYSTEM
from winlayers.layer.entry import EntryKind
from winlayers.layer.names import fold

READONLY, DIRECTORY, ARCHIVE, REPARSE = 0x1, 0x10, 0x20, 0x400
#: Attributes that nobody sets: DIRECTORY, DEVICE, SPARSE_FILE, REPARSE_POINT, COMPRESSED, ENCRYPTED.
FIXED = 0x10 | 0x40 | 0x200 | 0x400 | 0x800 | 0x4000
#: Names that the tests try and Windows, or a layer, does not take.
ILLEGAL_NAMES = ("a:b", "a?", "dot.", "blank ", "nul", "COM1.x", ".wh.a", "x" * 256, "..")
_ILLEGAL = {fold(name) for name in ILLEGAL_NAMES if not name.startswith(".wh.")}


@dataclass(eq=False)
class ModelNode:
    """A file or directory, whatever its names.

    Attributes:
        is_directory: also for links to directories.
        attributes: as set; DIRECTORY and REPARSE_POINT do not count.
        times: creation, access, write, change.
        streams: folded name -> name and bytes; the data of a file under ``""``.
        children: folded name -> name and node.
        opened: folded names of its streams that somebody has open, once for each.
    """

    is_directory: bool
    attributes: int
    times: list[int]
    security: bytes = b""
    ea: bytes = b""
    reparse: bytes = b""
    streams: dict[str, tuple[str, bytearray]] = field(default_factory=dict)
    children: dict[str, tuple[str, ModelNode]] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    @property
    def is_open_directory(self) -> bool:
        """Whether it can have children."""
        return self.is_directory and not self.reparse

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link or junction."""
        return self.reparse[:4] in (b"\x0c\0\0\xa0", b"\x03\0\0\xa0")

    @property
    def is_listed(self) -> bool:
        """Whether it is shown as a directory."""
        return self.is_directory and not self.is_link

    @property
    def shown_attributes(self) -> int:
        """The attributes as Windows tells them."""
        told = self.attributes & ~(DIRECTORY | REPARSE)
        return told | (DIRECTORY if self.is_directory else 0) | (REPARSE if self.reparse else 0)


class NtfsModel:
    """The volume, from the container's ``C:`` on.

    Args:
        layers: the chain, nearest first.
        clock: the time now, as a FILETIME.
    """

    def __init__(self, layers: Sequence[Sequence[HeldEntry]], clock: Callable[[], int]) -> None:
        self._clock = clock
        shown = model_of(layers)
        nodes: dict[tuple[str, ...], ModelNode] = {}
        for key in sorted(shown, key=len):
            one = shown[key]
            entry = one.shared
            node = ModelNode(
                entry.kind is EntryKind.DIRECTORY,
                entry.attributes,
                [
                    entry.creation_filetime,
                    entry.access_filetime,
                    entry.write_filetime,
                    entry.change_filetime,
                ],
                entry.security,
                entry.ea,
                entry.reparse,
                {fold(part.name): (part.name, bytearray(part.content)) for part in one.parts},
            )
            nodes[key] = node
            if len(key) > 1:
                nodes[key[:-1]].children[key[-1]] = (one.path.rpartition("/")[2], node)
        self.root = nodes["FILES",]

    # -- looking -----------------------------------------------------------------------------------

    def walk(self) -> Iterator[tuple[str, ModelNode]]:
        """All paths below the root with their nodes, each directory before what is in it."""
        pending = [("", self.root)]
        while pending:
            path, node = pending.pop(0)
            if path:
                yield path, node
            prefix = path + "/" if path else ""
            for folded in sorted(node.children):
                name, child = node.children[folded]
                pending.append((prefix + name, child))

    def link_count(self, node: ModelNode) -> int:
        """How many names a node has."""
        return (node is self.root) + sum(other is node for _, other in self.walk())

    def find(self, path: str) -> ModelNode:
        """The node at a path."""
        found = self._lookup(path)
        if found is None:
            raise PathNotFound(path)
        return found

    def spelled(self, path: str) -> str:
        """A path as its names are kept."""
        node, names = self.root, []
        for component in filter(None, path.split("/")):
            name, node = node.children[fold(component)]
            names.append(name)
        return "/".join(names)

    def listing(self, path: str) -> list[str]:
        """The names in a directory, in folded order."""
        node = self.find(path)
        if not node.is_listed:
            raise NotADirectory(path)
        return [node.children[folded][0] for folded in sorted(node.children)]

    # -- contents ----------------------------------------------------------------------------------

    def open(
        self,
        path: str,
        *,
        writable: bool,
        create: bool,
        exclusive: bool,
        truncate: bool,
        stream: str,
    ) -> tuple[ModelNode, str]:
        """What a content is of: a node and the folded name of a stream. It counts as open."""
        node = self._lookup(path)
        folded = fold(stream)
        if node is None:
            if not create:
                raise PathNotFound(path)
            node = self._make(path, is_directory=False)
        elif create and exclusive and not stream:
            raise AlreadyExists(path)
        if stream and create:
            if folded in node.streams:
                if exclusive:
                    raise AlreadyExists(stream)
            else:
                self._check_writable(node)
                node.streams[folded] = (stream, bytearray())
                node.times[3] = self._clock()
        elif not stream and node.is_directory:
            raise IsADirectory(path)
        if writable:
            self._check_writable(node)
        if folded not in node.streams:
            raise PathNotFound(stream)
        if writable and truncate:
            self.cut(node, folded, 0)
        node.opened.append(folded)
        return node, folded

    def write(self, node: ModelNode, folded: str, offset: int, data: bytes) -> None:
        """Write bytes; what is before them and was not there is zeros."""
        if not data:
            return
        content = node.streams[folded][1]
        content.extend(bytes(max(offset - len(content), 0)))
        content[offset : offset + len(data)] = data
        self._written(node)

    def cut(self, node: ModelNode, folded: str, size: int) -> None:
        """Have so many bytes."""
        content = node.streams[folded][1]
        content.extend(bytes(max(size - len(content), 0)))
        del content[size:]
        self._written(node)

    def remove_stream(self, path: str, stream: str) -> None:
        node = self.find(path)
        folded = fold(stream)
        if not stream or folded not in node.streams:
            raise PathNotFound(stream)
        self._check_writable(node)
        if folded in node.opened:
            raise InUse(stream)
        del node.streams[folded]
        node.times[3] = self._clock()

    # -- names -------------------------------------------------------------------------------------

    def mkdir(self, path: str) -> None:
        self._make(path, is_directory=True)

    def make_reparse(self, path: str, data: bytes, *, is_directory: bool) -> None:
        """Make a symbolic link or junction."""
        self._make(path, is_directory=is_directory).reparse = data

    def link(self, target: str, path: str) -> None:
        node = self.find(target)
        if node.is_directory:
            raise IsADirectory(target)
        directory, name = self._new_place(path)
        if fold(name) in directory.children:
            raise AlreadyExists(path)
        directory.children[fold(name)] = (name, node)
        node.times[3] = self._clock()
        self._happened_in(directory)

    def unlink(self, path: str) -> None:
        directory, folded, node = self._named(path)
        if node.is_listed:
            raise IsADirectory(path)
        self._remove(directory, folded, node)

    def rmdir(self, path: str) -> None:
        directory, folded, node = self._named(path)
        if not node.is_listed:
            raise NotADirectory(path)
        if node.children:
            raise DirectoryNotEmpty(path)
        self._remove(directory, folded, node)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        directory, folded, node = self._named(old)
        new_directory, name = self._new_place(new)
        is_same = new_directory is directory and fold(name) == folded
        target = self._lookup(new)
        if is_same:
            if directory.children[folded][0] == name:
                return
        elif target is not None:
            if not replace:
                raise AlreadyExists(new)
            if target is node:
                return
            self._check_replaceable(node, target)
        if self._is_in(new_directory, node):
            raise InvalidArgument(new)
        if target is not None:
            target.times[3] = self._clock()
        del directory.children[folded]
        new_directory.children[fold(name)] = (name, node)
        node.times[3] = self._clock()
        self._happened_in(directory)
        self._happened_in(new_directory)

    def exchange(self, one: str, other: str) -> None:
        first_place, first, one_node = self._named(one)
        second_place, second, other_node = self._named(other)
        if (first_place, first) == (second_place, second):
            return
        if self._is_in(second_place, one_node) or self._is_in(first_place, other_node):
            raise InvalidArgument(one)
        first_name, second_name = first_place.children[first][0], second_place.children[second][0]
        first_place.children[first] = (first_name, other_node)
        second_place.children[second] = (second_name, one_node)
        one_node.times[3] = other_node.times[3] = self._clock()
        self._happened_in(first_place)
        self._happened_in(second_place)

    # -- metadata ----------------------------------------------------------------------------------

    def set_attributes(self, path: str, attributes: int) -> None:
        node = self.find(path)
        node.attributes = (node.attributes & FIXED) | (attributes & ~FIXED & ~0x80)
        node.times[3] = self._clock()

    def set_times(self, path: str, times: Sequence[int | None]) -> None:
        """Creation, access, write, change; None leaves one, but for the last: now."""
        node = self.find(path)
        node.times[3] = self._clock()
        for number, time in enumerate(times):
            if time is not None:
                node.times[number] = time

    def set_security(self, path: str, descriptor: bytes) -> None:
        node = self.find(path)
        node.security = descriptor
        node.times[3] = self._clock()

    def set_ea(self, path: str, ea: bytes) -> None:
        node = self.find(path)
        node.ea = ea
        node.times[3] = self._clock()

    def set_reparse(self, path: str, data: bytes) -> None:
        node = self.find(path)
        if data:
            if data[:4] == b"\x03\0\0\xa0" and not node.is_directory:
                raise InvalidArgument(path)
            if node.children:
                raise DirectoryNotEmpty(path)
        node.reparse = data
        node.times[3] = self._clock()

    # -- inside ------------------------------------------------------------------------------------

    def _lookup(self, path: str) -> ModelNode | None:
        node = self.root
        for component in filter(None, path.split("/")):
            if not node.is_open_directory or fold(component) not in node.children:
                return None
            node = node.children[fold(component)][1]
        return node

    def _new_place(self, path: str) -> tuple[ModelNode, str]:
        above, _, name = path.strip("/").rpartition("/")
        if not name:
            raise AlreadyExists(path)
        directory = self.find(above)
        if directory.reparse:
            raise PathNotFound(above)
        if not directory.is_directory:
            raise NotADirectory(above)
        if name.startswith(".wh.") or fold(name) in _ILLEGAL:
            raise InvalidName(name)
        return directory, name

    def _named(self, path: str) -> tuple[ModelNode, str, ModelNode]:
        node = self.find(path)
        above, _, name = path.strip("/").rpartition("/")
        if not name:
            raise PathInUse(path)
        return self.find(above), fold(name), node

    def _make(self, path: str, *, is_directory: bool) -> ModelNode:
        directory, name = self._new_place(path)
        if fold(name) in directory.children:
            raise AlreadyExists(path)
        above = parse_descriptor(directory.security) if directory.security else SecurityDescriptor()
        descriptor = inherit(above, is_directory=is_directory, owner=ALIASES["BA"], group=SYSTEM)
        node = ModelNode(
            is_directory,
            0 if is_directory else ARCHIVE,
            [self._clock()] * 4,
            build_descriptor(descriptor),
        )
        if not is_directory:
            node.streams[""] = ("", bytearray())
        directory.children[fold(name)] = (name, node)
        self._happened_in(directory)
        return node

    def _remove(self, directory: ModelNode, folded: str, node: ModelNode) -> None:
        self._check_writable(node)
        del directory.children[folded]
        node.times[3] = self._clock()
        self._happened_in(directory)

    def _check_replaceable(self, node: ModelNode, target: ModelNode) -> None:
        if target.is_listed:
            if not node.is_listed:
                raise IsADirectory
            if target.children:
                raise DirectoryNotEmpty
        elif node.is_listed:
            raise NotADirectory
        self._check_writable(target)

    def _check_writable(self, node: ModelNode) -> None:
        if node.attributes & READONLY:
            raise ReadOnlyFile

    def _is_in(self, directory: ModelNode, node: ModelNode) -> bool:
        """Whether a directory is a node, or somewhere below it."""
        if directory is node:
            return True
        return any(self._is_in(directory, child) for _, child in node.children.values())

    def _written(self, node: ModelNode) -> None:
        node.attributes |= ARCHIVE
        node.times[2] = node.times[3] = self._clock()

    def _happened_in(self, directory: ModelNode) -> None:
        directory.times[2] = directory.times[3] = self._clock()
