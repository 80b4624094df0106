"""Which tests a system cannot run. What is left out is told at the end of every run, with the reason."""

from __future__ import annotations

import sys

import pytest

#: Files and folders here that Windows cannot run; ``tests/arch/test_systems.py`` looks for what is missing.
NOT_ON_WINDOWS = {
    "cli/test_processes.py": "terminals, signals and full disks are those of POSIX",
    "docs/test_docs.py": "the pages are for bash",
    "e2e": "its mounts and file systems are those of Linux",
    "faults": "processes are forked, and ended by signals",
    "unit/backends/sealed/test_staging.py": "owners are numbers",
    "unit/cli/test_cp.py": "it copies what only POSIX has: pipes, and names with colons",
    "unit/mounts/fuse": "sessions, signals and numbers of errors are those of POSIX",
}

collect_ignore = list(NOT_ON_WINDOWS) if sys.platform == "win32" else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not even collected."""
    for path in collect_ignore:
        terminalreporter.write_line(f"left out here: tests/{path}: {NOT_ON_WINDOWS[path]}")
