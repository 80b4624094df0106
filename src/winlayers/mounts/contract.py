"""The contract of a Mounter, and its words: what shall be shown where, and what is.

A mount is served by a process of its own, which outlives the one that asked for it. Three life stories:

- **mounted and unmounted**: ``mount`` starts the process and returns when the path shows the layer;
  ``unmount`` returns when the process has written everything and ended, so that the layer can be opened
  by others at once.
- **in use**: ``unmount`` of a path where somebody has a file open or works in a folder is InUse, and the
  mount stays.
- **died**: the process was killed. The path is still a mount point, and every call on it fails. ``mend``
  takes the mount point away; what was written before is in the layer.

This module refuses to know FUSE, and who may mount what.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MountRequest:
    """What to show, and where.

    Attributes:
        home: root of the store.
        tmpdir: its staging folder, None for the usual one.
        layer_id: the layer, sealed or a scratch.
        chain: ids of the layers it stands on, nearest first.
        path: an empty folder, which is there.
        read_only: take no writes, also where the layer is a scratch.
        raw: show the layer as in its tar (``Files``, ``Hives``, ``UtilityVM``), not as the container's
            ``C:``.
        shared: let other users in, if the system allows that; without it only the user who mounts.
    """

    home: Path
    tmpdir: Path | None
    layer_id: str
    chain: tuple[str, ...]
    path: Path
    read_only: bool = False
    raw: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class ForestRequest:
    """Which store to show all snapshots of, and where.

    Attributes:
        home: root of the store.
        tmpdir: its staging folder, None for the usual one.
        path: an empty folder, which is there.
        shared: as of ``MountRequest``.
    """

    home: Path
    tmpdir: Path | None
    path: Path
    shared: bool = False


@dataclass(frozen=True, slots=True)
class MountInfo:
    """A mount that is there.

    Attributes:
        path: where.
        pid: the process that serves it.
        started: when that began, as ``base.processes.process_start_time`` tells it; ``""`` where the
            system does not tell.
    """

    path: Path
    pid: int
    started: str


class Mounter(Protocol):
    """Mounts layers. Its methods may be called by any process, whoever mounted."""

    def mount(self, request: MountRequest) -> MountInfo:
        """Show a layer at a path.

        Raises:
            MissingExtra: the Python library or the system's part of the mounter is not installed.
            InUse: something is mounted there already, or another process writes the scratch.
            InvalidArgument: the path is no empty folder.
            TimedOut: nothing came of it in time; nothing is left.
        """

    def unmount(self, path: Path) -> None:
        """Take a mount away; nothing is done where none is.

        Raises:
            InUse: somebody uses it; the message says who.
            TimedOut: it is unmounted, but its process goes on writing.
        """

    def publish(self, path: Path) -> None:
        """Have what was done in a mount be seen by who looks at the layer without it; a dead mount has done."""

    def is_mounted(self, path: Path) -> bool:
        """Whether a mount of ours is at a path, dead or alive."""

    def mend(self, path: Path) -> bool:
        """Take the mount point of a dead mount away; whether there was one."""
