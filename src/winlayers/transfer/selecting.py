"""Which image a name means: from what it leads to, down to one manifest.

A manifest is that image, whatever it runs on, unless a platform is asked for by name. In an index the platform
decides (``oci.choosing``); where the index is silent, the configs are looked into. An index in an index is followed,
to a depth. All documents that a name leads to are read by ``read_tree``, within limits of count and size together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from winlayers.base.digest import Digest
from winlayers.errors import ImageNotFound, Malformed, TooLarge
from winlayers.oci import mediatypes
from winlayers.oci.choosing import Choice, Fit, choose
from winlayers.oci.endpoint import ImageSource
from winlayers.oci.model import Descriptor, ImageConfig, Index, Manifest
from winlayers.oci.platform import Platform, default_platform
from winlayers.transfer.checked import read_config, read_document

MAX_DEPTH = 4
"""Indexes within each other."""
MAX_DOCUMENTS = 1000
"""Manifests and indexes that one name may lead to."""
MAX_DOCUMENTS_SIZE = 32 << 20
"""Bytes of them together."""

_PEEKED_COUNT = 16


@dataclass(frozen=True, slots=True)
class Selected:
    """One image.

    Attributes:
        descriptor: of its manifest.
        manifest: of it.
        choice: how it was chosen of an index, the innermost one; None where no index was.
    """

    descriptor: Descriptor
    manifest: Manifest
    choice: Choice | None


def select_image(
    source: ImageSource,
    platform: Platform | None = None,
    *,
    host_build: int | None = None,
    machine: str = "",
) -> Selected:
    """The one image that a name means for a platform.

    Args:
        source: opened for the name.
        platform: what is wanted; None takes a single image as it is, and of an index what fits
            ``oci.platform.default_platform``.
        host_build: see ``oci.choosing.choose``.
        machine: as ``platform.machine()`` has it, for the default.
    Raises:
        ImageNotFound: the name leads to nothing, or to nothing for this platform.
        BlobNotFound: the index names a manifest that is not there.
        Malformed, Unsupported, TooLarge, Corrupt: a document is not what it should be.
    """
    wanted = platform or default_platform(machine)
    descriptor = source.resolve()
    choice: Choice | None = None
    for _ in range(MAX_DEPTH + 1):
        document = read_document(source, descriptor)
        if isinstance(document, Manifest):
            if choice is None and platform is not None:
                _check_single(source, document, descriptor, platform)
            return Selected(descriptor, document, choice)
        choice = _choose(source, document, wanted, host_build)
        descriptor = choice.best.descriptor
    raise _too_deep(source)


def read_tree(source: ImageSource, root: Descriptor) -> list[tuple[Descriptor, Manifest | Index]]:
    """All documents that one leads to, each once, what is named before what names it.

    Args:
        source: where they are.
        root: the topmost.
    Raises:
        Malformed: indexes are deeper in each other than is taken.
        TooLarge: there are more documents than are taken, or they are larger together.
        Unsupported: an index names something that is neither a manifest nor an index.
    """
    found: list[tuple[Descriptor, Manifest | Index]] = []
    known = {root.digest: root}
    level = [root]
    for _ in range(MAX_DEPTH + 1):
        size = sum(one.size for one in known.values())
        if len(known) > MAX_DOCUMENTS or size > MAX_DOCUMENTS_SIZE:
            raise TooLarge(
                f"{source.name} leads to {len(known)} documents of {size} bytes; at most {MAX_DOCUMENTS} "
                f"of {MAX_DOCUMENTS_SIZE} bytes are taken"
            )
        below: dict[Digest, Descriptor] = {}
        for descriptor in level:
            document = read_document(source, descriptor)
            found.append((descriptor, document))
            if isinstance(document, Index):
                below |= {one.digest: one for one in document.manifests if one.digest not in known}
        if not below:
            return _leaves_first(found)
        known |= below
        level = list(below.values())
    raise _too_deep(source)


def has_image_config(manifest: Manifest) -> bool:
    """Whether it is an image with layers of files, and no attestation or other artifact."""
    return manifest.config.media_type in mediatypes.CONFIGS and all(
        mediatypes.is_layer(layer.media_type) for layer in manifest.layers
    )


def _leaves_first(
    found: list[tuple[Descriptor, Manifest | Index]],
) -> list[tuple[Descriptor, Manifest | Index]]:
    # An index may name another of its own level, which was read before it.
    done: set[Digest] = set()
    ordered: list[tuple[Descriptor, Manifest | Index]] = []
    waiting = found
    while waiting:
        ready = [one for one in waiting if done.issuperset(_named_by(one[1]))]
        if not ready:
            raise Malformed("index", "it leads to itself")
        ordered += ready
        done.update(descriptor.digest for descriptor, _ in ready)
        waiting = [one for one in waiting if one[0].digest not in done]
    return ordered


def _named_by(document: Manifest | Index) -> list[Digest]:
    return [one.digest for one in document.manifests] if isinstance(document, Index) else []


def _choose(source: ImageSource, index: Index, wanted: Platform, host_build: int | None) -> Choice:
    choice = choose(index, wanted, host_build=host_build)
    if not choice.candidates or choice.best.fit is not Fit.UNKNOWN:
        return choice
    silent = [one.descriptor for one in choice.candidates[:_PEEKED_COUNT]]
    told = {
        one.digest: replace(one, platform=config.platform)
        for one in silent
        if (config := _peek(source, one)) is not None
    }
    manifests = tuple(told.get(one.digest, one) for one in index.manifests)
    return choose(replace(index, manifests=manifests), wanted, host_build=host_build)


def _peek(source: ImageSource, descriptor: Descriptor) -> ImageConfig | None:
    """The config of an image; None of an index, or of what is no image."""
    document = read_document(source, descriptor)
    if not isinstance(document, Manifest) or not has_image_config(document):
        return None
    return read_config(source, document)


def _check_single(
    source: ImageSource, manifest: Manifest, descriptor: Descriptor, platform: Platform
) -> None:
    config = read_config(source, manifest)
    alone = Index(b"", mediatypes.OCI_INDEX, (replace(descriptor, platform=config.platform),))
    if not choose(alone, platform).candidates:
        raise ImageNotFound(
            f"{source.name} is one image, for {config.platform}, and there is none for {platform}"
        )


def _too_deep(source: ImageSource) -> Malformed:
    return Malformed(
        "index", f"{source.name} has indexes in each other, more than {MAX_DEPTH} deep"
    )
