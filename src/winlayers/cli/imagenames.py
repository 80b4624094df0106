"""Names of images as they are typed, from their text to an open endpoint; spelled as skopeo spells them.

    docker://HOST/REPOSITORY[:TAG|@DIGEST]   in a registry
    oci:DIR[:NAME]                           an OCI image layout in a folder
    oci-archive:FILE[:NAME]                  the same in a tar
    docker-archive:FILE[:REFERENCE]          what 'docker save' writes and 'docker load' takes
    dir:DIR                                  one image in a folder, as skopeo writes it
    store:NAME                               in the store; a name without any of these is one of the store

A folder or file ends at the first colon; that of a drive of Windows does not count.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from winlayers.cli.foreignlayers import with_foreign_layers
from winlayers.cli.session import Session
from winlayers.errors import InvalidArgument, InvalidReference, Unsupported

if TYPE_CHECKING:
    from winlayers.cli.registryoptions import RegistryOptions
    from winlayers.oci.endpoint import ImageSink, ImageSource

STORE = "store"
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_PLACES = ("oci", "oci-archive", "docker-archive", "dir")
TRANSPORTS = ("docker", *_PLACES, STORE)
#: Transports of skopeo that hang on a program that is not ours.
_NOT_OURS = {
    "docker-daemon": "save the image with 'docker save' and give it as docker-archive:FILE",
    "containers-storage": "copy the image with 'skopeo copy' to oci:DIR and give it as that",
    "ostree": "copy the image with 'skopeo copy' to oci:DIR and give it as that",
    "sif": "copy the image with 'skopeo copy' to oci:DIR and give it as that",
}


@dataclass(frozen=True, slots=True)
class ImageName:
    """Where an image is.

    Attributes:
        transport: one of ``TRANSPORTS``.
        place: a folder or file; of a registry and the store the reference.
        image: which image there; ``""`` for the only one.
    """

    transport: str
    place: str
    image: str = ""

    def __str__(self) -> str:
        separator = "://" if self.transport == "docker" else ":"
        return f"{self.transport}{separator}{self.place}" + (f":{self.image}" if self.image else "")


def parse_image_name(text: str) -> ImageName:
    """Read a name.

    Args:
        text: as it was typed.
    Raises:
        InvalidReference: it is none.
        Unsupported: it is of a transport that winlayers does not have.
    """
    transport, colon, rest = text.partition(":")
    if colon and transport in _NOT_OURS:
        raise Unsupported(
            f"{text}: winlayers does not speak with {transport}; {_NOT_OURS[transport]}"
        )
    if not colon or transport not in TRANSPORTS:
        return ImageName(STORE, _checked(text, text))
    if transport == "docker":
        if not rest.startswith("//"):
            raise InvalidReference(f"{text!r}: write docker://{rest.lstrip('/')}")
        return ImageName(transport, _checked(rest[2:], text))
    if transport == STORE:
        return ImageName(transport, _checked(rest, text))
    place, image = _split_place(rest)
    if transport == "dir" and image:
        place, image = rest, ""  # one folder, one image: a colon is part of its name
    return ImageName(transport, _checked(place, text), image)


def is_image_name(text: str) -> bool:
    """Whether a text begins with the transport of an image."""
    transport, colon, _ = text.partition(":")
    return bool(colon) and (transport in TRANSPORTS or transport in _NOT_OURS)


def open_source(session: Session, name: ImageName, registry: RegistryOptions) -> ImageSource:
    """Open an image to be read; the caller closes.

    A foreign layer that is not where the image is comes from its URLs.

    Args:
        session: whose store and environment are used.
        name: of the image.
        registry: how registries are spoken with.
    """
    source = _SOURCES[name.transport](session, name, registry)
    return source if name.transport == "docker" else with_foreign_layers(session, source)


def open_sink(
    session: Session,
    name: ImageName,
    registry: RegistryOptions,
    *,
    source: ImageSource | None = None,
) -> ImageSink:
    """Open a place for an image to be written; the caller closes.

    Args:
        session: whose store and environment are used.
        name: what the image will be called.
        registry: how registries are spoken with.
        source: where its blobs come from; a registry may take them over from another of its repositories.
    """
    return _SINKS[name.transport](session, name, registry, source)


def check_credentials(registry: RegistryOptions, *names: ImageName) -> None:
    """See that a password goes to one registry only.

    Args:
        registry: has the password.
        names: of all images that a command reads and writes.
    Raises:
        InvalidArgument: there are several registries.
    """
    hosts = {one.place.partition("/")[0] for one in names if one.transport == "docker"}
    if registry.creds and len(hosts) > 1:
        raise InvalidArgument(
            f"the credentials would go to both {' and '.join(sorted(hosts))}; put those of each into a file, "
            "as 'docker login' does, and name it by --authfile"
        )


def complete_image(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Transports and, after one of a place, files and folders, for a shell."""
    transport, colon, rest = incomplete.partition(":")
    if not colon:
        words = [f"{one}://" if one == "docker" else f"{one}:" for one in TRANSPORTS]
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]
    if transport not in _PLACES:
        return []
    folder, beginning = os.path.split(rest)
    try:
        with os.scandir(folder or ".") as entries:
            found = sorted(one.name + ("/" if one.is_dir() else "") for one in entries)
    except OSError:
        return []
    return [
        CompletionItem(f"{transport}:{os.path.join(folder, name)}")
        for name in found
        if name.startswith(beginning)
    ]


