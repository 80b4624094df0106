"""Several images in one archive: those before the last are added, the last one has it written."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from winlayers.oci.archive import OciArchiveSink
    from winlayers.oci.model import Descriptor


class AddedImage:
    """An ``ImageSink`` for one image of an archive that others come after."""

    def __init__(self, archive: OciArchiveSink, image: str) -> None:
        """Begin an image.

        Args:
            archive: where it goes; not closed with this object.
            image: what it will be called there; ``""`` for no name.
        """
        self._archive = archive
        self._image = image

    @property
    def name(self) -> str:
        """That of the archive."""
        return self._archive.name

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See ``ImageSink``."""
        return self._archive.has_blob(descriptor)

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """See ``ImageSink``."""
        self._archive.put_blob(descriptor, source)

    def put_document(self, raw: bytes, media_type: str) -> None:
        """See ``ImageSink``."""
        self._archive.put_document(raw, media_type)

    def commit(self, descriptor: Descriptor) -> None:
        """Have the image in the archive; it is written with the last one."""
        self._archive.add(descriptor, self._image)

    def close(self) -> None:
        """Leave the archive open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
