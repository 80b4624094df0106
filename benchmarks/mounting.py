"""How fast is a mounted scratch, beside ntfs-3g and fuse-overlayfs on the same disk and the same files?

Each file system is mounted afresh in every round, and does the same work one after the other: copy a folder
of small files in, write and read a large file, and walk a tree, first with nothing in memory and then
again. All three are FUSE; two of them are written in C.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import run, step, winlayers

QUESTION = "files in a mounted scratch, beside ntfs-3g and fuse-overlayfs"

_MIB = 1 << 20
_COPIED_FILES, _WALKED_FILES = 2000, 6000
_FILES_A_FOLDER = 20
_OURS, _NTFS, _OVERLAY = "winlayers", "ntfs-3g", "fuse-overlayfs"
_PROGRAMS = {_OURS: "fusermount3", _NTFS: "mkntfs", _OVERLAY: "fuse-overlayfs"}
# No slower than this many times ntfs-3g.
_WALK_LIMIT = 1.5
_WALKS = ("find, cold", "find, warm", "du, cold", "du, warm", "cp -r of 2,000 files")

# A file system: mounted at the folder it gives while the block lasts; entered again, it is mounted again.
_Mount = Callable[[], AbstractContextManager[Path]]


def measure(bench: Bench) -> Answer:
    """Have each file system do the same work, in turns."""
    large = (64 if bench.is_quick else 1024) * _MIB
    answer = Answer([])
    names = [name for name, program in _PROGRAMS.items() if shutil.which(program)]
    for name in sorted(_PROGRAMS.keys() - set(names)):
        answer.notes.append(f"{name} is left out: {_PROGRAMS[name]} is not installed")
    figures: dict[tuple[str, str], list[float]] = {}
    with bench.disk.fresh("mounting") as work:
        _make_files(work / "copied", _COPIED_FILES)
        _make_files(work / "walked", _WALKED_FILES)
        for _ in range(bench.rounds):
            for name in names:
                with _prepared(name, work / "fs", bench) as mount:
                    for what, value in _round(mount, work, large):
                        figures.setdefault((what, name), []).append(value)
                # Not removed yet: ext4 looks at each inode that was removed in the last five seconds
                # whenever it makes a file (fs/ext4/ialloc.c), which whoever comes next would pay for.
                (work / "fs").rename(work / f"done-{len(os.listdir(work))}")
    answer.rows.extend(_rows(figures, names))
    return answer


def _round(mount: _Mount, work: Path, large: int) -> Iterator[tuple[str, float]]:
    os.sync()  # what was written before is not this one's to wait for
    with mount() as path:
        yield "cp -r of 2,000 files", run(["cp", "-r", work / "copied", path / "copied"]).seconds
        written = step("write_file", path / "large", large)
        yield "write a large file", large / written["seconds"] / 1e6
        run(["cp", "-r", work / "walked", path / "walked"])
    _forget()
    with mount() as path:
        read = step("read_file", path / "large")
        yield "read it, cold", large / read["seconds"] / 1e6
    for program in ("find", "du"):
        _forget()
        with mount() as path:
            for when in ("cold", "warm"):
                yield f"{program}, {when}", run([program, path / "walked"]).seconds


def _rows(figures: dict[tuple[str, str], list[float]], names: list[str]) -> Iterator[Row]:
    for what in dict.fromkeys(what for what, _ in figures):
        ours = figures[what, _OURS]
        unit = "s" if what in _WALKS else "MB/s"
        yield Row(f"{what}: {_OURS}", ours, unit, *_verdict(what, ours, figures))
        for name in names[1:]:
            yield Row(f"{what}: {name}", figures[what, name], unit)


def _verdict(
    what: str, ours: list[float], figures: dict[tuple[str, str], list[float]]
) -> tuple[str, list[float], str, bool]:
    """What a figure is compared with, the ratios, the target, and whether it is met."""
    if (what, _NTFS) not in figures:
        return "", [], "", True
    ntfs = figures[what, _NTFS]
    against = ratios(ours, ntfs)
    if what in _WALKS:
        return _NTFS, against, f"≤ {_WALK_LIMIT} ×", median(against) <= _WALK_LIMIT
    floor = median(ntfs)
    if (what, _OVERLAY) in figures:
        floor = max(floor, median(figures[what, _OVERLAY]) / 2)
    return _NTFS, against, f"≥ {floor:.0f} MB/s", median(ours) >= floor


@contextmanager
def _prepared(name: str, folder: Path, bench: Bench) -> Iterator[_Mount]:
    """An empty file system of a kind, to be mounted by calling what is given."""
    folder.mkdir()
    place = folder / "mount"
    place.mkdir()
    if name == _OURS:
        yield from _scratch(folder, place)
    elif name == _NTFS:
        yield from _ntfs(folder, place)
    else:
        yield from _overlay(folder, place)


def _scratch(folder: Path, place: Path) -> Iterator[_Mount]:
    root = folder / "store"
    winlayers("layer", "create", "s", root=root)

    @contextmanager
    def mount() -> Iterator[Path]:
        winlayers("layer", "mount", "s", place, root=root)
        try:
            yield place
        finally:
            winlayers("layer", "unmount", "s", root=root)

    yield mount


def _ntfs(folder: Path, place: Path) -> Iterator[_Mount]:
    image = folder / "image"
    with open(image, "wb") as file:
        file.truncate(4096 * _MIB)
    run(["mkntfs", "--quick", "--force", "--quiet", image])

    @contextmanager
    def mount() -> Iterator[Path]:
        run(["ntfs-3g", "-o", "big_writes", image, place])
        with _unmounted(place):
            yield place

    yield mount


def _overlay(folder: Path, place: Path) -> Iterator[_Mount]:
    layers = [folder / name for name in ("lower", "upper", "work")]
    for layer in layers:
        layer.mkdir()
    lower, upper, work = layers
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"

    @contextmanager
    def mount() -> Iterator[Path]:
        run(["fuse-overlayfs", "-o", options, place])
        with _unmounted(place):
            yield place

    yield mount


@contextmanager
def _unmounted(place: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def _make_files(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"d{number // _FILES_A_FOLDER}" / f"file{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(4096))


def _forget() -> None:
    """Have the system forget what it read, where it lets us."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return  # not root: then "cold" means a fresh mount only
