"""All snapshots of a store in one file system, as engines use it: bound, written, let go of, killed and mended."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread, Timer

import pytest

from tests.e2e.conftest import LAYER
from tests.e2e.places import SECONDS, Place, run
from tests.e2e.test_mount_life import GONE, wait_until_gone
from tests.support.builders import a_file, a_layer
from winlayers.base.processes import process_start_time
from winlayers.errors import InUse, LayerMounted
from winlayers.mounts.contract import ForestRequest, MountInfo
from winlayers.mounts.fuse.forest import Forest

pytestmark = pytest.mark.e2e

OTHER = a_layer(a_file("Files/other.txt", b"other"), a_file("Files/dir/c.txt", b"c"))

#: Files that a scratch makes in advance when it has time.
SPARE_COUNT = 4


class Grown:
    """A forest over the layers of a place whose ids are numbers."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.forest = Forest(
            "tests.e2e.forestlayers", ForestRequest(place.home, None, place.home / "snapshots")
        )
        self.info = self.forest.start()
        self.binds: list[Path] = []

    def __truediv__(self, name: str) -> Path:
        return self.info.path / name

    def bind(self, number: int, *, read_only: bool = False, below: str = "") -> Path:
        """Bind the folder of a snapshot, or one below it, to a new folder."""
        target = self.place.folder / f"bind-{len(self.binds)}"
        target.mkdir()
        self.binds.append(target)
        run(["mount", "--rbind", self.forest.folder(number) / below, target], seconds=20)
        if read_only:
            run(["mount", "-o", "remount,bind,ro", target], seconds=20)
        return target

    def unbind(self, target: Path) -> None:
        self.binds.remove(target)
        run(["umount", target], seconds=20)

    def kill(self) -> None:
        """Kill the process, and wait until it is gone."""
        os.kill(self.info.pid, signal.SIGKILL)
        wait_until_gone(self.info.pid, self.info.started)

    def end(self) -> None:
        """End whatever is left."""
        for target in [*self.binds, self.info.path]:
            subprocess.run(["umount", "-l", target], check=False, capture_output=True, timeout=30)
        _end(self.info)


def _end(info: MountInfo) -> None:
    if process_start_time(info.pid) == info.started:
        with suppress(ProcessLookupError):
            os.kill(info.pid, signal.SIGKILL)


@contextmanager
def failing(*numbers: int) -> Iterator[None]:
    with pytest.raises(OSError) as told:
        yield
    assert told.value.errno in numbers


@pytest.fixture
def forest(place: Place) -> Iterator[Grown]:
    """Snapshots 1 (``LAYER``) and 2 (``OTHER``), sealed, and the scratches 3 and 4 on 1."""
    place.import_layer("1", LAYER)
    place.import_layer("2", OTHER)
    for number in ("3", "4"):
        place.driver.create_read_write(number, "1")
    grown = Grown(place)
    watchdog = Timer(SECONDS, _end, [grown.info])
    watchdog.start()
    try:
        yield grown
    finally:
        watchdog.cancel()
        grown.end()


def open_count(forest: Grown) -> int:
    return len(os.listdir(f"/proc/{forest.info.pid}/fd"))


