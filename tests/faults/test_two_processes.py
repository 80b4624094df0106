"""Two processes at one layer: one wins, the other is told clearly, and nothing is damaged.

One story is stopped at each of its points in turn while another runs whole; so each order of their steps
with one change between them is tried, whatever the machine is busy with.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults import scenes, sweeps
from tests.faults.forks import Actor, Bell, Nursery, Outcome
from tests.faults.sweeps import Step
from tests.support.builders import content_at, paths_of
from winlayers.driver import database
from winlayers.driver.refcount import RefCounts
from winlayers.errors import StoreLocked

Story = sweeps.Story


def meet(
    template: Path, before: tuple[Story, ...], first: Story, second: Story, looking: bool
) -> list[Step]:
    sweeps.make(template, *before)
    return sweeps.interleave(first, second, template, looking)


def ends_of(steps: list[Step]) -> set[tuple[str, str, str]]:
    """What both stories met, and how the layer was found: each combination that there was."""
    return {(step.outcome.error, step.other.error, step.state) for step in steps if step.other}


GOOD = ""
MEETINGS = {
    "two imports": (
        (), scenes.import_new, scenes.import_new, False,
        {("LayerExists", GOOD, "whole"), (GOOD, "LayerExists", "whole")},
    ),
    "two creations": (
        (), scenes.create_new, scenes.create_new, False,
        {("LayerExists", GOOD, "created"), (GOOD, "LayerExists", "created")},
    ),
    "creation and import": (
        (), scenes.create_new, scenes.import_new, False,
        {("LayerExists", GOOD, "whole"), (GOOD, GOOD, "whole")},
    ),
    "import and creation": (
        (), scenes.import_new, scenes.create_new, False,
        {(GOOD, GOOD, "whole"), (GOOD, "LayerExists", "whole")},
    ),
    "filling and removal": (
        (scenes.create_new,), scenes.fill_new, scenes.remove_new, False,
        {(GOOD, GOOD, "whole"), (GOOD, GOOD, "absent")},
    ),
    "two removals": (
        (scenes.import_new,), scenes.remove_new, scenes.remove_new, True, {(GOOD, GOOD, "absent")},
    ),
    "removal and import": (
        (scenes.import_new,), scenes.remove_new, scenes.import_new, False,
        {(GOOD, "LayerExists", "absent"), (GOOD, GOOD, "whole")},
    ),
    "import and removal of its parent": (
        (), scenes.import_new, scenes.remove_parent, False,
        {("ParentMissing", GOOD, "orphaned"), (GOOD, "LayerHasChildren", "whole")},
    ),
    "removal of a parent and import": (
        (), scenes.remove_parent, scenes.import_new, False,
        {(GOOD, "ParentMissing", "orphaned"), ("LayerHasChildren", GOOD, "whole")},
    ),
    "reading and removal": (
        (scenes.import_new,), scenes.read_new, scenes.remove_new, True,
        {("LayerNotFound", GOOD, "absent"), (GOOD, GOOD, "absent")},
    ),
    "removal and reading": (
        (scenes.import_new,), scenes.remove_new, scenes.read_new, False,
        {(GOOD, "LayerNotFound", "absent"), (GOOD, GOOD, "absent")},
    ),
    "questions and removal": (
        (scenes.import_new,), scenes.examine_new, scenes.remove_new, True,
        {("LayerNotFound", GOOD, "absent"), (GOOD, GOOD, "absent")},
    ),
    "get and removal": (
        (scenes.import_new,), scenes.get_new, scenes.remove_new, True,
        {("LayerNotFound", GOOD, "absent"), (GOOD, "LayerMounted", "whole")},
    ),
    "import and cleanup": (
        (), scenes.import_new, scenes.clean, False, {(GOOD, GOOD, "whole")},
    ),
    "cleanup and import": (
        (), scenes.clean, scenes.import_new, True, {(GOOD, GOOD, "whole")},
    ),
    "removal and cleanup": (
        (scenes.import_new,), scenes.remove_new, scenes.clean, False, {(GOOD, GOOD, "absent")},
    ),
    "two cleanups": (
        (sweeps.leave_a_mess,), scenes.clean, scenes.clean, True, {(GOOD, GOOD, "absent")},
    ),
    "creation of a scratch and removal of its parent": (
        (), scenes.create_scratch, scenes.remove_parent, False,
        {("ParentMissing", GOOD, "orphaned"), (GOOD, "LayerHasChildren", "scratch")},
    ),
    "two uses of a scratch": (
        (scenes.create_scratch,), scenes.use_scratch, scenes.use_scratch, False,
        {("AlreadyExists", GOOD, "written"), (GOOD, "LayerMounted", "written")},
    ),
    "use of a scratch and removal": (
        (scenes.create_scratch,), scenes.use_scratch, scenes.remove_new, False,
        {(GOOD, "LayerMounted", "written"), ("LayerNotFound", GOOD, "absent")},
    ),
    "removal of a scratch and use": (
        (scenes.create_scratch,), scenes.remove_new, scenes.use_scratch, False,
        {(GOOD, "LayerNotFound", "absent"), (GOOD, GOOD, "absent")},
    ),
    "new index and reading": (
        (scenes.import_new,), scenes.rebuild_new, scenes.read_new, False, {(GOOD, GOOD, "whole")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MEETINGS)
def test_every_order_of_two_stories_has_a_clear_end(
    nursery: Nursery, tmp_path: Path, name: str
) -> None:
    before, first, second, looking, ends = MEETINGS[name]
    steps = nursery.run(meet, tmp_path / "template", before, first, second, looking)
    assert ends_of(steps) == ends


# -- held layers ------------------------------------------------------------------------------------


def hold_until(root: Path, held: Bell, let_go: Bell) -> None:
    """Get the layer, and stay."""
    driver = scenes.open_unrecovered(root)
    driver.get("new")
    held.ring()
    assert let_go.wait()
    driver.put("new")


def remove_while_held(root: Path) -> list[Outcome]:
    """What removals meet: while it is held, after the holder was killed, and another one has put it."""
    scenes.make(root)
    scenes.import_new(root)
    outcomes = []
    held, let_go = Bell(), Bell()
    killed, kind = Actor(hold_until, root, held, let_go), Actor(hold_until, root, held, let_go)
    assert held.wait()
    assert held.wait()
    outcomes.append(Actor(scenes.remove_new, root).outcome())
    let_go.ring()  # one of them, whichever
    killed.is_done(0.2)
    kind.is_done(0.2)
    (killed if kind.is_done() else kind).kill()
    assert sorted([killed.outcome().signal, kind.outcome().signal]) == [0, signal.SIGKILL]
    # Nobody has opened the store since: the dead one is still in the table, and counts for nothing.
    assert len(RefCounts(root / "driver.db")._rows()) == 1
    outcomes.append(Actor(scenes.remove_new, root).outcome())
    Actor(scenes.clean, root).get()
    assert RefCounts(root / "driver.db")._rows() == []
    return outcomes


def test_held_layer_is_not_removed_and_a_killed_process_holds_nothing(
    nursery: Nursery, tmp_path: Path
) -> None:
    refused, done = nursery.run(remove_while_held, tmp_path / "root")
    assert (refused.error, refused.exit) == ("LayerMounted", 12)
    assert "is held by process" in refused.message
    assert done.is_good


def count_in_many(root: Path) -> list[int]:
    """Processes that get and put at once, on a store whose counts were never used; what is left."""
    scenes.make(root, "base")
    (root / "driver.db").unlink(missing_ok=True)
    start = Bell()
    actors = [Actor(get_and_put, root, start) for _ in range(4)]
    start.ring(len(actors))
    return [actor.get() for actor in actors]


def get_and_put(root: Path, start: Bell) -> int:
    counts = RefCounts(root / "driver.db")
    assert start.wait()
    most = 0
    for _ in range(12):
        most = max(most, counts.add("base"))
        assert os.getpid() in counts.holders("base")
        counts.drop("base")
    assert os.getpid() not in counts.holders("base")
    return most


def test_counts_of_many_processes_add_up(nursery: Nursery, tmp_path: Path) -> None:
    most = nursery.run(count_in_many, tmp_path / "root")
    assert all(1 <= one <= 4 for one in most)
    assert RefCounts(tmp_path / "root" / "driver.db").holders("base") == []


def test_counts_locked_by_another_process_for_long_are_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_WAIT_SECONDS", 0.05)
    counts = RefCounts(tmp_path / "driver.db")
    counts.add("base")
    with closing(sqlite3.connect(tmp_path / "driver.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked, match="try again"):
            counts.add("base")


def test_asking_who_holds_a_layer_writes_nothing(tmp_path: Path) -> None:
    counts = RefCounts(tmp_path / "driver.db")
    assert counts.holders("base") == []
    assert counts.forget_the_dead() == []
    assert list(tmp_path.iterdir()) == []
    (
        tmp_path / "driver.db"
    ).touch()  # as a process leaves it that is killed before its first commit
    assert counts.holders("base") == []


# -- readers ------------------------------------------------------------------------------------------


def test_open_readers_go_on_unharmed_while_the_layer_is_removed(
    nursery: Nursery, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    driver = scenes.make(root)
    scenes.add(driver, "new")
    view, file = driver.view("new"), driver.diff("new")
    getter = driver.diff_getter("new")
    head = file.read(1000)
    nursery.run(scenes.remove_new, root)
    assert nursery.run(scenes.look, root) == "absent"
    with closing(view), closing(getter), file:
        assert head + file.read() == scenes.TARS["new"]
        assert "Files/Program/file9.dll" in paths_of(view)
        assert content_at(view, "Files/Program/file9.dll") == bytes([9]) * 6300
        assert getter.get("Files/Program/marked.exe:Zone.Identifier").read() == b"[ZoneTransfer]"


# -- many at once -------------------------------------------------------------------------------------


def import_many(root: Path) -> list[Outcome]:
    """Eight processes import on one parent, two of them the same layer, each opening the store first."""
    scenes.make(root)
    start = Bell()
    names = [f"new{n}" for n in range(7)] + ["new0"]
    actors = [Actor(import_as, root, name, start) for name in names]
    start.ring(len(actors))
    return [actor.outcome() for actor in actors]


def import_as(root: Path, name: str, start: Bell) -> str:
    assert start.wait()
    driver = scenes.open_store(root)
    summary = driver.import_layer(name, "parent", scenes.Source(scenes.GZIPPED))
    assert summary.diff_id == scenes.DIFF_IDS["new"]
    return name


def test_many_processes_import_on_one_parent(nursery: Nursery, tmp_path: Path) -> None:
    root = tmp_path / "root"
    outcomes = nursery.run(import_many, root)
    refused = [one for one in outcomes if not one.is_good]
    assert [(one.error, one.exit) for one in refused] == [("LayerExists", 11)]
    driver = scenes.open_store(root)
    assert driver.children("parent") == [f"new{n}" for n in range(7)]
    for name in driver.children("parent"):
        assert scenes.digest_of(driver, name) == scenes.DIFF_IDS["new"]
        driver.remove(name)
    assert scenes.leftovers(root) == []


def test_same_layer_in_two_write_layer_processes_exists_for_one(
    nursery: Nursery, tmp_path: Path
) -> None:
    outcomes = nursery.run(import_twice_in_children, tmp_path / "root")
    assert sorted(one.error for one in outcomes) == ["", "LayerExists"]
    assert nursery.run(scenes.look, tmp_path / "root") == "whole"


def import_twice_in_children(root: Path) -> list[Outcome]:
    scenes.make(root)
    actors = [Actor(scenes.import_new_in_child, root) for _ in range(2)]
    return [actor.outcome() for actor in actors]
