"""Makes what Docker on Windows has in its data root: folders of layers, and the layer database beside."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from pathlib import Path

from winlayers.formats.tarsplit import split_tar

LAYERS = Path("windowsfilter")
LAYERDB = Path("image/windowsfilter/layerdb/sha256")


def record_layer(root: Path, cache_id: str, tar: bytes, parent: str = "") -> str:
    """Record the tar of a layer as Docker does when it pulled one.

    Args:
        root: the data root.
        cache_id: name of the layer's folder.
        tar: of the layer.
        parent: chain ID of the layer below, or ``""``.
    Returns:
        The chain ID.
    """
    diff_id = "sha256:" + hashlib.sha256(tar).hexdigest()
    chain_id = diff_id
    if parent:
        chain_id = "sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest()
    folder = root / LAYERDB / chain_id.removeprefix("sha256:")
    folder.mkdir(parents=True)
    (folder / "cache-id").write_text(cache_id)
    (folder / "diff").write_text(diff_id)
    (folder / "size").write_text(str(len(tar)))
    if parent:
        (folder / "parent").write_text(parent)
    frame = gzip.compress(b"".join(split_tar(io.BytesIO(tar))))
    (folder / "tar-split.json.gz").write_bytes(frame)
    return chain_id


def a_layer_folder(root: Path, layer_id: str, *parents: str) -> Path:
    """Make the folder of a layer, with its chain and nothing else.

    Args:
        root: the data root.
        layer_id: name of the folder.
        parents: those of its parents, nearest first.
    Returns:
        The folder.
    """
    folder = root / LAYERS / layer_id
    folder.mkdir(parents=True, exist_ok=True)
    paths = [f"C:\\ProgramData\\docker\\windowsfilter\\{one}" for one in parents] or None
    (folder / "layerchain.json").write_text(json.dumps(paths))
    return folder
