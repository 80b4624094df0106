"""What was measured: rows of a table, each with its target and whether it is met; as text and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = ("winlayers", "isal", "zlib-ng", "backports.zstd", "click", "rich")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured, once a round.

    Attributes:
        what: the thing.
        values: what each round gave.
        unit: of the values: ``s``, ``ms``, ``µs``, ``MB/s``, ``entries/s``, ``MiB``.
        against: what it is compared with in the same rounds, if anything.
        ratios: to that, one a round.
        target: what is asked for, in words; ``""`` where the row is only there to be seen.
        is_met: whether it is.
    """

    what: str
    values: Sequence[float]
    unit: str
    against: str = ""
    ratios: Sequence[float] = ()
    target: str = ""
    is_met: bool = True

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios, which need not be the ratio of the medians."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def verdict(self) -> str:
        if not self.target:
            return ""
        return "ok" if self.is_met else "MISSED"

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        low, high = min(self.values), max(self.values)
        return (
            self.what,
            f"{shown(self.median)} {self.unit}",
            f"{shown(low)}–{shown(high)}" if len(self.values) > 1 else "",
            "" if self.ratio is None else f"{self.ratio:.2f} × {self.against}",
            self.target,
            self.verdict,
        )

    def as_json(self) -> dict[str, Any]:
        """The row with all its values."""
        return {
            "what": self.what,
            "unit": self.unit,
            "median": self.median,
            "values": self.values,
            "against": self.against or None,
            "ratio": self.ratio,
            "target": self.target or None,
            "met": self.is_met if self.target else None,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question came to.

    Attributes:
        rows: what was measured.
        notes: lines to print below the table, such as the profile of what missed its target.
    """

    rows: list[Row]
    notes: list[str] = field(default_factory=list)

    @property
    def missed(self) -> list[Row]:
        return [row for row in self.rows if not row.is_met]


def ratios(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Round by round, how many times the other value the value is."""
    return [value / other for value, other in zip(values, others, strict=True)]


def shown(value: float) -> str:
    """A number with three digits or more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def table(rows: Sequence[Row]) -> str:
    """Rows as columns of text."""
    heads = ("what", "median", "range", "against", "target", "")
    cells = [heads, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def circumstances(repository: Path) -> dict[str, Any]:
    """When, on which machine and from which commit."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git(repository, "rev-parse", "--short=12", "HEAD"),
        "changed_since": bool(_git(repository, "status", "--porcelain", "--", "src")),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            **{name: found for name in _LIBRARIES if (found := _version_of(name))},
        },
    }


def save(
    folder: Path, where: dict[str, Any], answers: dict[str, Answer], options: dict[str, Any]
) -> Path:
    """Write all rows into a new file named by time and commit; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = where["date"].replace(":", "").replace("+0000", "Z")
    path = folder / f"{stamp}-{where['commit'] or 'unknown'}.json"
    questions = {
        name: {"rows": [row.as_json() for row in answer.rows], "notes": answer.notes}
        for name, answer in answers.items()
    }
    document = {**where, "options": options, "questions": questions}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
