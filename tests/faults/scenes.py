"""A small store, what is done to it, and a look at what is left.

    base <- parent <- (new)      other

All stories are about the layer "new"; the others must never be touched by them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_symlink,
    a_whiteout,
    content_at,
    layer_tar,
    paths_of,
)
from winlayers.assembly import open_driver
from winlayers.backends.memory import MemoryReader
from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.portable.loose import open_loose
from winlayers.base.digest import Digest
from winlayers.base.fileobj import RawReader
from winlayers.config import Config
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.driver.metadata import LAYER_CHAIN, build_layer_chain
from winlayers.layer.chain import Chain
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.view import View

_BASE = a_layer(
    a_file("Files/Windows/win.ini", b"[fonts]\r\n"),
    a_file("Files/Windows/old.txt", b"old"),
    a_directory("Files/Users"),
)
_NEW = a_layer(
    *(a_file(f"Files/Program/file{n}.dll", bytes([n]) * 700 * n) for n in range(10)),
    a_file("Files/Program/marked.exe", b"MZ", {"Zone.Identifier": b"[ZoneTransfer]"}),
    a_file("Files/Windows/win.ini", b"[mail]\r\n"),
    a_link("Files/Program/again.dll", "Files/Program/file3.dll"),
    a_link("Files/Program/below.txt", "Files/Users/me.txt"),
    a_symlink("Files/Program/way", "C:\\Windows"),
    a_whiteout("Files/Windows/old.txt"),
)
TARS = {
    "base": layer_tar(_BASE),
    "parent": layer_tar(a_layer(a_file("Files/Users/me.txt", b"me"))),
    "other": layer_tar(a_layer(a_file("Files/other.txt", b"other"))),
    "new": layer_tar(_NEW),
}
PARENTS = {"base": "", "parent": "base", "other": "", "new": "parent"}
GZIPPED = gzip.compress(TARS["new"], mtime=0)
DIFF_IDS = {name: "sha256:" + hashlib.sha256(tar).hexdigest() for name, tar in TARS.items()}
_PATHS = {*(held.entry.path for held in _NEW), "Files/Users", "Files/Users/me.txt"}
_PATHS -= {"Files/Windows/old.txt"}
_PATHS_BELOW = {"Files", "Files/Windows", "Files/Windows/win.ini", "Files/Windows/old.txt"}
_PATHS_BELOW |= {"Files/Users", "Files/Users/me.txt"}
_CHANGE_COUNT = 17
_KEPT = {"lock", "driver.db", *(f"windowsfilter/{name}/{LAYER_CHAIN}" for name in TARS)}
_KEPT |= {
    f"windowsfilter/{name}/sealed/{file}"
    for name in TARS
    for file in ("layer.tar", "index.db", "layer.json")
}
_KEPT |= {f"windowsfilter/new/scratch/{name}" for name in ("data", "data/1", "lock", "scratch.db")}
# Who only looks at a scratch leaves these.
_KEPT |= {f"windowsfilter/new/scratch/scratch.db-{name}" for name in ("shm", "wal")}


def open_store(root: Path, *, reexec: bool = False, tmpdir: Path | None = None) -> Driver:
    """The store, recovered."""
    return open_driver(Config(root, tmpdir, reexec=reexec))


def open_unrecovered(root: Path) -> Driver:
    """The same as a process has it that opened it before the crash."""
    backend = PortableBackend(root)
    return Driver(root, backend, InlineImporter(backend))


def add(driver: Driver, name: str, source: BinaryIO | None = None, **options: Any) -> None:
    """Import one of the layers, and check what is told of it."""
    tar = io.BytesIO(TARS[name]) if source is None else source
    summary = driver.import_layer(name, PARENTS[name], tar, **options)
    assert summary.diff_id == DIFF_IDS[name]


def make(root: Path, *names: str) -> Driver:
    """A store with these layers, by default all but "new"."""
    driver = open_store(root)
    for name in names or ("base", "parent", "other"):
        add(driver, name)
    return driver


# -- stories --------------------------------------------------------------------------------------


def import_new(root: Path) -> None:
    """Import in this process."""
    add(open_unrecovered(root), "new", io.BytesIO(GZIPPED))


def import_new_in_child(root: Path) -> None:
    """Import in a write-layer process."""
    add(open_store(root, reexec=True), "new", io.BytesIO(GZIPPED))


def write_new(root: Path) -> None:
    """Make the layer of entries."""
    chain = Chain(("parent", "base"))
    folders = [root / "windowsfilter" / name for name in chain]
    files = {LAYER_CHAIN: build_layer_chain(folders)}
    backend = PortableBackend(root)
    copy_entries(MemoryReader(_NEW), backend.writer("new", chain, files))


def rebuild_new(root: Path) -> None:
    """Make the index again."""
    PortableBackend(root).rebuild_index("new", Chain(("parent", "base")))


def save_tar(root: Path) -> None:
    """Put a tar beside the store."""
    root.with_name("loose.tar.gz").write_bytes(GZIPPED)


def look_at_tar(root: Path) -> None:
    """Open that tar, with its index where the store stages."""
    with open_loose(root.with_name("loose.tar.gz"), tmpdir=root / "tmp") as loose:
        assert content_at(loose.view, "Files/Program/file9.dll") == bytes([9]) * 6300


def create_new(root: Path) -> None:
    """Docker's first step."""
    open_unrecovered(root).create("new", "parent")


