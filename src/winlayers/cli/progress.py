"""Progress on standard error: a bar on a terminal, plain lines elsewhere, nothing for quick work.

Work reports bytes from whatever thread it runs in; a thread of its own looks at the count now and then
and shows it, from the first second on. So work that ends sooner shows nothing, and never waits for a
terminal; rich is imported only when there is a bar to draw.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol

from winlayers.base.progress import NullProgress, Progress
from winlayers.base.units import human_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_DELAY_SECONDS = 1.0
_PLAIN_SECONDS = 2.0
_BAR_SECONDS = 0.1


class _Display(Protocol):
    """What shows one piece of work: any number of ``update``, then ``end``."""

    period_seconds: float

    def update(self, done: int, seconds: float) -> None: ...

    def end(self, done: int, seconds: float) -> None: ...


class ShownProgress:
    """The Progress that a person sees. See ``base.progress.Progress`` for what the methods do.

    Args:
        stream: standard error, as text.
        is_bar: a bar that moves, for a terminal; otherwise lines.
        has_color: whether the bar is coloured.
        delay_seconds: how long work takes before it is shown at all.
        period_seconds: time between two lines.
    """

    def __init__(
        self,
        stream: IO[str],
        *,
        is_bar: bool,
        has_color: bool = True,
        delay_seconds: float = _DELAY_SECONDS,
        period_seconds: float = _PLAIN_SECONDS,
    ) -> None:
        self._stream = stream
        self._is_bar = is_bar
        self._has_color = has_color
        self._delay_seconds = delay_seconds
        self._period_seconds = period_seconds
        self._done = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, label: str, total_size: int | None) -> None:
        self._done = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._show, args=(label, total_size), name="winlayers-progress", daemon=True
        )
        self._thread.start()

    def advance(self, size: int) -> None:
        self._done += size

    def finish(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _show(self, label: str, total_size: int | None) -> None:
        started = time.monotonic()
        if self._ended.wait(self._delay_seconds):
            return
        display = self._display(label, total_size)
        while True:
            display.update(self._done, time.monotonic() - started)
            if self._ended.wait(display.period_seconds):
                break
        display.end(self._done, time.monotonic() - started)

    def _display(self, label: str, total_size: int | None) -> _Display:
        if self._is_bar:
            return _Bar(self._stream, label, total_size, has_color=self._has_color)
        return _Lines(self._stream, label, total_size, self._period_seconds)


class _Lines:
    """One line after another, each with a figure at the end of the last two seconds."""

    def __init__(
        self, stream: IO[str], label: str, total_size: int | None, period_seconds: float
    ) -> None:
        self._stream = stream
        self._label = label
        self._total_size = total_size
        self.period_seconds = period_seconds

    def update(self, done: int, seconds: float) -> None:
        self._print(progress_line(self._label, done, self._total_size, seconds))

    def end(self, done: int, seconds: float) -> None:
        rate = human_size(done / max(seconds, 0.001))
        self._print(f"{self._label}: {human_size(done)} in {seconds:.1f} s, {rate}/s")

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class _Bar:
    """A bar of rich; it is gone when the work is done."""

    period_seconds = _BAR_SECONDS

    def __init__(
        self, stream: IO[str], label: str, total_size: int | None, *, has_color: bool
    ) -> None:
        from rich.markup import escape

        self._progress = new_bars(stream, has_color=has_color)
        self._task: TaskID = self._progress.add_task(escape(label), total=total_size)
        self._progress.start()

    def update(self, done: int, seconds: float) -> None:
        self._progress.update(self._task, completed=done, refresh=True)

    def end(self, done: int, seconds: float) -> None:
        self._progress.stop()


def new_bars(stream: IO[str], *, has_color: bool) -> Bars:
    """Bars of rich for bytes that are moved, none yet; they are gone when they are stopped.

    Args:
        stream: standard error, a terminal.
        has_color: whether they are coloured.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream, no_color=not has_color),
        transient=True,
        auto_refresh=False,
    )


def progress_line(label: str, done: int, total_size: int | None, seconds: float) -> str:
    """How far a piece of work is, in one line.

    Args:
        label: what is worked on.
        done: bytes so far.
        total_size: bytes in all, or None.
        seconds: time so far.
    """
    if not done:
        return f"{label}: waiting for data"
    rate = done / max(seconds, 0.001)
    speed = f"{human_size(done)}, {human_size(rate)}/s"
    if not total_size:
        return f"{label}: {speed}"
    percent = min(100, done * 100 // total_size)
    left = max(0.0, total_size - done) / rate
    return f"{label}: {percent}%, {speed}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def choose_progress(mode: str, stream: IO[str], *, is_quiet: bool, has_color: bool) -> Progress:
    """The progress for what was asked for and where it goes.

    Args:
        mode: ``auto``, ``plain`` or ``none``.
        stream: standard error.
        is_quiet: show none whatever the mode.
        has_color: whether a bar may be coloured.
    """
    if is_quiet or mode == "none":
        return NullProgress()
    return ShownProgress(stream, is_bar=mode == "auto" and stream.isatty(), has_color=has_color)


@contextmanager
def shown(progress: Progress, label: str, total_size: int | None) -> Iterator[Progress]:
    """One piece of work, begun and ended."""
    progress.start(label, total_size)
    try:
        yield progress
    finally:
        progress.finish()
