"""What has to be known to open a store: a value, which reads nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BACKENDS = ("auto", "portable", "native")


@dataclass(frozen=True, slots=True)
class Config:
    """Where a store is, and how it works.

    Attributes:
        root: its home; made if it is not there. Nothing is written outside ``root`` and ``tmpdir``.
        tmpdir: where imports are staged, on the same disk as ``root``; None for ``ROOT/tmp``.
        backend: ``"portable"``, ``"native"``, or ``"auto"`` for the one that the store was made by or that
            fits the system.
        reexec: imports run in a write-layer process of their own; otherwise in this one.
        options: storage options of the driver, as Docker passes them (``size=…``).
    """

    root: Path
    tmpdir: Path | None = None
    backend: str = "auto"
    reexec: bool = True
    options: tuple[str, ...] = ()
