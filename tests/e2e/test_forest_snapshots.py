"""The snapshots of a store in one file system, from being prepared to being removed."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread, Timer

import pytest

from tests.e2e.conftest import LAYER
from tests.e2e.places import SECONDS, run
from tests.e2e.test_mount_life import wait_until_gone
from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.assembly import open_forest, open_store
from winlayers.base.processes import process_start_time
from winlayers.config import Config
from winlayers.mounts.contract import MountInfo
from winlayers.oci.model import Descriptor, digest_bytes
from winlayers.store.snapshots import SnapshotKind

pytestmark = pytest.mark.e2e

TAR_TYPE = "application/vnd.oci.image.layer.v1.tar"


class Engine:
    """What an engine has of a store: its snapshots, and where they are mounted."""

    def __init__(self, folder: Path) -> None:
        config = Config(folder / "store")
        self.folder = folder
        self.store = open_store(config)
        self.snapshots = self.store.snapshots
        self.forest = open_forest(config)
        self.info: MountInfo = self.forest.start()
        self.binds: list[Path] = []

    def unpack(self, key: str, tar: bytes, parent: str = "") -> int:
        """Have a committed snapshot of a layer, as a pull does; its number."""
        active = self.snapshots.prepare(f"extract {key}", parent)
        blob = Descriptor(TAR_TYPE, digest_bytes(tar), len(tar))
        self.snapshots.fill(active.number, blob, io.BytesIO(tar))
        self.snapshots.commit(key, f"extract {key}")
        return active.number

    def bind(self, number: int) -> Path:
        """Bind the folder of a snapshot to a new folder."""
        target = self.folder / f"bind-{len(self.binds)}"
        target.mkdir()
        self.binds.append(target)
        run(["mount", "--rbind", self.forest.folder(number), target], seconds=20)
        return target

    def kill(self) -> None:
        """Kill the process of the forest."""
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


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    watchdog = Timer(SECONDS, _end, [engine.info])
    watchdog.start()
    try:
        yield engine
    finally:
        watchdog.cancel()
        engine.end()


@pytest.fixture
def base(engine: Engine) -> int:
    """Number of the committed snapshot ``base``."""
    return engine.unpack("base", layer_tar(LAYER))


def test_container_is_made_written_and_committed(engine: Engine, base: int) -> None:
    active = engine.snapshots.prepare("box", "base")
    bound = engine.bind(active.number)
    assert (bound / "a.txt").read_bytes() == b"hello"
    (bound / "new").mkdir()
    (bound / "new/f").write_bytes(b"x" * 100_000)
    (bound / "a.txt").unlink()
    done = engine.snapshots.commit("made", "box")
    assert (done.number, done.kind) == (active.number, SnapshotKind.COMMITTED)
    # What engines look at before they unmount.
    assert stat.S_ISDIR(os.stat(bound).st_mode)
    assert (bound / "new/f").read_bytes() == b"x" * 100_000
    assert not (bound / "a.txt").exists()
    with pytest.raises(OSError) as told:
        (bound / "more").mkdir()
    assert told.value.errno == errno.EROFS
    above = engine.snapshots.prepare("next", "made")
    assert "new" in os.listdir(engine.forest.folder(above.number))
    assert engine.store.driver.layers().count(f"snapshot-{active.number}-scratch") == 0


def test_snapshot_that_was_looked_at_is_filled(engine: Engine, base: int) -> None:
    active = engine.snapshots.prepare("extract", "base")
    folder = engine.forest.folder(active.number)
    assert "a.txt" in os.listdir(folder)
    tar = layer_tar(a_layer(a_file("Files/top.txt", b"top")))
    blob = Descriptor(TAR_TYPE, digest_bytes(tar), len(tar))
    engine.snapshots.fill(active.number, blob, io.BytesIO(tar))
    assert (folder / "top.txt").read_bytes() == b"top"
    assert "top.txt" in os.listdir(folder)
    engine.snapshots.commit("top", "extract")
    assert (folder / "a.txt").read_bytes() == b"hello"


def test_view_takes_no_writes_and_goes_with_its_snapshot(engine: Engine, base: int) -> None:
    view = engine.snapshots.view("looking", "base")
    folder = engine.forest.folder(view.number)
    assert (folder / "dir/b.txt").read_bytes() == b"b"
    with pytest.raises(OSError) as told:
        (folder / "x").mkdir()
    assert told.value.errno == errno.EROFS
    engine.snapshots.remove("looking")
    assert not folder.exists()
    empty = engine.snapshots.view("empty")
    assert os.listdir(engine.forest.folder(empty.number)) == []


def test_removed_snapshot_leaves_nothing(engine: Engine, base: int) -> None:
    active = engine.snapshots.prepare("box", "base")
    (engine.forest.folder(active.number) / "f").write_bytes(b"x")
    assert len(engine.store.driver.layers()) == 2
    engine.snapshots.remove("box")
    engine.snapshots.clean_up()
    assert len(engine.store.driver.layers()) == 1
    assert os.listdir(engine.info.path) == [str(base)]


def test_killed_forest_shows_again_what_was_written(engine: Engine, base: int) -> None:
    active = engine.snapshots.prepare("box", "base")
    bound = engine.bind(active.number)
    with open(bound / "synced", "wb") as file:
        file.write(b"x" * 100_000)
        file.flush()
        os.fsync(file.fileno())
    engine.kill()
    # Others work with the store meanwhile.
    assert engine.snapshots.usage("box").inodes > 0
    engine.info = engine.forest.start()
    again = engine.bind(active.number)
    assert (again / "synced").read_bytes() == b"x" * 100_000
    engine.snapshots.commit("made", "box")
    assert (again / "synced").read_bytes() == b"x" * 100_000


def test_many_clients_make_commit_and_remove_at_once(engine: Engine, base: int) -> None:
    faults: list[BaseException] = []

    def live(name: str) -> None:
        try:
            for turn in range(6):
                text = f"{name} {turn}".encode() * 100
                key = f"{name}-{turn}"
                folder = engine.forest.folder(engine.snapshots.prepare(key, "base").number)
                (folder / "x").write_bytes(text)
                assert (folder / "dir/b.txt").read_bytes() == b"b"
                if turn % 2:
                    engine.snapshots.commit(key := f"{key} made", f"{name}-{turn}")
                else:
                    engine.forest.let_go(int(folder.name))
                assert (folder / "x").read_bytes() == text
                engine.snapshots.remove(key)
                assert not folder.exists()
        except BaseException as error:
            faults.append(error)

    clients = [Thread(target=live, args=(name,)) for name in "abcdef"]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not faults
    engine.snapshots.clean_up()
    assert len(engine.store.driver.layers()) == 1
    assert os.listdir(engine.info.path) == [str(base)]
    assert not (engine.folder / "store/log/mount-snapshots.log").exists()


def test_forest_killed_under_who_writes_loses_nothing_that_was_synced(
    engine: Engine, base: int
) -> None:
    folder = engine.forest.folder(engine.snapshots.prepare("box", "base").number)
    synced: list[str] = []

    def write(first: str) -> None:
        with suppress(OSError):
            for turn in range(10_000):
                name = f"{first}{turn}"
                with open(folder / name, "wb", buffering=0) as file:
                    file.write(name.encode() * 500)
                    os.fsync(file.fileno())
                synced.append(name)

    for first in "abc":
        writer = Thread(target=write, args=(first,))
        writer.start()
        time.sleep(0.2)
        engine.kill()
        writer.join()
        engine.info = engine.forest.start()
    assert {name[0] for name in synced} == {"a", "b", "c"}
    for name in synced:
        assert (folder / name).read_bytes() == name.encode() * 500
    engine.snapshots.commit("made", "box")
    assert (folder / synced[-1]).read_bytes() == synced[-1].encode() * 500
