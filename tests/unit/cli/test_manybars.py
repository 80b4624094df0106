"""Progress of several pieces at once: nothing for quick work, a line or bars for long work."""

from __future__ import annotations

import io
import time

from tests.unit.cli.harness import Terminal
from winlayers.base.progress import NullProgress
from winlayers.cli.manybars import ManyProgress, NoProgress, choose_many


def work(progress: ManyProgress, seconds: float) -> None:
    progress.total_size = 3000
    with progress:
        pieces = [progress.piece() for _ in range(3)]
        for number, piece in enumerate(pieces):
            piece.start(f"sha256:{number}" + "a" * 63, 1000)
            piece.advance(500)
        pieces[0].finish()
        time.sleep(seconds)


def test_quick_work_shows_nothing() -> None:
    stream = io.StringIO()
    work(ManyProgress(stream, "pulling", is_bar=False, has_color=False), 0)
    assert stream.getvalue() == ""


def test_long_work_is_one_line_where_no_person_looks() -> None:
    stream = io.StringIO()
    progress = ManyProgress(
        stream, "pulling", is_bar=False, has_color=False, delay_seconds=0, period_seconds=0.02
    )
    work(progress, 0.2)
    assert stream.getvalue().startswith("pulling: ")
    assert "pulling: 50%, 1.5kB" in stream.getvalue()


def test_long_work_is_a_bar_for_each_piece_on_a_terminal() -> None:
    raw = io.BytesIO()
    stream = Terminal(raw, encoding="utf-8")
    work(ManyProgress(stream, "pulling", is_bar=True, has_color=False, delay_seconds=0), 0.5)
    stream.flush()
    text = raw.getvalue().decode()
    assert "pulling" in text
    assert "1aaaaaaaaaaa" in text
    assert "0aaaaaaaaaaa" not in text.split("\n")[-1]


def test_progress_is_chosen() -> None:
    stream = io.StringIO()
    for mode, is_quiet in (("none", False), ("auto", True)):
        chosen = choose_many(mode, stream, "x", is_quiet=is_quiet, has_color=False)
        assert isinstance(chosen, NoProgress)
        with chosen:
            assert isinstance(chosen.piece(), NullProgress)
    assert isinstance(
        choose_many("plain", stream, "x", is_quiet=False, has_color=False), ManyProgress
    )
