"""Links between the documents lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "changelog", "docs", "src", "tests", "tools")
PAGES = sorted(
    {*ROOT.glob("*.md"), *(page for one in FOLDERS for page in (ROOT / one).rglob("*.md"))}
)

_FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^()\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_DEFINITION = re.compile(r"^\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def links_of(text: str) -> list[str]:
    """The targets of the links of a page that lead into the repository."""
    bare = _CODE.sub("code", _FENCED.sub("", text))
    found = _LINK.findall(bare) + _DEFINITION.findall(bare)
    return [target for target in found if not _ELSEWHERE.match(target)]


def anchors_of(text: str) -> Iterator[str]:
    """The names of the headings of a page, as the sites that show Markdown make them."""
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        kept = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower())
        name = kept.replace(" ", "-")
        count = seen.get(name, 0)
        seen[name] = count + 1
        yield f"{name}-{count}" if count else name


def fault_of(page: Path, target: str) -> str | None:
    """Why a link leads nowhere."""
    path, _, anchor = target.partition("#")
    found = page if not path else page.parent / unquote(path)
    if not found.exists():
        return f"{target}: there is no such file"
    if ROOT not in found.resolve().parents:
        return f"{target}: leads out of the repository"
    if anchor and anchor not in anchors_of(found.read_text("utf-8")):
        return f"{target}: there is no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    faults = [fault_of(page, target) for target in links_of(page.read_text("utf-8"))]
    assert [fault for fault in faults if fault] == []


def test_links_are_found() -> None:
    text = '[a](b.md) ![c](<d.png> "e") [f](https://g) `[h](i)`\n```\n[j](k)\n```\n[l]: m.md#n\n'
    assert links_of(text) == ["b.md", "d.png", "m.md#n"]


def test_anchors_are_those_of_the_headings() -> None:
    text = "# The `tar:` form, 2nd\n```\n# no\n```\n## Exit codes\n## Exit codes\n"
    assert list(anchors_of(text)) == ["the-tar-form-2nd", "exit-codes", "exit-codes-1"]


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("nowhere.md", "no such file"),
        ("test_links.py#nowhere", "no such heading"),
        ("../../../../../../../../etc", "leads out"),
    ],
)
def test_link_that_leads_nowhere_is_found(target: str, fault: str) -> None:
    assert fault in (fault_of(Path(__file__), target) or "")
