"""Each change that no release has yet is written down after the template."""

from __future__ import annotations

from pathlib import Path

import pytest

CHANGES = sorted((Path(__file__).parents[2] / "changelog" / "unreleased").glob("*.md"))


def test_there_are_changes() -> None:
    assert CHANGES


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.stem)
def test_change_tells_before_and_now(change: Path) -> None:
    title, before, now = change.read_text("utf-8").rstrip().split("\n\n")
    assert title.startswith("# ")
    assert before.startswith("Before: ")
    assert now.startswith("Now: ")
