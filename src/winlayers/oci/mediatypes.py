"""Media types of images: what a document or a layer is, how it is compressed, whether it may be passed on.

Source: OCI image-spec media-types.md and layer.md ("Non-Distributable Layers"); distribution/distribution
docs of the Docker v2 schema 2 manifest ("Media Types").
"""

from __future__ import annotations

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})

GZIP = "gzip"
ZSTD = "zstd"

_LAYERS = (OCI_LAYER, OCI_FOREIGN_LAYER, DOCKER_LAYER, DOCKER_FOREIGN_LAYER)
_FOREIGN = (OCI_FOREIGN_LAYER, DOCKER_FOREIGN_LAYER)
_SUFFIXES = {OCI_LAYER: "+", OCI_FOREIGN_LAYER: "+", DOCKER_LAYER: ".", DOCKER_FOREIGN_LAYER: "."}


def is_layer(media_type: str) -> bool:
    """Whether it is that of a layer of files, compressed or not."""
    return _base_of(media_type) is not None


def is_foreign(media_type: str) -> bool:
    """Whether it is that of a layer that is to be had from elsewhere, and is not pushed as it is."""
    return _base_of(media_type) in _FOREIGN


def compression_of(media_type: str) -> str:
    """``gzip``, ``zstd``, or ``""``. What the bytes are decides; this is what a document says.

    Docker's type of layers without a suffix stands for gzip where old engines wrote it.
    """
    base = _base_of(media_type)
    if base is None:
        return ""
    return media_type[len(base) + 1 :]


def layer_type(media_type: str, compression: str, *, foreign: bool) -> str:
    """The type of a layer in the family (OCI or Docker) of another one.

    Args:
        media_type: of a layer or a document of that family.
        compression: ``gzip``, ``zstd`` or ``""``.
        foreign: whether it is to be had from elsewhere.
    """
    is_docker = media_type.startswith("application/vnd.docker.")
    if is_docker:
        base = DOCKER_FOREIGN_LAYER if foreign else DOCKER_LAYER
    else:
        base = OCI_FOREIGN_LAYER if foreign else OCI_LAYER
    return base + _SUFFIXES[base] + compression if compression else base


def _base_of(media_type: str) -> str | None:
    for base in _LAYERS:
        rest = media_type.removeprefix(base) if media_type.startswith(base) else None
        if rest is not None and rest in (
            "",
            f"{_SUFFIXES[base]}{GZIP}",
            f"{_SUFFIXES[base]}{ZSTD}",
        ):
            return base
    return None