def create_scratch(root: Path) -> None:
    """What Docker does for a container."""
    open_unrecovered(root).create_read_write("new", "parent", {"size": "20GB"})


def use_scratch(root: Path) -> None:
    """Open it, write to it, and close it."""
    backend = PortableBackend(root)
    with backend.scratch("new", Chain(("parent", "base"))) as scratch:
        files = scratch.lookup("Files")
        assert files is not None
        node = scratch.create(files, "written.txt", Entry("", EntryKind.FILE))
        with closing(scratch.open_content(node, writable=True)) as content:
            content.write_at(0, b"written")


def fill_new(root: Path) -> None:
    """Docker's second step; where the first is missing, both."""
    add(open_unrecovered(root), "new", io.BytesIO(GZIPPED))


def remove_new(root: Path) -> None:
    open_unrecovered(root).remove("new")


def remove_parent(root: Path) -> None:
    open_unrecovered(root).remove("parent")


def clean(root: Path) -> None:
    """Open the store, which recovers it."""
    open_store(root)


def hold_new(root: Path) -> None:
    """Get and put."""
    driver = open_unrecovered(root)
    driver.get("new")
    driver.get("new")
    driver.put("new")
    driver.put("new")


def get_new(root: Path) -> None:
    """Get, and not put."""
    open_unrecovered(root).get("new")


def read_new(root: Path) -> None:
    """Export, and look through a view: all of it is right, or LayerNotFound is raised."""
    driver = open_unrecovered(root)
    assert digest_of(driver, "new") == DIFF_IDS["new"]
    with closing(driver.view("new")) as view:
        _check_view(view)


def examine_new(root: Path) -> None:
    """Ask what else there is to ask."""
    driver = open_unrecovered(root)
    assert driver.usage("new").summary.diff_id == DIFF_IDS["new"]
    assert driver.chain("new").layer_ids == ("parent", "base")
    assert len(list(driver.changes("new"))) == _CHANGE_COUNT
    with driver.diff_getter("new") as getter, getter.get("Files/Program/file1.dll") as file:
        assert file.read() == b"\1" * 700


# -- what is left -----------------------------------------------------------------------------------


def look(root: Path) -> str:
    """Open the store after a crash: how "new" is found; all else has to be as it was.

    Returns:
        ``"absent"``, ``"created"``, ``"scratch"``, ``"written"`` or ``"whole"``; ``"orphaned"`` if it is absent and its parent too.
    """
    driver = open_store(root)
    assert leftovers(root) == []
    has_parent = driver.exists("parent")
    for name in ("base", "parent", "other") if has_parent else ("base", "other"):
        assert digest_of(driver, name) == DIFF_IDS[name]
    state = state_of(driver)
    assert has_parent or state == "absent"
    return state if has_parent else "orphaned"


def state_of(driver: Driver) -> str:
    """How "new" is found by a driver."""
    if not driver.exists("new"):
        assert "new" not in driver.layers()
        return "absent"
    assert "new" in driver.layers()
    assert driver.chain("new").layer_ids == ("parent", "base")
    if driver.usage("new").kind == "created":
        return "created"
    if driver.usage("new").kind == "scratch":
        return _check_scratch(driver)
    assert digest_of(driver, "new") == DIFF_IDS["new"]
    assert driver.usage("new").summary.diff_id == DIFF_IDS["new"]
    with closing(driver.view("new")) as view:
        _check_view(view)
    return "whole"


def _check_scratch(driver: Driver) -> str:
    with closing(driver.scratch("new")) as scratch:
        assert scratch.quota == 20 << 30
        if scratch.lookup("Files/written.txt") is None:
            assert set(paths_of(scratch)) == _PATHS_BELOW
            return "scratch"
        assert set(paths_of(scratch)) == _PATHS_BELOW | {"Files/written.txt"}
        return "written"


def _check_view(view: View) -> None:
    assert set(paths_of(view)) == _PATHS
    assert content_at(view, "Files/Program/file9.dll") == bytes([9]) * 6300
    assert content_at(view, "Files/Program/below.txt") == b"me"
    assert content_at(view, "Files/Program/marked.exe", "Zone.Identifier") == b"[ZoneTransfer]"


def digest_of(driver: Driver, name: str) -> str:
    """Digest of the tar that a layer is exported as."""
    with driver.diff(name) as file:
        return str(Digest("sha256", hashlib.sha256(file.read()).hexdigest()))


def files_below(root: Path) -> Iterator[str]:
    """All files and all empty folders, as paths from the root."""
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        yield from ((here / name).as_posix() for name in files)
        if not folders and not files:
            yield here.as_posix()


def leftovers(root: Path) -> list[str]:
    """What has no business in a store that nobody works on."""
    return sorted(set(files_below(root)) - _KEPT - {"tmp"})


# -- sources -----------------------------------------------------------------------------------------


class Source(RawReader):
    """A file object to import that can do something before each read.

    Args:
        data: what it gives.
        before: called before each read with the offset.
        most: the most bytes that a read gives.
    """

    def __init__(
        self, data: bytes, before: Callable[[int], None] = lambda offset: None, most: int = 1 << 20
    ) -> None:
        self._file = io.BytesIO(data)
        self._before = before
        self._most = most

    def readinto(self, buffer: Any, /) -> int:
        self._before(self._file.tell())
        data = self._file.read(min(len(buffer), self._most))
        buffer[: len(data)] = data
        return len(data)
