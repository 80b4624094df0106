"""Remembered: what it keeps, and when it forgets."""

from __future__ import annotations

from winlayers.base.remembered import Remembered


def test_all_is_forgotten_when_there_is_too_much() -> None:
    memory: Remembered[str, int] = Remembered(3, 1000, {"": 0})
    assert memory.get("") == 0
    assert [memory.remember(name, size, size) for name, size in (("a", 1), ("b", 2))] == [1, 2]
    assert memory == {"": 0, "a": 1, "b": 2}
    memory.remember("c", 3, 3)
    assert memory == {"": 0, "c": 3}


def test_all_is_forgotten_when_it_is_too_large() -> None:
    memory: Remembered[str, int] = Remembered(100, 10)
    memory.remember("a", 1, 6)
    memory.remember("b", 2, 4)
    assert memory == {"a": 1, "b": 2}
    memory.remember("c", 3, 6)
    assert memory == {"c": 3}
    memory.remember("d", 4, 4)
    assert memory == {"c": 3, "d": 4}
    memory.remember("large", 5, 1000)
    assert memory == {"large": 5}
