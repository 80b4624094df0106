"""Scratches whose process is killed, whose disk fills up or loses power, and that others look at."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import desks, points, scenes
from tests.faults.desks import STORIES, Contents, Ground, Picture, Step
from tests.faults.forks import Actor, Bell, Nursery, Outcome
from tests.faults.points import Call, Points, full_from, kill_at, opens_for_writing
from tests.faults.test_full_disk import may_mount, mount_small_disk, only, set_read_only
from tests.support.scratches import Desk

_NEEDS_NO_ROOM = ("SELECT", "PRAGMA", "SAVEPOINT", "RELEASE", "ROLLBACK")


def is_idle(call: Call) -> bool:
    """Whether a call changes nothing that is kept; what is done in a transaction is, by its end."""
    if call.name == "sqlite.execute":
        return not str(call.args[1]).startswith(("BEGIN", "COMMIT"))
    return opens_only(call)


def is_asking(call: Call) -> bool:
    """Whether a call needs no room."""
    if call.name == "sqlite.execute":
        return str(call.args[1]).startswith(_NEEDS_NO_ROOM)
    return opens_only(call)


def opens_only(call: Call) -> bool:
    """Whether a call opens something to read."""
    if call.name in ("open", "io.open"):
        return call.is_done or not opens_for_writing(call)
    return call.name == "sqlite.connect" and "index.db" in str(call.args[0])


# -- killed -------------------------------------------------------------------------------------------


def play_killed(root: Path, steps: list[Step], number: int, gathers: bool = False) -> None:
    with Points(kill_at(number), leaving_out=is_idle):
        desks.play(root, steps, gathers=gathers)


def count_points(
    root: Path,
    steps: list[Step],
    leaving_out: Callable[[Call], bool] = is_idle,
    gathers: bool = False,
) -> int:
    with Points(lambda call: None, leaving_out=leaving_out) as points:
        desks.play(root, steps, gathers=gathers)
    return points.count


def kill_everywhere(
    root: Path, before_name: str, name: str, gathers: bool = False
) -> tuple[list[Picture], list[Picture]]:
    """What may be found, and what was found after a kill at each point.

    Args:
        root: a new store.
        before_name: a story that comes first, of a process that is killed before it closes the scratch.
        name: the story; ``""`` to open and close it only.
        gathers: commit several steps together.
    """
    before, steps = STORIES.get(before_name, []), STORIES.get(name, [])
    ground = Ground(root)
    if before:
        number = Actor(count_points, ground.prepare(), before).get()
        assert Actor(play_killed, ground.prepare(), before, number - 8).outcome().signal
        ground.keep()
    allowed = Actor(desks.pictures, ground.prepare(), steps).get()
    found = []
    count = Actor(count_points, ground.prepare(), steps, is_idle, gathers).get()
    for number in range(1, count + 1):
        outcome = Actor(play_killed, ground.prepare(), steps, number, gathers).outcome()
        assert outcome.signal == signal.SIGKILL, (number, outcome)
        found.append(desks.look(root))
    return allowed, found


@pytest.mark.parametrize("gathers", [False, True], ids=["at once", "together"])
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_each_point_leaves_each_step_whole_or_absent(
    nursery: Nursery, tmp_path: Path, name: str, gathers: bool
) -> None:
    allowed, found = nursery.run(kill_everywhere, tmp_path / "root", "", name, gathers)
    places = [allowed.index(one) for one in found]
    assert len(found) >= 8
    assert places == sorted(places)
    assert found[0] == allowed[0] != found[-1] == allowed[-1]


def test_killed_while_it_recovers_it_recovers_again(nursery: Nursery, tmp_path: Path) -> None:
    allowed, found = nursery.run(kill_everywhere, tmp_path / "root", "a file without a name", "")
    assert len(found) >= 8
    assert found == allowed * len(found)
    assert "Files/own.txt" not in found[0]


def write_like_a_mount(root: Path) -> Picture:
    """What a scratch shows whose process is about to be killed."""
    scratch = desks.open_box(root)
    scratch.gather(0.001)
    desk = Desk(scratch)
    for number in range(40):
        desk.make(f"Files/{number}.txt", b"data")
    scratch.publish()
    return desks.picture(scratch)


def kill_like_a_mount(root: Path) -> tuple[Picture, Picture]:
    Ground(root).prepare()
    return Actor(write_like_a_mount, root).get(), desks.look(root)


def test_files_that_were_made_in_advance_are_gone_after_a_kill(
    nursery: Nursery, tmp_path: Path
) -> None:
    before, found = nursery.run(kill_like_a_mount, tmp_path / "root")
    assert found == before


# -- a loss of power ----------------------------------------------------------------------------------


class PowerDisk:
    """What of the scratch's folder is on the disk for certain, and what may or may not be.

    A file has for certain the bytes of its last flush, and a name in a folder those of the folder's last
    flush. What was done since may be there too, of each file by itself. What SQLite flushes by itself is
    taken for not flushed, which is no harder on what is asked of it here: nothing relies on it.

    Args:
        folder: the scratch's folder, all of which is on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes = self._now()
        self._names = set(self._bytes)

    def note(self, call: Call) -> None:
        """Take a flush into account, before it is done."""
        if call.name not in ("fsync", "fdatasync"):
            return
        path = Path(points.path_of(call.args[0]))
        if path.is_dir():
            inside = {name for name in self._now() if (self._folder / name).parent == path}
            gone = {name for name in self._names if (self._folder / name).parent == path}
            self._names = self._names - gone | inside
        elif path.is_relative_to(self._folder):
            self._bytes[str(path.relative_to(self._folder))] = path.read_bytes()

    def after_losses(self) -> list[Contents]:
        """The files of the folder, as they may be found."""
        now = self._now()
        certain = {name: self._bytes.get(name, b"") for name in self._names}
        named = {name: self._bytes.get(name, b"") for name in now}
        return [
            {name: data for name, data in rows.items() if not name.startswith("data/")}
            | {name: data for name, data in data_files.items() if name.startswith("data/")}
            for rows in (certain, now)
            for data_files in (certain, named, now)
        ]

    def _now(self) -> Contents:
        # Shared memory is no file, and the lock is for messages.
        names = [
            "scratch.db",
            "scratch.db-wal",
            *(f"data/{n}" for n in os.listdir(self._folder / "data")),
        ]
        return {
            name: (self._folder / name).read_bytes()
            for name in names
            if (self._folder / name).exists()
        }


