"""Progress and Cancel."""

from __future__ import annotations

import threading

import pytest

from winlayers.base.progress import Cancel, NullProgress, Progress
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
