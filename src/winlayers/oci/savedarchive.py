"""What ``docker save`` writes since Docker 25: an OCI layout, with a ``manifest.json`` that older engines read.

    oci-layout, index.json, blobs/<algorithm>/<hex>   see ``archive``: all documents and blobs as they are
    manifest.json                                     names the same blobs as Config and Layers; see ``dockerarchive``

Every Docker since 1.10 loads it, as do containerd and skopeo, and nothing is lost: manifests and compressed layers come
out as they went in. Docker's own has its layers uncompressed there; which they are is found out by whoever loads them.

Source: moby/moby image/tarexport save.go and load.go.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from winlayers.base.rooted import Parts
from winlayers.errors import BlobNotFound, Unsupported
from winlayers.oci._files import Folder, read_small
from winlayers.oci._json import write_json
from winlayers.oci.archive import OciArchiveSink
from winlayers.oci.dockerarchive import MANIFEST_FILE, repo_tag, source_fields
from winlayers.oci.layout import blob_place, layout_name
from winlayers.oci.model import (
    MAX_DOCUMENT_SIZE,
    Descriptor,
    Manifest,
    pair_layers,
    parse_config,
    parse_document,
)


class SavedArchiveSink(OciArchiveSink):
    """Takes images into a new archive; an ``ImageSink``.

    Args:
        path: the file; one that is there stays until ``commit``.
        image: what the image will be called; ``""`` for no name.
    """

    def __init__(self, path: Path, image: str = "") -> None:
        super().__init__(path, image)
        self.name = layout_name(path, image, "docker-archive")
        self._manifests: dict[str, Manifest] = {}
        self._names: dict[str, list[str]] = {}

    def put_document(self, raw: bytes, media_type: str) -> None:
        """See ``ImageSink``.

        Raises:
            Unsupported: it is an index, which ``manifest.json`` has no place for.
        """
        document = parse_document(raw, media_type)
        if not isinstance(document, Manifest):
            raise Unsupported(
                f"{self.name} cannot have an index in it; choose one image with --platform, or use oci-archive:"
            )
        super().put_document(raw, media_type)
        self._manifests[str(document.digest)] = document

    def add(self, descriptor: Descriptor, tag: str) -> None:
        """Have another image in the archive, which ``commit`` will write.

        Args:
            descriptor: of a manifest that was put.
            tag: what it will be called. Who is given a name last has it.
        Raises:
            InvalidReference: it is no name, or one with a digest.
            BlobNotFound: it was not put.
        """
        name = repo_tag(tag)
        super().add(descriptor, tag)
        for names in self._names.values():
            if name in names:
                names.remove(name)
        self._names.setdefault(str(descriptor.digest), []).extend([name] if name else [])

    def _places(self, files: Folder) -> list[Parts]:
        raw = write_json([self._image(files, digest) for digest in self._names])
        files.receive(MANIFEST_FILE, io.BytesIO(raw), len(raw))
        return [*super()._places(files), MANIFEST_FILE]

    def _image(self, files: Folder, digest: str) -> dict[str, Any]:
        manifest = self._manifests[digest]
        for blob in (manifest.config, *manifest.layers):
            if files.size(blob_place(blob.digest)) == blob.size:
                continue
            if blob.is_foreign:
                raise Unsupported(
                    f"{self.name} has to have the bytes of the foreign layer {blob.digest}, and they were not fetched"
                )
            raise BlobNotFound(f"{self.name} was not given {blob.digest} ({blob.media_type})")
        config = parse_config(
            read_small(files, blob_place(manifest.config.digest), MAX_DOCUMENT_SIZE)
        )
        sources = {
            str(diff_id): source_fields(layer)
            for layer, diff_id in pair_layers(manifest, config)
            if layer.is_foreign
        }
        fields: dict[str, Any] = {
            "Config": "/".join(blob_place(manifest.config.digest)),
            "RepoTags": self._names[digest],
            "Layers": ["/".join(blob_place(layer.digest)) for layer in manifest.layers],
        }
        return {**fields, "LayerSources": sources} if sources else fields
