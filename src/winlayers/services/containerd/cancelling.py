"""A cancel that wakes whoever waits for another process.

``base.progress.Cancel`` is asked between two steps. A call to containerd that does not come back has no next step: it
has to be ended from outside, or its thread is lost to the service. This module knows nothing of gRPC.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from winlayers.base.progress import Cancel


class CallCancel(Cancel):
    """Set when nobody waits for an answer any more; then ends what was begun for it."""

    __slots__ = ("_actions", "_lock")

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._actions: list[Callable[[], object]] = []

    def set(self) -> None:
        """Ask everybody to stop, and end what waits."""
        with self._lock:
            super().set()
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def on_set(self, action: Callable[[], object]) -> None:
        """Have something done when it is set; at once where it is set already.

        Args:
            action: called once, from any thread; must not block, and may come after its object has ended.
        """
        with self._lock:
            if not self.is_set():
                self._actions.append(action)
                return
        action()
