"""The two calls of a differ: a layer's blob into a snapshot, and what a snapshot changed into a blob.

What is to be applied comes from containerd's own store of blobs, as it is read there, in one pass into ours. What is not
of our snapshots, or no layer, is refused as not implemented: then containerd asks the next differ.

This module knows nothing of gRPC.

Source: containerd/containerd api/services/diff/v1/diff.proto, diff/apply/apply.go, diff/walking/differ.go.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import BinaryIO

from winlayers.base.compression import Compression, open_compressor
from winlayers.base.digest import Digest, DigestReader
from winlayers.base.pipe import pass_on, reader_of
from winlayers.errors import BlobNotFound, Corrupt, InvalidArgument, Malformed, Unsupported
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor, chain_ids
from winlayers.services.containerd.cancelling import CallCancel
from winlayers.services.containerd.content import UNCOMPRESSED, UNCOMPRESSED_BY_BUILDKIT, Content
from winlayers.services.containerd.convert import (
    descriptor_message,
    parse_descriptor,
    parse_mounts,
)
from winlayers.services.containerd.messages import Message, message
from winlayers.services.containerd.mounts import MountTeller
from winlayers.store.snapshots import Snapshot, Snapshots

_PACKAGE = "containerd.services.diff.v1"
_DEFAULT = mediatypes.OCI_LAYER + "+gzip"
_COMPRESSIONS = {
    "": Compression.NONE,
    mediatypes.GZIP: Compression.GZIP,
    mediatypes.ZSTD: Compression.ZSTD,
}
#: Clients may leave the snapshots of a key without a namespace; then they have this one.
_DEFAULT_NAMESPACE = "default"
_log = logging.getLogger("winlayers.services")


def namespace_of(snapshot: Snapshot) -> str:
    """The namespace that a snapshot was made in: its key is ``<namespace>/<number>/<name>``."""
    namespace, slash, _ = snapshot.key.partition("/")
    return namespace if slash and namespace else _DEFAULT_NAMESPACE


class DiffService:
    """Answers with messages of containerd.

    Args:
        snapshots: of the store.
        teller: how they are mounted.
        content: containerd's blobs.
    """

    def __init__(self, snapshots: Snapshots, teller: MountTeller, content: Content) -> None:
        self._snapshots = snapshots
        self._teller = teller
        self._content = content

    def apply(self, request: Message, cancel: CallCancel | None = None) -> Message:
        """A layer into a snapshot; the descriptor of its tar.

        Args:
            request: ``ApplyRequest``.
            cancel: set when nobody waits for it any more.
        """
        number = self._teller.number_of(parse_mounts(request.mounts))
        if number is None:
            raise InvalidArgument("a layer is to be applied, and no mount was told to apply it to")
        blob = parse_descriptor(request.diff)
        if not mediatypes.is_layer(blob.media_type):
            raise Unsupported(f"{blob.media_type[:200]!r} is no layer that can be applied")
        snapshot = self._snapshots.find(number)
        with closing(self._content.open(namespace_of(snapshot), blob, cancel)) as source:
            summary = self._snapshots.fill(number, blob, source, cancel=cancel)
        applied = Descriptor(mediatypes.OCI_LAYER, Digest.parse(summary.diff_id), summary.tar_size)
        return message(f"{_PACKAGE}.ApplyResponse")(applied=descriptor_message(applied))

    def diff(self, request: Message, cancel: CallCancel | None = None) -> Message:
        """What makes one snapshot of another, as a blob of containerd's; its descriptor.

        Args:
            request: ``DiffRequest``.
            cancel: set when nobody waits for it any more.
        """
        lower = self._teller.number_of(parse_mounts(request.left))
        upper = self._teller.number_of(parse_mounts(request.right))
        if upper is None:
            raise InvalidArgument(
                "a difference is asked for, and no mount of what is above was told"
            )
        media_type = request.media_type or _DEFAULT
        if not mediatypes.is_layer(media_type):
            raise Unsupported(f"{media_type[:200]!r} is no type that a layer can be written as")
        compression = _COMPRESSIONS[mediatypes.compression_of(media_type)]
        namespace = namespace_of(self._snapshots.find(upper))
        with closing(self._snapshots.open_diff(lower, upper)) as tar:
            counted = DigestReader(tar)
            with closing(reader_of(lambda target: _compress(counted, target, compression))) as made:
                blob = DigestReader(made)

                def finish() -> tuple[Digest, int, Mapping[str, str]]:
                    labels = {**request.labels, UNCOMPRESSED: str(counted.digest)}
                    return blob.digest, blob.size, labels

                self._content.write(namespace, request.ref, blob, finish, cancel)
        told = Descriptor(media_type, blob.digest, blob.size)
        return message(f"{_PACKAGE}.DiffResponse")(diff=descriptor_message(told))

    def heal(self, snapshot: Snapshot, chain_id: str, cancel: CallCancel | None = None) -> bool:
        """Fill a snapshot that its client wrote by itself with the layer that it stands for.

        Args:
            snapshot: active, and not filled.
            chain_id: that its key names.
            cancel: set when nobody waits for it any more.
        Returns:
            Whether containerd has a blob of that layer. A label may lie, and a blob may go or be damaged: then what the
            client wrote stays.
        """
        namespace = namespace_of(snapshot)
        for blob in list(self._candidates(snapshot, namespace, chain_id, cancel)):
            try:
                with closing(self._content.open(namespace, blob, cancel)) as source:
                    self._snapshots.fill(snapshot.number, blob, source, cancel=cancel, instead=True)
            except (BlobNotFound, Corrupt, Malformed) as error:
                _log.warning(
                    "blob %s is not layer %s: %s",
                    blob.digest,
                    chain_id,
                    error,
                    extra={"snapshot": snapshot.key, "digest": str(blob.digest)},
                )
                continue
            return True
        return False

    def _candidates(
        self, snapshot: Snapshot, namespace: str, chain_id: str, cancel: CallCancel | None
    ) -> Iterator[Descriptor]:
        """Blobs whose diff ID makes this chain ID of that of the parent."""
        below: list[Digest] = []
        if snapshot.parent:
            parent = self._snapshots.stat(snapshot.parent).layer_id
            if not _is_chain(parent):
                return
            below = [Digest("sha256", parent)]
        for name, size, labels in self._content.blobs(namespace, cancel):
            # What came without compression has no label: its own digest is its diff ID. A chain ID stands for the
            # diff IDs of all below it together.
            diff_id = labels.get(UNCOMPRESSED) or labels.get(UNCOMPRESSED_BY_BUILDKIT) or name
            try:
                made = chain_ids([*below, Digest.parse(diff_id)])[-1]
                if str(made) == chain_id:
                    media_type = mediatypes.OCI_LAYER if diff_id == name else _DEFAULT
                    yield Descriptor(media_type, Digest.parse(name), size)
            except InvalidArgument:
                continue  # a label that anybody wrote, or an algorithm that no layer of ours has


def _is_chain(layer_id: str) -> bool:
    return len(layer_id) == 64 and not set(layer_id) - set("0123456789abcdef")


def _compress(source: BinaryIO, target: BinaryIO, compression: Compression) -> None:
    with open_compressor(target, compression) as compressor:
        pass_on(source, compressor)
