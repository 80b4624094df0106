"""Processes for tests: one that has loaded the package, and forks of it that run a function each.

A fork of a process without threads is safe and takes milliseconds, where starting Python and loading the
package takes a quarter of a second. So each session starts one process, the nursery, by itself, and has
all work done in forks of that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from winlayers.errors import WinlayersError, codes_of

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a function in another process ended.

    Attributes:
        value: what it returned.
        error: name of the class of what it raised, or ``""``.
        message: of the error.
        exit: the exit code of the error, if it is one of ours.
        signal: the signal that killed the process, or 0.
        trace: the traceback, for people.
    """

    value: Any = None
    error: str = ""
    message: str = ""
    exit: int = 0
    signal: int = 0
    trace: str = ""

    @property
    def is_good(self) -> bool:
        return not self.error and not self.signal

    def get(self) -> Any:
        """The value, or an AssertionError that shows what happened instead."""
        assert self.is_good, f"killed by signal {self.signal}" if self.signal else self.trace
        return self.value


class Actor:
    """A function running in a fork of this process, which must have no threads."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._pipe, pipe = os.pipe()
        self._outcome: Outcome | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._pipe)
            _act(function, args, pipe)
        os.close(pipe)

    def outcome(self, timeout_seconds: float = PATIENCE_SECONDS) -> Outcome:
        """Wait for the end; a process that does not come to one is killed, and that is a failure."""
        if self._outcome is None:
            try:
                data = _read_all(self._pipe, timeout_seconds)
            except TimeoutError:
                os.kill(self.pid, signal.SIGABRT)
                raise
            finally:
                os.close(self._pipe)
                _, status = os.waitpid(self.pid, 0)
            killer = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            self._outcome = Outcome(signal=killer) if killer else pickle.loads(data)
        return self._outcome

    def get(self, timeout_seconds: float = PATIENCE_SECONDS) -> Any:
        """What the function returned."""
        return self.outcome(timeout_seconds).get()

    def is_done(self, within_seconds: float = 0.0, *, or_heard: Bell | None = None) -> bool:
        """Whether it comes to its end in that time, or a bell rings."""
        pipes = [self._pipe] if or_heard is None else [self._pipe, or_heard.pipe]
        return bool(select.select(pipes, [], [], within_seconds)[0])

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)


class Bell:
    """Rung in one process, heard in another; made before the fork. It counts."""

    def __init__(self) -> None:
        self.pipe, self._ring = os.pipe()

    def ring(self, count: int = 1) -> None:
        os.write(self._ring, b"!" * count)

    def wait(self, timeout_seconds: float = PATIENCE_SECONDS) -> bool:
        """Take one ring; False where none comes in time."""
        if not select.select([self.pipe], [], [], timeout_seconds)[0]:
            return False
        return bool(os.read(self.pipe, 1))

    def close(self) -> None:
        os.close(self.pipe)
        os.close(self._ring)


class Nursery:
    """The process that all others are forked from."""

    def __init__(self) -> None:
        code = "import sys; sys.path.insert(0, sys.argv.pop()); from tests.faults import forks; forks.serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(REPOSITORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def outcome(self, function: Callable[..., Any], *args: Any) -> Outcome:
        """Run a function of a module in a process of its own, and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _send(self._process.stdin.fileno(), (function, args))
        outcome = _receive(self._process.stdout.fileno())
        assert isinstance(outcome, Outcome), "the nursery died"
        return outcome

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """The same, for what the function returns."""
        return self.outcome(function, *args).get()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def serve() -> None:
    """What the nursery does: take functions from standard input, run each in a fork, answer."""
    # Loaded once, for all forks; the test modules, too, hold functions that run here.
    import pytest  # noqa: F401

    from tests.faults import scenes, sweeps  # noqa: F401

    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # what is printed by mistake is no answer
    while (request := _receive(requests)) is not None:
        function, args = request
        # The limits of the single steps are shorter, and tell more.
        _send(answers, Actor(function, *args).outcome(10 * PATIENCE_SECONDS))


@contextlib.contextmanager
def adopted_orphans() -> Iterator[None]:
    """Have the descendants that lose their parents in the block, and wait for their end behind it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            assert time.monotonic() < deadline, "a process without a parent does not end"
            time.sleep(0.001)


def attempt(function: Callable[..., Any], *args: Any) -> Outcome:
    """Run a function here, and keep how it ended."""
    try:
        return Outcome(function(*args))
    except BaseException as error:
        code = codes_of(error).exit if isinstance(error, WinlayersError) else 0
        trace = "".join(traceback.format_exception(error))
        return Outcome(error=type(error).__name__, message=str(error), exit=code, trace=trace)


def _act(function: Callable[..., Any], args: tuple[Any, ...], pipe: int) -> NoReturn:
    status = 0
    try:
        outcome = attempt(function, *args)
        with open(pipe, "wb") as file:
            pickle.dump(outcome, file)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stderr.flush()
        os._exit(status)


def _read_all(pipe: int, timeout_seconds: float) -> bytes:
    deadline = time.monotonic() + timeout_seconds
    pieces: list[bytes] = []
    while True:
        left = max(0.0, deadline - time.monotonic())
        if not select.select([pipe], [], [], left)[0]:
            raise TimeoutError(f"no answer in {timeout_seconds} seconds")
        piece = os.read(pipe, 1 << 16)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def _send(descriptor: int, value: object) -> None:
    data = pickle.dumps(value)
    view = memoryview(len(data).to_bytes(4, "big") + data)
    while view:
        view = view[os.write(descriptor, view) :]


def _receive(descriptor: int) -> Any:
    head = _exactly(descriptor, 4)
    return pickle.loads(_exactly(descriptor, int.from_bytes(head, "big"))) if head else None


def _exactly(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := os.read(descriptor, size - len(data))):
        data += piece
    return data
