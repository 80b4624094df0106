"""A scratch with something in it, stories of what is done to it, and a picture of what it shows.

A story is a list of steps; each is whole or absent wherever a story is cut off. What the scratch shows in
between is what it may show after the cut.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.faults import scenes
from tests.support.builders import DESCRIPTOR, OTHER_DESCRIPTOR, content_at
from tests.support.scratches import Desk
from winlayers.backends.portable._scratch import PortableScratch
from winlayers.backends.portable._scratch_nodes import NodeStore
from winlayers.backends.portable.backend import PortableBackend
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.layer.chain import Chain
from winlayers.layer.view import Metadata, View, walk

Step = Callable[[Desk], object]
Contents = dict[str, bytes]
#: By path: what never is half, and the bytes by stream.
Picture = dict[str, tuple[Any, Contents]]

CHAIN = Chain(("parent", "base"))
OWN = b"own" * 1500
OLD_INI = b"[fonts]\r\n"
_EA = build_ea_list([ExtendedAttribute(b"A", b"value", 0)])
# Times after this are those of clocks.
_LAST_TIME = 10**17


def folder_of(root: Path) -> Path:
    return root / "windowsfilter" / "box" / "scratch"


def open_box(root: Path, *, read_only: bool = False) -> PortableScratch:
    return PortableBackend(root).scratch("box", CHAIN, read_only=read_only)


@contextmanager
def desk_at(root: Path, *, gathers: bool = False) -> Iterator[Desk]:
    """The scratch, open; closed at the end."""
    with open_box(root) as scratch:
        if gathers:
            scratch.gather(None)
        yield Desk(scratch)


def make(root: Path) -> None:
    """A store with the scratch in it."""
    scenes.make(root, "base", "parent").create_read_write("box", "parent")
    with desk_at(root) as desk:
        desk.make("Files/own.txt", OWN)
        desk.scratch.create_stream(desk.at("Files/own.txt"), "s")
        desk.write("Files/own.txt", b"stream", 0, "s")
        desk.make("Files/dir", None)
        desk.make("Files/dir/a", b"a of dir")
        desk.make("Files/dir/sub", None)
        desk.make("Files/dir/sub/b", b"b of sub")
        desk.link("Files/dir/a", "Files/alias")
        desk.make("Files/gone.txt", b"!")
        desk.delete("Files/gone.txt", "Files/Windows/old.txt")


# -- stories ------------------------------------------------------------------------------------------


def _metadata(path: str, metadata: Metadata) -> Step:
    return lambda desk: desk.scratch.set_metadata(desk.at(path), metadata)


def _sync(desk: Desk) -> None:
    desk.scratch.sync()


def _truncate(path: str, size: int) -> Step:
    def step(desk: Desk) -> None:
        content = desk.scratch.open_content(desk.at(path), writable=True)
        with closing(content):
            content.truncate(size)

    return step


def write_synced(path: str, data: bytes, offset: int = 0) -> Step:
    """Write, and have that on the disk before it is closed."""

    def step(desk: Desk) -> None:
        content = desk.scratch.open_content(desk.at(path), writable=True)
        with closing(content):
            content.write_at(offset, data)
            content.sync()

    return step


def _together(desk: Desk) -> None:
    with desk.scratch.together():
        desk.make("Files/one", None)
        desk.rename("Files/own.txt", "Files/one/own.txt")
        desk.delete("Files/dir/sub/b")


def _outlive(desk: Desk) -> None:
    """Write to a file that has no name any more."""
    content = desk.scratch.open_content(desk.at("Files/own.txt"), writable=True)
    with closing(content):
        desk.delete("Files/own.txt")
        content.write_at(0, b"nobody")


STORIES: dict[str, list[Step]] = {
    "a new file": [
        lambda desk: desk.make("Files/new.txt"),
        lambda desk: desk.write("Files/new.txt", b"new" * 2000),
        lambda desk: desk.write("Files/new.txt", b"more", 6000),
        _truncate("Files/new.txt", 10),
    ],
    "a copy": [
        lambda desk: desk.write("Files/Windows/win.ini", b"[FONTS]"),
        _truncate("Files/Users/me.txt", 0),
    ],
    "a rename of a tree": [
        lambda desk: desk.rename("Files/Windows", "Files/dir/sub/W"),
        lambda desk: desk.rename("Files/dir", "Files/Users/Dir"),
    ],
    "a replacement": [
        lambda desk: desk.rename("Files/own.txt", "Files/alias"),
        lambda desk: desk.rename("Files/alias", "Files/Windows/win.ini"),
        lambda desk: desk.rename("Files/Windows/win.ini", "Files/Windows/WIN.INI"),
    ],
    "a removal": [
        lambda desk: desk.delete("Files/own.txt"),
        lambda desk: desk.delete("Files/alias"),
        lambda desk: desk.delete("Files/dir/a"),
        lambda desk: desk.delete("Files/Users/me.txt"),
        lambda desk: desk.make("Files/Users/me.txt"),
    ],
    "a hard link": [
        lambda desk: desk.link("Files/own.txt", "Files/dir/sub/too"),
        lambda desk: desk.link("Files/Users/me.txt", "Files/dir/me"),
    ],
    "metadata": [
        _metadata("Files/own.txt", Metadata(attributes=3, write_filetime=5, security=DESCRIPTOR)),
        _metadata("Files/Users/me.txt", Metadata(ea=_EA, creation_filetime=1, change_filetime=2)),
        _metadata("Files/Users/me.txt", Metadata(ea=b"", security=OTHER_DESCRIPTOR)),
    ],
    "streams": [
        lambda desk: desk.scratch.create_stream(desk.at("Files/Users/me.txt"), "t"),
        lambda desk: desk.write("Files/Users/me.txt", b"of t", 0, "t"),
        lambda desk: desk.scratch.delete_stream(desk.at("Files/own.txt"), "s"),
        lambda desk: desk.scratch.delete_stream(desk.at("Files/Users/me.txt"), "t"),
    ],
    "several at once": [_together],
    "a file without a name": [_outlive],
    "a sync": [
        lambda desk: desk.write("Files/own.txt", b"OWN"),
        _sync,
        lambda desk: desk.delete("Files/own.txt"),
        _sync,
    ],
}


def play(root: Path, steps: list[Step], *, gathers: bool = False) -> None:
    """Open the scratch, do these steps, and close it; ``gathers``: with few commits."""
    with desk_at(root, gathers=gathers) as desk:
        for step in steps:
            step(desk)


def pictures(root: Path, steps: list[Step]) -> list[Picture]:
    """What the scratch shows before the steps, and after each of them."""
    with desk_at(root) as desk:
        found = [picture(desk.scratch)]
        for step in steps:
            step(desk)
            found.append(picture(desk.scratch))
    return found


# -- what is found ------------------------------------------------------------------------------------


def picture(view: View) -> Picture:
    """All that a view shows; of the times those that are not of clocks."""
    found: Picture = {}
    for node in walk(view, view.root()):
        entry = view.entry(node)
        times = (
            entry.creation_filetime, entry.access_filetime, entry.write_filetime,
            entry.change_filetime,
        )  # fmt: skip
        solid = (
            entry.kind, entry.attributes, entry.security, entry.ea, entry.reparse, entry.target,
            tuple(min(time, _LAST_TIME) for time in times),
        )  # fmt: skip
        names = [part.name for part in view.parts(node)]
        found[node.path] = solid, {name: content_at(view, node.path, name) for name in names}
    return found


def look(root: Path) -> Picture:
    """Open the scratch after a crash: what it shows; its files and its counts have to fit."""
    folder = folder_of(root)
    with open_box(root) as scratch:
        found = picture(scratch)
        held = 0
        rows = {}
        for node in walk(scratch, scratch.root()):
            sizes = {part.name: part.size for part in scratch.parts(node)}
            assert sizes == {name: len(data) for name, data in found[node.path][1].items()}
            assert node.size == sizes.get("", 0)
            if node.layer_id == "box":
                held += 1024
                rows[node.row] = sum(1024 for name in sizes if name)
        held += sum(rows.values())
        with NodeStore(folder / "scratch.db", "box", read_only=True) as store:
            assert store.fault() is None
            parts = [part for _, part, _ in store.data_parts()]
        files = {int(path.name): path.stat().st_size for path in (folder / "data").iterdir()}
        assert {part.data: part.size for part in parts} == files
        assert scratch.held_size == held + sum(files.values())
    # Closed well, it is as it was.
    with open_box(root) as scratch:
        assert picture(scratch) == found
        assert scratch.held_size == held + sum(files.values())
    return found


class Ground:
    """The scratch in a store that nothing else of changes, put back as it was for each run.

    Args:
        root: the store, made here.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        make(root)
        self._template = root.with_name("template")
        shutil.copytree(folder_of(root), self._template)

    def prepare(self) -> Path:
        shutil.rmtree(folder_of(self.root))
        shutil.copytree(self._template, folder_of(self.root))
        return self.root

    def keep(self) -> None:
        """Have it be from now on as it is now."""
        shutil.rmtree(self._template)
        shutil.copytree(folder_of(self.root), self._template)
