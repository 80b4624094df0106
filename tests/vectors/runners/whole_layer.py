"""Whole layers: what the driver lists of them, and that import and export give the same bytes."""

from __future__ import annotations

import hashlib
import io
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.vectors.runners._text import b64
from tests.vectors.runners.legacy_layer import export_tar
from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.tarheaders import Dialect
from winlayers.layer.transport import PortableHost, TransportReader, TransportWriter

KIND_CHANGED, KIND_DELETED = 0, 2


def run(case: dict[str, Any]) -> None:
    layer = b64(case["layer"]) or b""
    assert hashlib.sha256(layer).hexdigest() == case["sha256"]
    check_transport(case, layer)
    authored = b64(case["authored"]) or b""
    assert hashlib.sha256(authored).hexdigest() == case["authored_sha256"]
    for dialect in Dialect:
        assert copy(layer, dialect) == layer
        # Not written by the original, so its bytes are others; what it says is the same.
        assert entries(copy(authored, dialect), dialect) == entries(authored, dialect)


def check_transport(case: dict[str, Any], layer: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, parent = Path(folder, "layer"), Path(folder, "parent")
        root.mkdir()
        parent.mkdir()
        host = PortableHost()
        writer = TransportWriter(
            root, [] if case["kind"] == "base" else [parent], host=host, tombstone_file=True
        )
        reader = BackupTarReader(io.BytesIO(layer), dialect=Dialect.GO, base=case["kind"] == "base")
        copy_entries(reader, writer)
        with closing(TransportReader(root, host=host)) as listed:
            found = [change(entry) for entry in listed]
        assert found == [(c["path"], c["kind"]) for c in case["changes"]]
        assert (export_tar(root, host) == layer) == case["stable"]


def change(entry: Entry) -> tuple[str, int]:
    """What the driver lists of an entry."""
    return entry.path, KIND_DELETED if entry.kind is EntryKind.WHITEOUT else KIND_CHANGED


def copy(tar: bytes, dialect: Dialect) -> bytes:
    """A copy of a tar, which loses nothing of it in either dialect."""
    losses: list[Finding] = []
    out = io.BytesIO()
    summary = copy_entries(
        BackupTarReader(io.BytesIO(tar), dialect=dialect),
        BackupTarWriter(out, dialect=dialect, on_loss=losses.append),
    )
    assert losses == []
    assert summary.tar_size == len(out.getvalue())
    return out.getvalue()


def entries(tar: bytes, dialect: Dialect) -> list[tuple[Entry, list[tuple[str, bytes]]]]:
    """All that a tar says."""
    reader = BackupTarReader(io.BytesIO(tar), dialect=dialect)
    return [
        (entry, [(part.name, reader.open_part(part).read()) for part in reader.parts()])
        for entry in reader
    ]
