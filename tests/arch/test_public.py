"""The public names: few, sorted, lazy, each what the types say it is, and told in the reference."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import winlayers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "api.md"
NAMES = [name for name in winlayers.__all__ if name != "__version__"]


def places_for_types() -> dict[str, str]:
    """What the imports for the type checker say: name to module."""
    tree = ast.parse(Path(winlayers.__file__).read_bytes())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("winlayers"):
            found |= {alias.name: node.module for alias in node.names}
    return found


def test_public_names_are_few_and_sorted() -> None:
    assert len(winlayers.__all__) <= 36
    assert sorted(winlayers.__all__) == winlayers.__all__ == dir(winlayers)


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_what_the_types_say(name: str) -> None:
    module = importlib.import_module(places_for_types()[name])
    assert getattr(winlayers, name) is getattr(module, name)


def test_types_know_no_other_names() -> None:
    assert sorted(places_for_types()) == sorted(winlayers.__all__)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = winlayers.nonsense


def test_package_imports_nothing_of_itself() -> None:
    code = "import sys, winlayers; print(*sorted(one for one in sys.modules if 'winlayers' in one))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert [one for one in result.stdout.split() if not one.startswith("_")] == [
        "winlayers",
        "winlayers._version",
    ]


def test_reference_is_what_the_docstrings_make() -> None:
    spec = importlib.util.spec_from_file_location("apidoc", ROOT / "tools" / "apidoc.py")
    assert spec is not None
    assert spec.loader is not None
    apidoc = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(apidoc)
    assert PAGE.read_text() == apidoc.page(), "run: python tools/apidoc.py > docs/reference/api.md"
