"""The codes of the checks of stores, and the page that describes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from winlayers.backends.checking import STORE_RULES, StoreFinding
from winlayers.layer.findings import Severity

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "store-findings.md"
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (.*) \|$", re.MULTILINE)


def rows() -> dict[str, list[str]]:
    """The rows of the page: code to severity, title, cause, remedy and what a repair does."""
    found = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len({code for code, _ in found}) == len(found)
    return {code: rest.split(" | ") for code, rest in found}


def test_page_has_all_codes_and_no_others() -> None:
    assert set(rows()) == set(STORE_RULES)


@pytest.mark.parametrize("code", sorted(STORE_RULES))
def test_page_says_what_the_rules_say(code: str) -> None:
    rule = STORE_RULES[code]
    *texts, repair = rows()[code]
    assert texts == [rule.severity, rule.title, rule.cause, rule.remedy]
    assert (repair == "–") == ("--repair" not in rule.remedy)


@pytest.mark.parametrize("code", sorted(STORE_RULES))
def test_texts_are_fit_to_be_read(code: str) -> None:
    rule = STORE_RULES[code]
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code)
    assert rule.severity in (Severity.ERROR, Severity.WARNING)
    assert not rule.title.endswith(".")
    assert rule.cause.endswith(".")


def test_finding_is_repairable_where_its_action_can_be_done() -> None:
    path = Path("windowsfilter/a-removing")
    for action, needs_windows, expected in (
        ("", False, False),
        ("remove it", False, True),
        ("remove it", True, False),
    ):
        finding = StoreFinding("left-removing", "a", path, "is there", action, needs_windows)
        assert finding.is_repairable is expected
        assert finding.severity is Severity.WARNING