@dataclass(frozen=True)
class Loss:
    """One state of the disk after a loss of power.

    Attributes:
        label: where it was.
        synced: number of the picture that was brought to the disk.
        last: number of the picture that is the last that can be found.
        found: what was found.
    """

    label: str
    synced: int
    last: int
    found: Picture


POWER_STORY: list[Step] = [
    lambda desk: desk.make("Files/new.txt"),
    desks.write_synced("Files/new.txt", b"first"),
    lambda desk: desk.rename("Files/new.txt", "Files/own.txt"),
    lambda desk: desk.delete("Files/alias"),
    lambda desk: desk.delete("Files/dir/a"),
    lambda desk: desk.write("Files/Windows/win.ini", b"[FONTS]"),
    lambda desk: desk.scratch.sync(),
    lambda desk: desk.delete("Files/own.txt"),
    lambda desk: desk.make("Files/own.txt"),
    lambda desk: desk.write("Files/own.txt", b"second"),
    lambda desk: desk.rename("Files/dir", "Files/Users/dir"),
    lambda desk: desk.write("Files/Users/dir/sub/b", b"B OF", 0),
    desks.write_synced("Files/Users/me.txt", b"I"),
    lambda desk: desk.scratch.create_stream(desk.at("Files/Users/me.txt"), "t"),
    lambda desk: desk.write("Files/Users/me.txt", b"of t", 0, "t"),
    lambda desk: desk.make("Files/big"),
    lambda desk: desk.write("Files/big", bytes(2 << 20)),
    lambda desk: desk.scratch.sync(),
    lambda desk: desk.delete("Files/big"),
    lambda desk: desk.write("Files/Users/me.txt", b"we", 0),
]
#: After how many steps what was brought to the disk: one content, or all.
_SYNCS = {0: None, 2: b"first", 7: None, 13: b"I", 18: None}


