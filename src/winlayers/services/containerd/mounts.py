"""How engines are told to mount a snapshot, and which snapshot a mount is of.

All snapshots are shown by one file system, in folders that have their numbers; an engine binds such a folder where it
wants it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from winlayers.errors import Unsupported
from winlayers.store.snapshots import Snapshot, SnapshotKind

BIND = "bind"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Mount:
    """What mount(2) is told.

    Attributes:
        type: ``bind``.
        source: the folder.
        options: as in fstab.
    """

    type: str
    source: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MountTeller:
    """Tells mounts of the snapshots of one store.

    Attributes:
        root: of the store.
        folder: where all snapshots are shown.
    """

    root: Path
    folder: Path

    def mounts(self, snapshot: Snapshot) -> list[Mount]:
        """The mounts of a snapshot; one that takes no changes is mounted so."""
        access = "rw" if snapshot.kind is SnapshotKind.ACTIVE else "ro"
        return [Mount(BIND, str(self.folder / str(snapshot.number)), ("rbind", access))]

    def number_of(self, mounts: Sequence[Mount]) -> int | None:
        """Which snapshot was told of by mounts; None where there are none.

        Raises:
            Unsupported: they are not of this store.
        """
        if not mounts:
            return None
        one = mounts[0]
        path = PurePosixPath(one.source)
        is_ours = one.type == BIND and str(path.parent) == str(self.folder)
        if len(mounts) != 1 or not is_ours or not _NUMBER.fullmatch(path.name):
            raise Unsupported(f"{one.source[:200]!r} is no snapshot of the store at {self.root}")
        return int(path.name)
