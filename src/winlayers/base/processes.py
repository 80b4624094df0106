"""Tells a process from another one that later got the same number.

A process id alone names a process only while it lives. Together with the time of its start it names it
for good, and that is what is kept where a process is remembered. This module starts, stops and
signals nothing.
Source: proc(5), /proc/PID/stat field 22 and /proc/sys/kernel/random/boot_id; for Windows see
``_windows_processes``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROC = Path("/proc")
_DEAD_STATES = frozenset("ZXx")


def process_start_time(pid: int) -> str | None:
    """When a process started, as text that is good for comparing only.

    Args:
        pid: the number of the process.
    Returns:
        Text that no other process with this number has, before or later. None when no such process
        runs, or on a system where it cannot be told (all but Linux, macOS and Windows).
    Raises:
        PermissionError: it runs, and Windows does not tell this user since when.
    """
    if sys.platform == "linux":
        return _start_by_proc(pid)
    elif sys.platform == "darwin":
        return _start_by_ps(pid)
    elif sys.platform == "win32":
        from winlayers.base._windows_processes import Kernel32, start_of_process

        return start_of_process(pid, Kernel32())
    else:
        return None


def is_running(pid: int, started: str) -> bool:
    """Whether the process of an id that began at a time still runs.

    Args:
        pid: its id; 0 stands for the system itself, which runs.
        started: what ``process_start_time`` told of it.
    """
    if not pid:
        return True
    try:
        return str(process_start_time(pid)) == started
    except PermissionError:
        return True  # somebody has the number, and it cannot be told who: then it counts as running


def _start_by_proc(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of the program comes second, in brackets, and may hold blanks and brackets itself.
    fields = stat.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in _DEAD_STATES else f"{boot} {start_ticks}"


def _start_by_ps(pid: int) -> str | None:
    shown = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
        env={"LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join(shown.stdout.split()) or None
