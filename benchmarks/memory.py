"""How much memory do import and export need, and does it grow with the layer?

The figure is the largest resident size of any one process of the run, from ``wait4``. It is the same from
run to run, so it is taken once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.results import Answer, Row
from benchmarks.running import Run, winlayers

QUESTION = "peak memory of the largest process, for a layer of few and of many entries"

_LIMIT = 60 << 20
_MEBI = 1 << 20


def measure(bench: Bench) -> Answer:
    """Import and export a small layer and one of a hundred times as many entries."""
    large = "listing" if bench.is_quick else "many"
    place = bench.memory or bench.disk
    peaks: dict[str, dict[str, float]] = {}
    for layer in ("small", large):
        place.folder.mkdir(parents=True, exist_ok=True)
        with place.fresh("store") as root:
            peaks[layer] = _peaks(root, bench.corpus.layer(layer))
    rows = []
    for name, small in peaks["small"].items():
        rows.append(_row(f"{name}, small", small))
        grown = peaks[large][name]
        rows.append(_row(f"{name}, {large}", grown, small))
    return Answer(rows)


def _peaks(root: Path, file: Path) -> dict[str, float]:
    """Mebibytes by what was done."""
    done: dict[str, Callable[[], Run]] = {
        "import, in line": lambda: winlayers(
            "layer", "import", "a", file, "--progress", "none", root=root, in_line=True
        ),
        "import, child": lambda: winlayers(
            "layer", "import", "b", file, "--progress", "none", root=root
        ),
        "export": lambda: winlayers("layer", "export", "a", root=root),
        "export --gzip": lambda: winlayers("layer", "export", "a", "--gzip", root=root),
    }
    return {name: act().peak_size / _MEBI for name, act in done.items()}


def _row(what: str, mebibytes: float, small: float | None = None) -> Row:
    return Row(
        what,
        (mebibytes,),
        "MiB",
        "" if small is None else "small",
        () if small is None else (mebibytes / small,),
        f"≤ {_LIMIT // _MEBI} MiB",
        mebibytes <= _LIMIT / _MEBI,
    )
