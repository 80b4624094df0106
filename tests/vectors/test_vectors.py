"""Every golden vector, one test a case.

``tests/vectors/data/NAME.json`` (or ``$WINLAYERS_VECTORS/NAME.json``) is run by
``tests/vectors/runners/NAME.py``, whose ``run(case)`` asserts what the case says. What the fields mean
is told in ``data/README.md``. A file without a runner, or without cases, is a failure: a vector that
nobody runs proves nothing.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
DATA = Path(os.environ.get("WINLAYERS_VECTORS") or HERE / "data")


def files() -> list[Path]:
    found = sorted(DATA.glob("*.json"))
    if not found:
        raise FileNotFoundError(f"no vector files in {DATA}")
    return found


def load(path: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(path.read_bytes())["cases"]
    return cases


def parametrized() -> list[Any]:
    """One parameter a case, in the order of the files; ids are FILE-CASE."""
    return [
        pytest.param(path.stem, index, id=f"{path.stem}-{case['name']}")
        for path in files()
        for index, case in enumerate(CASES[path.stem])
    ]


CASES = {path.stem: load(path) for path in files()}


@pytest.mark.parametrize("name", sorted(CASES))
def test_file_has_cases_and_a_runner(name: str) -> None:
    assert CASES[name], f"{name}.json has no cases"
    assert (HERE / "runners" / f"{name}.py").is_file(), f"{name}.json has no runner"


@pytest.mark.parametrize(("name", "index"), parametrized())
def test_vector(name: str, index: int) -> None:
    case = CASES[name][index]
    runner = importlib.import_module(f"tests.vectors.runners.{name}")
    runner.run({**case, **case.get("expected", {})})
