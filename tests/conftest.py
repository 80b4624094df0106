"""Which tests a system cannot run, and how many of each level there were; both are told at the end of a run."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.windows import expected_failures, is_wine

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

#: Files and folders here that need a Windows, or something that is compiled for it.
FOR_WINDOWS = {"windows": "it calls the libraries of Windows"}
STAND_IN = {"native": "no stand-in for the libraries of Windows was given (WINLAYERS_STAND_IN)"}

if sys.platform != "win32":
    LEFT_OUT = FOR_WINDOWS
elif "WINLAYERS_STAND_IN" in os.environ:
    LEFT_OUT = NOT_ON_WINDOWS
else:
    LEFT_OUT = NOT_ON_WINDOWS | STAND_IN

collect_ignore = list(LEFT_OUT)

#: Levels at which the native backend is tested, by the modules of their tests; see tests/native/README.md.
LEVELS = {
    "L0": ("tests/native/",),
    "L1": ("tests/e2e/test_native_layout.py",),
    "L2": ("tests/e2e/test_windows_python.py",),
    "L3": ("tests/e2e/test_ntfs.py", "tests/e2e/test_attach.py"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect those tests to fail that this Windows is known to fail."""
    known = expected_failures()
    for item in items:
        name = item.nodeid if item.nodeid in known else item.nodeid.partition("[")[0]
        if name in known:
            reason, every = known[name]
            item.add_marker(pytest.mark.xfail(reason=reason, strict=every and is_wine()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not even collected, and how many tests of each level passed."""
    for path in collect_ignore:
        terminalreporter.write_line(f"left out here: tests/{path}: {LEFT_OUT[path]}")
    for level, modules in LEVELS.items():
        if counts := _counts(terminalreporter, modules):
            told = ", ".join(f"{count} {what}" for what, count in counts.items())
            terminalreporter.write_line(f"{level}: {told}")


def _counts(reporter: pytest.TerminalReporter, modules: tuple[str, ...]) -> dict[str, int]:
    """How many tests passed, failed and so on; for a test that ran others, these are counted."""
    counts: dict[str, int] = {}
    for outcome in ("passed", "failed", "error", "xfailed", "skipped"):
        for report in reporter.stats.get(outcome, ()):
            if not report.nodeid.startswith(modules):
                continue
            inner = {
                name: value
                for name, value in getattr(report, "user_properties", ())
                if name == "ran"
            }
            for what, count in inner.get("ran", {outcome: 1}).items():
                counts[what] = counts.get(what, 0) + count
    return counts
