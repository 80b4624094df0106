"""The parents of a layer, nearest first.

The order is the one of ``layerchain.json``: index 0 is the parent, the last is the base. This module
refuses to know where layers are kept.

Source: moby/moby daemon/graphdriver/windows/windows.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chain:
    """The ids of a layer's parents, nearest first; empty for a base layer."""

    layer_ids: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        return iter(self.layer_ids)

    def __len__(self) -> int:
        return len(self.layer_ids)

    @property
    def parent(self) -> str | None:
        """The nearest parent, or None for a base layer."""
        return self.layer_ids[0] if self.layer_ids else None
