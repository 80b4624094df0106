"""The memory of a process and all that it started, together and at one time; on Linux.

Pages that several of them share count once (Pss), which is what they take from the machine. It is looked at many
times a second, so a peak between two looks is not seen.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PAUSE_SECONDS = 0.01
_LONGEST_SECONDS = 300


def peak_of_all(command: Sequence[str | Path], env: Mapping[str, str]) -> tuple[int, int]:
    """Run a command to its end, and watch it.

    Args:
        command: program and arguments.
        env: all variables.
    Returns:
        The most bytes that it had at a time with its descendants, and how many processes those were then.
    Raises:
        RuntimeError: it failed.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=dict(env),
    )
    guard = threading.Timer(_LONGEST_SECONDS, process.kill)
    guard.start()
    peak = (0, 0)
    try:
        while True:
            sizes = [_size_of(pid) for pid in (process.pid, *_descendants(process.pid))]
            peak = max(peak, (sum(sizes), len(sizes)))
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PAUSE_SECONDS)
                break
    finally:
        guard.cancel()
    assert process.stderr is not None
    with process.stderr as stderr:
        said = stderr.read().decode("utf-8", "replace").strip()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}: {said}")
    return peak


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, children.read_text().split()):
                yield child
                yield from _descendants(child)


def _size_of(pid: int) -> int:
    """Bytes of a process, 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
