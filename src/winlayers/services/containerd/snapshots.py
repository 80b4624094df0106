"""The ten calls of a snapshotter, answered by the snapshots of a store.

    Prepare, View, Mounts, Commit, Remove, Stat, Update, List, Usage, Cleanup

Whoever unpacks an image prepares a snapshot, has its layer applied, and commits it by its chain ID. BuildKit writes what
it makes of a layer through the mount instead, without descriptors, hives and utility VM, and commits that by the same
name. That is noticed at the commit, and ``heal`` is asked for the layer itself.

This module knows nothing of gRPC.

Source: containerd/containerd api/services/snapshots/v1/snapshots.proto, snapshots/snapshotter.go.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator

from winlayers.errors import IllegalState
from winlayers.services.containerd.cancelling import CallCancel
from winlayers.services.containerd.convert import info_message, mount_messages
from winlayers.services.containerd.filters import parse_filters
from winlayers.services.containerd.messages import Message, message
from winlayers.services.containerd.mounts import MountTeller
from winlayers.store.snapshots import Snapshot, SnapshotKind, Snapshots

LOSSY = "winlayers.io/lossy"
"""Label of a layer that an engine wrote without what only Windows layers have."""

_PACKAGE = "containerd.services.snapshots.v1"
# What clients that unpack call a snapshot: extract-<time>-<random> <chain ID>.
_EXTRACTED = re.compile(r".*/extract-[^/]* (sha256:[0-9a-f]{64})", re.DOTALL)
_ANSWER_SIZE = 100
_log = logging.getLogger("winlayers.services")

Heal = Callable[[Snapshot, str, CallCancel | None], bool]
"""Fills a snapshot, whose key names a chain ID, with the layer of that; whether there was one."""


class SnapshotService:
    """Answers with messages of containerd.

    Args:
        snapshots: of the store.
        teller: how they are mounted.
        heal: see ``Heal``.
    """

    def __init__(self, snapshots: Snapshots, teller: MountTeller, heal: Heal) -> None:
        self._snapshots = snapshots
        self._teller = teller
        self._heal = heal

    def prepare(self, request: Message) -> Message:
        """An active snapshot, and how to mount it."""
        made = self._snapshots.prepare(request.key, request.parent, dict(request.labels))
        return self._mounted("PrepareSnapshotResponse", made)

    def view(self, request: Message) -> Message:
        """A view, and how to mount it."""
        made = self._snapshots.view(request.key, request.parent, dict(request.labels))
        return self._mounted("ViewSnapshotResponse", made)

    def mounts(self, request: Message) -> Message:
        """How to mount one that is there."""
        found = self._snapshots.stat(request.key)
        if found.kind is SnapshotKind.COMMITTED:
            raise IllegalState(f"snapshot {request.key!r} is committed; mount a view of it")
        return self._mounted("MountsResponse", found)

    def commit(self, request: Message, cancel: CallCancel | None = None) -> Message:
        """An active one becomes committed.

        Args:
            request: ``CommitSnapshotRequest``.
            cancel: set when nobody waits for it any more.
        """
        labels = dict(request.labels)
        active = self._snapshots.stat(request.key)
        match = _EXTRACTED.fullmatch(request.key)
        if match and not active.is_filled and not self._heal(active, match[1], cancel):
            _log.warning(
                "layer %s was written by the engine, and its blob is not there: without what only Windows has",
                match[1],
                extra={"snapshot": request.key},
            )
            labels[LOSSY] = "true"
        self._snapshots.commit(request.name, request.key, labels)
        return message("google.protobuf.Empty")()

    def remove(self, request: Message) -> Message:
        """It and its layer go, unless others need that."""
        self._snapshots.remove(request.key)
        return message("google.protobuf.Empty")()

    def stat(self, request: Message) -> Message:
        """What is known of one."""
        info = info_message(self._snapshots.stat(request.key))
        return message(f"{_PACKAGE}.StatSnapshotResponse")(info=info)

    def update(self, request: Message) -> Message:
        """Its labels change."""
        info = request.info
        changed = self._snapshots.update(
            info.name, dict(info.labels), list(request.update_mask.paths)
        )
        return message(f"{_PACKAGE}.UpdateSnapshotResponse")(info=info_message(changed))

    def list(self, request: Message) -> Iterator[Message]:
        """All that filters let pass, some in each answer."""
        matches = parse_filters(request.filters)
        made = message(f"{_PACKAGE}.ListSnapshotsResponse")
        answer = made()
        for snapshot in self._snapshots.walk():
            if matches(snapshot):
                answer.info.append(info_message(snapshot))
            if len(answer.info) == _ANSWER_SIZE:
                yield answer
                answer = made()
        if answer.info:
            yield answer

    def usage(self, request: Message) -> Message:
        """What one takes of the disk."""
        usage = self._snapshots.usage(request.key)
        return message(f"{_PACKAGE}.UsageResponse")(size=usage.size, inodes=usage.inodes)

    def cleanup(self, request: Message) -> Message:
        """What somebody used when it was to go, goes now."""
        self._snapshots.clean_up()
        return message("google.protobuf.Empty")()

    def _mounted(self, name: str, snapshot: Snapshot) -> Message:
        mounts = mount_messages(self._teller.mounts(snapshot))
        return message(f"{_PACKAGE}.{name}")(mounts=mounts)
