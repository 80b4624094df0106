"""One story again and again, with something in its way at each of its points in turn."""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import scenes
from tests.faults.forks import PATIENCE_SECONDS, Actor, Bell, Outcome, adopted_orphans, attempt
from tests.faults.points import Call, Points, full_from, kill_at
from winlayers import worker

Story = Callable[[Path], None]
Act = Callable[[Call], None]

_SQLITE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one run.

    Attributes:
        label: the point.
        outcome: of the story.
        state: how the store was found by the next process.
        left: what lay about before that process came.
        other: outcome of the other story, if there was one.
    """

    label: str
    outcome: Outcome
    state: str
    left: tuple[str, ...] = ()
    other: Outcome | None = None


class ForkedWorker:
    """Stands in for ``subprocess.Popen`` of the write-layer process: a fork that runs its ``main``.

    It is a process like the spawned one, with the same pipes, but there at once.

    Args:
        act: what happens at the points in it.
    """

    def __init__(self, act: Act) -> None:
        ours, theirs = zip(*(os.pipe() if n else os.pipe()[::-1] for n in range(3)), strict=True)
        self.pid = os.fork()
        if not self.pid:
            for number, descriptor in enumerate(theirs):
                os.dup2(descriptor, number)
            for descriptor in (*ours, *theirs):
                os.close(descriptor)
            status = 1
            try:
                Points.uninstall_all()  # those are our parent's
                with Points(act):
                    status = worker.main()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        for descriptor in theirs:
            os.close(descriptor)
        self.stdin = io.FileIO(ours[0], "wb")
        self.stdout, self.stderr = (io.FileIO(pipe) for pipe in ours[1:])
        self.returncode: int | None = None

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


@contextlib.contextmanager
def forked_workers(act: Act) -> Iterator[None]:
    """Have imports run in forked workers."""
    original = subprocess.Popen
    subprocess.Popen = lambda *args, **kwargs: ForkedWorker(act)  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        subprocess.Popen = original  # type: ignore[misc]


def run(story: Story, root: Path, act: Act, *, in_worker: bool = False) -> None:
    """A story with something at its points, or at those of its write-layer process.

    Each statement for the index is a point of imports; elsewhere that would tell the same again.
    """
    if in_worker:
        with forked_workers(act):
            story(root)
    else:
        leaving_out = _never if story is scenes.import_new else _is_in_index
        with forked_workers(_do_nothing), Points(act, leaving_out=leaving_out):
            story(root)


def labels_of(story: Story, ground: _Ground, *, in_worker: bool = False) -> list[str]:
    """The points of a story, from a run that nothing disturbs."""
    root = ground.prepare()
    record = root.with_name("points.txt")
    record.unlink(missing_ok=True)

    def note(call: Call) -> None:
        with open(record, "a") as file:
            file.write(call.label.replace("\n", " ") + "\n")

    run_as(story, root, note, in_worker)
    ground.spoil()
    return record.read_text().splitlines()


def run_as(story: Story, root: Path, act: Act, in_worker: bool) -> None:
    run(story, root, act, in_worker=in_worker)


def run_killed(story: Story, root: Path, number: int) -> None:
    """A story that ends at one of its points."""
    run(story, root, kill_at(number))


def sweep(story: Story, template: Path, action: str, in_worker: bool = False) -> list[Step]:
    """Run a story once for each of its points, each time on a fresh copy of a store.

    Args:
        story: what is done.
        template: the store.
        action: ``"kill"``: the process ends there; ``"full"``: the disk is full from there on.
        in_worker: the points are those of the write-layer process.
    """
    actions = {"kill": kill_at, "full": full_from}
    ground = _Ground(template)
    steps = []
    for number, label in enumerate(labels_of(story, ground, in_worker=in_worker), start=1):
        root = ground.prepare()
        args = (run_as, story, root, actions[action](number), in_worker)
        with adopted_orphans():
            outcome = Actor(*args).outcome() if action == "kill" else attempt(*args)
        left = tuple(scenes.leftovers(root))
        steps.append(Step(label, outcome, ground.look(f"{number}, {label}"), left))
    return steps


def interleave(held_up: Story, other: Story, template: Path, looking: bool = False) -> list[Step]:
    """Stop one story at each of its points in turn, and run another one whole meanwhile.

    Where the other one has to wait for the first, both go on together.

    Args:
        held_up: the story that is stopped.
        other: the one that comes in between.
        template: the store.
        looking: stop before calls that only look, too.
    """
    ground = _Ground(template)
    count = _count(held_up, ground.prepare(), looking)
    ground.spoil()
    steps = []
    for number in range(1, count + 1):
        root = ground.prepare()
        with closing(_Meeting(number)) as meeting:
            first = Actor(_run_stopped, held_up, root, looking, meeting)
            call = meeting.wait()
            second = Actor(_run_listening, other, root, meeting)
            # SQLite waits where we do not hear it.
            patience = _SQLITE_SECONDS if call.startswith("sqlite") else PATIENCE_SECONDS
            assert second.is_done(patience, or_heard=meeting.waiting) or "sqlite" in call
            meeting.go_on.ring()
            ended = second.outcome()
            meeting.over.ring()
            outcomes = first.outcome(), ended
        state = ground.look(f"{number}, {call}: {outcomes}")
        steps.append(Step(call, outcomes[0], state, other=outcomes[1]))
    return steps


class _Meeting:
    """Where two stories meet: one at a point, and the other one in its way."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.go_on = Bell()
        self.over = Bell()
        self.waiting = Bell()
        self._label, self._at_point = os.pipe()

    def stop(self, call: Call) -> None:
        """In the first process: wait at the point."""
        if call.number == self.number:
            os.write(self._at_point, call.label.encode()[:1000])
            assert self.go_on.wait()

    def wait(self) -> str:
        """Until the first process is there; the label of the point."""
        assert select.select([self._label], [], [], PATIENCE_SECONDS)[0], "not reached"
        return os.read(self._label, 1000).decode()

    def sleep(self, seconds: float, original: Callable[[float], None] = time.sleep) -> None:
        """In the second process, which sleeps only to wait for a lock."""
        self.waiting.ring()
        original(seconds)

    def close(self) -> None:
        self.go_on.close()
        self.over.close()
        self.waiting.close()
        os.close(self._label)
        os.close(self._at_point)