def _checked(place: str, text: str) -> str:
    if not place:
        raise InvalidReference(f"{text!r} does not say which image")
    return place


def _split_place(rest: str) -> tuple[str, str]:
    start = 2 if _DRIVE.match(rest) else 0
    place, _, image = rest[start:].partition(":")
    return rest[:start] + place, image


def _open_registry_source(
    session: Session, name: ImageName, registry: RegistryOptions
) -> ImageSource:
    from winlayers.distribution.endpoint import RepositorySource
    from winlayers.oci.reference import Reference

    reference = Reference.parse(name.place)
    return RepositorySource(reference, registry.registries(session, reference.host))


def _open_registry_sink(
    session: Session, name: ImageName, registry: RegistryOptions, source: ImageSource | None
) -> ImageSink:
    from winlayers.distribution.endpoint import RepositorySink, RepositorySource
    from winlayers.oci.reference import Reference

    reference = Reference.parse(name.place)
    mount_from = []
    if isinstance(source, RepositorySource) and source.repository[0] == reference.host:
        mount_from.append(source.repository[1])
    registries = registry.registries(session, reference.host)
    return RepositorySink(reference, registries, mount_from=mount_from)


def _open_store_source(session: Session, name: ImageName, registry: RegistryOptions) -> ImageSource:
    return session.open_present_images().open_source(name.place)


def _open_store_sink(
    session: Session, name: ImageName, registry: RegistryOptions, source: ImageSource | None
) -> ImageSink:
    return session.open_images().open_sink(name.place)


def _open_disk_source(session: Session, name: ImageName, registry: RegistryOptions) -> ImageSource:
    path = Path(name.place)
    if name.transport == "oci":
        from winlayers.oci.layout import open_layout

        return open_layout(path, name.image)
    if name.transport == "oci-archive":
        from winlayers.oci.archive import open_oci_archive

        return open_oci_archive(path, name.image)
    if name.transport == "docker-archive":
        from winlayers.oci.dockerarchive import open_docker_archive

        return open_docker_archive(path, name.image)
    from winlayers.oci.directory import DirectorySource

    return DirectorySource(path)


def _open_disk_sink(
    session: Session, name: ImageName, registry: RegistryOptions, source: ImageSource | None
) -> ImageSink:
    path = Path(name.place)
    if name.transport == "oci":
        from winlayers.oci.layout import LayoutSink

        return LayoutSink(path, name.image)
    if name.transport == "oci-archive":
        from winlayers.oci.archive import OciArchiveSink

        return OciArchiveSink(path, name.image)
    if name.transport == "docker-archive":
        from winlayers.oci.dockerarchive import DockerArchiveSink

        return DockerArchiveSink(path, name.image)
    from winlayers.oci.directory import DirectorySink

    return DirectorySink(path)


_SOURCES: dict[str, Callable[[Session, ImageName, RegistryOptions], ImageSource]] = {
    "docker": _open_registry_source,
    STORE: _open_store_source,
    **dict.fromkeys(_PLACES, _open_disk_source),
}
_SINKS: dict[
    str, Callable[[Session, ImageName, RegistryOptions, ImageSource | None], ImageSink]
] = {
    "docker": _open_registry_sink,
    STORE: _open_store_sink,
    **dict.fromkeys(_PLACES, _open_disk_sink),
}
