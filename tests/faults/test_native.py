"""The native backend killed at every step: the next open finds the whole layer or none, and removes the rest."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.forks import Actor, Nursery
from tests.faults.points import Points, kill_at
from tests.support.builders import a_file, a_layer, a_whiteout, an_import, layer_tar
from tests.support.nativestore import native_backend
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._ledger import remove_ledger
from winlayers.backends.native.backend import NativeBackend
from winlayers.layer.chain import Chain

BASE = layer_tar(a_layer(a_file("Files/a"), a_file("Files/b", b"b"), a_file("Files/c", b"c")))
NEW = layer_tar(a_layer(a_file("Files/new", b"new"), a_whiteout("Files/b")))
#: Calls that change nothing, or only what ends with the process.
LOOKING = (
    *(
        "Adjust",
        "BackupRead",
        "CloseHandle",
        "FormatMessage",
        "Get",
        "Impersonate",
        "Lookup",
        "NameToGuid",
    ),
    *("Open", "ReadFile", "Revert", "Rtl"),
)
FILES = {"layerchain.json": b"null"}

Story = Callable[[NativeBackend], None]


def import_new(backend: NativeBackend) -> None:
    backend.import_tar(an_import("new", NEW, "base", files=FILES))


def create_new(backend: NativeBackend) -> None:
    backend.create("new", Chain(("base",)), FILES)


def create_scratch(backend: NativeBackend) -> None:
    backend.create_scratch("new", Chain(("base",)), 20 << 30, FILES)


def remove_new(backend: NativeBackend) -> None:
    if backend.exists("new"):
        backend.rename("new", "new-removing")
    backend.destroy("new-removing")


def forget_ledger_and_look(backend: NativeBackend) -> None:
    remove_ledger(backend._ledgers / "new")
    backend.view("new", Chain(("base",))).close()


@contextmanager
def calls_of_windows_are_points(points: Points) -> Iterator[None]:
    """Come to a point before each call of Windows that changes anything."""
    original = Libraries.call

    def call(self: Libraries, name: str, *args: Any) -> int:
        if not name.startswith(LOOKING):
            points.reached(f"Windows.{name}", ())
        return original(self, name, *args)

    Libraries.call = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        Libraries.call = original  # type: ignore[method-assign]


def run_killed(root: Path, before: tuple[Story, ...], story: Story, at: int) -> None:
    """Make a store with a base layer, and kill this process at a point of a story."""
    backend = native_backend(root)
    backend.import_tar(an_import("base", BASE, files=FILES))
    for one in before:
        one(backend)
    points = Points(kill_at(at))
    with points, calls_of_windows_are_points(points):
        story(backend)


def state_after(root: Path) -> str:
    """How the next process finds the layer; nothing else may be left."""
    backend = native_backend(root)
    backend.recover()
    if (root / "windowsfilter/new-removing").exists():
        backend.destroy("new-removing")
    for folder in ("making", "tmp"):
        assert not any((root / "winlayers" / folder).glob("*[!k]")), folder
    if not backend.exists("new"):
        assert sorted(path.name for path in (root / "windowsfilter").iterdir()) == ["base"]
        assert [path.name for path in (root / "winlayers/layers").iterdir()] == ["base"]
        import_new(backend)  # nothing is in the way of a new one
        return "absent"
    folder = root / "windowsfilter/new"
    assert (folder / "layerchain.json").read_bytes() == b"null"
    kind = backend.usage("new").kind
    if kind == "sealed":
        chain = Chain(("base",))
        with closing(backend.export_tar("new", chain)) as tar:
            assert tar.read() == NEW or not is_first_export(backend)
        with backend.view("new", chain) as view:
            assert view.lookup("Files/new") is not None
            assert view.lookup("Files/b") is None
            assert view.lookup("Files/a") is not None
    return kind


def is_first_export(backend: NativeBackend) -> bool:
    """Whether the ledger of the layer is that of its import, and not made again."""
    return backend.usage("new").summary.diff_id == an_import("new", NEW).confirm(len(NEW)).diff_id


def sweep(root: Path, before: tuple[Story, ...], story: Story) -> list[str]:
    """The states, each change once, from a kill at the first point to none."""
    states = []
    for at in itertools.count(1):
        outcome = Actor(run_killed, root / str(at), before, story, at).outcome()
        if outcome.signal != signal.SIGKILL:
            assert outcome.is_good, outcome.trace
            states.append(Actor(state_after, root / str(at)).get())
            return [str(at), *(state for state, _ in itertools.groupby(states))]
        states.append(Actor(state_after, root / str(at)).get())
    raise AssertionError


SWEEPS: dict[str, tuple[tuple[Story, ...], Story, list[str], int]] = {
    "import": ((), import_new, ["absent", "sealed"], 60),
    "fill": ((create_new,), import_new, ["created", "sealed"], 60),
    "create": ((), create_new, ["absent", "created"], 15),
    "scratch": ((), create_scratch, ["absent", "scratch"], 20),
    "remove": ((import_new,), remove_new, ["sealed", "absent"], 15),
    "adopt": ((import_new,), forget_ledger_and_look, ["sealed"], 30),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_killed_at_each_point_leaves_all_or_nothing(
    nursery: Nursery, tmp_path: Path, name: str
) -> None:
    before, story, states, least = SWEEPS[name]
    count, *found = nursery.run(sweep, tmp_path, before, story)
    assert int(count) > least
    assert found == states
