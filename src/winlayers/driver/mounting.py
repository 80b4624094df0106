"""Which layers are mounted, where, and by which process; kept in ``driver.db`` beside the counts.

A mount is served by a process of its own, which outlives the one that asked for it. It is known by its id and
start time: a mount whose process has died is a dead one, of which the system still has the mount point, and
is taken away before anything else is done with it. This module refuses to know how a mount is made.

Source: the path that moby/moby daemon/graphdriver/windows/windows.go keeps for Get (its cache), which is in
memory there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from winlayers.backends.contract import Mount
from winlayers.driver.database import open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS mounts (
    layer_id TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    read_only INTEGER NOT NULL,
    raw INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL
) WITHOUT ROWID
"""
_VOLUME = re.compile(r"\\\\\?\\Volume\{[^\\]*\}")
_COLUMNS = "layer_id, path, read_only, raw, pid, started"


def mount_text(path: PurePath) -> str:
    r"""The path of a mount as programs take it.

    Without the backslash at its end, which ``Path`` of Python 3.11 drops, ``\\?\Volume{guid}\`` is the device that
    the volume is on.
    """
    text = str(path)
    return f"{text}\\" if _VOLUME.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class MountedLayer:
    """A layer that is mounted, or was until its process died.

    Attributes:
        layer_id: the layer.
        path: where.
        read_only: whether it takes no writes.
        raw: whether it is shown as in its tar, instead of as the container's C:.
        pid: the process that serves it; 0 for the system itself.
        started: when that process began, as ``base.processes`` tells it.
    """

    layer_id: str
    path: Path
    read_only: bool
    raw: bool
    pid: int
    started: str

    @property
    def mount(self) -> Mount:
        """What the backend knows of it."""
        return Mount(self.path, self.pid, self.started)


class MountTable:
    """The mounts of one home.

    Args:
        path: the database, which ``driver.refcount`` uses too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, layer_id: str) -> MountedLayer | None:
        """The mount of a layer, dead or alive."""
        return next((one for one in self.all() if one.layer_id == layer_id), None)

    def all(self) -> list[MountedLayer]:
        """All mounts, the dead among them."""
        if not self._path.exists():
            return []
        with open_database(self._path) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'mounts'").fetchone():
                return []
            rows = db.execute(f"SELECT {_COLUMNS} FROM mounts ORDER BY layer_id").fetchall()  # noqa: S608 - columns are a constant
        return [
            MountedLayer(layer_id, Path(path), bool(read_only), bool(raw), pid, started)
            for layer_id, path, read_only, raw, pid, started in rows
        ]

    def add(self, mount: MountedLayer) -> None:
        """Note a mount, in the place of another of that layer."""
        with open_database(self._path) as db:
            db.execute(_SCHEMA)
            db.execute(
                "INSERT OR REPLACE INTO mounts VALUES (?, ?, ?, ?, ?, ?)",
                (
                    mount.layer_id, str(mount.path), mount.read_only, mount.raw, mount.pid,
                    mount.started,
                ),
            )  # fmt: skip

    def remove(self, layer_id: str) -> None:
        """Forget a mount."""
        with open_database(self._path) as db:
            db.execute("DELETE FROM mounts WHERE layer_id = ?", (layer_id,))
