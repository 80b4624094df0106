"""How long does it take until the program has done next to nothing?"""

from __future__ import annotations

import sys
from statistics import median

from benchmarks.bench import Bench
from benchmarks.listing import import_chain
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import profile, run, winlayers

QUESTION = "start of the program, whole process, against an empty Python"

_LIMITS = {"--version": 120, "layer ls": 200}


def measure(bench: Bench) -> Answer:
    """Ask for the version, and for the layers of a store of 20."""
    milliseconds: dict[str, list[float]] = {name: [] for name in ("python -c pass", *_LIMITS)}
    notes = []
    with bench.disk.fresh("store") as root:
        import_chain(bench, root, "small")
        for _ in range(max(bench.rounds, 5)):
            empty = run([sys.executable, "-c", "pass"])
            milliseconds["python -c pass"].append(empty.seconds * 1000)
            for name in _LIMITS:
                seconds = winlayers(*name.split(), root=root).seconds
                milliseconds[name].append(seconds * 1000)
        rows = _rows(milliseconds)
        notes += [profile(*row.what.split()[1:], root=root) for row in rows if not row.is_met]
    return Answer(rows, notes)


def _rows(milliseconds: dict[str, list[float]]) -> list[Row]:
    empty = milliseconds["python -c pass"]
    rows = [Row("python -c pass", empty, "ms")]
    for name, limit in _LIMITS.items():
        values = milliseconds[name]
        rows.append(
            Row(
                f"winlayers {name}",
                values,
                "ms",
                "python",
                ratios(values, empty),
                f"< {limit} ms",
                median(values) < limit,
            )
        )
    return rows