def lose_power_everywhere(root: Path, gathers: bool) -> tuple[list[Picture], list[Loss]]:
    """The pictures of the story, and what was found after each loss of power."""
    ground = Ground(root)
    pictures = Actor(desks.pictures, ground.prepare(), POWER_STORY).get()
    disk = PowerDisk(desks.folder_of(ground.prepare()))
    states: dict[int, tuple[str, int, Contents]] = {}
    done: list[Step] = []
    lock = threading.Lock()

    def act(call: Call) -> None:
        with lock:  # files are flushed by several threads
            for files in disk.after_losses():
                state = hash((len(done), *sorted(files.items())))
                states.setdefault(state, (call.label, len(done), files))
            disk.note(call)

    def counted(step: Step) -> Step:
        def count(desk: Desk) -> None:
            step(desk)
            done.append(step)

        return count

    with Points(act, leaving_out=is_idle):
        desks.play(root, [counted(step) for step in POWER_STORY], gathers=gathers)
    losses = []
    for label, number, files in states.values():
        put_files(desks.folder_of(root), files)
        synced = max(one for one in _SYNCS if one <= number)
        found = desks.look(root)
        losses.append(Loss(label, synced, min(number + 1, len(POWER_STORY)), found))
    return pictures, losses


def put_files(folder: Path, files: Contents) -> None:
    for path in (*folder.glob("scratch.db*"), *(folder / "data").iterdir()):
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def contents_of(picture: Picture) -> set[bytes]:
    return {data for _, contents in picture.values() for data in contents.values()}


def written_over(before: Picture, after: Picture) -> set[bytes]:
    """The contents that a step wrote over in place."""
    both = [(before[path][1], after[path][1]) for path in before.keys() & after.keys()]
    return {
        data
        for old, new in both
        for name, data in old.items()
        if old.keys() == new.keys() and new[name] != data
    }


def certain_contents(pictures: list[Picture], synced: int, last: int) -> set[bytes]:
    """The contents that were on the disk when something was last brought there, and that are so still."""
    certain: set[bytes] = set()
    for number in range(last + 1):
        if number:
            certain -= written_over(pictures[number - 1], pictures[number])
        if number <= synced and number in _SYNCS:
            one = _SYNCS[number]
            certain |= contents_of(pictures[number]) if one is None else {one}
    return certain


def fits(loss: Loss, pictures: list[Picture]) -> bool:
    """Whether what was found is one of the pictures since the last sync, with all bytes that are certain."""
    certain = certain_contents(pictures, loss.synced, loss.last)
    any_of = {b""}.union(*map(contents_of, pictures[: loss.last + 1]))

    def is_like(picture: Picture) -> bool:
        pairs = [(one, loss.found.get(path)) for path, one in picture.items()]
        return len(picture) == len(loss.found) and all(
            found is not None
            and found[0] == solid
            and found[1].keys() == contents.keys()
            and all(
                found[1][name] == data or (data not in certain and found[1][name] in any_of)
                for name, data in contents.items()
            )
            for (solid, contents), found in pairs
        )

    return any(is_like(picture) for picture in pictures[loss.synced : loss.last + 1])


@pytest.mark.parametrize("gathers", [False, True], ids=["at once", "together"])
def test_loss_of_power_leaves_what_was_synced_and_each_step_whole_or_absent(
    nursery: Nursery, tmp_path: Path, gathers: bool
) -> None:
    pictures, losses = nursery.run(lose_power_everywhere, tmp_path / "root", gathers)
    assert len(losses) >= (60 if gathers else 150)
    assert [loss.label for loss in losses if not fits(loss, pictures)] == []
    # Not all that was not synced was there each time, nor was it always gone.
    if not gathers:
        for number in range(1, len(pictures)):
            assert any(loss.found == pictures[number] for loss in losses)


# -- a full disk --------------------------------------------------------------------------------------


