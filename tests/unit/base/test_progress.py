"""Progress and Cancel."""

from __future__ import annotations

import threading

import pytest

from winlayers.base.progress import Cancel, LinkedCancel, NullProgress, Progress
from winlayers.errors import Cancelled


def test_null_progress_takes_everything() -> None:
    progress: Progress = NullProgress()
    progress.start("layer", None)
    progress.advance(5)
    progress.finish()
    assert not vars(progress)


def test_check_goes_on_until_somebody_cancels() -> None:
    cancel = Cancel()
    cancel.check()
    assert not cancel.is_set()
    cancel.set()
    assert cancel.is_set()
    for _ in range(2):
        with pytest.raises(Cancelled, match="cancelled"):
            cancel.check()


def test_wait_ends_when_another_thread_cancels() -> None:
    cancel = Cancel()
    assert not cancel.wait(0)
    thread = threading.Thread(target=cancel.set)
    thread.start()
    assert cancel.wait(10)
    thread.join()


def test_linked_flag_is_set_with_those_that_it_follows() -> None:
    first, second = Cancel(), Cancel()
    linked = LinkedCancel(first)
    assert not linked.is_set()
    linked.follow(second)
    first.set()
    linked.check()
    second.set()
    assert linked.is_set()
    with pytest.raises(Cancelled):
        linked.check()


def test_linked_flag_that_is_set_leaves_the_others_alone() -> None:
    first = Cancel()
    linked = LinkedCancel(first)
    linked.set()
    assert linked.is_set()
    assert not first.is_set()


@pytest.mark.parametrize("seconds", [60.0, None])
def test_wait_of_a_linked_flag_ends_with_the_other(seconds: float | None) -> None:
    first = Cancel()
    timer = threading.Timer(0.02, first.set)
    timer.start()
    assert LinkedCancel(first).wait(seconds)
    timer.join()


def test_wait_of_a_linked_flag_has_an_end() -> None:
    assert not LinkedCancel(Cancel()).wait(0.01)
