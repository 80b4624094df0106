"""docs/README.md leads to every page."""

from __future__ import annotations

from pathlib import Path

from tests.docs.test_links import links_of

DOCS = Path(__file__).parents[2] / "docs"
INDEX = DOCS / "README.md"


def test_index_leads_to_every_page() -> None:
    linked = {(DOCS / target).resolve() for target in links_of(INDEX.read_text("utf-8"))}
    pages = {page for page in DOCS.rglob("*.md") if page.parent.name != "decisions"} - {INDEX}
    missing = sorted(str(page.relative_to(DOCS)) for page in pages if page not in linked)
    assert missing == [], "add them to docs/README.md"
