"""Runs whole processes and measures them; knows nothing of what they do.

Memory is the largest resident size of the process or of any that it started and waited for, so of the
larger of two. A child begins with the size of who started it, which is why this program stays small and
leaves all work to others.
"""

from __future__ import annotations

import json
import os
import pstats
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.watching import peak_of_all

_BLOCK_SIZE = 1 << 20
# Nothing here takes as long; what hangs is ended.
_LONGEST_SECONDS = 300
_PROFILE_LINES = 8


@dataclass(frozen=True, slots=True)
class Run:
    """One process, from its start to its end.

    Attributes:
        seconds: how long it took.
        first_seconds: when the first byte of its standard output came; ``seconds`` without any.
        cpu_seconds: processor time of it and of those that it waited for.
        peak_size: bytes of memory, see above.
        output_size: bytes of its standard output.
        output: those bytes, if they were to be kept.
    """

    seconds: float
    first_seconds: float
    cpu_seconds: float
    peak_size: int
    output_size: int
    output: bytes

    @property
    def rate(self) -> float:
        """Bytes a second of standard output, from the first to the last."""
        return self.output_size / max(self.seconds - self.first_seconds, 1e-9)


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, keep: bool = False
) -> Run:
    """Run a command to its end.

    Args:
        command: program and arguments.
        env: variables beside those of this process.
        keep: whether to keep its standard output, which is read either way.
    Raises:
        RuntimeError: it failed; says what it wrote on standard error.
    """
    kept: list[bytes] = []
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            env={**_plain_environment(), **(env or {})},
        )
        guard = threading.Timer(_LONGEST_SECONDS, process.kill)
        guard.start()
        assert process.stdout is not None
        buffer = memoryview(bytearray(_BLOCK_SIZE))
        first, size = 0.0, 0
        while count := process.stdout.readinto(buffer):  # type: ignore[attr-defined]  # unbuffered
            first = first or time.perf_counter()
            size += count
            if keep:
                kept.append(bytes(buffer[:count]))
        _, status, usage = os.wait4(process.pid, 0)
        ended = time.perf_counter()
        guard.cancel()
        process.stdout.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip()
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {status}: {said}")
    return Run(
        ended - started,
        (first or ended) - started,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        size,
        b"".join(kept),
    )


def winlayers(
    *arguments: str | Path, root: Path | None = None, in_line: bool = False, keep: bool = False
) -> Run:
    """Run the program.

    Args:
        arguments: of the command line.
        root: the store.
        in_line: import in the process itself, not in the write-layer process.
        keep: see ``run``.
    """
    return run([_program(), *arguments], env=_environment(root, in_line=in_line), keep=keep)


def peak_of_winlayers(*arguments: str | Path, root: Path) -> tuple[int, int]:
    """Run the program; see ``watching.peak_of_all``."""
    environment = {**_plain_environment(), **_environment(root, in_line=False)}
    return peak_of_all([_program(), *arguments], environment)


def step(name: str, *arguments: str | Path | int) -> dict[str, Any]:
    """Run one function of ``benchmarks.steps`` in a process of its own; what it measured."""
    command = [sys.executable, "-m", "benchmarks.steps", name, *map(str, arguments)]
    result: dict[str, Any] = json.loads(run(command, keep=True).output)
    return result


def profile(*arguments: str | Path, root: Path, in_line: bool = False) -> str:
    """Where a run of the program spends its time: the functions that take most, by their own time."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "profile")
        command = [sys.executable, "-m", "cProfile", "-o", path, "-m", "winlayers", *arguments]
        run(command, env=_environment(root, in_line=in_line))
        return _hottest(path, " ".join(map(str, arguments)))


def _hottest(path: str, title: str) -> str:
    stats = pstats.Stats(path)
    rows = []
    for (file, _, function), (_, calls, own, total, _) in stats.stats.items():  # type: ignore[attr-defined]  # not in the stubs
        where = f"{Path(file).name}:{function}" if file != "~" else function
        rows.append((own, total, calls, where))
    rows.sort(reverse=True)
    lines = [f"profile of winlayers {title} (the profiler itself doubles the time):"]
    lines += [
        f"  {own:6.2f} s own {total:6.2f} s in all {calls:9} calls  {where}"
        for own, total, calls, where in rows[:_PROFILE_LINES]
    ]
    return "\n".join(lines)


def prepare(folder: Path) -> None:
    """Compile the modules of a folder, as an installer does, so that no run has to."""
    run([sys.executable, "-m", "compileall", "-q", folder])


def _plain_environment() -> dict[str, str]:
    """The environment without what makes a Python behave as nobody's does (no bytecode, no buffers)."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") or name in ("PYTHONPATH", "PYTHONHOME")
    }


def _program() -> str | Path:
    beside = Path(sys.executable).with_name("winlayers")
    return beside if beside.exists() else "winlayers"


def _environment(root: Path | None, *, in_line: bool) -> dict[str, str]:
    return {
        "WINLAYERS_ROOT": "" if root is None else str(root),
        "DOCKER_WINDOWSFILTER_NOREEXEC": "1" if in_line else "",
    }
