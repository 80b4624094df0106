"""Files of data that are made before they are needed, in a thread of its own.

To make a file is the slowest step of writing a small one, most of all on ext4 some seconds after many were
removed; the kernel does it while Python goes on with something else. There are as many as were asked for lately,
up to a limit. One that is not used is removed at the end, and after a crash like any that no part names.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

_MOST = 32

Made = tuple[int, int]
"""A file: its number, and an open descriptor."""


class Spares:
    """Files that are there when they are wanted.

    Args:
        make: makes one; called by any thread.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._ready: deque[Made] = deque()
        self._wanted = 0
        self._is_stopped = False
        self._changed = Condition()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def take(self) -> Made:
        """One that is there, or one that is made now.

        Raises:
            OSError: it cannot be made.
        """
        try:
            made = self._ready.popleft()
        except IndexError:
            made = self._make()
        if len(self._ready) <= self._wanted // 2:
            with self._changed:
                self._wanted = min(2 * self._wanted + 1, _MOST)
                self._changed.notify()
        return made

    def stop(self) -> list[int]:
        """Make no more; the numbers of those that nobody took, closed."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        self._thread.join()
        for _, descriptor in self._ready:
            os.close(descriptor)
        numbers = [number for number, _ in self._ready]
        self._ready.clear()
        return numbers

    def _work(self) -> None:
        while self._is_asked():
            try:
                self._ready.append(self._make())
            except OSError:
                # Whoever needs one finds out by making it.
                with self._changed:
                    self._wanted = 0

    def _is_asked(self) -> bool:
        """Wait until there are too few; False when no more shall be made."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or len(self._ready) < self._wanted)
            return not self._is_stopped
