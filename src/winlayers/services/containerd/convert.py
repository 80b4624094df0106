"""Values of ours to messages of containerd, and back."""

from __future__ import annotations

from collections.abc import Iterable

from winlayers.base.digest import Digest
from winlayers.errors import InvalidArgument
from winlayers.oci.model import Descriptor
from winlayers.services.containerd.messages import Message, message
from winlayers.services.containerd.mounts import Mount
from winlayers.store.snapshots import Snapshot, SnapshotKind

_KINDS = {SnapshotKind.VIEW: 1, SnapshotKind.ACTIVE: 2, SnapshotKind.COMMITTED: 3}
_NS = 10**9


def info_message(snapshot: Snapshot) -> Message:
    """``containerd.services.snapshots.v1.Info`` of a snapshot."""
    info = message("containerd.services.snapshots.v1.Info")(
        name=snapshot.key,
        parent=snapshot.parent,
        kind=_KINDS[snapshot.kind],
        labels=dict(snapshot.labels),
    )
    for field, moment in (("created_at", snapshot.created_ns), ("updated_at", snapshot.updated_ns)):
        stamp = getattr(info, field)
        stamp.seconds, stamp.nanos = divmod(moment, _NS)
    return info


def mount_messages(mounts: Iterable[Mount]) -> list[Message]:
    """``containerd.types.Mount`` of mounts."""
    made = message("containerd.types.Mount")
    return [made(type=one.type, source=one.source, options=list(one.options)) for one in mounts]


def parse_mounts(messages: Iterable[Message]) -> list[Mount]:
    """The way back."""
    return [Mount(one.type, one.source, tuple(one.options)) for one in messages]


def parse_descriptor(told: Message) -> Descriptor:
    """A descriptor as containerd tells it.

    Raises:
        InvalidArgument: its digest is none, or its size.
    """
    if told.size < 0:
        raise InvalidArgument(f"blob {told.digest[:100]!r} cannot have {told.size} bytes")
    return Descriptor(told.media_type, Digest.parse(told.digest), told.size)


def descriptor_message(descriptor: Descriptor) -> Message:
    """``containerd.types.Descriptor`` of a descriptor."""
    return message("containerd.types.Descriptor")(
        media_type=descriptor.media_type, digest=str(descriptor.digest), size=descriptor.size
    )
