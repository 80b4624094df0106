"""How long does an import take, beside the slowest of its steps alone?

The floor F is the slowest of three things that every import has to do: inflate the file, hash the
uncompressed bytes, write them and wait for the disk. A tar of many small files is bound by its entries
instead, and every run starts a Python, so what is asked for is max(1.25 F, N / 50,000 s) + 0.15 s, for the
whole process. On a tmpfs, where nobody waits for a disk, it is also compared with what unpacks the same tar
into files without hashing it.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench, Place
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import profile, run, step, winlayers

QUESTION = (
    "import, whole process, against the floor F: the slowest of inflating, hashing, writing alone"
)

_FLOOR_FACTOR = 1.25
_ENTRIES_PER_SECOND = 50_000
_CONSTANT_SECONDS = 0.15
# The peer, and how many times as long as the import it should take at least.
_PEERS = {"GNU tar -xzf": 2.5, "tarfile.extractall": 3.0}
# As GNU tar does, and the quickest: all is taken as it is.
_EXTRACT = (
    "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='fully_trusted')"
)

_PARTS = ("inflate", "hash", "write")

_Seconds = dict[str, list[float]]


def measure(bench: Bench) -> Answer:
    """Import layers in line and through the write-layer process, on a disk and on a tmpfs."""
    answer = Answer([])
    missed: dict[str, Place] = {}
    for place in bench.places:
        for layer in _layers(bench, place):
            seconds: _Seconds = defaultdict(list)
            entries = 0
            for _ in range(bench.rounds):
                entries = _measure_round(bench, place, layer, seconds)
            rows = _rows(f"{layer}, {place.name}", entries, seconds)
            answer.rows.extend(rows)
            if not all(row.is_met for row in rows):
                missed[layer] = place
    answer.notes.extend(_profile(bench, place, layer) for layer, place in missed.items())
    return answer


def _layers(bench: Bench, place: Place) -> list[str]:
    if bench.is_quick:
        return ["small", "listing"] if place.is_disk else ["small"]
    # What is bound by its entries is so on any file system.
    return ["full", "small", "many"] if place.is_disk else ["full", "small"]


def _measure_round(bench: Bench, place: Place, layer: str, seconds: _Seconds) -> int:
    """Measure all once, one after the other; how many entries the layer has."""
    place.folder.mkdir(parents=True, exist_ok=True)
    file = bench.corpus.layer(layer)
    _measure_parts(place, file, bench.tar(layer), seconds)
    _import(place, file, seconds, "in line")
    entries = _import(place, file, seconds, "child")
    if place.is_disk and not bench.is_quick:
        _import(place, file, seconds, "child, --no-sync", "--no-sync")
    if not place.is_disk and layer != "small":
        _measure_peers(place, file, seconds)
    return entries


def _measure_parts(place: Place, file: Path, tar: Path, seconds: _Seconds) -> None:
    seconds["inflate"].append(step("inflate", file)["seconds"])
    seconds["hash"].append(step("digest", tar)["seconds"])
    with place.fresh("written") as folder:
        folder.mkdir()
        seconds["write"].append(step("write", tar, folder / "tar")["seconds"])
    seconds["floor"].append(max(seconds[part][-1] for part in _PARTS))


def _import(place: Place, file: Path, seconds: _Seconds, name: str, *options: str) -> int:
    """Import once, and add what it took to ``seconds``; how many entries there are."""
    with place.fresh("store") as root:
        command = ["layer", "import", "base", str(file), "--json", "--progress", "none", *options]
        imported = winlayers(*command, root=root, in_line=name == "in line", keep=True)
    seconds[name].append(imported.seconds)
    seconds[f"{name}, processor time"].append(imported.cpu_seconds)
    entries: int = json.loads(imported.output)["entries"]
    return entries


def _measure_peers(place: Place, file: Path, seconds: _Seconds) -> None:
    commands = {
        "GNU tar -xzf": ["tar", "-xzf", str(file), "-C"],
        "tarfile.extractall": [sys.executable, "-c", _EXTRACT, str(file)],
    }
    for name, command in commands.items():
        with place.fresh("files") as folder:
            folder.mkdir()
            seconds[name].append(run([*command, str(folder)]).seconds)


def _rows(where: str, entries: int, seconds: _Seconds) -> list[Row]:
    floors = seconds["floor"]
    parts = ", ".join(f"{part} {median(seconds[part]):.2f}" for part in _PARTS)
    rows = [Row(f"{where}: F ({parts})", floors, "s")]
    limits = [
        max(_FLOOR_FACTOR * floor, entries / _ENTRIES_PER_SECOND) + _CONSTANT_SECONDS
        for floor in floors
    ]
    for name in ("in line", "child"):
        walls = seconds[name]
        what = f"{where}: {name}, {entries:,} entries"
        is_met = median(ratios(walls, limits)) <= 1
        target = f"≤ {median(limits):.2f} s"
        rows.append(Row(what, walls, "s", "F", ratios(walls, floors), target, is_met))
    walls, used = seconds["child"], seconds["child, processor time"]
    rows.append(Row(f"{where}: child, processor time", used, "s", "wall", ratios(used, walls)))
    if walls := seconds["child, --no-sync"]:
        rows.append(Row(f"{where}: child, --no-sync", walls, "s", "F", ratios(walls, floors)))
    for name, times in _PEERS.items():
        if walls := seconds[name]:
            slower = ratios(walls, seconds["child"])
            is_met = median(slower) >= times
            target = f"≥ {times} ×"
            rows.append(Row(f"{where}: {name}", walls, "s", "child", slower, target, is_met))
    return rows


def _profile(bench: Bench, place: Place, layer: str) -> str:
    """Where an import in line spends its time; the threads that inflate and hash are not seen."""
    with place.fresh("store") as root:
        file = str(bench.corpus.layer(layer))
        return profile("layer", "import", "base", file, root=root, in_line=True)
