"""Findings: what is wrong with a layer, or lost by a conversion, each under a stable code.

The same codes stand in the output of ``winlayers check``, in the errors of an import and in loss reports.
``CATALOG`` is the one list of them, put together of ``_rules_of_import``, ``_rules_of_check`` and
``_rules_of_loss``; ``docs/reference/findings.md`` is checked against it. This module refuses to know how
findings are found.
"""

from __future__ import annotations

from dataclasses import dataclass

from winlayers.layer._rule import Rule, Severity
from winlayers.layer._rules_of_check import RULES_OF_CHECK
from winlayers.layer._rules_of_import import RULES_OF_IMPORT
from winlayers.layer._rules_of_loss import RULES_OF_LOSS

__all__ = ["CATALOG", "Finding", "Rule", "Severity"]

#: What each code means.
CATALOG: dict[str, Rule] = {**RULES_OF_IMPORT, **RULES_OF_CHECK, **RULES_OF_LOSS}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        code: key of ``CATALOG``.
        entry: path of the entry concerned, or ``""`` for the layer as a whole.
        detail: what exactly, of this entry.
        layer_id: the layer, or ``""`` where there is only one.
        offset: byte of the uncompressed tar, or None.
    """

    code: str
    entry: str
    detail: str
    layer_id: str = ""
    offset: int | None = None

    @property
    def rule(self) -> Rule:
        return CATALOG[self.code]

    @property
    def severity(self) -> Severity:
        return CATALOG[self.code].severity

    def __str__(self) -> str:
        where = f"{self.entry}: " if self.entry else ""
        return f"{self.severity} {self.code}: {where}{self.detail}"
