"""How long work tells how far it is, and how it is told to stop.

Two small contracts that are handed down from whoever asked: ``Progress`` is called with bytes done,
``Cancel`` is asked now and then whether to go on. Both are called from the thread that works, which
need not be the one that asked. This module knows nothing of terminals, bars or signals.
"""

from __future__ import annotations

import threading
from typing import Protocol

from winlayers.errors import Cancelled


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
        if self._event.is_set():
            raise Cancelled("cancelled: the caller wanted no more of it")