def play_refused(root: Path, steps: list[Step], number: int, gathers: bool) -> None:
    with Points(full_from(number), leaving_out=is_asking):
        desks.play(root, steps, gathers=gathers)


def refuse_everywhere(
    root: Path, name: str, gathers: bool
) -> tuple[list[Picture], list[tuple[Outcome, Picture]]]:
    """What may be found, and how the story ended and what was found where there was no room from a point on."""
    steps = STORIES[name]
    ground = Ground(root)
    allowed = Actor(desks.pictures, ground.prepare(), steps).get()
    found = []
    count = Actor(count_points, ground.prepare(), steps, is_asking, gathers).get()
    for number in range(1, count + 1):
        outcome = Actor(play_refused, ground.prepare(), steps, number, gathers).outcome()
        found.append((outcome, desks.look(root)))
    return allowed, found


@pytest.mark.parametrize("gathers", [False, True], ids=["at once", "together"])
@pytest.mark.parametrize("name", ["a copy", "a replacement", "several at once"])
def test_disk_full_from_any_point_on_is_no_space_and_breaks_nothing(
    nursery: Nursery, tmp_path: Path, name: str, gathers: bool
) -> None:
    allowed, found = nursery.run(refuse_everywhere, tmp_path / "root", name, gathers)
    assert {outcome.error for outcome, _ in found} == {"", "NoSpace"}
    for outcome, picture in found:
        assert picture in allowed
        assert picture == allowed[-1] or outcome.error
        assert not outcome.error or "is full" in outcome.message


FILLING: list[Step] = [
    lambda desk: desk.make("Files/new.txt"),
    lambda desk: desk.write("Files/new.txt", b"n" * 30_000),
    lambda desk: desk.write("Files/Windows/win.ini", b"w" * 9),
    lambda desk: desk.delete("Files/own.txt"),
]


def fill_small_disk(disk: Path) -> tuple[list[Picture], list[tuple[Outcome, Outcome, Picture]]]:
    """What may be found; then of each room, from none on, how it ended, and what was seen then and later."""
    mount_small_disk(disk)
    root = disk / "root"
    ground = Ground(root)
    allowed = Actor(desks.pictures, ground.prepare(), FILLING).get()
    found = []
    for size in range(0, 1 << 20, 4096):
        ground.prepare()
        with only(size, disk):
            outcome = Actor(desks.play, root, FILLING).outcome()
            seen = Actor(look_on, root).outcome()
        found.append((outcome, seen, Actor(desks.look, root).get()))
        if outcome.is_good:
            break
    return allowed, found


def look_read_only(disk: Path) -> tuple[Picture, Picture]:
    """What a scratch shows before its disk takes no more writes, and after."""
    mount_small_disk(disk)
    root = disk / "root"
    Ground(root).prepare()
    with desks.open_box(root) as scratch:
        before = desks.picture(scratch)
    set_read_only(disk)
    return before, look_on(root)


def fill_while_gathering(disk: Path) -> tuple[Picture, Picture]:
    """What a scratch shows whose disk is full before it is committed, and what is found after a kill."""
    mount_small_disk(disk, 32 << 20)
    root = disk / "root"
    Ground(root).prepare()
    return Actor(gather_then_die, disk, root).get(), desks.look(root)


def gather_then_die(disk: Path, root: Path) -> Picture:
    scratch = desks.open_box(root)
    scratch.gather(None)
    desk = Desk(scratch)
    desk.make("Files/new.txt", b"")
    with only(0, disk):
        for number in range(100):
            desk.make(f"Files/{number}.txt")
        desk.rename("Files/dir", "Files/Users/dir")
        scratch.publish()
    return desks.picture(scratch)


def look_on(root: Path) -> Picture:
    with desks.open_box(root, read_only=True) as scratch:
        return desks.picture(scratch)


def is_cut(found: Picture, whole: Picture) -> bool:
    """Whether one picture is another, or would be if all bytes of its contents had been written."""
    return found.keys() == whole.keys() and all(
        found[path][0] == solid
        and all(data.startswith(found[path][1][name]) for name, data in contents.items())
        for path, (solid, contents) in whole.items()
    )


