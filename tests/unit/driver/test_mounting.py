"""Counting mounts, and mending them; a stand-in serves them, whose processes only sleep."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.backends.contract import Mount
from winlayers.backends.portable.backend import PortableBackend
from winlayers.base.processes import process_start_time
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.driver.mounting import mount_text
from winlayers.errors import InUse, LayerMounted, LayerNotFound, Unsupported
from winlayers.layer.chain import Chain

TAR = layer_tar(a_layer(a_file("Files/a.txt", b"content")))


class Sleepers(PortableBackend):
    """Mounts by processes that do nothing."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.served: dict[Path, subprocess.Popen[bytes]] = {}
        self.asked: list[tuple[str, bool, bool]] = []
        self.published: list[Path] = []
        self.is_busy = False

    def mount(
        self, layer_id: str, chain: Chain, path: Path | None, *, read_only: bool, raw: bool
    ) -> Mount:
        if path is None:
            path = self._root / "mounts" / layer_id
            path.mkdir(parents=True, exist_ok=True)
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
        self.served[path] = child
        self.asked.append((layer_id, read_only, raw))
        return Mount(path, child.pid, str(process_start_time(child.pid)))

    def publish(self, layer_id: str, path: Path) -> None:
        self.published.append(path)

    def unmount(self, layer_id: str, path: Path) -> None:
        if self.is_busy:
            raise InUse(f"{path} is in use")
        self.end(path)
        if path.parent == self._root / "mounts":
            path.rmdir()

    def end(self, path: Path) -> None:
        child = self.served.pop(path)
        assert child.stdin is not None
        child.stdin.close()
        child.wait()


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Sleepers]:
    backend = Sleepers(tmp_path)
    yield backend
    for path in list(backend.served):
        backend.end(path)


@pytest.fixture
def driver(backend: Sleepers, tmp_path: Path) -> Driver:
    driver = Driver(tmp_path, backend, InlineImporter(backend))
    driver.import_layer("base", "", io.BytesIO(TAR))
    driver.create_read_write("c", "base")
    return driver


def test_scratch_is_mounted_once_and_unmounted_by_the_last(
    driver: Driver, backend: Sleepers, tmp_path: Path
) -> None:
    path = driver.get("c")
    assert path == tmp_path / "mounts" / "c"
    assert driver.get("c") == path
    assert backend.asked == [("c", False, False)]
    assert [(one.layer_id, one.path, backend.shows(one.mount)) for one in driver.mounts()] == [
        ("c", path, True)
    ]
    with pytest.raises(LayerMounted, match=f"held by process {os.getpid()}"):
        driver.remove("c")
    driver.put("c")
    assert list(backend.served) == [path]
    driver.put("c")
    assert backend.served == {}
    assert not path.exists()
    driver.put("c")  # nobody holds it
    driver.remove("c")


def test_sealed_layer_is_held_by_its_folder_and_mounted_when_asked(
    driver: Driver, backend: Sleepers, tmp_path: Path
) -> None:
    assert driver.get("base") == tmp_path / "windowsfilter" / "base"
    assert backend.served == {}
    driver.put("base")
    where = tmp_path / "here"
    where.mkdir()
    assert driver.mount("base", where, read_only=True, raw=True) == where
    assert backend.asked == [("base", True, True)]
    driver.put("base")
    assert where.exists()


def test_who_looks_at_a_mounted_scratch_has_its_mount_publish_first(
    driver: Driver, backend: Sleepers
) -> None:
    def look() -> None:
        driver.diff("c").close()
        list(driver.changes("c"))
        driver.usage("c")
        driver.view("c").close()
        driver.scratch("c", read_only=True).close()

    look()
    path = driver.get("c")
    assert backend.published == []
    look()
    assert backend.published == [path] * 5
    driver.put("c")
    driver.mount("c", read_only=True)
    look()
    assert backend.published == [path] * 5


def test_other_mount_of_the_same_layer_is_refused(driver: Driver, tmp_path: Path) -> None:
    path = driver.mount("c")
    for other in ({"read_only": True}, {"raw": True}, {"path": tmp_path / "elsewhere"}):
        with pytest.raises(LayerMounted, match=r"mounted at .*mounts[/\\]c already"):
            driver.mount("c", **other)  # type: ignore[arg-type] # one of the keywords
    assert driver.mount("c", path) == path


def test_mount_whose_process_died_is_mended(driver: Driver, backend: Sleepers) -> None:
    path = driver.get("c")
    dead = backend.served[path]
    dead.kill()
    dead.wait()
    assert driver.get("c") == path
    assert backend.served[path] is not dead
    assert len(backend.asked) == 2


def test_cleanup_ends_dead_mounts_and_those_of_the_dead(
    driver: Driver, backend: Sleepers, tmp_path: Path
) -> None:
    path = driver.mount("c", detached=True)
    assert driver.cleanup() == []
    dead = backend.served[path]
    dead.kill()
    dead.wait()
    assert driver.cleanup()[0] == f"unmounted {path}"
    assert not path.exists()
    driver.remove("c")

    driver.create_read_write("d", "base")
    path = driver.mount("d", detached=True)
    other = Driver(tmp_path, backend, InlineImporter(backend))
    backend.is_busy = True
    with pytest.raises(InUse):
        other.put("d")
    backend.is_busy = False
    other.put("d")
    assert backend.served == {}


def test_mount_that_somebody_works_in_stays(driver: Driver, backend: Sleepers) -> None:
    path = driver.get("c")
    backend.is_busy = True
    with pytest.raises(InUse):
        driver.put("c")
    assert list(backend.served) == [path]
    backend.is_busy = False
    driver.put("c")
    assert backend.served == {}


def test_layer_that_is_not_there_is_not_mounted(driver: Driver) -> None:
    with pytest.raises(LayerNotFound):
        driver.mount("none")


def test_backend_without_mounts_says_so(tmp_path: Path) -> None:
    backend = PortableBackend(tmp_path)
    driver = Driver(tmp_path, backend, InlineImporter(backend))
    driver.create_read_write("c")
    with pytest.raises(Unsupported, match="without a means to mount"):
        driver.get("c")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("\\\\?\\Volume{12-ab}\\", "\\\\?\\Volume{12-ab}\\"),
        ("\\\\?\\Volume{12-ab}\\x", "\\\\?\\Volume{12-ab}\\x"),
        ("C:\\mounts\\x", "C:\\mounts\\x"),
    ],
)
def test_volume_keeps_the_backslash_at_its_end(path: str, text: str) -> None:
    assert mount_text(PureWindowsPath(path)) == text
