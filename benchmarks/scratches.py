"""What does a scratch cost: to make one, to list what changed in it, and to write that as a layer?

Each is measured on a small base and on one of 260,000 entries: what a base holds must not matter, only what
changed.
"""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import step, winlayers

QUESTION = "making a scratch, and what 100 changed files in it cost, on small and large bases"

_CREATE_MILLISECONDS = 10
_CHANGED = 100
# On a base a hundred times as large, no more than this times as long.
_GROWTH = 2.0
_WHAT = {
    "create_ms": "create a scratch",
    "changes_ms": "list the changes",
    "diff_ms": "write the layer",
}


def measure(bench: Bench) -> Answer:
    """Make scratches on two bases, in turns."""
    small, large = ("small", "listing") if bench.is_quick else ("small", "many")
    with bench.disk.fresh("scratches") as root:
        for layer in (small, large):
            file = bench.corpus.layer(layer)
            winlayers("layer", "import", layer, file, "--no-sync", "--progress", "none", root=root)
        rounds: dict[str, list[dict[str, float]]] = {small: [], large: []}
        for _ in range(bench.rounds):
            for layer, figures in rounds.items():
                figures.append(step("scratch", root, layer, _CHANGED))
    answer = Answer([])
    for key, what in _WHAT.items():
        before = [each[key] for each in rounds[small]]
        after = [each[key] for each in rounds[large]]
        grown = ratios(after, before)
        limit = f"< {_CREATE_MILLISECONDS} ms" if key == "create_ms" else f"≤ {_GROWTH} ×"
        is_met = (
            median(after) < _CREATE_MILLISECONDS if key == "create_ms" else median(grown) <= _GROWTH
        )
        answer.rows.append(Row(f"{what}, on {small}", before, "ms"))
        answer.rows.append(Row(f"{what}, on {large}", after, "ms", small, grown, limit, is_met))
    return answer
