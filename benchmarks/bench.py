"""What all questions share: the layers, the places to work in, and how often to measure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import Corpus
from benchmarks.running import run, step

_SHARED_MEMORY = Path("/dev/shm")
# The largest layer unpacked, twice over: as a store and as files.
_NEEDED_MEMORY = 3 << 30


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to work in.

    Attributes:
        name: what it is called in tables: the kind of its file system.
        folder: the folder.
        is_disk: whether flushing waits for a device.
    """

    name: str
    folder: Path
    is_disk: bool

    @contextmanager
    def fresh(self, name: str) -> Iterator[Path]:
        """A folder that is not there yet; removed afterwards, with what was made in it."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        # What the run before left to be written must not be written during this one.
        os.sync()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a question is given.

    Attributes:
        corpus: the layers.
        disk: where the build folder is.
        memory: a tmpfs, or None.
        rounds: how often everything is measured.
        is_quick: whether to leave out what takes long.
    """

    corpus: Corpus
    disk: Place
    memory: Place | None
    rounds: int
    is_quick: bool

    @property
    def places(self) -> list[Place]:
        return [self.disk] if self.memory is None else [self.disk, self.memory]

    def tar(self, name: str) -> Path:
        """The uncompressed tar of a layer, made when it is not there."""
        path = self.disk.folder / f"{name}.tar"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            step("unpack", self.corpus.layer(name), path)
        return path


def find_places(build: Path) -> tuple[Place, Place | None]:
    """The places of a machine: below the build folder, and a tmpfs if there is one with room.

    Args:
        build: the folder that all results go to.
    """
    folder = build / "bench" / "work"
    folder.mkdir(parents=True, exist_ok=True)
    kind = _kind_of(folder)
    disk = Place(kind, folder, kind != "tmpfs")
    if _SHARED_MEMORY.is_dir() and _kind_of(_SHARED_MEMORY) == "tmpfs" and disk.is_disk:
        free = os.statvfs(_SHARED_MEMORY)
        if free.f_bavail * free.f_frsize >= _NEEDED_MEMORY:
            return disk, Place("tmpfs", _SHARED_MEMORY / f"winlayers-bench-{os.getpid()}", False)
    return disk, None


def _kind_of(folder: Path) -> str:
    """The kind of a file system as ``stat`` calls it; ``disk`` where there is no such program."""
    if shutil.which("stat") is None:
        return "disk"
    try:
        found = run(["stat", "-f", "-c", "%T", folder], keep=True)
    except RuntimeError:  # not the stat of GNU
        return "disk"
    return "ext4" if (kind := found.output.decode().strip()) == "ext2/ext3" else kind