# Where nothing may be mounted, the sweep above is what there is.
if may_mount():

    def test_small_disk_is_no_space_until_there_is_room(nursery: Nursery, tmp_path: Path) -> None:
        allowed, found = nursery.run(fill_small_disk, tmp_path / "disk")
        outcome, _, last = found.pop()
        assert outcome.is_good, outcome
        assert last == allowed[-1]
        assert len(found) >= 10
        assert {(outcome.error, outcome.exit) for outcome, _, _ in found} == {("NoSpace", 18)}
        for _, seen, later in found:
            assert any(is_cut(later, picture) for picture in allowed)
            # To look takes a little room, too.
            assert seen.error == "NoSpace" or any(is_cut(seen.value, one) for one in allowed)
        assert sum(seen.is_good for _, seen, _ in found) >= 3

    def test_scratch_on_a_disk_that_takes_no_writes_can_be_looked_at(
        nursery: Nursery, tmp_path: Path
    ) -> None:
        before, found = nursery.run(look_read_only, tmp_path / "disk")
        assert found == before

    def test_what_was_answered_is_kept_when_others_fill_the_disk(
        nursery: Nursery, tmp_path: Path
    ) -> None:
        allowed, found = nursery.run(fill_while_gathering, tmp_path / "disk")
        assert found == allowed


# -- several processes --------------------------------------------------------------------------------


def hold(root: Path, held: Bell, let_go: Bell) -> int:
    with desks.open_box(root):
        held.ring()
        assert let_go.wait()
    return os.getpid()


def write_while_held(root: Path) -> tuple[int, list[Outcome]]:
    """Who holds the scratch; what a writer, a look and a removal meet; and a writer after its death."""
    desks.make(root)
    held, let_go = Bell(), Bell()
    holder = Actor(hold, root, held, let_go)
    assert held.wait()
    story = STORIES["a hard link"]
    outcomes = [
        Actor(desks.play, root, story).outcome(),
        Actor(look_on, root).outcome(),
        Actor(scenes.open_unrecovered(root).remove, "box").outcome(),
    ]
    holder.kill()
    assert holder.outcome().signal == signal.SIGKILL
    outcomes.append(Actor(desks.play, root, story).outcome())
    return holder.pid, outcomes


def test_second_writer_is_told_who_writes(nursery: Nursery, tmp_path: Path) -> None:
    pid, (writer, look, removal, later) = nursery.run(write_while_held, tmp_path / "root")
    for refused in (writer, removal):
        assert (refused.error, refused.exit) == ("LayerMounted", 12)
        assert f"process {pid}" in refused.message
    assert "Files/own.txt" in look.get()
    assert later.is_good


def watch(root: Path, go: Bell, done: Bell, end: Path) -> list[Picture]:
    """Look at the scratch, as of one moment, each time that the bell rings."""
    seen = []
    while go.wait() and not end.exists():
        with desks.open_box(root, read_only=True) as scratch:
            scratch.freeze()
            seen.append(desks.picture(scratch))
        done.ring()
    return seen


def write_watched(root: Path, name: str) -> tuple[list[Picture], list[Picture]]:
    """What may be seen, and what another process sees at each point of a story."""
    ground = Ground(root)
    allowed = Actor(desks.pictures, ground.prepare(), STORIES[name]).get()
    go, done, end = Bell(), Bell(), root.with_name("end")
    watcher = Actor(watch, ground.prepare(), go, done, end)

    def act(call: Call) -> None:
        go.ring()
        assert done.wait()

    with Points(act, leaving_out=is_idle):
        desks.play(root, STORIES[name])
    end.touch()
    go.ring()
    return allowed, watcher.get()


@pytest.mark.parametrize(
    "name", ["a rename of a tree", "a replacement", "several at once", "a hard link", "metadata"]
)
def test_who_looks_on_sees_each_step_whole_or_not_at_all(
    nursery: Nursery, tmp_path: Path, name: str
) -> None:
    allowed, seen = nursery.run(write_watched, tmp_path / "root", name)
    places = [allowed.index(one) for one in seen]
    assert places == sorted(places)
    assert set(places) == set(range(len(allowed)))
