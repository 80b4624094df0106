"""The demo: it runs, and what it says to try next works when it is pasted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "tools" / "demo.py"


def test_demo_runs_and_its_last_lines_work_when_pasted(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(DEMO)], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode()
    assert "The same bytes came out" in text
    _, _, next_steps = text.partition("What to try next:")
    commands = next_steps.split("\n")
    tried = [line.strip() for line in commands if line.strip()]
    assert len(tried) >= 5
    for line in tried:
        pasted = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True)
        assert pasted.returncode == 0, (line, pasted.stderr.decode())
