"""How engines are told to mount a snapshot, and which snapshot a mount is of.

All snapshots are shown by one file system, in folders that have their numbers; an engine binds such a folder where it
wants it. Or it mounts by a program of ours (``mount.fuse.winlayers``), for hosts where that is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from winlayers.errors import Unsupported
from winlayers.store.snapshots import Snapshot, SnapshotKind

BIND = "bind"
FUSE = "fuse.winlayers"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Mount:
    """What mount(2) is told.

    Attributes:
        type: ``bind`` or ``fuse.winlayers``.
        source: the folder; for the second the store and the number.
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
        kind: ``bind`` or ``fuse.winlayers``.
    """

    root: Path
    folder: Path
    kind: str = BIND

    def mounts(self, snapshot: Snapshot) -> list[Mount]:
        """The mounts of a snapshot; one that takes no changes is mounted so."""
        access = "rw" if snapshot.kind is SnapshotKind.ACTIVE else "ro"
        if self.kind == FUSE:
            return [Mount(FUSE, f"{self.root}#{snapshot.number}", (access, "allow_other"))]
        return [Mount(BIND, str(self.folder / str(snapshot.number)), ("rbind", access))]

    def number_of(self, mounts: Sequence[Mount]) -> int | None:
        """Which snapshot was told of by mounts; None where there are none.

        Raises:
            Unsupported: they are not of this store.
        """
        if not mounts:
            return None
        one = mounts[0]
        if one.type == FUSE:
            place, _, number = one.source.rpartition("#")
            is_ours = place == str(self.root)
        else:
            path = PurePosixPath(one.source)
            is_ours, number = str(path.parent) == str(self.folder), path.name
        if len(mounts) != 1 or not is_ours or not _NUMBER.fullmatch(number):
            raise Unsupported(f"{one.source[:200]!r} is no snapshot of the store at {self.root}")
        return int(number)
