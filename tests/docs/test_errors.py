"""docs/reference/errors.md says what the errors are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from winlayers import errors
from winlayers.errors import WinlayersError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "errors.md"


def test_page_is_what_the_errors_make() -> None:
    spec = importlib.util.spec_from_file_location("errordoc", ROOT / "tools" / "errordoc.py")
    assert spec is not None
    assert spec.loader is not None
    errordoc = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(errordoc)
    assert PAGE.read_text("utf-8") == errordoc.page(), (
        "run: python tools/errordoc.py > docs/reference/errors.md"
    )


def test_page_has_every_class() -> None:
    text = PAGE.read_text("utf-8")
    classes = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, WinlayersError)
    ]
    assert len(classes) > 13
    assert [one.__name__ for one in classes if one.__name__ not in text] == []
