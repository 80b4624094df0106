"""How long work tells how far it is, and how it is told to stop.

Two small contracts that are handed down from whoever asked: ``Progress`` is called with bytes done,
``Cancel`` is asked now and then whether to go on. Both are called from the thread that works, which
need not be the one that asked. This module knows nothing of terminals, bars or signals.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from winlayers.errors import Cancelled

_STEP_SECONDS = 0.05


class Progress(Protocol):
    """What is told how far one piece of work is: ``start``, any number of ``advance``, ``finish``.

    ``finish`` is called however the work ends. Pieces of work follow each other; they do not nest.
    """

    def start(self, label: str, total_size: int | None) -> None:
        """Work begins.

        Args:
            label: what is worked on, in words for a person.
            total_size: bytes that will be done, or None when that is not known.
        """

    def advance(self, size: int) -> None:
        """Some of it is done.

        Args:
            size: bytes done since the last call, not in all.
        """

    def finish(self) -> None:
        """Work has ended, well or not."""


class NullProgress:
    """A Progress for whoever does not want to know."""

    def start(self, label: str, total_size: int | None) -> None:
        """Do nothing."""

    def advance(self, size: int) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class Cancel:
    """A flag that one thread sets and working threads ask for between two steps.

    Like ``threading.Event``; once set it stays set, so that no step can miss it.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask everybody who checks this flag to stop."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._event.is_set()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Sleep until the flag is set or the time is over.

        Args:
            timeout_seconds: how long to sleep at most; None sleeps without end.
        Returns:
            Whether the flag is set.
        """
        return self._event.wait(timeout_seconds)

    def check(self) -> None:
        """Go on, or stop here.

        Raises:
            Cancelled: the flag is set.
        """
        if self.is_set():
            raise Cancelled("cancelled: the caller wanted no more of it")


class LinkedCancel(Cancel):
    """A flag that counts as set too while one of some others is.

    Args:
        others: those that it follows.
    """

    __slots__ = ("_others",)

    def __init__(self, *others: Cancel) -> None:
        super().__init__()
        self._others = others

    def follow(self, *others: Cancel) -> None:
        """Follow these from now on, and no longer those before."""
        self._others = others

    def is_set(self) -> bool:
        """Whether somebody has asked to stop, here or there."""
        return super().is_set() or any(one.is_set() for one in self._others)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Sleep until a flag is set or the time is over; see ``Cancel``."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not self.is_set():
            left = _STEP_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                break
            super().wait(min(left, _STEP_SECONDS))
        return self.is_set()
