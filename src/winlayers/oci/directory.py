"""``dir:DIR``: one image in a folder, its blobs called by their digests alone, as skopeo writes it.

    version                "Directory Transport Version: 1.1" and a line feed
    manifest.json          the manifest or index
    <hex>.manifest.json    the manifests of an index
    <hex>                  configs and layers

A sink takes the place of the image that was there: the old one is whole until ``manifest.json`` is replaced at once, and
then its files are removed. One process may write at a time. A folder with anything else in it is not taken. No link
below the folder is followed. Signatures (``signature-1``) are neither read nor written, and stay where they are.

Source: containers/image docs/containers-transports.5.md ("dir:path"); what skopeo 1.9.3 writes.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.base.digest import Digest, digest_of
from winlayers.base.locking import FileLock
from winlayers.base.rooted import Parts
from winlayers.errors import AlreadyExists, BlobNotFound, ImageNotFound
from winlayers.oci._files import OWN_PREFIX, Folder, read_small
from winlayers.oci.layout import open_at
from winlayers.oci.model import (
    MAX_DOCUMENT_SIZE,
    Descriptor,
    digest_bytes,
    parse_document,
)

_VERSION_FILE: Parts = ("version",)
_MANIFEST_FILE: Parts = ("manifest.json",)
_VERSION = b"Directory Transport Version: 1.1\n"
_OF_IMAGE = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{128})(?:\.manifest\.json)?")


class DirectorySource:
    """The image in a folder."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Args:
            path: the folder.
        Raises:
            ImageNotFound: there is no such folder.
        """
        self.name = f"dir:{path}"
        try:
            self._folder = Folder(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ImageNotFound(f"{self.name}: {path} is no folder") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        self._folder.close()

    def resolve(self) -> Descriptor:
        """See ``ImageSource``; what the manifest is goes by its own words."""
        try:
            raw = read_small(self._folder, _MANIFEST_FILE, MAX_DOCUMENT_SIZE)
        except FileNotFoundError as error:
            raise ImageNotFound(f"{self.name}: there is no manifest.json") from error
        return Descriptor(parse_document(raw).media_type, digest_bytes(raw), len(raw))

    def document(self, descriptor: Descriptor) -> bytes:
        """See ``ImageSource``."""
        place = _document_place(descriptor.digest)
        try:
            if self._folder.size(place) is not None:
                return read_small(self._folder, place, MAX_DOCUMENT_SIZE)
            raw = read_small(self._folder, _MANIFEST_FILE, MAX_DOCUMENT_SIZE)
        except FileNotFoundError as error:
            raise BlobNotFound(f"{self.name} does not have {descriptor.digest}") from error
        if digest_of(io.BytesIO(raw), descriptor.digest.algorithm) != descriptor.digest:
            raise BlobNotFound(f"{self.name} does not have {descriptor.digest}")
        return raw

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """See ``ImageSource``."""
        return open_at(self._folder, _blob_place(descriptor.digest), descriptor, offset, self.name)


class DirectorySink:
    """Takes an image into a folder, in the place of the one that was there."""

    def __init__(self, path: Path) -> None:
        """Begin.

        Args:
            path: the folder, made where it is not there; it is empty or has an image of this kind.
        Raises:
            AlreadyExists: other things are in the folder.
            StoreLocked: another process writes to it.
        """
        self.name = f"dir:{path}"
        path.mkdir(parents=True, exist_ok=True)
        self._folder = Folder(path)
        self._lock = FileLock(path / f"{OWN_PREFIX}writing.lock")
        self._put: set[str] = set()
        try:
            self._lock.acquire(timeout_seconds=0)
            self._begin()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder. Without ``commit`` the old image is still there."""
        if self._lock.is_held:
            self._lock.remove()
        self._folder.close()

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See ``ImageSink``; a blob that is asked for is taken to be of the new image."""
        place = _blob_place(descriptor.digest)
        if self._folder.size(place) != descriptor.size:
            return False
        self._put.update(place)
        return True

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """See ``ImageSink``.

        Raises:
            Corrupt: it has more or fewer bytes than the descriptor says.
        """
        place = _blob_place(descriptor.digest)
        self._folder.receive(place, source, descriptor.size)
        self._put.update(place)

    def put_document(self, raw: bytes, media_type: str) -> None:
        """See ``ImageSink``; the media type is kept only where the document says it itself."""
        place = _document_place(digest_bytes(raw))
        self._folder.receive(place, io.BytesIO(raw), len(raw))
        self._put.update(place)

    def commit(self, descriptor: Descriptor) -> None:
        """See ``ImageSink``.

        Raises:
            BlobNotFound: the document was not put.
        """
        place = _document_place(descriptor.digest)
        if place[0] not in self._put:
            raise BlobNotFound(f"{self.name} was not given {descriptor.digest}")
        self._folder.sync(())
        self._folder.rename(place, _MANIFEST_FILE)
        self._put.discard(place[0])
        self._folder.sync(())
        for name in self._folder.names():
            if _OF_IMAGE.fullmatch(name) and name not in self._put:
                self._folder.remove((name,))

    def _begin(self) -> None:
        self._folder.sweep()
        if self._folder.size(_VERSION_FILE) is None:
            if names := self._folder.names():
                raise AlreadyExists(
                    f"{self._folder.path} has {names[0]!r} in it and is no image of dir:; name an empty folder"
                )
            self._folder.receive(_VERSION_FILE, io.BytesIO(_VERSION), len(_VERSION))


def _blob_place(digest: Digest) -> Parts:
    return (digest.hex,)


def _document_place(digest: Digest) -> Parts:
    return (f"{digest.hex}.manifest.json",)
