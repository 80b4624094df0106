"""Looks for an input that a target does not take as it should.

A campaign starts from the seeds of its target. Inputs that reach new lines join them, and the newest are
changed most often. It ends at the first finding, or when its time is over.
"""

from __future__ import annotations

import hashlib
import random
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.fuzz.mutation import MAX_SIZE, mutate
from tests.fuzz.reach import Reach
from tests.fuzz.registry import TARGETS, Target

FOUND = Path(__file__).parent / "found"
CASE_SECONDS = 5.0

_NEWEST = 16
_REPAIRED = 0.9  # of the changed inputs, where there is something to be repaired


class TooSlowError(BaseException):
    """A case that did not end in time. No Exception, so that what it interrupts does not handle it."""


@dataclass(frozen=True)
class Found:
    """A finding.

    Attributes:
        target: name of the target.
        data: the input.
        report: the traceback.
    """

    target: str
    data: bytes
    report: str

    @property
    def file_name(self) -> str:
        """The file of the finding: ``TARGET-DIGEST``, with 8 digits."""
        return f"{self.target}-{hashlib.sha256(self.data).hexdigest()[:8]}"


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer than this, where the system has timers (not on Windows).

    Raises:
        TooSlowError: inside, when the time is over.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"took longer than {seconds} s")

    former = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


class Campaign:
    """One target, its inputs so far, and what they reached.

    Attributes:
        case_count: cases run.
        inputs: seeds, and what reached new lines.
        reach: the lines.
    """

    def __init__(self, target: Target, *, seed: int = 0) -> None:
        """Begin with the seeds.

        Args:
            target: what to feed.
            seed: of the random numbers; the same cases come in the same order.
        """
        self.case_count = 0
        self.reach = Reach()
        self.inputs: list[bytes] = [data for data in target.make_seeds() if len(data) <= MAX_SIZE]
        self._seed_count = len(self.inputs)
        self._target = target
        self._random = random.Random(f"{target.name} {seed}")

    def run(self, seconds: float) -> Found | None:
        """Feed the target for some time; what was found, if anything."""
        end = time.monotonic() + seconds
        for data in self.inputs[: self._seed_count]:
            if found := self._case(data, is_seed=True):
                return found
        while time.monotonic() < end:
            if found := self._case(self._next()):
                return found
        return None

    def _next(self) -> bytes:
        """An input that was not there yet, most likely."""
        pool = self.inputs if self._random.random() < 0.5 else self.inputs[-_NEWEST:]
        data = mutate(self._random, self._random.choice(pool), self.inputs)
        if self._target.repair is not None and self._random.random() < _REPAIRED:
            data = self._target.repair(data)
        return data

    def _case(self, data: bytes, *, is_seed: bool = False) -> Found | None:
        self.case_count += 1
        try:
            with time_limit(CASE_SECONDS):
                is_new = self.reach.run(self._target, data)
        except KeyboardInterrupt:
            raise
        except (
            BaseException
        ):  # also what is none: the target may raise anything, and all of it counts
            return Found(self._target.name, data, traceback.format_exc())
        if is_new and not is_seed:
            self.inputs.append(data)
        return None


def found_cases(folder: Path = FOUND) -> Iterator[tuple[Target, bytes]]:
    """The findings in a folder, each with its target.

    Raises:
        KeyError: a file that names no target.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix != ".md":
            yield TARGETS[path.name.rpartition("-")[0]], path.read_bytes()
