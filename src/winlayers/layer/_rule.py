"""What a code of a finding means: how bad it is, why, and what to do.

This module refuses to know any code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is.

    ``ERROR``: Windows refuses the layer, or it means something else there. ``WARNING``: it works, but
    not everywhere or not as was meant. ``LOSS``: something that was there is not carried over.
    """

    ERROR = "error"
    WARNING = "warning"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a code means.

    Attributes:
        severity: how bad it is.
        title: what it is, a few words.
        cause: why it matters, and what Windows makes of it.
        remedy: what to do next.
    """

    severity: Severity
    title: str
    cause: str
    remedy: str
