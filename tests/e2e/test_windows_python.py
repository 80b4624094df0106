"""Our tests, run by a Python of Windows under Wine.

What has nothing to do with a host shows the same there. The native backend calls Wine's own kernel32, ntdll and
advapi32; for the libraries of layers and disks, which Wine has not, the stand-in is compiled for Windows. What is known
to fail is in ``tests/support/windows.py``. Each group is one process; two run at a time.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from tools.winepython import WinePython

from tests.native.conftest import VARIABLE, build_fake_for_windows

pytestmark = pytest.mark.e2e

SECONDS = 400
AT_A_TIME = 2

_COUNT = re.compile(r"(\d+) (passed|failed|errors?|xfailed|xpassed|skipped)\b")


@dataclass(frozen=True)
class Group:
    """Some of our tests.

    Attributes:
        folders: where they are, below ``tests``.
        at_least: so many pass.
    """

    folders: tuple[str, ...]
    at_least: int


# The longest first.
GROUPS = {
    "property": Group(("property",), 500),
    # Of layers. The places of images are files and sockets as everywhere; their processes are slow under Wine.
    "conformance": Group(
        tuple(f"conformance/test_{of}.py" for of in ("backend", "driver", "scratch")), 570
    ),
    "host": Group(tuple(f"unit/{room}" for room in ("base", "driver", "backends", "cli")), 950),
    "native": Group(("native",), 650),
    "formats": Group(("unit/formats", "unit/layer", "vectors"), 5800),
    "sddl": Group(("windows",), 300),
}


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """All groups, begun."""
    python = WinePython()
    python.make()
    stand_in = python.windows_path(build_fake_for_windows())

    def run(group: Group) -> Callable[[], subprocess.CompletedProcess[str]]:
        # Not -q twice: the line of counts is to be printed.
        arguments = ["-m", "pytest", "-v", "--tb=short", "-rfE", "--no-header"]
        folders = [f"tests/{folder}" for folder in group.folders]
        return lambda: python.run(
            [*arguments, *folders], seconds=SECONDS, environment={VARIABLE: stand_in}
        )

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            yield {name: pool.submit(run(group)) for name, group in GROUPS.items()}
        finally:
            pool.shutdown(cancel_futures=True)
            python.end()


@pytest.mark.parametrize("name", GROUPS)
def test_group_passes(
    runs: dict[str, Future[subprocess.CompletedProcess[str]]],
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    done = runs[name].result()
    counts = {what: int(count) for count, what in _COUNT.findall(done.stdout[-400:])}
    assert counts, done.stdout[-4000:]
    record_property("ran", counts)
    told = done.stdout[done.stdout.find("short test summary") :][:6000]
    assert done.returncode == 0, told
    assert not {"failed", "error", "errors"} & set(counts), told
    assert counts["passed"] >= GROUPS[name].at_least


def test_it_is_windows() -> None:
    python = WinePython()
    python.make()
    program = "import sys, struct; print(sys.platform, sys.version_info[:2], struct.calcsize('P'))"
    done = python.run(["-c", program], seconds=60)
    assert done.stdout.split("\n")[0].rstrip() == "win32 (3, 11) 8"
