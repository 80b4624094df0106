"""The pages that explain the code name rooms, imports and modules as they are.

The diagram of ``ARCHITECTURE.md`` is compared with ``rooms.toml``, its table of rooms with the package, and
every module that it or a page below ``docs/explanation`` and ``docs/decisions`` names has to be there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "winlayers"
PAGE = ROOT / "ARCHITECTURE.md"
ROOMS: dict[str, list[str]] = tomllib.loads((ROOT / "tests/arch/rooms.toml").read_text())["rooms"]
#: Importable from everywhere, and so not drawn.
EVERYWHERE = frozenset({"base", "errors", "_version"})
PAGES = [
    PAGE,
    *sorted((ROOT / "docs" / "explanation").glob("*.md")),
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]

_DIAGRAM = re.compile(r"^```mermaid\nflowchart \w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EDGE = re.compile(r"\s*(\w+) -->(?:\|(\w+)\|)? (\w+(?: & \w+)*)")
_ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| .+ \| .+ \|$", re.MULTILINE)
_NAMED = re.compile(r"`(?:src/winlayers/)?((?:\w+/)*\w+\.(?:py|toml))`")


def edges_of(page: str) -> set[tuple[str, str]]:
    """The arrows of the one diagram of a page; a label is a module of the room that it leads to."""
    (diagram,) = _DIAGRAM.findall(page)
    found: set[tuple[str, str]] = set()
    for line in diagram.splitlines():
        match = _EDGE.fullmatch(line)
        assert match, f"not an arrow: {line!r}"
        room, label, targets = match.groups()
        for target in targets.split(" & "):
            found.add((room, f"{target}.{label}" if label else target))
    return found


def rooms_told(page: str) -> list[str]:
    """The rooms that the table of a page names."""
    _, _, section = page.partition("\n## Rooms\n")
    rows = _ROW.findall(section.partition("\n## ")[0])
    return [room for row in rows for room in re.findall(r"\w+", row)]


def modules_named(page: str) -> Iterator[str]:
    """The files that a page names by a path, below the package or the repository."""
    yield from _NAMED.findall(page)


def test_diagram_has_the_edges_of_the_table() -> None:
    allowed = {(room, target) for room, targets in ROOMS.items() for target in targets}
    assert edges_of(PAGE.read_text("utf-8")) == allowed


def test_table_has_every_room_once() -> None:
    assert sorted(rooms_told(PAGE.read_text("utf-8"))) == sorted(ROOMS)


def test_rooms_are_those_of_the_package() -> None:
    files = {path.stem for path in SOURCE.glob("*.py")}
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert files | folders == set(ROOMS)
    assert set(ROOMS) >= EVERYWHERE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_that_a_page_names_are_there(page: Path) -> None:
    named = set(modules_named(page.read_text("utf-8")))
    gone = [one for one in named if not (SOURCE / one).exists() and not (ROOT / one).exists()]
    assert gone == []


def test_edges_are_found() -> None:
    page = "x\n```mermaid\nflowchart TD\n    a --> b & c\n    a -->|m| d\n```\n"
    assert edges_of(page) == {("a", "b"), ("a", "c"), ("a", "d.m")}


def test_line_of_a_diagram_that_is_no_arrow_is_an_error() -> None:
    with pytest.raises(AssertionError, match="not an arrow"):
        edges_of("```mermaid\nflowchart TD\n    a --- b\n```\n")


def test_rooms_and_modules_are_found() -> None:
    page = "\n## Rooms\n| room | is | not |\n| `a` | x | y |\n| `b`, `c` | x | y |\n\n## Other\n| `d` | x | y |\n"
    assert rooms_told(page) == ["a", "b", "c"]
    text = (
        "`layer/entry.py` and `src/winlayers/errors.py`, `tests/arch/rooms.toml`, not `driver.db`"
    )
    assert list(modules_named(text)) == ["layer/entry.py", "errors.py", "tests/arch/rooms.toml"]
