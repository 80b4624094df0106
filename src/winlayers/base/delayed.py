"""Does something a little later, once for however many asked, in a thread of its own.

This module refuses to know what is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition, Thread

_log = logging.getLogger("winlayers")


class DelayedCall:
    """Calls a function some time after it was asked to.

    Args:
        call: the function; what it raises is logged, and it is called again when asked for again.
        delay_seconds: how long after the first who asks.
    """

    def __init__(self, call: Callable[[], None], delay_seconds: float) -> None:
        self._call = call
        self._delay_seconds = delay_seconds
        self._changed = Condition()
        self._is_asked = self._is_stopped = False
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have it called soon."""
        with self._changed:
            self._is_asked = True
            self._changed.notify()

    def stop(self) -> None:
        """Call it no more, and wait for a call that is under way."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while self._has_waited():
            try:
                self._call()
            except Exception:
                _log.exception("what was to be done a little later failed")

    def _has_waited(self) -> bool:
        """Wait until it is to be called; False when never again."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_asked or self._is_stopped)
            self._changed.wait_for(lambda: self._is_stopped, self._delay_seconds)
            self._is_asked = False
            return not self._is_stopped
