"""The catalog of findings, and the page that describes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from winlayers.layer._rules_of_check import RULES_OF_CHECK
from winlayers.layer._rules_of_import import RULES_OF_IMPORT
from winlayers.layer._rules_of_loss import RULES_OF_LOSS
from winlayers.layer.findings import CATALOG, Finding, Severity

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "findings.md"
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (.*) \|$", re.MULTILINE)


def rows() -> dict[str, list[str]]:
    """The rows of the page: code to severity, title, cause, remedy and threads."""
    found = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len({code for code, _ in found}) == len(found)
    return {
        code: [cell.replace("\\|", "|") for cell in re.split(r" (?<!\\)\| ", rest)]
        for code, rest in found
    }


def test_each_code_has_one_rule() -> None:
    parts = (RULES_OF_IMPORT, RULES_OF_CHECK, RULES_OF_LOSS)
    assert sum(map(len, parts)) == len(CATALOG)
    assert {rule.severity for rule in RULES_OF_LOSS.values()} == {Severity.LOSS}


def test_page_has_all_codes_and_no_others() -> None:
    assert set(rows()) == set(CATALOG)


@pytest.mark.parametrize("code", sorted(CATALOG))
def test_page_says_what_the_catalog_says(code: str) -> None:
    rule = CATALOG[code]
    severity, *texts, threads = rows()[code]
    assert [severity, *texts] == [rule.severity, rule.title, rule.cause, rule.remedy]
    assert threads


@pytest.mark.parametrize("code", sorted(CATALOG))
def test_texts_are_fit_to_be_read(code: str) -> None:
    rule = CATALOG[code]
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code)
    assert not rule.title.endswith(".")
    assert rule.cause
    assert rule.remedy.endswith(".")


def test_finding_is_shown_with_its_entry() -> None:
    finding = Finding("time-range", "Files/a", "is odd", offset=512)
    assert finding.severity is Severity.LOSS
    assert finding.rule is CATALOG["time-range"]
    assert str(finding) == "loss time-range: Files/a: is odd"
    assert str(Finding("tar-unterminated", "", "is odd")) == "error tar-unterminated: is odd"
