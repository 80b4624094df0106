"""Trying again: how often, and how long to wait between.

What is tried again is a ``DistributionError`` that is transient: 429, some of 5xx, a connection that was cut or fell
silent. The pause doubles each time, with a random part, so that many clients do not come back at once; where the
other side says how long (``Retry-After``), that counts. This module knows nothing of HTTP but that header.

Source: RFC 9110, 10.2.3 ("Retry-After") and 5.6.7 (dates).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from typing import TypeVar

from winlayers.base.progress import LinkedCancel
from winlayers.errors import DistributionError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long somebody goes on.

    Attributes:
        attempts: how often something is tried in all.
        first_seconds: the first pause; each further one is twice as long.
        longest_seconds: the longest pause of our own choice.
        longest_asked_seconds: the longest that another side may ask for; more is an error at once.
        now: a clock that never goes back, in seconds.
        sleep: waits so many seconds; None for a wait that ends when ``cancel`` is set.
        chance: a number from 0 to 1.
        cancel: ends it; whoever works with this one says which flags it follows.
    """

    attempts: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    longest_asked_seconds: float = 60.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None
    chance: Callable[[], float] = random.random
    cancel: LinkedCancel = field(default_factory=LinkedCancel)

    def run(self, action: Callable[[], Result]) -> Result:
        """Do something, again where it fails for a while.

        Args:
            action: raises ``DistributionError``; done anew each time.
        Raises:
            DistributionError: it failed for good, or too often.
            Cancelled: it was asked for between two attempts.
        """
        for failures in range(1, self.attempts):
            try:
                return action()
            except DistributionError as error:
                if not error.is_transient:
                    raise
                self.pause(failures, error)
        return action()

    def pause(self, failures: int, error: DistributionError) -> None:
        """Wait before the next attempt.

        Args:
            failures: how many there were in a row, from 1.
            error: the last of them.
        Raises:
            DistributionError: the error itself, where the other side asks for too long a wait.
            Cancelled: it was asked for, before or meanwhile.
        """
        self.cancel.check()
        seconds = error.retry_after_seconds
        if seconds is None:
            longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 32))
            seconds = longest * (0.5 + self.chance() / 2)
        elif seconds > self.longest_asked_seconds:
            error.add_note(f"it asks to wait {seconds:.0f} seconds before it is tried again")
            raise error
        if self.sleep is None:
            self.cancel.wait(seconds)
        else:
            self.sleep(seconds)
        self.cancel.check()


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """How long an answer asks to wait, or None where it does not say.

    A date counts from the date of the answer itself, so that no clock of ours has to be right.

    Args:
        headers: of the answer.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    until, since = _seconds(text), _seconds(headers.get("Date", ""))
    if until is None or since is None:
        return None
    return float(max(0, until - since))


def _seconds(date: str) -> int | None:
    try:
        fields = parsedate_tz(date)
        return None if fields is None else mktime_tz(fields)
    except (ValueError, OverflowError, IndexError):  # of dates that are none
        return None
