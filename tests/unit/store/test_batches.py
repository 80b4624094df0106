"""Jobs of many threads, done together."""

from __future__ import annotations

import threading

import pytest

from winlayers.store.batches import Batches


class Desk:
    """Does jobs, the first ones only when it may."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.batches: list[list[str]] = []
        self.queue = Batches(self._do)

    def _do(self, jobs: list[str]) -> None:
        self.batches.append(jobs)
        self.begun.set()
        assert self.may_end.wait(20)
        if "bad" in jobs:
            raise KeyError("bad")

    def begin(self, *jobs: str) -> list[threading.Thread]:
        """Have a thread for each job put it, in their order."""
        threads = []
        for job in jobs:
            thread = threading.Thread(target=self.queue.put, args=(job,))
            thread.start()
            while not self._is_known(job):
                thread.join(0.001)
            threads.append(thread)
        return threads

    def _is_known(self, job: str) -> bool:
        waiting = [place.job for place in self.queue._waiting]
        return job in waiting or any(job in batch for batch in self.batches)


def test_who_comes_while_one_is_at_work_is_done_together() -> None:
    desk = Desk()
    threads = desk.begin("a", "b", "c", "d")
    desk.may_end.set()
    for thread in threads:
        thread.join(20)
    assert desk.batches == [["a"], ["b", "c", "d"]]
    desk.queue.put("e")
    assert desk.batches[2:] == [["e"]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_failure_comes_out_where_it_was_and_others_go_on() -> None:
    desk = Desk()
    threads = desk.begin("bad", "b", "c")
    desk.may_end.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert desk.batches == [["bad"], ["b", "c"]]
    with pytest.raises(KeyError):
        desk.queue.put("bad")
    desk.queue.put("d")
    assert desk.batches[-1] == ["d"]


def test_who_is_torn_away_while_waiting_keeps_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    first = desk.begin("a")

    def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    assert desk.begun.is_set()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            desk.queue.put("lost")
    others = desk.begin("b")
    desk.may_end.set()
    for thread in (*first, *others):
        thread.join(20)
        assert not thread.is_alive()
    assert desk.batches == [["a"], ["b"]]


def test_who_is_torn_away_when_it_is_its_turn_hands_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    first = desk.begin("a")
    wait = threading.Event.wait

    def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
        desk.may_end.set()
        wait(event, 20)
        raise KeyboardInterrupt

    # Only this thread is torn away: the other one waits already.
    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            desk.queue.put("lost")
    behind = desk.begin("b")
    for thread in (*first, *behind):
        thread.join(20)
        assert not thread.is_alive()
    assert desk.batches == [["a"], ["b"]]
