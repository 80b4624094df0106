"""Killed at every step: the next open finds the whole layer or none, and removes the rest."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults import scenes, sweeps
from tests.faults.forks import PATIENCE_SECONDS, Actor, Nursery, adopted_orphans
from tests.faults.scenes import GZIPPED, Source


def run_sweep(
    template: Path, before: tuple[sweeps.Story, ...], story: sweeps.Story, in_worker: bool
) -> list[sweeps.Step]:
    sweeps.make(template, *before)
    return sweeps.sweep(story, template, "kill", in_worker)


def states_of(steps: list[sweeps.Step]) -> list[str]:
    """How the store was found, from the first point to the last, each change once."""
    return [state for state, _ in itertools.groupby(step.state for step in steps)]


SWEEPS = {
    "import": ((), scenes.import_new, ["absent", "whole"], 80),
    "import in a child": ((), scenes.import_new_in_child, ["absent", "whole"], 15),
    "create": ((), scenes.create_new, ["absent", "created"], 25),
    "fill": ((scenes.create_new,), scenes.fill_new, ["created", "whole"], 40),
    "write": ((), scenes.write_new, ["absent", "whole"], 40),
    "look at a tar": ((scenes.save_tar,), scenes.look_at_tar, ["absent"], 20),
    "remove": ((scenes.import_new,), scenes.remove_new, ["whole", "absent"], 20),
    "create a scratch": ((), scenes.create_scratch, ["absent", "scratch"], 30),
    "remove a scratch": (
        (scenes.create_scratch, scenes.use_scratch), scenes.remove_new, ["written", "absent"], 20,
    ),
    "rebuild": ((scenes.import_new,), scenes.rebuild_new, ["whole"], 15),
    "hold": ((scenes.import_new,), scenes.hold_new, ["whole"], 40),
    "cleanup": ((sweeps.leave_a_mess,), scenes.clean, ["absent"], 20),
}  # fmt: skip


@pytest.mark.parametrize("name", SWEEPS)
def test_killed_at_each_point_leaves_all_or_nothing(
    nursery: Nursery, tmp_path: Path, name: str
) -> None:
    before, story, states, least = SWEEPS[name]
    steps = nursery.run(run_sweep, tmp_path / "template", before, story, False)
    assert len(steps) >= least
    assert {step.outcome.signal for step in steps} == {signal.SIGKILL}
    assert states_of(steps) == states


def test_write_layer_process_killed_at_each_point_leaves_all_or_nothing(
    nursery: Nursery, tmp_path: Path
) -> None:
    steps = nursery.run(run_sweep, tmp_path / "template", (), scenes.import_new_in_child, True)
    assert len(steps) >= 70
    for step in steps:
        assert step.outcome.error == "RemoteFailure", step
        assert step.outcome.exit == 19
        assert "signal 9" in step.outcome.message
        assert step.left == (), step  # its parent lives, and cleans up behind it
    assert states_of(steps) == ["absent", "whole"]


# -- the same with a write-layer process that was really spawned -----------------------------------


def import_killing_child(root: Path, at: int) -> None:
    """Kill the write-layer process when the source is read from an offset on."""
    scenes.make(root)
    children = record_children()

    def kill(offset: int) -> None:
        if offset >= at and children[-1].poll() is None:
            wait_for_staging(root)
            children[-1].kill()
            children[-1].wait()

    scenes.add(scenes.open_store(root, reexec=True), "new", Source(GZIPPED, kill, 64))


def import_killing_self(root: Path, children_pid: Path) -> None:
    """End this process in the middle, with the write-layer process stopped."""
    children = record_children()

    def kill(offset: int) -> None:
        if offset >= len(GZIPPED) // 2:
            wait_for_staging(root)
            children_pid.write_text(str(children[-1].pid))
            children[-1].send_signal(signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGKILL)

    scenes.add(scenes.open_store(root, reexec=True), "new", Source(GZIPPED, kill, 64))


def leave_an_orphan(root: Path) -> tuple[list[str], list[str], str]:
    """What lies about while a write-layer process without a parent lives, and after it has ended."""
    scenes.make(root)
    note = root.with_name("pid")
    with adopted_orphans():
        outcome = Actor(import_killing_self, root, note).outcome()
        assert outcome.signal == signal.SIGKILL
        scenes.open_store(root)
        kept = scenes.leftovers(root)
        os.kill(int(note.read_text()), signal.SIGCONT)
    return kept, scenes.leftovers(root), Actor(scenes.look, root).get()


def test_write_layer_process_abandons_the_layer_when_its_parent_is_killed(
    nursery: Nursery, tmp_path: Path
) -> None:
    kept, left, state = nursery.run(leave_an_orphan, tmp_path / "root")
    # While it lives, another process that opens the store leaves its staging alone.
    assert any(path.endswith("sealed/layer.tar") for path in kept)
    assert left == []
    assert state == "absent"


def record_children() -> list[subprocess.Popen[bytes]]:
    """A list that fills with the processes started from now on."""
    children: list[subprocess.Popen[bytes]] = []
    original = subprocess.Popen

    def start(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        children.append(original(*args, **kwargs))
        return children[-1]

    subprocess.Popen = start  # type: ignore[assignment, misc]
    return children


def wait_for_staging(root: Path) -> None:
    """Until the write-layer process has made all its files; the pack is the last of them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any((root / "tmp").glob("new.*/sealed/layer.tar")):
        assert time.monotonic() < deadline, "the child does not begin"
        time.sleep(0.002)


@pytest.mark.parametrize("at", [0, len(GZIPPED) // 2, len(GZIPPED)])
def test_spawned_write_layer_process_killed_is_a_remote_failure(
    nursery: Nursery, tmp_path: Path, at: int
) -> None:
    outcome = nursery.outcome(import_killing_child, tmp_path / "root", at)
    assert (outcome.error, outcome.exit) == ("RemoteFailure", 19), outcome
    assert "signal 9" in outcome.message
    assert scenes.leftovers(tmp_path / "root") == []
    assert nursery.run(scenes.look, tmp_path / "root") == "absent"


def test_import_can_be_tried_again_after_each_crash(nursery: Nursery, tmp_path: Path) -> None:
    root = tmp_path / "root"
    nursery.run(scenes.make, root)
    for number in (20, 50, 70, 80):
        assert nursery.outcome(sweeps.run_killed, scenes.import_new, root, number).signal
    nursery.run(scenes.import_new, root)
    assert nursery.run(scenes.look, root) == "whole"


def test_only_staging_is_removed_from_a_folder_that_others_use(tmp_path: Path) -> None:
    tmpdir = tmp_path / "shared"
    others = ["notes.txt", "folder/file", "look.txt", "new.0123456789abcdef.lock.txt", "a.lock"]
    for name in (*others, "new.0123456789abcdef/sealed/layer.tar", "old.0123456789abcdef.lock"):
        path = tmpdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    scenes.open_store(tmp_path / "root", tmpdir=tmpdir)
    assert sorted(scenes.files_below(tmpdir)) == sorted(others)
