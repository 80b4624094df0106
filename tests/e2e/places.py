"""A store with a mount in it, for as long as a test lasts.

Nothing here hangs: a watchdog ends the processes of the mounts after a while, upon which every call that
waits for one fails; and the mounts are taken away at the end, whatever became of the test.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Timer

from tests.support.builders import Layer, layer_tar
from winlayers.backends.portable.backend import PortableBackend
from winlayers.base.processes import process_start_time
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.mounts.contract import MountInfo, MountRequest
from winlayers.mounts.fuse.mounter import FuseMounter

SECONDS = 120.0


class Place:
    """A store, and folders to mount its layers at.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.mounter = FuseMounter("winlayers.mountworker")
        self.backend = PortableBackend(self.home, mounter=lambda: self.mounter)
        self.driver = Driver(self.home, self.backend, InlineImporter(self.backend))
        self.mounts: list[MountInfo] = []
        self._count = 0

    def import_layer(self, layer_id: str, layer: Layer, parent: str = "") -> None:
        """Have a sealed layer."""
        tar = self.folder / f"{layer_id}.tar"
        tar.write_bytes(layer_tar(layer))
        with open(tar, "rb") as file:
            self.driver.create(layer_id, parent)
            self.driver.apply_diff(layer_id, parent, file)

    def request(self, layer_id: str, *, read_only: bool = False, raw: bool = False) -> MountRequest:
        """A request to mount a layer at a new folder."""
        self._count += 1
        path = self.folder / f"mount-{self._count}"
        path.mkdir()
        chain = self.driver.chain(layer_id).layer_ids
        return MountRequest(self.home, None, layer_id, chain, path, read_only=read_only, raw=raw)

    def mount(self, layer_id: str, *, read_only: bool = False, raw: bool = False) -> Path:
        """Mount a layer; where."""
        info = self.mounter.mount(self.request(layer_id, read_only=read_only, raw=raw))
        self.mounts.append(info)
        return info.path

    def remount(self, path: Path, layer_id: str) -> Path:
        """Unmount, which has everything written, and mount the same layer again."""
        self.mounter.unmount(path)
        info = self.mounter.mount(replace(self.request(layer_id), path=path))
        self.mounts.append(info)
        return info.path

    def kill(self, path: Path) -> None:
        """Kill the process of a mount, and wait until it is gone."""
        for info in self.mounts:
            if info.path == path:
                _end(info)
                while process_start_time(info.pid) == info.started:
                    os.sched_yield()

    def end(self) -> None:
        """End the processes of all mounts."""
        for info in self.mounts:
            _end(info)


@contextmanager
def opened_place(folder: Path, *, seconds: float = SECONDS) -> Iterator[Place]:
    """A place, with nothing of it left mounted at the end."""
    place = Place(folder)
    watchdog = Timer(seconds, place.end)
    watchdog.start()
    try:
        yield place
    finally:
        watchdog.cancel()
        for path in {info.path for info in place.mounts}:
            subprocess.run(
                ["fusermount3", "-u", "-z", "--", path],
                check=False,
                capture_output=True,
                timeout=30,
            )
        place.end()


def run(command: Sequence[str | Path], *, cwd: Path | None = None, seconds: float = SECONDS) -> str:
    """Run a program to its good end; its output."""
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    told = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{told}"
    return told


def _end(info: MountInfo) -> None:
    if process_start_time(info.pid) == info.started:
        with suppress(ProcessLookupError):
            os.kill(info.pid, signal.SIGKILL)
