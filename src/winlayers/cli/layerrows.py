"""What the store says of a layer as a whole, for ``layer ls`` and ``layer inspect``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winlayers.driver.driver import Driver

if TYPE_CHECKING:
    from winlayers.driver.mounting import MountedLayer


def layer_row(driver: Driver, layer_id: str) -> dict[str, Any]:
    """One layer as ``layer ls --json`` prints it.

    Raises:
        StoreCorrupt: its index cannot be read.
        ParentMissing: one of its parents is not there.
    """
    usage = driver.usage(layer_id)
    return {
        "id": layer_id,
        "parent": driver.chain(layer_id).parent,
        "kind": usage.kind,
        "size": usage.summary.size,
        "entries": usage.summary.entry_count,
        "diff_id": usage.summary.diff_id or None,
        "created": created_text(usage.created_ns),
    }


def mounts_of(home: Path) -> list[MountedLayer]:
    """The mounts of the store at ``home``, dead ones too."""
    from winlayers.driver.mounting import MountTable

    return MountTable(home / "driver.db").all()


def mount_of(home: Path, layer_id: str) -> MountedLayer | None:
    """Where a layer of the store at ``home`` is mounted, if it is."""
    return next((one for one in mounts_of(home) if one.layer_id == layer_id), None)


def created_text(created_ns: int) -> str:
    """Nanoseconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(created_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
