"""When a process started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from winlayers.base import processes
from winlayers.base.processes import process_start_time

SYSTEMS = [sys.platform] if sys.platform in ("linux", "darwin", "win32") else []


def test_own_start_does_not_change() -> None:
    first = process_start_time(os.getpid())
    time.sleep(0.02)
    assert process_start_time(os.getpid()) == first
    assert (first is not None) is bool(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_other_process_started_at_another_time_and_ends(system: str) -> None:
    time.sleep(0.02)  # the clock of starts ticks each 10 ms
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = process_start_time(child.pid)
        assert started is not None
        assert started != process_start_time(os.getpid()) or system == "darwin"
        child.kill()
        deadline = time.monotonic() + 10
        while process_start_time(child.pid) is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        # Dead, although nobody has waited for it.
        assert process_start_time(child.pid) is None
    assert process_start_time(child.pid) is None


def test_name_of_the_program_may_hold_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "7").mkdir()
    numbers = " ".join(str(number) for number in range(4, 53))
    (tmp_path / "7" / "stat").write_text(f"7 (a) Z (b c) S {numbers}\n")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot\n")
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert processes._start_by_proc(7) == "boot 22"
    assert processes._start_by_proc(8) is None


def test_ps_tells_the_start_too() -> None:
    shown = processes._start_by_ps(os.getpid()) if Path("/bin/ps").exists() else "no ps"
    assert shown


def test_other_systems_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "another")
    assert process_start_time(os.getpid()) is None
