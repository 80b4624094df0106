"""Random operations on a tree over a scratch, against a model; opened again, and killed, in between.

Each step does the same to both and compares how it went, then looks at one path. At the end, and each time
that the scratch is opened again, all paths are compared with all metadata and bytes.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.builders import DESCRIPTOR, OTHER_DESCRIPTOR, Layer, an_import, layer_tar
from tests.support.ntfsmodel import ILLEGAL_NAMES, ModelNode, NtfsModel
from tests.support.strategies import contents, ea_lists, filetimes, layer_stacks
from winlayers.backends.portable._scratch import PortableScratch, make_scratch
from winlayers.backends.portable.backend import PortableBackend
from winlayers.errors import WinlayersError
from winlayers.formats.reparse import (
    MountPoint,
    RawReparse,
    SymbolicLink,
    build_reparse,
)
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.names import fold
from winlayers.layer.tree import FileKind, Stat, Tree
from winlayers.layer.view import Content

#: How much is tried; more finds more.
MACHINES = 40
STEPS = 50
CHAINS = 40

EPOCH = 116444736000000000
TARGETS = {
    "a": SymbolicLink("a", "a", 1),
    "../b/./c": SymbolicLink("..\\b\\.\\c", "..\\b\\.\\c", 1),
    "/a/B": SymbolicLink("\\??\\C:\\a\\B", "C:\\a\\B"),
}
REPARSE = [
    b"",
    build_reparse(RawReparse(0x8000001C, b"x")),
    build_reparse(SymbolicLink("a", "a", 1)),
    build_reparse(MountPoint("\\??\\C:\\a", "C:\\a")),
]


def random_chains() -> list[list[Layer]]:
    """Some chains, nearest layer first; drawn once, so that the steps have all the luck."""
    found: list[list[Layer]] = []

    @settings(derandomize=True, max_examples=CHAINS, deadline=None, phases=[Phase.generate])
    @given(layer_stacks(max_children=2))
    def collect(stack: list[Layer]) -> None:
        found.append(stack)

    collect()
    return found


CHAIN_LIST = random_chains()


@functools.cache
def imported(number: int) -> tuple[PortableBackend, list[str]]:
    """One of the chains in a store, and its layers, nearest first."""
    home = Path(tempfile.mkdtemp(prefix="winlayers-chain-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    backend, chain = PortableBackend(home), list[str]()
    for layer in reversed(CHAIN_LIST[number]):
        layer_id = f"L{len(chain)}"
        backend.import_tar(an_import(layer_id, layer_tar(layer), *chain))
        chain.insert(0, layer_id)
    return backend, chain


picks = st.integers(0, 2**16)
new_names = st.one_of(
    st.sampled_from(["a", "A", "b", "B", "new", "NEW", "ünï", "ÜNÏ", "d e", "\ud800"]),
    st.sampled_from(["a", "b", "new", "dir"]),
    st.sampled_from(ILLEGAL_NAMES),
)
stream_names = st.sampled_from(["", "", "", "s", "S", "Zone.Identifier", "other"])
descriptors = st.sampled_from([DESCRIPTOR, OTHER_DESCRIPTOR])
attributes = st.sampled_from([0, 0x1, 0x20, 0x21, 0x80, 0x2026, 0x10, 0x600])


@dataclass
class Handle:
    """A content that is open in both."""

    content: Content
    node: ModelNode
    folded: str
    writable: bool


class TreeMachine(RuleBasedStateMachine):
    """The tree and the model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="winlayers-machine-"))
        self.now_filetime = EPOCH + 10**16
        self.generation = self.openings = 0
        self.handles: list[Handle] = []
        self.ids: dict[int, ModelNode] = {}
        self.numbers: dict[ModelNode, int] = {}
        self.recent: list[str] = []
        self.touched = ""

    @initialize(number=picks)
    def begin(self, number: int) -> None:
        number %= len(CHAIN_LIST)
        self.backend, self.chain = imported(number)
        self.folder = self.home / "scratch0"
        make_scratch(self.folder, self.chain, 0, Entry("", EntryKind.DIRECTORY, 0x10))
        self.model = NtfsModel(CHAIN_LIST[number], lambda: self.now_filetime)
        self.open_scratch()
        self.check_all()

    def open_scratch(self) -> None:
        def clock_ns() -> int:
            return (self.now_filetime - EPOCH) * 100

        tables = [self.backend.table(layer_id) for layer_id in self.chain]
        self.scratch = PortableScratch(self.folder, "s", tables, clock_ns=clock_ns)
        self.openings += 1
        if self.openings % 2:
            self.scratch.gather(None)
        self.tree = Tree(self.scratch, clock_ns=clock_ns)
        self.ids.clear()
        self.numbers.clear()

    # -- helpers -----------------------------------------------------------------------------------

    def both(self, tree: Callable[[], Any], model: Callable[[], Any]) -> tuple[Any, Any]:
        """Do one thing to both; they have to agree on whether it can be done."""
        self.now_filetime += 12_345
        outcomes: list[Any] = []
        refusals: list[type[WinlayersError] | None] = []
        for act in (tree, model):
            try:
                outcomes.append(act())
                refusals.append(None)
            except WinlayersError as error:
                outcomes.append(None)
                refusals.append(type(error))
        assert refusals[0] is refusals[1], f"tree: {refusals[0]}, model: {refusals[1]}"
        return outcomes[0], outcomes[1]

    def path(self, pick: int) -> str:
        """Some path, mostly of something that is there or was just made, in some spelling."""
        paths = [path for path, _ in self.model.walk()]
        paths += ["", "nothing", "a/nothing"]
        if pick & 0x2000 and self.recent:
            paths = self.recent[-4:]
        path = paths[pick % len(paths)]
        self.touched = path
        return fold(path) if pick & 0x4000 else path

    def new_path(self, pick: int, name: str) -> str:
        """A name in some directory, or below what is none."""
        above = [""] + [path for path, node in self.model.walk() if node.is_directory or pick & 1]
        path = f"{above[pick // 2 % len(above)]}/{name}".lstrip("/")
        self.touched = path
        self.recent.append(path)
        return path

    def check_path(self, path: str, node: ModelNode) -> None:
        stat = self.tree.stat(path)
        self.check_stat(stat, path, node)
        assert self.tree.security(path) == node.security
        assert self.tree.ea(path) == node.ea
        assert self.tree.reparse(path) == node.reparse
        streams = [(stream.name, stream.size) for stream in self.tree.streams(path)]
        assert streams == [
            (name, len(data)) for key, (name, data) in sorted(node.streams.items()) if key
        ]
        for name, data in node.streams.values():
            content = self.tree.open(path, stream=name)
            assert content.size == len(data)
            assert content.read_at(0, len(data) + 1) == data
            content.close()
        if node.is_listed:
            assert [one.name for one in self.tree.scandir(path)] == self.model.listing(path)

    def check_stat(self, stat: Stat, path: str, node: ModelNode) -> None:
        assert stat.path == self.model.spelled(path)
        assert stat.is_directory is node.is_directory
        assert (stat.kind is FileKind.DIRECTORY) is (node.is_directory and not node.reparse)
        assert (stat.kind in (FileKind.SYMLINK, FileKind.JUNCTION)) is node.is_link
        assert stat.attributes == node.shown_attributes
        times = [
            stat.creation_filetime,
            stat.access_filetime,
            stat.write_filetime,
            stat.change_filetime,
        ]
        assert times == node.times
        assert stat.size == (len(node.streams[""][1]) if "" in node.streams else 0)
        assert stat.link_count == self.model.link_count(node)
        # One number for one node, as long as the tree is open.
        assert self.ids.setdefault(stat.file_id, node) is node
        assert self.numbers.setdefault(node, stat.file_id) == stat.file_id

    def check_all(self) -> None:
        self.check_path("", self.model.root)
        for path, node in self.model.walk():
            self.check_path(path, node)

    # -- contents ----------------------------------------------------------------------------------

    @rule(
        pick=picks,
        stream=stream_names,
        writable=st.booleans(),
        create=st.booleans(),
        exclusive=st.booleans(),
        truncate=st.booleans(),
        offset=st.sampled_from([0, 0, 1, 7, 5000]),
        data=contents,
    )
    def write(self, pick: int, stream: str, offset: int, data: bytes, **how: bool) -> None:
        self.use(self.path(pick), stream, offset, data, **how)

    @rule(pick=picks, name=new_names, stream=stream_names, exclusive=st.booleans(), data=contents)
    def make_file(self, pick: int, name: str, stream: str, exclusive: bool, data: bytes) -> None:
        path = self.new_path(pick, name)
        self.use(path, stream, 0, data, writable=True, create=True, exclusive=exclusive)

    def use(self, path: str, stream: str, offset: int, data: bytes, **how: bool) -> None:
        handle = self.open_both(path, stream, **how)
        if handle is not None:
            if handle.writable:
                handle.content.write_at(offset, data)
                self.model.write(handle.node, handle.folded, offset, data)
            self.close_both(handle)

    def open_both(self, path: str, stream: str, **how: bool) -> Handle | None:
        given = {"writable": False, "create": False, "exclusive": False, "truncate": False, **how}
        content, opened = self.both(
            lambda: self.tree.open(path, stream=stream, **given),
            lambda: self.model.open(path, stream=stream, **given),
        )
        return None if opened is None else Handle(content, *opened, given["writable"])

    def close_both(self, handle: Handle) -> None:
        handle.content.close()
        handle.node.opened.remove(handle.folded)

    @precondition(lambda self: len(self.handles) < 4)
    @rule(pick=picks, stream=stream_names, writable=st.booleans())
    def open_and_keep(self, pick: int, stream: str, writable: bool) -> None:
        handle = self.open_both(self.path(pick), stream, writable=writable)
        if handle is not None:
            self.handles.append(handle)

    @precondition(lambda self: self.handles)
    @rule(pick=picks, offset=st.sampled_from([0, 3, 700]), data=contents, cut=st.booleans())
    def use_kept(self, pick: int, offset: int, data: bytes, cut: bool) -> None:
        handle = self.handles[pick % len(self.handles)]
        self.touched = next((path for path, one in self.model.walk() if one is handle.node), "")
        self.now_filetime += 12_345
        if handle.writable and cut:
            handle.content.truncate(offset)
            self.model.cut(handle.node, handle.folded, offset)
        elif handle.writable:
            handle.content.write_at(offset, data)
            self.model.write(handle.node, handle.folded, offset, data)
        held = handle.node.streams[handle.folded][1]
        assert handle.content.size == len(held)
        assert handle.content.read_at(0, len(held) + 1) == held
        assert handle.content.read_at(offset, 5) == held[offset : offset + 5]
        stat = self.tree.fstat(handle.content)
        assert stat.link_count == self.model.link_count(handle.node)
        assert stat.write_filetime == handle.node.times[2]

    @precondition(lambda self: self.handles)
    @rule(pick=picks)
    def close_kept(self, pick: int) -> None:
        self.close_both(self.handles.pop(pick % len(self.handles)))

    @rule(pick=picks, size=st.sampled_from([0, 1, 8, 700, 100_000]))
    def truncate(self, pick: int, size: int) -> None:
        path = self.path(pick)

        def cut() -> None:
            node, folded = self.model.open(
                path, writable=True, create=False, exclusive=False, truncate=False, stream=""
            )
            self.model.cut(node, folded, size)
            node.opened.remove(folded)

        self.both(lambda: self.tree.truncate(path, size), cut)

    @rule(pick=picks, stream=stream_names)
    def remove_stream(self, pick: int, stream: str) -> None:
        path = self.path(pick)
        self.both(
            lambda: self.tree.remove_stream(path, stream),
            lambda: self.model.remove_stream(path, stream),
        )

    # -- names -------------------------------------------------------------------------------------

    @rule(pick=picks, name=new_names)
    def mkdir(self, pick: int, name: str) -> None:
        path = self.new_path(pick, name)
        self.both(lambda: self.tree.mkdir(path), lambda: self.model.mkdir(path))

    @rule(pick=picks)
    def unlink(self, pick: int) -> None:
        path = self.path(pick)
        self.both(lambda: self.tree.unlink(path), lambda: self.model.unlink(path))

    @rule(pick=picks)
    def rmdir(self, pick: int) -> None:
        path = self.path(pick)
        self.both(lambda: self.tree.rmdir(path), lambda: self.model.rmdir(path))

    @rule(pick=picks)
    def remove_all_below(self, pick: int) -> None:
        path = self.path(pick)
        below = [one for one, _ in self.model.walk() if fold(one).startswith(fold(path) + "/")]
        for one in reversed(below):
            for remove in ("unlink", "rmdir"):
                self.both(
                    lambda one=one, remove=remove: getattr(self.tree, remove)(one),
                    lambda one=one, remove=remove: getattr(self.model, remove)(one),
                )

    @rule(old=picks, new=picks, name=new_names, replace=st.booleans())
    def rename(self, old: int, new: int, name: str, replace: bool) -> None:
        source, target = self.path(old), self.new_path(new, name)
        self.both(
            lambda: self.tree.rename(source, target, replace=replace),
            lambda: self.model.rename(source, target, replace=replace),
        )

    @rule(old=picks, new=picks)
    def rename_over(self, old: int, new: int) -> None:
        source, target = self.path(old), self.path(new)
        self.both(
            lambda: self.tree.rename(source, target, replace=True),
            lambda: self.model.rename(source, target, replace=True),
        )

    @rule(pick=picks)
    def rename_to_another_case(self, pick: int) -> None:
        path = self.path(pick)
        above, _, name = path.rpartition("/")
        target = f"{above}/{name.swapcase() if fold(name.swapcase()) == fold(name) else name}"
        self.both(
            lambda: self.tree.rename(path, target),
            lambda: self.model.rename(path, target, replace=False),
        )

    @rule(one=picks, other=picks)
    def exchange(self, one: int, other: int) -> None:
        first, second = self.path(one), self.path(other)
        self.both(
            lambda: self.tree.exchange(first, second), lambda: self.model.exchange(first, second)
        )

    @rule(pick=picks, new=picks, name=new_names)
    def link(self, pick: int, new: int, name: str) -> None:
        target, path = self.path(pick), self.new_path(new, name)
        self.recent.append(target)
        self.both(lambda: self.tree.link(target, path), lambda: self.model.link(target, path))

    @rule(
        pick=picks,
        name=new_names,
        text=st.sampled_from(sorted(TARGETS)),
        is_directory=st.booleans(),
    )
    def symlink(self, pick: int, name: str, text: str, is_directory: bool) -> None:
        path = self.new_path(pick, name)
        data = build_reparse(TARGETS[text])
        self.both(
            lambda: self.tree.symlink(text, path, is_directory=is_directory),
            lambda: self.model.make_reparse(path, data, is_directory=is_directory),
        )

    @rule(pick=picks, name=new_names)
    def junction(self, pick: int, name: str) -> None:
        path = self.new_path(pick, name)
        data = build_reparse(MountPoint("\\??\\C:\\a", "C:\\a"))
        self.both(
            lambda: self.tree.junction("/a", path),
            lambda: self.model.make_reparse(path, data, is_directory=True),
        )

    # -- metadata ----------------------------------------------------------------------------------

    @rule(pick=picks, value=attributes)
    def set_attributes(self, pick: int, value: int) -> None:
        path = self.path(pick)
        self.both(
            lambda: self.tree.set_attributes(path, value),
            lambda: self.model.set_attributes(path, value),
        )

    @rule(pick=picks, times=st.lists(st.none() | filetimes, min_size=4, max_size=4))
    def set_times(self, pick: int, times: list[int | None]) -> None:
        path = self.path(pick)
        named = dict(zip(("creation", "access", "write", "change"), times, strict=True))
        self.both(
            lambda: self.tree.set_times(path, **named), lambda: self.model.set_times(path, times)
        )

    @rule(pick=picks, descriptor=descriptors)
    def set_security(self, pick: int, descriptor: bytes) -> None:
        path = self.path(pick)
        self.both(
            lambda: self.tree.set_security(path, descriptor),
            lambda: self.model.set_security(path, descriptor),
        )

    @rule(pick=picks, ea=ea_lists)
    def set_ea(self, pick: int, ea: bytes) -> None:
        path = self.path(pick)
        self.both(lambda: self.tree.set_ea(path, ea), lambda: self.model.set_ea(path, ea))

    @rule(pick=picks, data=st.sampled_from(REPARSE))
    def set_reparse(self, pick: int, data: bytes) -> None:
        path = self.path(pick)
        self.both(
            lambda: self.tree.set_reparse(path, data), lambda: self.model.set_reparse(path, data)
        )

    # -- again and again ---------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.close_scratch()
        held = self.scratch.held_size
        self.open_scratch()
        assert self.scratch.held_size == held
        self.check_all()

    @rule(is_synced=st.booleans())
    def be_killed(self, is_synced: bool) -> None:
        """What was done is there after the process is gone; the times of the last writes are the disk's."""
        if is_synced:
            self.tree.sync()
        self.scratch.publish()
        self.generation += 1
        folder = self.home / f"scratch{self.generation}"
        shutil.copytree(self.folder, folder)
        for handle in self.handles:
            handle.node.opened.clear()
        unsaved = [] if is_synced else [one.node for one in self.handles if one.writable]
        self.handles.clear()
        self.scratch.close()
        self.folder = folder
        self.open_scratch()
        for path, node in self.model.walk():
            if node in unsaved:
                stat = self.tree.stat(path)
                node.times[2:] = [stat.write_filetime, stat.change_filetime]
                node.attributes = (node.attributes & ~0x20) | (stat.attributes & 0x20)
        self.check_all()

    def close_scratch(self) -> None:
        while self.handles:
            self.close_both(self.handles.pop())
        self.scratch.close()

    @invariant()
    def one_path_is_as_it_should_be(self) -> None:
        if not hasattr(self, "tree"):
            return
        for path in (self.touched, self.touched.rpartition("/")[0]):
            try:
                node = self.model.find(path)
            except WinlayersError as error:
                try:
                    self.tree.stat(path)
                except type(error):
                    continue
                raise AssertionError(f"{path!r} is there") from error
            self.check_path(path, node)

    def teardown(self) -> None:
        try:
            if hasattr(self, "tree"):
                self.check_all()
                self.reopen()
                self.scratch.close()
        finally:
            shutil.rmtree(self.home, ignore_errors=True)


TestTreeMachine = TreeMachine.TestCase
TestTreeMachine.settings = settings(
    derandomize=True, max_examples=MACHINES, stateful_step_count=STEPS, deadline=None
)
