"""Progress of several pieces of work at once: a bar for each on a terminal, elsewhere one line for all.

As with ``progress``, whoever works only counts; a thread of its own shows the counts from the first second on, so
that quick work shows nothing.
"""

from __future__ import annotations

import threading
import time
from typing import IO, TYPE_CHECKING, Protocol, Self

from winlayers.base.progress import NullProgress, Progress
from winlayers.cli.progress import new_bars, progress_line

if TYPE_CHECKING:
    from rich.progress import TaskID

_DELAY_SECONDS = 1.0
_PLAIN_SECONDS = 2.0
_BAR_SECONDS = 0.1
_SHOWN_DIGITS = 12


class Piece:
    """One piece of work. Its ``advance`` is called by one thread at a time. See ``base.progress.Progress``."""

    def __init__(self) -> None:
        self.label = ""
        self.size = 0
        self.done = 0
        self.is_running = False

    def start(self, label: str, total_size: int | None) -> None:
        self.label = label.rpartition(":")[2][:_SHOWN_DIGITS]
        self.size = total_size or 0
        self.is_running = True

    def advance(self, size: int) -> None:
        self.done += size

    def finish(self) -> None:
        self.is_running = False


class _Display(Protocol):
    period_seconds: float

    def update(self, pieces: list[Piece], total_size: int, seconds: float) -> None: ...

    def end(self) -> None: ...


class ManyProgress:
    """Pieces of one piece of work; as a ``with`` block."""

    def __init__(
        self,
        stream: IO[str],
        label: str,
        *,
        is_bar: bool,
        has_color: bool,
        delay_seconds: float = _DELAY_SECONDS,
        period_seconds: float = _PLAIN_SECONDS,
    ) -> None:
        """Begin nothing yet.

        Args:
            stream: standard error, as text.
            label: of all of it.
            is_bar: bars that move, for a terminal; otherwise lines.
            has_color: whether bars are coloured.
            delay_seconds: how long work takes before it is shown.
            period_seconds: time between two lines.
        """
        self._stream = stream
        self._label = label
        self._is_bar = is_bar
        self._has_color = has_color
        self._delay_seconds = delay_seconds
        self._period_seconds = period_seconds
        self._pieces: list[Piece] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, name="winlayers-progress", daemon=True)
        self.total_size = 0

    def piece(self) -> Progress:
        """A piece more."""
        piece = Piece()
        self._pieces.append(piece)
        return piece

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    def _show(self) -> None:
        started = time.monotonic()
        if self._ended.wait(self._delay_seconds):
            return
        display = self._display()
        while True:
            display.update(list(self._pieces), self.total_size, time.monotonic() - started)
            if self._ended.wait(display.period_seconds):
                break
        display.end()

    def _display(self) -> _Display:
        if self._is_bar:
            return _Bars(self._stream, self._label, has_color=self._has_color)
        return _Lines(self._stream, self._label, self._period_seconds)


class NoProgress:
    """A ManyProgress that shows nothing."""

    total_size = 0

    def piece(self) -> Progress:
        """A progress that shows nothing."""
        return NullProgress()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Do nothing."""


def choose_many(
    mode: str, stream: IO[str], label: str, *, is_quiet: bool, has_color: bool
) -> ManyProgress | NoProgress:
    """The progress for what was asked for and where it goes; see ``progress.choose_progress``."""
    if is_quiet or mode == "none":
        return NoProgress()
    is_bar = mode == "auto" and stream.isatty()
    return ManyProgress(stream, label, is_bar=is_bar, has_color=has_color)


class _Lines:
    def __init__(self, stream: IO[str], label: str, period_seconds: float) -> None:
        self._stream = stream
        self._label = label
        self.period_seconds = period_seconds

    def update(self, pieces: list[Piece], total_size: int, seconds: float) -> None:
        done = sum(piece.done for piece in pieces)
        line = progress_line(self._label, done, total_size, seconds)
        print(line, file=self._stream, flush=True)

    def end(self) -> None:
        """Do nothing: the last line says how far it came."""


class _Bars:
    """One bar for all, and one for each piece that is worked on; they are gone when the work is done."""

    period_seconds = _BAR_SECONDS

    def __init__(self, stream: IO[str], label: str, *, has_color: bool) -> None:
        from rich.markup import escape

        self._progress = new_bars(stream, has_color=has_color)
        self._all = self._progress.add_task(escape(label))
        self._tasks: dict[int, TaskID] = {}
        self._progress.start()

    def update(self, pieces: list[Piece], total_size: int, seconds: float) -> None:
        for number, piece in enumerate(pieces):
            if piece.is_running and number not in self._tasks:
                self._tasks[number] = self._progress.add_task(piece.label, total=piece.size)
            if number in self._tasks:
                self._progress.update(
                    self._tasks[number], completed=piece.done, visible=piece.is_running
                )
        done = sum(piece.done for piece in pieces)
        self._progress.update(self._all, completed=done, total=total_size or None)
        self._progress.refresh()

    def end(self) -> None:
        self._progress.stop()