def memory_size(forest: Grown) -> int:
    """Bytes of the process that are in memory."""
    fields = Path(f"/proc/{forest.info.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def test_each_snapshot_has_a_folder(forest: Grown) -> None:
    assert os.listdir(forest.info.path) == ["1", "2", "3", "4"]
    assert (forest / "1/a.txt").read_bytes() == b"hello"
    assert (forest / "2/dir/c.txt").read_bytes() == b"c"
    assert (forest / "4/link").resolve() == (forest / "4/dir/b.txt")
    for name in ("5", "01", "x", "1x", "99999999999999999999"):
        assert not (forest / name).exists()
    forest.place.import_layer("5", OTHER)
    assert (forest / "5/other.txt").read_bytes() == b"other"
    assert "5" in os.listdir(forest.info.path)


def test_trees_are_written_each_for_itself(forest: Grown) -> None:
    (forest / "3/new.txt").write_bytes(b"three")
    (forest / "4/new.txt").write_bytes(b"four")
    (forest / "3/dir").rename(forest / "3/moved")
    os.link(forest / "3/a.txt", forest / "3/twin.txt")
    (forest / "4/a.txt").unlink()
    assert (forest / "3/new.txt").read_bytes() == b"three"
    assert (forest / "4/new.txt").read_bytes() == b"four"
    assert sorted(os.listdir(forest / "3/moved")) == ["b.txt", "same.txt"]
    assert "a.txt" not in os.listdir(forest / "4")
    assert (forest / "1/a.txt").read_bytes() == b"hello"
    with open(forest / "3/twin.txt", "ab") as file:
        file.write(b" more")
    assert (forest / "3/a.txt").read_bytes() == b"hello more"


def test_files_of_all_trees_have_numbers_of_their_own(forest: Grown) -> None:
    numbers = [
        os.lstat(Path(folder) / name).st_ino
        for number in ("1", "2", "3", "4")
        for folder, names, files in os.walk(forest / number)
        for name in (*names, *files)
        if name != "same.txt"
    ]
    assert len(numbers) == len(set(numbers))


def test_root_takes_no_changes(forest: Grown) -> None:
    with failing(errno.EROFS):
        (forest / "x").mkdir()
    with failing(errno.EROFS):
        (forest / "x").write_bytes(b"")
    with failing(errno.EROFS):
        os.symlink("3", forest / "x")
    with failing(errno.EROFS):
        os.chmod(forest.info.path, 0o700)
    with failing(errno.EROFS):
        os.rename(forest / "3", forest / "9")
    with failing(errno.EXDEV):
        os.rename(forest / "3/a.txt", forest / "4/moved.txt")
    with failing(errno.EXDEV):
        os.link(forest / "3/a.txt", forest / "4/linked.txt")
    with failing(errno.EROFS):
        (forest / "1/x").mkdir()
    assert os.listdir(forest.info.path) == ["1", "2", "3", "4"]


def test_snapshot_is_bound_as_engines_do(forest: Grown) -> None:
    writing, looking = forest.bind(3), forest.bind(3, read_only=True)
    (writing / "app").mkdir()
    (writing / "app/f").write_bytes(b"x")
    assert (looking / "app/f").read_bytes() == b"x"
    with failing(errno.EROFS):
        (looking / "g").write_bytes(b"")
    sub = forest.bind(3, below="app")
    assert os.listdir(sub) == ["f"]
    forest.unbind(sub)
    forest.unbind(looking)
    forest.unbind(writing)
    assert (forest / "3/app/f").read_bytes() == b"x"


def test_what_engines_make_of_posix_is_taken_or_refused(forest: Grown) -> None:
    root = forest.bind(3)
    # What dockerd makes before a container is made.
    for folder in ("dev/pts", "dev/shm", "proc", "sys", "etc"):
        (root / folder).mkdir(parents=True, mode=0o755)
        os.chown(root / folder, 1000, 1000)
    for file in (".dockerenv", "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf"):
        (root / file).touch(mode=0o755)
        os.chown(root / file, 1000, 1000)
    os.symlink("/proc/mounts", root / "etc/mtab")
    os.lchown(root / "etc/mtab", 1000, 1000)
    assert stat.S_ISLNK(os.lstat(root / "etc/mtab").st_mode)
    # What archives bring along.
    os.utime(root / "etc/hosts", ns=(10**18, 10**18 + 100))
    assert os.stat(root / "etc/hosts").st_mtime_ns == 10**18 + 100
    os.chmod(root / "etc/hosts", 0o4644)
    with failing(errno.ENOTSUP):
        os.setxattr(root / "etc/hosts", "trusted.overlay.opaque", b"y")
    for kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
        with failing(errno.EPERM):
            os.mknod(root / "dev/odd", kind | 0o600, os.makedev(0, 0))
    with failing(errno.EOPNOTSUPP):
        os.open(root, os.O_TMPFILE | os.O_WRONLY)
    # What lies in the layer below goes as well as what does not.
    (root / "dir/b.txt").unlink()
    (root / "dir/same.txt").unlink()
    (root / "dir").rmdir()
    assert "dir" not in os.listdir(root)


def test_snapshot_is_let_go_of_and_opened_again(forest: Grown) -> None:
    (forest / "3/f").write_bytes(b"x" * 100_000)
    with pytest.raises(LayerMounted):
        forest.place.driver.scratch("3")
    assert forest.forest.let_go(3)
    with closing(forest.place.driver.scratch("3")) as scratch:
        found = scratch.lookup("Files/f")
        assert found is not None
        assert found.size == 100_000
        with failing(errno.EBUSY):
            (forest / "3/f").read_bytes()
    assert (forest / "3/f").read_bytes() == b"x" * 100_000
    assert forest.forest.let_go(99)


def test_snapshot_with_open_files_is_let_go_of_when_they_are_closed(forest: Grown) -> None:
    with open(forest / "3/f", "wb", buffering=0) as file:
        file.write(b"one")
        assert not forest.forest.let_go(3)
        file.write(b"two")
    assert forest.forest.let_go(3)
    with closing(forest.place.driver.scratch("3")):
        pass
    assert (forest / "3/f").read_bytes() == b"onetwo"


def test_snapshot_that_became_another_goes_on_to_be_shown(forest: Grown) -> None:
    bound = forest.bind(3)
    (bound / "f").write_bytes(b"x")
    assert os.listdir(bound / "dir") == ["b.txt", "same.txt"]
    forest.forest.publish(3)
    driver = forest.place.driver
    with driver.diff("3", "1") as diff:
        assert forest.forest.let_go(3)
        driver.remove("3")
        driver.create("3", "1")
        driver.apply_diff("3", "1", diff)
    assert forest.forest.let_go(3)
    assert stat.S_ISDIR(os.stat(bound).st_mode)
    assert (bound / "f").read_bytes() == b"x"
    with failing(errno.EROFS):
        (bound / "g").write_bytes(b"")
    forest.unbind(bound)


def test_snapshot_that_is_removed_has_no_folder(forest: Grown) -> None:
    assert (forest / "4/a.txt").exists()
    with pytest.raises(LayerMounted):
        forest.place.driver.remove("4")
    assert forest.forest.let_go(4)
    forest.place.driver.remove("4")
    assert forest.forest.let_go(4)
    assert not (forest / "4").exists()
    assert os.listdir(forest.info.path) == ["1", "2", "3"]


def test_what_is_written_is_seen_outside_when_it_is_published(forest: Grown) -> None:
    for turn in range(20):
        (forest / f"3/f{turn}").mkdir()
        forest.forest.publish(3)
        found = [change.path for change in forest.place.driver.changes("3")]
        assert f"Files/f{turn}" in found


def test_forest_is_found_by_who_comes_later(forest: Grown) -> None:
    started = forest.forest.start()
    assert started == forest.info
    assert forest.forest.find() == forest.info


def test_forest_ends_with_all_written(forest: Grown) -> None:
    bound = forest.bind(3)
    with pytest.raises(InUse, match="bind-0"):
        forest.forest.end()
    forest.unbind(bound)
    (forest / "3/f").write_bytes(b"x" * 100_000)
    forest.forest.end()
    assert forest.forest.find() is None
    assert process_start_time(forest.info.pid) != forest.info.started
    with closing(forest.place.driver.scratch("3")) as scratch:
        assert scratch.lookup("Files/f") is not None
    forest.forest.end()
    forest.info = forest.forest.start()
    assert (forest / "3/f").read_bytes() == b"x" * 100_000


def test_killed_forest_is_mended_while_it_is_bound(forest: Grown) -> None:
    bound = forest.bind(3)
    with open(bound / "synced", "wb") as file:
        file.write(b"x" * 100_000)
        file.flush()
        os.fsync(file.fileno())
    forest.kill()
    with failing(*GONE):
        os.listdir(bound)
    assert forest.forest.find() is None
    forest.forest.publish(3)
    assert forest.forest.let_go(3)
    forest.info = forest.forest.start()
    again = forest.bind(3)
    assert (again / "synced").read_bytes() == b"x" * 100_000
    (again / "more").write_bytes(b"x")
    with failing(*GONE):
        os.listdir(bound)
    forest.unbind(bound)
    forest.unbind(again)


def test_many_clients_at_once(forest: Grown) -> None:
    faults: list[BaseException] = []

    def work(number: int, name: str) -> None:
        try:
            for turn in range(20):
                path = forest / f"{number}/{name}{turn}"
                path.write_bytes(b"%d" % turn * 1000)
                assert path.read_bytes() == b"%d" % turn * 1000
                assert (forest / "1/big.bin").stat().st_size == 1 << 20
                if turn % 5 == 4:
                    forest.forest.let_go(number)
        except BaseException as error:
            faults.append(error)

    clients = [(number, name) for number in (3, 4) for name in "abc"]
    threads = [Thread(target=work, args=client) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def used(forest: Grown, number: int) -> tuple[int, int]:
    """Make, write and read a snapshot; the descriptors and the memory of the process after that."""
    forest.place.driver.create_read_write(str(number), "1")
    (forest / f"{number}/f").write_bytes(b"x" * 1000)
    assert (forest / f"{number}/dir/b.txt").read_bytes() == b"b"
    return open_count(forest), memory_size(forest)


def test_trees_that_are_removed_one_after_the_other_leave_nothing(forest: Grown) -> None:
    counts, sizes = [], []
    for number in range(10, 210):
        count, size = used(forest, number)
        counts.append(count)
        sizes.append(size)
        assert forest.forest.let_go(number)
        forest.place.driver.remove(str(number))
        assert forest.forest.let_go(number)
    assert max(counts[50:]) <= max(counts[:50]) + SPARE_COUNT
    assert max(sizes[50:]) < sizes[50] + (2 << 20)


def test_some_trees_are_kept_open_and_not_more(forest: Grown) -> None:
    counts = [used(forest, number)[0] for number in range(10, 110)]
    assert max(counts[50:]) <= max(counts[:50]) + SPARE_COUNT


def test_open_file_is_changed_through_its_descriptor(forest: Grown) -> None:
    descriptor = os.open(forest / "3/f", os.O_CREAT | os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, 0, 5000)
        assert os.fstat(descriptor).st_size == 5000
        os.unlink(forest / "3/f")
        os.ftruncate(descriptor, 10)
        os.utime(descriptor)
        assert os.pread(descriptor, 100, 0) == bytes(10)
    finally:
        os.close(descriptor)
    assert "f" not in os.listdir(forest / "3")
