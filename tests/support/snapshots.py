"""What engines do with snapshots, for tests."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from contextlib import closing
from typing import cast

from tests.support.builders import an_entry
from winlayers.base.digest import Digest
from winlayers.layer.view import Scratch
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor, chain_ids, digest_bytes
from winlayers.store.snapshots import Snapshot, Snapshots


def blob_of(content: bytes, digest: Digest | None = None) -> Descriptor:
    """The descriptor of a layer."""
    return Descriptor(mediatypes.OCI_LAYER, digest or digest_bytes(content), len(content))


def fill(snapshots: Snapshots, number: int, tar: bytes) -> None:
    """Apply a tar, compressed."""
    content = gzip.compress(tar, mtime=0)
    summary = snapshots.fill(number, blob_of(content), io.BytesIO(content))
    assert summary.diff_id == str(digest_bytes(tar))


def apply(snapshots: Snapshots, name: str, parent: str, tar: bytes) -> Snapshot:
    """What an engine does for one layer of an image, whose chain ID may be at the end of its name."""
    active = snapshots.prepare(f"{name}/extract-1 {name.rpartition('/')[2]}", parent)
    fill(snapshots, active.number, tar)
    return snapshots.commit(name, active.key)


def apply_image(snapshots: Snapshots, tars: Sequence[bytes], prefix: str = "x/") -> list[Snapshot]:
    """What an engine does for an image."""
    made: list[Snapshot] = []
    for chain_id, tar in zip(chain_ids([digest_bytes(tar) for tar in tars]), tars, strict=True):
        made.append(apply(snapshots, f"{prefix}{chain_id}", made[-1].key if made else "", tar))
    return made


def write(snapshots: Snapshots, number: int, name: str, content: bytes = b"new") -> None:
    """Write a new file at the top of an active snapshot."""
    with snapshots.open_view(number) as view:
        scratch = cast(Scratch, view)
        directory = scratch.lookup("Files")
        assert directory is not None
        node = scratch.create(directory, name, an_entry(f"Files/{name}"))
        with closing(scratch.open_content(node, writable=True)) as file:
            file.write_at(0, content)
        scratch.sync()


def names_in(snapshots: Snapshots, number: int) -> list[str]:
    """The names at the top of what a snapshot shows."""
    with snapshots.open_view(number, read_only=True) as view:
        directory = view.lookup("Files")
        assert directory is not None
        return [node.name for node in view.list(directory)]
