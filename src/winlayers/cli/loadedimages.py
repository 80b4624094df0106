"""Which images an archive has and what they are called, whether Docker wrote it or it is a layout of OCI.

Docker's archives have ``manifest.json``; since Docker 25 they are also a layout, which is taken where whole indexes are
wanted, as ``manifest.json`` has no place for one. The names that ``containerd`` gives count before those of OCI, as it
writes only the tag into the latter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from winlayers.errors import InvalidReference, Malformed

if TYPE_CHECKING:
    from winlayers.oci.endpoint import ImageSource
    from winlayers.oci.model import Descriptor


@dataclass(frozen=True, slots=True)
class ArchivedName:
    """An image of an archive.

    Attributes:
        name: what it is called; ``""`` for none that an image can have.
        transport: of the archive.
        path: of the archive, a plain tar.
        image: which one there, as the transport says it.
    """

    name: str
    transport: str
    path: Path
    image: str

    def open(self) -> ImageSource:
        """Open it; the caller closes."""
        from winlayers.oci.archive import open_oci_archive
        from winlayers.oci.dockerarchive import open_docker_archive

        if self.transport == "oci-archive":
            return open_oci_archive(self.path, self.image)
        return open_docker_archive(self.path, self.image)


def archived_names(path: Path, *, whole_indexes: bool = False) -> list[ArchivedName]:
    """The images of an archive, in its order; one of several names for each of them.

    Args:
        path: the archive, a plain tar.
        whole_indexes: a layout is preferred, whose images may be indexes.
    Raises:
        ImageNotFound: it is no archive of images.
        Malformed: it is no tar, or a name stands for two images.
        Unsupported: it is one of Docker before 1.10.
    """
    if _is_layout(path, whole_indexes=whole_indexes):
        return _names_of_layout(path)
    from winlayers.oci.dockerarchive import open_docker_archive

    with open_docker_archive(path) as source:
        return [
            ArchivedName(name, "docker-archive", path, name or f"@{number}")
            for number, image in enumerate(source.images())
            for name in image.names or ("",)
        ]


def _is_layout(path: Path, *, whole_indexes: bool) -> bool:
    from winlayers.oci.archive import open_members
    from winlayers.oci.dockerarchive import MANIFEST_FILE
    from winlayers.oci.layout import INDEX_FILE, VERSION_FILE

    files = open_members(path, str(path))
    try:
        has_layout = None not in (files.size(VERSION_FILE), files.size(INDEX_FILE))
        return has_layout and (whole_indexes or files.size(MANIFEST_FILE) is None)
    finally:
        files.close()


def _names_of_layout(path: Path) -> list[ArchivedName]:
    from winlayers.oci.archive import open_oci_archive

    with open_oci_archive(path) as source:
        entries = source.index().manifests
    found: dict[str, Descriptor] = {}
    names = []
    for entry in entries:
        name = _name_of(entry)
        if name and found.setdefault(name, entry).digest != entry.digest:
            raise Malformed("index.json", f"{name!r} stands for different images")
        names.append(ArchivedName(name, "oci-archive", path, f"@{entry.digest}"))
    return names


def _name_of(entry: Descriptor) -> str:
    from winlayers.oci.layout import IMAGE_NAME, REF_NAME
    from winlayers.oci.reference import Reference

    for key in (IMAGE_NAME, REF_NAME):
        try:
            reference = Reference.parse(entry.annotations.get(key, ""))
        except InvalidReference:
            continue
        return reference.familiar()
    return ""
