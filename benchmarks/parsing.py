"""How many entries a second are parsed, and how many parsed and indexed?

Alone: from an uncompressed tar that is in memory, without hashing, copying or flushing. ``tarfile`` of the
standard library parses the first entries of the same tar.
"""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import step

QUESTION = "parsing and indexing alone"

_AIM, _GATE = 60_000, 50_000
_PEER_ENTRIES = 20_000


def measure(bench: Bench) -> Answer:
    """Parse, parse and index, and parse by the standard library."""
    layer = "listing" if bench.is_quick else "many"
    tar = bench.tar(layer)
    place = bench.memory or bench.disk
    parsed, indexed, by_tarfile = [], [], []
    for _ in range(bench.rounds):
        parsed.append(_rate(step("parse", tar)))
        with place.fresh("index") as folder:
            indexed.append(_rate(step("index", tar, folder)))
        by_tarfile.append(_rate(step("parse_by_tarfile", tar, _PEER_ENTRIES)))
    return Answer(
        [
            Row(f"{layer}: parse by tarfile", by_tarfile, "entries/s"),
            Row(
                f"{layer}: parse",
                parsed,
                "entries/s",
                "tarfile",
                ratios(parsed, by_tarfile),
            ),
            Row(
                f"{layer}: parse and index",
                indexed,
                "entries/s",
                "tarfile",
                ratios(indexed, by_tarfile),
                f"≥ {_GATE:,}, aim {_AIM:,}",
                median(indexed) >= _GATE,
            ),
        ]
    )


def _rate(measured: dict[str, float]) -> float:
    return measured["entries"] / measured["seconds"]
