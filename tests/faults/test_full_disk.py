"""A full disk: NoSpace, all or nothing as ever, and layers can still be read and removed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import random
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import scenes, sweeps
from tests.faults.forks import Actor, Nursery, Outcome
from tests.faults.test_killed import states_of
from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.backends.portable._pack import PackWriter
from winlayers.backends.sealed.space import full_disk_told
from winlayers.errors import NoSpace

DISK_SIZE = 3 << 20
_CAP_SYS_ADMIN = 21
_CLONE_NEWNS = 0x20000
_MS_REC_PRIVATE = 0x44000
_MS_RDONLY, _MS_REMOUNT = 1, 32
_LIBC = ctypes.CDLL(None, use_errno=True)


# -- refused by the system at every step ------------------------------------------------------------

SWEEPS = {
    "import": ((), scenes.import_new, ["absent", "whole"]),
    "create": ((), scenes.create_new, ["absent", "created"]),
    "fill": ((scenes.create_new,), scenes.fill_new, ["created", "whole"]),
    "write": ((), scenes.write_new, ["absent", "whole"]),
    "look at a tar": ((scenes.save_tar,), scenes.look_at_tar, ["absent"]),
    "create a scratch": ((), scenes.create_scratch, ["absent", "scratch"]),
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
    assert len(failed) > len(steps) // 3
    for step in failed:
        assert (step.outcome.error, step.outcome.exit) == ("NoSpace", 18), step
        assert "is full" in step.outcome.message
        assert "free some space" in step.outcome.message
    assert {step.left for step in steps} == {()}


# -- the parts ---------------------------------------------------------------------------------------


def test_early_flush_that_failed_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def refuse(descriptor: int) -> None:
        refused.set()
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fdatasync" if hasattr(os, "fdatasync") else "fsync", refuse)
    pack = PackWriter(tmp_path / "pack", sync=True)
    pack.write(bytes(16 << 20))
    assert refused.wait(10)
    with pytest.raises(NoSpace):
        pack.finish()
    pack.close()
    assert pack.descriptor == -1


def test_only_full_disks_are_told_as_no_space(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), full_disk_told(tmp_path):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(sqlite3.OperationalError), full_disk_told(tmp_path):
        sqlite3.connect(":memory:").execute("SELECT * FROM nothing")
    shared = sqlite3.OperationalError("disk I/O error")
    shared.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    with pytest.raises(NoSpace), full_disk_told(tmp_path):
        raise shared
    closed = sqlite3.connect(":memory:")
    closed.close()
    with pytest.raises(sqlite3.ProgrammingError), full_disk_told(tmp_path):
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


def mount_small_disk(folder: Path, size: int = DISK_SIZE) -> None:
    """A small disk that only this process and its children see, and that goes when they end."""
    folder.mkdir()
    _checked(_LIBC.unshare(_CLONE_NEWNS))
    _checked(_LIBC.mount(b"none", b"/", None, _MS_REC_PRIVATE, None))
    option = f"size={size}".encode()
    _checked(_LIBC.mount(b"none", os.fsencode(folder), b"tmpfs", 0, option))


def set_read_only(folder: Path) -> None:
    """Have that disk take no more writes."""
    _checked(_LIBC.mount(b"none", os.fsencode(folder), None, _MS_REMOUNT | _MS_RDONLY, None))


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


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


def try_each_size(disk: Path, reexec: bool) -> list[Outcome]:
    """Import with little room, and with ever more, until it succeeds."""
    mount_small_disk(disk)
    root = disk / "root"
    scenes.make(root)
    story = scenes.import_new_in_child if reexec else scenes.import_new
    outcomes = []
    for size in range(0, DISK_SIZE, 4096):
        with only(size, disk):
            outcome = Actor(sweeps.run, story, root, lambda call: None).outcome()
            outcomes.append(outcome)
            assert scenes.leftovers(root) == []
            assert Actor(scenes.look, root).get() == ("whole" if outcome.is_good else "absent")
        if outcome.is_good:
            break
    return outcomes


def import_too_much(disk: Path, reexec: bool) -> Outcome:
    """A file of noise that is larger than the disk."""
    mount_small_disk(disk)
    scenes.make(disk / "root")
    tar = layer_tar(a_layer(a_file("Files/noise", random.Random(1).randbytes(DISK_SIZE))))
    driver = scenes.open_store(disk / "root", reexec=reexec)
    outcome = Actor(driver.import_layer, "new", "", io.BytesIO(tar)).outcome()
    assert Actor(scenes.look, disk / "root").get() == "absent"
    return outcome


def use_full_disk(disk: Path) -> str:
    """What needs no room, on a disk without any."""
    mount_small_disk(disk)
    root = disk / "root"
    scenes.make(root)
    scenes.import_new(root)
    assert Actor(hold_and_die, root).outcome().signal
    with only(0, disk):
        assert free_space(disk) == 0
        assert Actor(scenes.look, root).get() == "whole"
        assert Actor(import_another, root).outcome().error == "NoSpace"
        for story in (scenes.read_new, scenes.examine_new, scenes.remove_new, scenes.clean):
            Actor(story, root).get()
        return str(Actor(scenes.look, root).get())


def hold_and_die(root: Path) -> None:
    """A process that ends with a layer got."""
    scenes.open_store(root).get("new")
    os.kill(os.getpid(), signal.SIGKILL)


def import_another(root: Path) -> None:
    scenes.open_store(root).import_layer("another", "", io.BytesIO(scenes.TARS["other"]))


def stage_elsewhere(disk: Path) -> Outcome:
    """A temporary folder on another disk."""
    mount_small_disk(disk)
    root = disk.with_name("root")
    scenes.make(root)
    driver = scenes.open_store(root, tmpdir=disk / "tmp")
    return Actor(scenes.add, driver, "new").outcome()


# Where nothing may be mounted, the sweeps above are what there is.
if may_mount():

    @pytest.mark.parametrize("reexec", [False, True])
    def test_import_with_ever_more_room_is_no_space_until_it_succeeds(
        nursery: Nursery, tmp_path: Path, reexec: bool
    ) -> None:
        outcomes = nursery.run(try_each_size, tmp_path / "disk", reexec)
        assert outcomes.pop().is_good
        assert len(outcomes) >= 20
        assert {(one.error, one.exit) for one in outcomes} == {("NoSpace", 18)}

    @pytest.mark.parametrize("reexec", [False, True])
    def test_layer_larger_than_the_disk_is_no_space(
        nursery: Nursery, tmp_path: Path, reexec: bool
    ) -> None:
        outcome = nursery.run(import_too_much, tmp_path / "disk", reexec)
        assert (outcome.error, outcome.exit) == ("NoSpace", 18)
        assert "is full after" in outcome.message

    def test_store_on_a_full_disk_can_be_opened_read_and_cleared(
        nursery: Nursery, tmp_path: Path
    ) -> None:
        assert nursery.run(use_full_disk, tmp_path / "disk") == "absent"

    def test_staging_on_another_disk_is_refused_at_once(nursery: Nursery, tmp_path: Path) -> None:
        outcome = nursery.run(stage_elsewhere, tmp_path / "disk")
        assert (outcome.error, outcome.exit) == ("InvalidArgument", 2)
        assert "--tmpdir" in outcome.message
