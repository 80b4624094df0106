"""docs/reference/cli.md says what the commands do."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from winlayers.errors import KINDS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "cli.md"


def test_page_is_what_the_commands_make() -> None:
    spec = importlib.util.spec_from_file_location("clidoc", ROOT / "tools" / "clidoc.py")
    assert spec is not None
    assert spec.loader is not None
    clidoc = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(clidoc)
    assert PAGE.read_text() == clidoc.page(), "run: python tools/clidoc.py > docs/reference/cli.md"


def test_page_has_every_exit_code() -> None:
    text = PAGE.read_text()
    assert all(f"| {code} | " in text for code in (0, 1, 3, *(one.exit for one in KINDS.values())))
