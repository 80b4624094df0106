"""``python -m benchmarks [QUESTION...]``: ask, print a table each, keep the figures as JSON."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import (
    engines,
    exporting,
    images,
    importing,
    listing,
    memory,
    mounting,
    parsing,
    scratches,
    starting,
)
from benchmarks.bench import Bench, find_places
from benchmarks.corpus import Corpus
from benchmarks.results import Answer, circumstances, save, table
from benchmarks.running import prepare

_REPOSITORY = Path(__file__).resolve().parents[1]
_BUILD = _REPOSITORY / "build"
_ROUNDS, _QUICK_ROUNDS = 5, 3
_QUIET_LOAD = 0.7

_QUESTIONS: dict[str, tuple[str, Callable[[Bench], Answer]]] = {
    "import": (importing.QUESTION, importing.measure),
    "export": (exporting.QUESTION, exporting.measure),
    "parse": (parsing.QUESTION, parsing.measure),
    "list": (listing.QUESTION, listing.measure),
    "memory": (memory.QUESTION, memory.measure),
    "scratch": (scratches.QUESTION, scratches.measure),
    "mount": (mounting.QUESTION, mounting.measure),
    "images": (images.QUESTION, images.measure),
    "engines": (engines.QUESTION, engines.measure),
    "start": (starting.QUESTION, starting.measure),
}


def main() -> int:
    """Measure; 1 if a target was missed and ``--check`` was given, or if another run is under way."""
    arguments = _parse_arguments()
    with _alone() as is_alone:
        if not is_alone:
            print("another benchmark is running; each would measure the other", file=sys.stderr)
            return 1
        return _measure(arguments)


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other run is under way, and none begins until the end of the block."""
    folder = _BUILD / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _measure(arguments: argparse.Namespace) -> int:
    disk, tmpfs = find_places(_BUILD)
    bench = Bench(
        Corpus(_BUILD / "corpus", _REPOSITORY / "tools" / "mkcorpus.py", arguments.corpus),
        disk,
        tmpfs,
        arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS),
        arguments.quick,
    )
    prepare(_REPOSITORY / "src")
    load = os.getloadavg()[0]
    if load > _QUIET_LOAD:
        print(f"others are at work here (load {load:.1f}): trust no figure", file=sys.stderr)
    started = time.monotonic()
    answers: dict[str, Answer] = {}
    try:
        for name in arguments.questions or _QUESTIONS:
            text, measure = _QUESTIONS[name]
            answers[name] = measure(bench)
            _show(name, text, answers[name])
    finally:
        for place in bench.places:
            shutil.rmtree(place.folder, ignore_errors=True)
    missed = [row for answer in answers.values() for row in answer.missed]
    options = {"quick": arguments.quick, "rounds": bench.rounds, "load_before": load}
    path = save(_BUILD / "bench", circumstances(_REPOSITORY), answers, options)
    print(f"targets missed: {len(missed)}; {time.monotonic() - started:.0f} s; figures in {path}")
    return 1 if missed and arguments.check else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "questions",
        nargs="*",
        metavar="QUESTION",
        help=f"of {', '.join(_QUESTIONS)}; all by default",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small layers, few rounds: two minutes"
    )
    parser.add_argument("--rounds", type=int, help="how often to measure (5; with --quick 3)")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="ready-made layers, NAME.tar.gz")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.questions if name not in _QUESTIONS]:
        parser.error(f"no such question: {', '.join(unknown)}")
    return arguments


def _show(name: str, text: str, answer: Answer) -> None:
    print(f"\n{name}: {text}\n\n{table(answer.rows)}\n")
    for note in answer.notes:
        print(f"{note}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
