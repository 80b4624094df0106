"""What Windows cannot run is named in ``tests/conftest.py``, and everything else can be loaded there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NOT_ON_WINDOWS

TESTS = Path(__file__).parents[1]
#: Modules of the standard library that Windows has not.
POSIX_MODULES = frozenset({"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"})
MODULES = sorted(
    path
    for path in TESTS.rglob("*.py")
    if not any(TESTS / left in (path, *path.parents) for left in NOT_ON_WINDOWS)
)


def imported_when_loaded(path: Path) -> Iterator[str]:
    """The modules that a file imports right at its top, on every system."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("left_out", NOT_ON_WINDOWS)
def test_what_is_left_out_is_there(left_out: str) -> None:
    assert (TESTS / left_out).exists()


def test_what_is_left_out_is_not_all() -> None:
    assert len(MODULES) > 100


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TESTS)))
def test_module_can_be_loaded_on_windows(path: Path) -> None:
    assert not POSIX_MODULES & set(imported_when_loaded(path))