def _run_stopped(story: Story, root: Path, looking: bool, meeting: _Meeting) -> Any:
    try:
        with Points(meeting.stop, looking=looking, leaving_out=_is_unseen):
            return story(root)
    finally:
        # A process that holds something holds it only as long as it lives.
        assert meeting.over.wait()


def _run_listening(story: Story, root: Path, meeting: _Meeting) -> Any:
    time.sleep = meeting.sleep  # type: ignore[assignment]  # it is called with floats
    return story(root)


def _count(story: Story, root: Path, looking: bool) -> int:
    with Points(_do_nothing, looking=looking, leaving_out=_is_unseen) as points:
        story(root)
    return points.count


def _do_nothing(call: Call) -> None:
    """Happens at points where nothing is to happen."""


def _never(call: Call) -> bool:
    return False


def _is_in_index(call: Call) -> bool:
    """Whether a call is a statement for an index, which nobody sees before it is whole."""
    return call.name.startswith("sqlite.") and "index.db" in getattr(call.args[0], "path", "")


def _is_unseen(call: Call) -> bool:
    """Whether it makes no difference to other processes if they come before or after a call."""
    is_telling = call.name == "open" and str(call.args[0]).endswith(("lock", "layer.tar"))
    return (
        _is_in_index(call)
        or call.name in ("fdatasync", "fsync", "ftruncate", "write")
        or (call.is_done and not is_telling)
    )


class _Ground:
    """The store that a story runs on: a copy, made anew where the run before has changed it."""

    def __init__(self, template: Path) -> None:
        self._template = template
        self.root = template.with_name("root")
        self._state = ""
        first = self.prepare()
        is_clean = not scenes.leftovers(first)
        # What was recovered is not what the story was to find.
        self._first_state = self.look("the start") if is_clean else None

    def prepare(self) -> Path:
        """The store as it is before the story."""
        if not self._state or self._state != self._first_state:
            shutil.rmtree(self.root, ignore_errors=True)
            shutil.copytree(self._template, self.root)
        return self.root

    def look(self, point: str) -> str:
        """How another process than the one that was at work finds it."""
        found = attempt(scenes.look, self.root)
        assert found.is_good, f"at {point}: {found.trace}"
        self._state = found.value
        return self._state

    def spoil(self) -> None:
        """Have it made anew."""
        self._state = ""


def make(template: Path, *stories: Story) -> None:
    """Make a store, and do these things to it."""
    Actor(_make, template, stories).get()


def _make(template: Path, stories: tuple[Story, ...]) -> None:
    scenes.make(template)
    for story in stories:
        story(template)


def leave_a_mess(root: Path) -> None:
    """What three crashes leave: an import, a removal and a holder."""
    scenes.import_new(root)
    for story, number in ((scenes.hold_new, 20), (scenes.remove_new, 25), (scenes.import_new, 60)):
        outcome = Actor(run_as, story, root, kill_at(number), False).outcome()
        assert outcome.signal == signal.SIGKILL
    mess = scenes.leftovers(root)
    assert any("-removing" in path for path in mess)
    assert any(path.startswith("tmp/new.") for path in mess)
