"""Findings as lines and as JSON rows, for all commands that print them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from winlayers.cli.output import Output, count_of
from winlayers.layer.findings import Finding, Severity

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.LOSS: "cyan"}


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding for programs."""
    return {
        "severity": str(finding.severity),
        "code": finding.code,
        "layer": finding.layer_id or None,
        "entry": finding.entry,
        "detail": finding.detail,
        "offset": finding.offset,
        "title": finding.rule.title,
        "cause": finding.rule.cause,
        "remedy": finding.rule.remedy,
    }


def finding_lines(out: Output, findings: Iterable[Finding]) -> Iterator[str]:
    """Findings for people; what a code means is told with the first of it.

    Args:
        out: cleans and colours.
        findings: as they come.
    """
    explained = set()
    for finding in findings:
        severity = out.styled(str(finding.severity), _STYLES[finding.severity])
        layer = f" [{finding.layer_id}]" if finding.layer_id else ""
        where = f"{finding.entry}: " if finding.entry else ""
        yield out.clean(f"{finding.code}{layer} {where}{finding.detail}").join((f"{severity} ", ""))
        if finding.code not in explained:
            explained.add(finding.code)
            yield out.clean(f"    {finding.rule.title}. {finding.rule.cause}")
            yield out.clean(f"    What to do: {finding.rule.remedy}")


class Tally:
    """Findings, counted by severity and code as they go by."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self._findings = findings
        self.by_severity: Counter[Severity] = Counter()

    def __iter__(self) -> Iterator[Finding]:
        for finding in self._findings:
            self.by_severity[finding.severity] += 1
            yield finding

    def __str__(self) -> str:
        return ", ".join(
            count_of(self.by_severity[severity], singular, plural)
            for severity, singular, plural in (
                (Severity.ERROR, "error", "errors"),
                (Severity.WARNING, "warning", "warnings"),
                (Severity.LOSS, "loss", "losses"),
            )
        )
