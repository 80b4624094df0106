"""Calls that are made a little later."""

from __future__ import annotations

import logging
from threading import Event

import pytest

from winlayers.base.delayed import DelayedCall


def test_many_who_ask_get_one_call() -> None:
    calls, called = [], Event()

    def call() -> None:
        calls.append(1)
        called.set()

    delayed = DelayedCall(call, 0.05)
    for _ in range(10):
        delayed.ask()
    assert called.wait(10)
    delayed.stop()
    assert calls == [1]


def test_who_asks_later_gets_another_call() -> None:
    called = Event()
    delayed = DelayedCall(called.set, 0)
    for _ in range(2):
        delayed.ask()
        assert called.wait(10)
        called.clear()
    delayed.stop()


def test_nothing_is_called_after_a_stop() -> None:
    calls: list[int] = []
    delayed = DelayedCall(lambda: calls.append(1), 3600)
    delayed.ask()
    delayed.stop()
    delayed.ask()
    assert calls == []


def test_error_is_logged_and_the_next_call_made(caplog: pytest.LogCaptureFixture) -> None:
    called = Event()
    errors = [OSError("no")]

    def call() -> None:
        try:
            if errors:
                raise errors.pop()
        finally:
            called.set()

    delayed = DelayedCall(call, 0)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            delayed.ask()
            assert called.wait(10)
            called.clear()
        delayed.stop()
    assert [record.exc_info is not None for record in caplog.records] == [True]
