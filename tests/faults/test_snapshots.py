"""Snapshots at a crash, on a full disk and between two processes: before or after, and nothing is left.

x/<chain> of base <- x/<chain> of upper     always there
box     active on the upper one             comes; is filled, or written to; is committed as "boxed"; goes
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.forks import Actor, Bell, Nursery, Outcome
from tests.faults.points import Call, full_from, kill_at
from tests.faults.test_image_store import do_nothing, is_unseen, is_within, open_unrecovered, run
from tests.support.snapshots import apply_image, fill, names_in, write
from tests.support.storeimages import a_tar, an_image, put_image
from winlayers.assembly import open_store
from winlayers.config import Config
from winlayers.errors import SnapshotNotFound
from winlayers.oci.model import chain_ids, digest_bytes
from winlayers.store.catalog import Catalog
from winlayers.store.snapshots import SnapshotKind, Snapshots
from winlayers.store.store import Store

TARS = [a_tar("base"), a_tar("upper", link_to="base")]
TOP = a_tar("top")
CHAINS = chain_ids([digest_bytes(tar) for tar in (*TARS, TOP)])
UPPER = f"x/{CHAINS[1]}"
BOX = f"x/box {CHAINS[2]}"
BOX_NUMBER = 3
LAYERS = {one.hex for one in CHAINS[:2]}

Story = Callable[[Path], None]


def opened(root: Path) -> Snapshots:
    return open_unrecovered(root).snapshots


def make(root: Path) -> None:
    apply_image(opened(root), TARS)


def prepare(root: Path) -> None:
    opened(root).prepare(BOX, UPPER, {"a": "b"})


def fill_box(root: Path) -> None:
    fill(opened(root), BOX_NUMBER, TOP)


def make_scratch(root: Path) -> None:
    opened(root).scratch_of(BOX_NUMBER)


def write_to_scratch(root: Path) -> None:
    write(opened(root), BOX_NUMBER, "new.txt")


def commit(root: Path) -> None:
    opened(root).commit("boxed", BOX, {"c": "d"})


def remove(root: Path) -> None:
    opened(root).remove(BOX)


def remove_committed(root: Path) -> None:
    opened(root).remove("boxed")


def reopen(root: Path) -> None:
    open_store(Config(root, reexec=False))


def commit_in_part(root: Path) -> None:
    """A commit that is killed when its layer is there and the catalog does not know it."""
    published: list[Call] = []

    def act(call: Call) -> None:
        if call.name in ("rename", "replace") and str(call.args[1]).endswith("/snapshot-3"):
            published.append(call)
        elif published and call.name == "sqlite.execute":
            os.kill(os.getpid(), signal.SIGKILL)

    assert Actor(run, commit, root, act).outcome().signal == signal.SIGKILL
    assert open_unrecovered(root).driver.exists(f"snapshot-{BOX_NUMBER}")


def look(root: Path) -> str:
    """Open the store after a crash; what became of the box, and that nothing else is there."""
    store = open_store(Config(root, reexec=False))
    state = state_of(store)
    check_layers(root, store, state, may_wait=True)
    store.prune()
    check_layers(root, store, state, may_wait=False)
    assert [one.key for one in store.snapshots.walk()][:2] == [f"x/{CHAINS[0]}", UPPER]
    for number, tar in enumerate(TARS):
        with store.driver.diff(CHAINS[number].hex) as file:
            assert file.read() == tar
    return state


def state_of(store: Store) -> str:
    try:
        found = store.snapshots.find(BOX_NUMBER)
    except SnapshotNotFound:
        return "absent"
    names = names_in(store.snapshots, BOX_NUMBER)
    is_committed = found.kind is SnapshotKind.COMMITTED
    assert (found.key, found.labels) == (
        ("boxed", {"c": "d"}) if is_committed else (BOX, {"a": "b"})
    )
    if "top.txt" in names:
        assert found.layer_id == CHAINS[2].hex
        assert is_committed != found.is_filled
        return "committed layer" if is_committed else "filled"
    if is_committed:
        assert found.layer_id == f"snapshot-{BOX_NUMBER}"
    if "new.txt" in names:
        return "committed changes" if is_committed else "written to"
    return "with a scratch" if found.layer_id else "prepared"


def check_layers(root: Path, store: Store, state: str, *, may_wait: bool) -> None:
    """Each layer is needed, or comes and may be taken over; none but a scratch is without a row."""
    needed = {one.layer_id for one in store.snapshots.walk() if one.layer_id} | LAYERS
    present = set(store.driver.layers())
    waiting = {f"snapshot-{BOX_NUMBER}-scratch"} if state == "prepared" else set()
    assert needed <= present <= needed | waiting
    with Catalog(root / "catalog.db").reading() as records:
        rows = records.layers()
        assert all(row.is_made and row.is_ours for row in rows)
        assert {row.layer_id for row in rows} == {one for one in needed if "scratch" not in one}
    assert list((root / "blobs" / "locks").iterdir()) == []
    assert list((root / "tmp").iterdir()) == []


def is_dull(call: Call) -> bool:
    """Whether a call is within what nobody sees yet; that is swept where layers are imported."""
    is_end = call.name == "sqlite.close" and call.args[0].path.endswith("catalog.db")
    return not is_end and is_unseen(call)


def sweep(
    template: Path, before: tuple[Story, ...], story: Story, action: str, stride: int = 1
) -> list[tuple[Outcome, str]]:
    """Run a story again and again, with something in its way at each ``stride``-th of its points in turn."""
    for one in (make, *before):
        Actor(one, template).get()
    root = template.with_name("root")
    shutil.copytree(template, root)
    leaving_out = is_dull if action == "kill" else is_within
    count = Actor(run, story, root, do_nothing, leaving_out).get()
    steps = []
    for number in range(1, count + 1, stride):
        shutil.rmtree(root)
        shutil.copytree(template, root)
        act = kill_at(number) if action == "kill" else full_from(number)
        outcome = Actor(run, story, root, act, leaving_out).outcome()
        found = Actor(look, root).outcome()
        assert found.is_good, f"at {number} of {count}, {outcome}: {found.trace}"
        steps.append((outcome, found.value))
    return steps


WRITTEN = (prepare, write_to_scratch)
SWEEPS: dict[str, tuple[tuple[Story, ...], Story, list[str], int]] = {
    "prepare": ((), prepare, ["absent", "prepared"], 3),
    "fill": ((prepare,), fill_box, ["prepared", "filled"], 15),
    "make a scratch": ((prepare,), make_scratch, ["prepared", "with a scratch"], 8),
    "commit what was filled": (
        (prepare, fill_box),
        commit,
        ["filled", "committed layer"],
        4,
    ),
    "commit changes": (WRITTEN, commit, ["written to", "committed changes"], 25),
    "remove what was filled": ((prepare, fill_box), remove, ["filled", "absent"], 10),
    "remove with a scratch": (WRITTEN, remove, ["written to", "absent"], 5),
    "remove what was committed": (
        (*WRITTEN, commit),
        remove_committed,
        ["committed changes", "absent"],
        10,
    ),
    "open after a commit that was cut off": (
        (*WRITTEN, commit_in_part),
        reopen,
        ["written to"],
        4,
    ),
    "commit after one that was cut off": (
        (*WRITTEN, commit_in_part),
        commit,
        ["written to", "committed changes"],
        25,
    ),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_killed_at_any_point_is_before_or_after(
    nursery: Nursery, tmp_path: Path, name: str
) -> None:
    before, story, states, least = SWEEPS[name]
    stride = 1 if least < 8 else 2 if least < 25 else 3
    steps = nursery.run(sweep, tmp_path / "template", before, story, "kill", stride)
    assert len(steps) * stride >= least
    assert {outcome.signal for outcome, _ in steps} == {signal.SIGKILL}
    assert list(dict.fromkeys(state for _, state in steps)) == states
    found = [state for _, state in steps]
    assert found == sorted(found, key=states.index)


# Every how many points the disk gets full.
FULL = {"prepare": 1, "fill": 9, "commit changes": 19, "remove with a scratch": 5}


@pytest.mark.parametrize("name", FULL)
def test_full_disk_is_before_or_after(nursery: Nursery, tmp_path: Path, name: str) -> None:
    before, story, states, least = SWEEPS[name]
    steps = nursery.run(sweep, tmp_path / "template", before, story, "full", FULL[name])
    assert len(steps) >= min(least, 8)
    for outcome, state in steps:
        is_told = outcome.error in ("", "NoSpace") or os.strerror(errno.ENOSPC) in outcome.message
        assert is_told, outcome
        assert state in states


# -- two processes -----------------------------------------------------------------------------------


def meet(
    template: Path, before: tuple[Story, ...], first: Story, second: Story
) -> list[tuple[str, str, str]]:
    """Stop one story at every third of its points, and run another meanwhile; their errors, and the state."""
    for one in (make, *before):
        Actor(one, template).get()
    root = template.with_name("root")
    shutil.copytree(template, root)
    count = Actor(run, first, root, do_nothing, is_unseen).get()
    found = []
    for number in range(1, count + 1, 3):
        shutil.rmtree(root)
        shutil.copytree(template, root)
        there, go_on = Bell(), Bell()

        def stop(
            call: Call, number: int = number, there: Bell = there, go_on: Bell = go_on
        ) -> None:
            if call.number == number:
                there.ring()
                assert go_on.wait()

        held_up = Actor(run, first, root, stop, is_unseen)
        assert there.wait()
        other = Actor(second, root)
        other.is_done(within_seconds=0.05)  # or it waits for the first
        go_on.ring()
        errors = [actor.outcome() for actor in (held_up, other)]
        there.close()
        go_on.close()
        looked = Actor(look, root).outcome()
        assert looked.is_good, f"at {number} of {count}, {errors}: {looked.trace}"
        found.append((errors[0].error, errors[1].error, looked.value))
    return found


def prune(root: Path) -> None:
    open_unrecovered(root).prune()


def pull(root: Path) -> None:
    store = open_unrecovered(root)
    put_image(store, "app", an_image([*TARS, TOP]))
    store.untag("app")


MEETINGS: dict[str, tuple[tuple[Story, ...], Story, Story, set[tuple[str, str, str]]]] = {
    "fill and prune": ((prepare,), fill_box, prune, {("", "", "filled")}),
    "fill and an opening": ((prepare,), fill_box, reopen, {("", "", "filled")}),
    "fill and a pull of the same": ((prepare,), fill_box, pull, {("", "", "filled")}),
    "fill and remove": (
        (prepare,),
        fill_box,
        remove,
        {("SnapshotNotFound", "", "absent"), ("", "", "absent")},
    ),
    "commit and an opening": (WRITTEN, commit, reopen, {("", "", "committed changes")}),
    "commit and remove": (
        WRITTEN,
        commit,
        remove,
        {("SnapshotNotFound", "", "absent"), ("", "SnapshotNotFound", "committed changes")},
    ),
    "a scratch and an opening": ((prepare,), make_scratch, reopen, {("", "", "with a scratch")}),
    "a scratch and remove": (
        (prepare,),
        make_scratch,
        remove,
        {("SnapshotNotFound", "", "absent"), ("", "", "absent")},
    ),
}


@pytest.mark.parametrize("name", MEETINGS)
def test_two_processes_at_work(nursery: Nursery, tmp_path: Path, name: str) -> None:
    before, first, second, expected = MEETINGS[name]
    found = nursery.run(meet, tmp_path / "template", before, first, second)
    assert len(found) >= 3
    assert set(found) <= expected
