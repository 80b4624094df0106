"""How long somebody goes on."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.distribution.conftest import Clock
from winlayers.base.progress import Cancel
from winlayers.distribution.retry import Patience, retry_after_seconds
from winlayers.errors import Cancelled, DistributionError, LoginRefused

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_pauses_double_up_to_a_limit(clock: Clock) -> None:
    patience = Patience(7, 1.0, 10.0, now=clock.now, sleep=clock.sleep, chance=lambda: 1.0)
    error = DistributionError("x", is_transient=True)
    calls = []

    def action() -> None:
        calls.append(1)
        raise error

    with pytest.raises(DistributionError) as caught:
        patience.run(action)
    assert caught.value is error
    assert len(calls) == 7
    assert clock.slept == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_chance_shortens_a_pause_to_half(clock: Clock) -> None:
    patience = Patience(sleep=clock.sleep, first_seconds=1.0, chance=lambda: 0.0)
    patience.pause(1, DistributionError("x", is_transient=True))
    assert clock.slept == [0.5]


@pytest.mark.parametrize("error", [DistributionError("x", status=400), LoginRefused("x")])
def test_what_does_not_pass_is_raised_at_once(clock: Clock, error: Exception) -> None:
    def action() -> None:
        raise error

    with pytest.raises(type(error)):
        Patience(sleep=clock.sleep).run(action)
    assert clock.slept == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "9" * 30}, None),
        ({"Retry-After": "Sun, 06 Nov 1994 08:50:37 GMT", "Date": DATE}, 60.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:48:37 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:50:37 GMT"}, None),
        ({"Retry-After": "Sun, 99 Nov 9999999999 08:50:37 GMT", "Date": DATE}, None),
    ],
)
def test_wait_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


@settings(derandomize=True, max_examples=300)
@given(st.text(), st.sampled_from(["", DATE]))
def test_any_wait_is_a_number_or_none(text: str, date: str) -> None:
    seconds = retry_after_seconds({"Retry-After": text, "Date": date})
    assert seconds is None or seconds >= 0


def test_wait_ends_when_it_is_cancelled() -> None:
    cancel = Cancel()
    patience = Patience()
    patience.cancel.follow(cancel)
    calls = []

    def action() -> None:
        calls.append(1)
        raise DistributionError("x", is_transient=True, retry_after_seconds=60)

    timer = threading.Timer(0.05, cancel.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        patience.run(action)
    timer.join()
    assert time.monotonic() - started < 30
    assert calls == [1]


def test_longer_wait_than_a_minute_is_an_error(clock: Clock) -> None:
    error = DistributionError("x", is_transient=True, retry_after_seconds=61)
    with pytest.raises(DistributionError) as caught:
        Patience(sleep=clock.sleep).pause(1, error)
    assert caught.value is error
    assert "61 seconds" in error.__notes__[0]
    assert clock.slept == []
