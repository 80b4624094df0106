"""How fast does an export come, beside ``cat`` of the same bytes?

Both are read from a pipe by the same reader. The rate is that from the first byte to the last, so that it
tells of the export and not of the start of Python, which has a question of its own (``starting``).
"""

from __future__ import annotations

import os
from statistics import median

from benchmarks.bench import Bench
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import Run, profile, run, winlayers

QUESTION = "export into a pipe, against cat of the same file"

_LEAST_SHARE = 0.8
_LEAST_CORES = 1.6
_MEGA = 1_000_000


def measure(bench: Bench) -> Answer:
    """Export a layer as it is and compressed."""
    layer = "small" if bench.is_quick else "full"
    cats: list[Run] = []
    plain: list[Run] = []
    compressed: list[Run] = []
    notes = []
    with bench.disk.fresh("store") as root:
        file = bench.corpus.layer(layer)
        winlayers("layer", "import", "base", file, "--progress", "none", root=root)
        pack = root / "windowsfilter" / "base" / "sealed" / "layer.tar"
        for _ in range(bench.rounds):
            cats.append(run(["cat", pack]))
            plain.append(winlayers("layer", "export", "base", root=root))
            compressed.append(winlayers("layer", "export", "base", "--gzip", root=root))
        rows = _rows(layer, cats, plain, compressed, pack.stat().st_size)
        if not all(row.is_met for row in rows):
            notes.append(profile("layer", "export", "base", root=root))
    return Answer(rows, notes)


def _rows(
    layer: str, cats: list[Run], plain: list[Run], compressed: list[Run], size: int
) -> list[Row]:
    cat_rates = [each.rate / _MEGA for each in cats]
    rates = [each.rate / _MEGA for each in plain]
    shares = ratios(rates, cat_rates)
    rows = [
        Row(f"{layer}: cat", cat_rates, "MB/s"),
        Row(
            f"{layer}: export",
            rates,
            "MB/s",
            "cat",
            shares,
            f"≥ {_LEAST_SHARE} ×",
            median(shares) >= _LEAST_SHARE,
        ),
        Row(
            f"{layer}: export, whole process",
            [each.seconds for each in plain],
            "s",
            "cat",
            ratios([each.seconds for each in plain], [each.seconds for each in cats]),
        ),
        Row(
            f"{layer}: export --gzip, of uncompressed bytes",
            [size / _MEGA / each.seconds for each in compressed],
            "MB/s",
        ),
    ]
    cores = [each.cpu_seconds / each.seconds for each in compressed]
    needed = min(_LEAST_CORES, 0.8 * (os.cpu_count() or 1))
    rows.append(
        Row(
            f"{layer}: export --gzip, processor time a second",
            cores,
            "s",
            target=f"≥ {needed:.1f} s: both cores",
            is_met=median(cores) >= needed,
        )
    )
    return rows
