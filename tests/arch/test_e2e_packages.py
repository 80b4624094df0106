"""The list of system packages has every program that a test on real systems needs."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = ROOT / "tools" / "e2e-packages.txt"

_spec = importlib.util.spec_from_file_location("syspackages", ROOT / "tools" / "syspackages.py")
assert _spec is not None
assert _spec.loader is not None
syspackages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(syspackages)


def needed(path: Path) -> Iterator[str]:
    """The programs that a test names where it calls ``needs``."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "needs":
            yield from (ast.literal_eval(argument) for argument in node.args)


def test_every_program_that_a_test_needs_is_listed() -> None:
    programs = {program for _, program in syspackages.listed(LIST.read_text("utf-8"))}
    wanted = {name for path in (ROOT / "tests" / "e2e").glob("*.py") for name in needed(path)}
    assert wanted
    assert wanted - programs == set()


def test_only_packages_of_missing_programs_are_missing() -> None:
    content = "# a list\n\na python3  # there\nb no-such-program-anywhere\n"
    assert list(syspackages.listed(content)) == [
        ("a", "python3"),
        ("b", "no-such-program-anywhere"),
    ]
    assert syspackages.missing(content) == ["b"]
