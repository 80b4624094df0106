"""How long do listings of 100,000 entries take, and a lookup in a long chain?

The listings are whole processes that write into a pipe; the peer is ``tar -tzf``, which has no index and
inflates the layer for it. The lookups are those of one view of a chain of 20 layers: the same names are
looked up twice, and the second time counts.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.corpus import CHAIN_LENGTH
from benchmarks.results import Answer, Row, ratios
from benchmarks.running import Run, profile, run, step, winlayers

QUESTION = "listing 100,000 entries, whole process, and looking names up in a chain of 20 layers"

_LISTING_SECONDS = 0.6
_FIRST_LINE_SECONDS = 0.3
_LOOKUP_MICROSECONDS = 100
_LISTINGS = {"ls -R": ("ls", "-R", "base"), "changes": ("layer", "changes", "base")}


def measure(bench: Bench) -> Answer:
    """List a layer, list its changes, and look names up."""
    with bench.disk.fresh("store") as root:
        file = bench.corpus.layer("listing")
        top = import_chain(bench, root, "listing")
        listings: dict[str, list[Run]] = {name: [] for name in _LISTINGS}
        peers: list[Run] = []
        lookups: list[dict[str, float]] = []
        for _ in range(bench.rounds):
            for name, arguments in _LISTINGS.items():
                listings[name].append(winlayers(*arguments, root=root))
            peers.append(run(["tar", "-tzf", file]))
            lookups.append(step("lookup", root, top))
        answer = Answer([row for name in _LISTINGS for row in _rows(name, listings[name], peers)])
        answer.rows.append(Row("tar -tzf", [peer.seconds for peer in peers], "s"))
        answer.rows.extend(_lookup_rows(lookups))
        if missed := [
            name for name in _LISTINGS if any(r.what.startswith(name) for r in answer.missed)
        ]:
            answer.notes.extend(profile(*_LISTINGS[name], root=root) for name in missed)
    return answer


def import_chain(bench: Bench, root: Path, layer: str) -> str:
    """Fill a store with a chain on a layer, which is called ``base``; the id of the uppermost."""
    parent = "base"
    options = ("--progress", "none", "--no-sync")
    winlayers("layer", "import", parent, bench.corpus.layer(layer), *options, root=root)
    for number, file in enumerate(bench.corpus.children(), 2):
        child = f"layer{number:02}"
        winlayers("layer", "import", child, file, "--parent", parent, *options, root=root)
        parent = child
    return parent


def _rows(name: str, runs: list[Run], peers: list[Run]) -> list[Row]:
    whole = [each.seconds for each in runs]
    first = [each.first_seconds for each in runs]
    return [
        Row(
            name,
            whole,
            "s",
            "tar -tzf",
            ratios(whole, [peer.seconds for peer in peers]),
            f"≤ {_LISTING_SECONDS} s",
            median(whole) <= _LISTING_SECONDS,
        ),
        Row(
            f"{name}: first line",
            first,
            "s",
            target=f"< {_FIRST_LINE_SECONDS} s",
            is_met=median(first) < _FIRST_LINE_SECONDS,
        ),
    ]


def _lookup_rows(lookups: list[dict[str, float]]) -> list[Row]:
    assert all(each["layers"] == CHAIN_LENGTH for each in lookups)
    warm = [each["warm_us"] for each in lookups]
    return [
        Row(
            f"lookup in {CHAIN_LENGTH} layers, warm",
            warm,
            "µs",
            target=f"< {_LOOKUP_MICROSECONDS} µs",
            is_met=median(warm) < _LOOKUP_MICROSECONDS,
        ),
        Row(
            f"lookup in {CHAIN_LENGTH} layers, first time",
            [each["cold_us"] for each in lookups],
            "µs",
        ),
    ]
