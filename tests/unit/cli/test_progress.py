"""Progress lines and bars, and that quick work shows neither."""

from __future__ import annotations

import io
import time

import pytest

from winlayers.base.progress import NullProgress
from winlayers.cli.progress import ShownProgress, choose_progress, progress_line, shown


@pytest.mark.parametrize(
    ("done", "total", "seconds", "expected"),
    [
        (0, 100, 1.0, "x: waiting for data"),
        (0, None, 1.0, "x: waiting for data"),
        (50_000_000, 200_000_000, 2.0, "x: 25%, 50MB, 25MB/s, 6 s left"),
        (50_000_000, None, 2.0, "x: 50MB, 25MB/s"),
        (10, 10_000, 10.0, "x: 0%, 10B, 1B/s, 2 h 46 min left"),
        (10, 1000, 1.0, "x: 1%, 10B, 10B/s, 1 min 39 s left"),
        (300, 200, 1.0, "x: 100%, 300B, 300B/s, 0 s left"),
        (5, 10, 0.0, "x: 50%, 5B, 5kB/s, 0 s left"),
    ],
)
def test_line_tells_how_far_it_is(
    done: int, total: int | None, seconds: float, expected: str
) -> None:
    assert progress_line("x", done, total, seconds) == expected


def test_lines_come_while_work_goes_on_and_one_at_its_end() -> None:
    stream = io.StringIO()
    progress = ShownProgress(stream, is_bar=False, delay_seconds=0.01, period_seconds=0.02)
    with shown(progress, "reading", 1000):
        progress.advance(500)
        time.sleep(0.1)
        progress.advance(500)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("reading: 50%, 500B, ")
    assert lines[-1].startswith("reading: 1kB in 0.")


def test_quick_work_shows_nothing() -> None:
    stream = io.StringIO()
    progress = ShownProgress(stream, is_bar=False)
    with shown(progress, "reading", 1000):
        progress.advance(1000)
    assert stream.getvalue() == ""


class Terminal(io.StringIO):
    """Text that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_bar_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    progress = ShownProgress(stream, is_bar=True, has_color=False, delay_seconds=0.0)
    with shown(progress, "reading [x]", 1000):
        progress.advance(500)
        time.sleep(0.2)
    assert "reading [x]" in stream.getvalue()


def test_work_that_fails_ends_its_progress() -> None:
    progress = ShownProgress(io.StringIO(), is_bar=False, delay_seconds=0.0)
    with pytest.raises(ValueError, match="broken"), shown(progress, "reading", None):
        raise ValueError("broken")
    with shown(progress, "again", None):
        progress.advance(1)


@pytest.mark.parametrize(("mode", "is_quiet"), [("none", False), ("auto", True), ("plain", True)])
def test_none_is_shown_where_none_is_wanted(mode: str, is_quiet: bool) -> None:
    found = choose_progress(mode, io.StringIO(), is_quiet=is_quiet, has_color=True)
    assert isinstance(found, NullProgress)
