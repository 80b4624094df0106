"""What a copy out of a layer loses, told on standard error: a line for each kind, or one for each file."""

from __future__ import annotations

from collections import Counter

from winlayers.cli.session import Session
from winlayers.layer.findings import CATALOG, Finding


class LossNotes:
    """What was lost, counted; told one by one only where that was asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._counts: Counter[str] = Counter()
        self._first: dict[str, Finding] = {}

    def add(self, finding: Finding) -> None:
        """Count a loss, and tell it with ``-v``."""
        self._counts[finding.code] += 1
        self._first.setdefault(finding.code, finding)
        if self._session.verbosity:
            self._session.note(str(finding))

    def tell(self) -> None:
        """Tell how often each kind was."""
        for code, count in sorted(self._counts.items()):
            entry = self._first[code].entry
            self._session.note(
                f"{CATALOG[code].severity} {code}: {CATALOG[code].title}: {count}, as {entry}"
            )
