"""A scratch on a chain of two layers, with short words for what is done to it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_symlink,
    a_whiteout,
    an_import,
    an_opaque_whiteout,
    content_at,
    layer_tar,
    node_at,
    paths_of,
)
from winlayers.backends.contract import Backend, ScratchAccess
from winlayers.layer.chain import Chain
from winlayers.layer.changes import changes
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.view import Node, Scratch

BASE = a_layer(
    a_file("Files/Windows/win.ini", b"[fonts]", {"Zone.Identifier": b"ZoneId=3"}),
    a_file("Files/Windows/System32/cmd.exe", b"MZ" * 5000),
    a_file("Files/Windows/System32/drivers/etc/hosts", b"localhost"),
    a_link("Files/Windows/cmd-too.exe", "Files/Windows/System32/cmd.exe"),
    a_file("Files/License.txt", b"the license"),
    a_directory("Files/empty"),
    a_file("Files/old/hidden/deep.txt", b"deep"),
    a_file("Files/old/below.txt", b"below"),
    a_symlink("Files/to windows", "C:\\Windows", is_directory=True),
)
CHILD = a_layer(
    a_file("Files/Windows/new.txt", b"new"),
    a_whiteout("Files/License.txt"),
    an_opaque_whiteout("Files/old"),
    a_file("Files/old/fresh.txt", b"fresh"),
    a_link("Files/far.txt", "Files/Windows/System32/drivers/etc/hosts"),
)
CHAIN = Chain(("child", "base"))


class Desk:
    """Short words for what is done to an open scratch.

    Args:
        scratch: the scratch.
    """

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch

    def at(self, path: str) -> Node:
        return node_at(self.scratch, path)

    def has(self, path: str) -> bool:
        return self.scratch.lookup(path) is not None

    def paths(self) -> list[str]:
        return paths_of(self.scratch)

    def read(self, path: str, stream: str = "") -> bytes:
        return content_at(self.scratch, path, stream)

    def write(self, path: str, data: bytes, offset: int = 0, stream: str = "") -> None:
        content = self.scratch.open_content(self.at(path), stream, writable=True)
        with closing(content):
            content.write_at(offset, data)

    def make(self, path: str, data: bytes | None = b"", **fields: Any) -> Node:
        """A new file with content, or a directory where that is None."""
        directory, _, name = path.rpartition("/")
        kind = EntryKind.DIRECTORY if data is None else EntryKind.FILE
        fields = {"attributes": 0x10 if data is None else 0x20, **fields}
        node = self.scratch.create(self.at(directory), name, Entry("", kind, **fields))
        if data:
            self.write(node.path, data)
        return self.at(node.path)

    def rename(self, path: str, new: str) -> Node:
        directory, _, name = new.rpartition("/")
        return self.scratch.rename(self.at(path), self.at(directory), name)

    def link(self, path: str, new: str) -> Node:
        directory, _, name = new.rpartition("/")
        return self.scratch.link(self.at(path), self.at(directory), name)

    def delete(self, *paths: str) -> None:
        for path in paths:
            self.scratch.delete(self.at(path))


class Bench(Desk):
    """A chain, and a scratch on it that is open for writing and can be opened again.

    Args:
        backend: an empty one.
        quota: of the scratch, in bytes; 0 for no limit.
    """

    def __init__(self, backend: Backend, quota: int = 0) -> None:
        self.backend = backend
        backend.import_tar(an_import("base", layer_tar(BASE)))
        backend.import_tar(an_import("child", layer_tar(CHILD), "base"))
        backend.create_scratch("s", CHAIN, quota, {})
        super().__init__(self.open())

    def open(self, *, read_only: bool = False) -> Scratch:
        assert isinstance(self.backend, ScratchAccess)
        return self.backend.scratch("s", CHAIN, read_only=read_only)

    def reopen(self) -> None:
        self.scratch.close()
        self.scratch = self.open()

    def changes(self) -> list[str]:
        with closing(self.backend.view("child", Chain(("base",)))) as old:
            return [str(change) for change in changes(old, self.scratch)]
