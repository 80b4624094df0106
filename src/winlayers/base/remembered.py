"""A memory of results that is never too large: when it is full, all of it is forgotten.

For what repeats and can be found out again. This module knows nothing of what is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """A dict for ``get``, as fast as any; what is to be bounded goes in by ``remember``.

    Args:
        most_count: the most that is remembered.
        most_size: the most that the sizes add up to.
        always: what is never forgotten, and not counted.
    """

    __slots__ = ("_always", "_most_count", "_most_size", "_size")

    def __init__(
        self, most_count: int, most_size: int, always: Mapping[K, V] | None = None
    ) -> None:
        self._always = dict(always or {})
        super().__init__(self._always)
        self._most_count = most_count
        self._most_size = most_size
        self._size = 0

    def remember(self, key: K, value: V, size: int) -> V:
        """Remember something, and forget all before it where that would be too much.

        Args:
            key: under which it is found.
            value: what is found.
            size: what it takes, in the unit of ``most_size``.
        Returns:
            The value.
        """
        self._size += size
        if len(self) >= self._most_count or self._size > self._most_size:
            self.clear()
            self.update(self._always)
            self._size = size
        self[key] = value
        return value
