"""Small jobs of many threads, done together: one of the threads does what all that wait have brought.

Who comes while nobody is at work does its own job at once. Who comes later waits; then the first of them does those of
all. So a step that is as dear for many as for one, like bringing a transaction to the disk, is taken once for each
batch. This module refuses to know what the jobs are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Job = TypeVar("_Job")


class Batches(Generic[_Job]):
    """The jobs of one kind.

    Args:
        do: does some jobs, in the order in which they came; what becomes of each is noted in it. What it raises comes
            out in the thread that called it, and nowhere else.
    """

    def __init__(self, do: Callable[[list[_Job]], None]) -> None:
        self._do = do
        self._lock = threading.Lock()
        self._waiting: list[_Place[_Job]] = []
        self._is_busy = False

    def put(self, job: _Job) -> None:
        """Have a job done, by this thread or another one; it is, when this returns."""
        place = _Place(job)
        with self._lock:
            self._waiting.append(place)
            place.is_first, self._is_busy = not self._is_busy, True
        if not place.is_first:
            self._wait(place)
        if place.is_first:
            self._do_all()

    def _wait(self, place: _Place[_Job]) -> None:
        try:
            place.called.wait()
        except BaseException:
            # A signal: others must not wait for this thread.
            with self._lock:
                if place in self._waiting:
                    self._waiting.remove(place)
            if place.is_first:
                self._call([])
            raise

    def _do_all(self) -> None:
        with self._lock:
            places, self._waiting = self._waiting, []
        try:
            self._do([place.job for place in places])
        finally:
            self._call(places)

    def _call(self, done: list[_Place[_Job]]) -> None:
        """Let those go whose jobs are done, and have the first of those that came meanwhile go on."""
        with self._lock:
            self._is_busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].is_first = True
                self._waiting[0].called.set()
        for place in done:
            place.called.set()


class _Place(Generic[_Job]):
    """The place of a job in the queue."""

    __slots__ = ("called", "is_first", "job")

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.called = threading.Event()
        self.is_first = False
