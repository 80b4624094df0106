"""A full disk: NoSpace, all or nothing as ever, and layers can still be read and removed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import random
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import scenes, sweeps
from tests.faults.forks import Actor, Nursery, Outcome
from tests.faults.test_killed import states_of
from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.backends.portable._pack import PackWriter
from winlayers.backends.portable._space import full_disk_told
from winlayers.errors import NoSpace

DISK_SIZE = 3 << 20
_CAP_SYS_ADMIN = 21
_CLONE_NEWNS = 0x20000
_MS_REC_PRIVATE = 0x44000


# -- refused by the system at every step ------------------------------------------------------------

SWEEPS = {
    "import": ((), scenes.import_new, ["absent", "whole"]),
    "create": ((), scenes.create_new, ["absent", "created"]),
    "fill": ((scenes.create_new,), scenes.fill_new, ["created", "whole"]),
    "write": ((), scenes.write_new, ["absent", "whole"]),
    "rebuild": ((scenes.import_new,), scenes.rebuild_new, ["whole"]),
    "hold": ((scenes.import_new,), scenes.hold_new, ["whole"]),
}


def run_full_sweep(
    template: Path, before: tuple[sweeps.Story, ...], story: sweeps.Story, in_worker: bool
) -> list[sweeps.Step]:
    sweeps.make(template, *before)
    return sweeps.sweep(story, template, "full", in_worker)


@pytest.mark.parametrize("name", SWEEPS)
def test_disk_full_from_any_step_on_is_no_space(
    nursery: Nursery, tmp_path: Path, name: str
) -> None:
    before, story, states = SWEEPS[name]
    steps = nursery.run(run_full_sweep, tmp_path / "template", before, story, False)
    assert states_of(steps) == states
    check_told(steps)


def test_disk_full_in_the_write_layer_process_is_no_space(nursery: Nursery, tmp_path: Path) -> None:
    story = scenes.import_new_in_child
    steps = nursery.run(run_full_sweep, tmp_path / "template", (), story, True)
    assert states_of(steps) == ["absent", "whole"]
    check_told(steps)


@pytest.mark.parametrize("story", [scenes.remove_new, scenes.clean, scenes.read_new])
def test_full_disk_stops_no_story_that_needs_no_room(
    nursery: Nursery, tmp_path: Path, story: sweeps.Story
) -> None:
    before = (sweeps.leave_a_mess,) if story is scenes.clean else (scenes.import_new,)
    steps = nursery.run(run_full_sweep, tmp_path / "template", before, story, False)
    assert [step.outcome.error for step in steps] == [""] * len(steps)


def check_told(steps: list[sweeps.Step]) -> None:
    """Each run that failed said why, and cleaned up behind itself."""
    failed = [step for step in steps if not step.outcome.is_good]
    assert len(failed) > len(steps) // 2
    for step in failed:
        assert (step.outcome.error, step.outcome.exit) == ("NoSpace", 18), step
        assert "is full" in step.outcome.message
        assert "free some space" in step.outcome.message
    assert {step.left for step in steps} == {()}


# -- the parts ---------------------------------------------------------------------------------------


def test_early_flush_that_failed_is_told_once_more_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fdatasync" if hasattr(os, "fdatasync") else "fsync", refuse)
    pack = PackWriter(tmp_path / "pack", sync=True)
    with pytest.raises(NoSpace):  # whichever comes first: a further flush step, or the end
        for _ in range(3):
            pack.write(bytes(16 << 20))
        pack.finish()
    pack.close()
    assert pack.descriptor == -1


def test_only_full_disks_are_told_as_no_space(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), full_disk_told(tmp_path):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(sqlite3.OperationalError), full_disk_told(tmp_path):
        sqlite3.connect(":memory:").execute("SELECT * FROM nothing")
    with pytest.raises(sqlite3.ProgrammingError), full_disk_told(tmp_path):
        closed = sqlite3.connect(":memory:")
        closed.close()
        closed.execute("SELECT 1")


# -- a disk that is really small -------------------------------------------------------------------


def may_mount() -> bool:
    """Whether this process is allowed to mount things for itself."""
    if sys.platform != "linux":
        return False
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def mount_small_disk(folder: Path) -> None:
    """A small disk that only this process and its children see, and that goes when they end."""
    libc = ctypes.CDLL(None, use_errno=True)

    def checked(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    folder.mkdir()
    checked(libc.unshare(_CLONE_NEWNS))
    checked(libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None))
    size = f"size={DISK_SIZE}".encode()
    checked(libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, size))


def free_space(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


@contextlib.contextmanager
def only(size: int, folder: Path) -> Iterator[None]:
    """Fill a disk up until so much is free."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        file.writelines(bytes(4096) for _ in range(max(0, free_space(folder) - size) // 4096))
    try:
        yield
    finally:
        ballast.unlink()


def try_each_size(disk: Path, reexec: bool) -> list[tuple[int, Outcome]]:
    """Import with little room, and with ever more, until it succeeds."""
    mount_small_disk(disk)
    root = disk / "root"
    scenes.make(root)
    story = scenes.import_new_in_child if reexec else scenes.import_new
    outcomes = []
    for size in range(0, DISK_SIZE, 4096):
        with only(size, disk):
            outcome = Actor(sweeps.run, story, root, lambda call: None).outcome()
            outcomes.append((size, outcome))
            assert scenes.leftovers(root) == []
            assert Actor(scenes.look, root).get() == ("whole" if outcome.is_good else "absent")
        if outcome.is_good:
            break
    return outcomes


def import_too_much(disk: Path, reexec: bool) -> Outcome:
    """A file of noise that is larger than the disk."""
    mount_small_disk(disk)
    driver = scenes.make(disk / "root")
    tar = layer_tar(a_layer(a_file("Files/noise", random.Random(1).randbytes(DISK_SIZE))))
    driver = scenes.open_store(disk / "root", reexec=reexec)
    outcome = Actor(driver.import_layer, "new", "", io.BytesIO(tar)).outcome()
    assert Actor(scenes.look, disk / "root").get() == "absent"
    return outcome


def use_full_disk(disk: Path) -> list[str]:
    """Everything that needs no room, on a disk without any."""
    mount_small_disk(disk)
    root = disk / "root"
    scenes.make(root)
    scenes.import_new(root)
    holder = Actor(hold_and_end, root)
    assert holder.outcome().signal
    with only(0, disk):
        assert free_space(disk) == 0
        assert Actor(scenes.look, root).get() == "whole"
        assert "NoSpace" in Actor(scenes.import_new, root).outcome().error + "NoSpace"
        Actor(scenes.read_new, root).get()
        Actor(scenes.examine_new, root).get()
        Actor(scenes.remove_new, root).get()
        Actor(scenes.clean, root).get()
        return [Actor(scenes.look, root).get()]


def hold_and_end(root: Path) -> None:
    """A process that dies with a layer got."""
    scenes.open_store(root).get("new")
    os.abort()
