"""How fast is a containerd with our snapshotter and differ, beside the same with overlayfs and its own differ?

Both pull the same image, from a CNCF Distribution on loopback whose blobs are in memory already, into nothing: a new
containerd and a new store each time. Beside the seconds, what is on the disk then: names below the folder that keeps
unpacked layers, of ours all of the store. containerd's own differ waits for no disk; ours does.

Making a snapshot is measured where it is asked for: by many clients over the socket of ours itself, so what containerd
does with the answer is not in it. They ask at moments of their own, a few hundred times a second in all, as engines
do that start as many containers; then as fast as they are answered, which tells how many a second there can be. The
clients are one Python on the same cores.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench import Bench, Place
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import run, step
from benchmarks.servers import (
    ENGINES,
    missing_programs,
    running_containerd,
    running_registry,
    running_snapshotter,
)

QUESTION = "pull by containerd: our snapshotter and differ beside overlayfs and its own; preparing"

_RELEASE = "13"
_LAYERS = 8
_IMAGE = "corpus:1"
_OURS, _THEIRS = "winlayers", "overlayfs"
_FASTER, _FILES = 1.5, 0.5
_CLIENTS, _CALLS = 32, 50
_PAUSE_MILLISECONDS = 100
_PREPARE_MILLISECONDS = 20


@dataclass(slots=True)
class _Figures:
    """What the rounds gave.

    Attributes:
        seconds: of pulls, by snapshotter.
        files: names on the disk afterwards, by snapshotter.
        prepares: milliseconds in which 99 of 100 calls were answered.
        rates: calls a second.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {_OURS: [], _THEIRS: []})
    files: dict[str, list[float]] = field(default_factory=lambda: {_OURS: [], _THEIRS: []})
    prepares: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


def measure(bench: Bench) -> Answer:
    """Pull in turns, on a disk and on a tmpfs; prepare after each pull of ours."""
    answer = Answer([])
    if lacking := missing_programs("docker-registry", "skopeo", "fusermount3"):
        answer.notes.append(f"nothing is measured: {', '.join(lacking)} is not installed")
        return answer
    ENGINES.make()
    with bench.disk.fresh("engines") as work:
        layers = [bench.corpus.layer("small" if bench.is_quick else "full")]
        layers += bench.corpus.children()[: _LAYERS - 1]
        with running_registry(work / "registry") as registry:
            _publish(work / "layout", layers, registry)
            for place in bench.places:
                place.folder.mkdir(parents=True, exist_ok=True)
                figures = _Figures()
                for _ in range(bench.rounds):
                    _measure_ours(place, registry, figures)
                    _measure_theirs(place, registry, figures)
                answer.rows.extend(_rows(place.name, figures))
    return answer


def _publish(layout: Path, layers: Sequence[Path], registry: str) -> None:
    """Make an image and put it into the registry; nothing of this is measured."""
    step("image", layout, *layers)
    options = ["--insecure-policy", "--override-os", "windows", "copy", "--quiet"]
    options += ["--dest-tls-verify=false"]
    run(["skopeo", *options, f"oci:{layout}:1", f"docker://{registry}/{_IMAGE}"])


def _measure_ours(place: Place, registry: str, figures: _Figures) -> None:
    with place.fresh("ours") as folder:
        folder.mkdir()
        plugin, root = folder / "plugin.sock", folder / "store"
        with (
            running_containerd(folder / "c", release=_RELEASE, plugin=plugin) as address,
            running_snapshotter(plugin, root, address),
        ):
            figures.seconds[_OURS].append(_pull(address, registry, _OURS))
            figures.files[_OURS].append(_count(root))
            figures.prepares.append(_prepare(plugin, _PAUSE_MILLISECONDS)["p99_ms"])
            figures.rates.append(_prepare(plugin, 0)["rate"])


def _measure_theirs(place: Place, registry: str, figures: _Figures) -> None:
    with (
        place.fresh("theirs") as folder,
        running_containerd(folder, release=_RELEASE) as address,
    ):
        figures.seconds[_THEIRS].append(_pull(address, registry, _THEIRS))
        unpacked = folder / "root" / f"io.containerd.snapshotter.v1.{_THEIRS}"
        figures.files[_THEIRS].append(_count(unpacked))


def _pull(address: Path, registry: str, snapshotter: str) -> float:
    client = ENGINES.program(_RELEASE, "ctr")
    command: list[str | Path] = [client, "--address", address, "images", "pull", "--plain-http"]
    command += ["--platform", "windows/amd64", "--snapshotter", snapshotter]
    return run([*command, f"{registry}/{_IMAGE}"]).seconds


def _prepare(plugin: Path, pause_ms: int) -> dict[str, Any]:
    return step("prepare", plugin, _CLIENTS, _CALLS, pause_ms)


def _count(folder: Path) -> int:
    """Names below a folder, on its own file system."""
    device, count = folder.stat().st_dev, 0
    for path, folders, files in os.walk(folder):
        count += len(folders) + len(files)
        folders[:] = [name for name in folders if os.lstat(f"{path}/{name}").st_dev == device]
    return count


def _rows(where: str, figures: _Figures) -> list[Row]:
    ours, theirs = figures.seconds[_OURS], figures.seconds[_THEIRS]
    faster = ratios(theirs, ours)
    is_faster = median(faster) >= _FASTER
    kept, unpacked = figures.files[_OURS], figures.files[_THEIRS]
    fewer = ratios(kept, unpacked)
    is_fewer = median(fewer) < _FILES
    limit = f"< {_PREPARE_MILLISECONDS} ms"
    is_quick = median(figures.prepares) < _PREPARE_MILLISECONDS
    prepare = f"prepare, {where}: 99 of 100, {_CLIENTS} clients"
    return [
        Row(f"pull, {where}: {_OURS}", ours, "s"),
        Row(f"pull, {where}: {_THEIRS}", theirs, "s", _OURS, faster, f"≥ {_FASTER} ×", is_faster),
        Row(f"files, {where}: {_OURS}", kept, "", _THEIRS, fewer, f"< {_FILES} ×", is_fewer),
        Row(f"files, {where}: {_THEIRS}", unpacked, ""),
        Row(prepare, figures.prepares, "ms", target=limit, is_met=is_quick),
        Row(f"prepare, {where}: as fast as answered", figures.rates, "calls/s"),
    ]
