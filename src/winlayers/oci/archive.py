"""``oci-archive:FILE[:tag]``: an OCI image layout in one tar.

The source reads members where they lie; see ``layout`` for what they are. The sink gathers a layout in a folder beside
the file, writes the tar from it when the image is whole, and lets it take the place of the file at once. The same
images make the same bytes: ``oci-layout`` and ``index.json``, then the manifests and indexes, then the other blobs, each
by their digests, all of mode 0644, without owners, of time 0. A file that is there is replaced, not added to; several
images get into one archive with ``add``. A foreign layer whose bytes were not put is not in the archive.

Source: OCI image-spec image-layout.md ("tar archive").
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.base import atomic
from winlayers.base.digest import Digest
from winlayers.base.fileobj import BLOCK_SIZE
from winlayers.base.locking import FileLock
from winlayers.base.rooted import Parts
from winlayers.errors import ImageNotFound, InvalidArgument, IsADirectory
from winlayers.formats.tarblock import TYPE_REGULAR, TarHeader
from winlayers.formats.tarwrite import TarWriter
from winlayers.oci._files import Files, Folder
from winlayers.oci._members import TarFiles
from winlayers.oci.layout import (
    BLOBS,
    INDEX_FILE,
    VERSION_FILE,
    LayoutSink,
    LayoutSource,
    blob_place,
    layout_name,
)
from winlayers.oci.model import Descriptor, digest_bytes

_MODE = 0o644


class OciArchiveSink:
    """Takes images into a new archive."""

    def __init__(self, path: Path, tag: str = "") -> None:
        """Begin.

        Args:
            path: the file; one that is there stays until ``commit``.
            tag: what the image will be called; ``""`` for no name.
        Raises:
            IsADirectory: a folder has this name.
            StoreLocked: another process writes this file.
        """
        self.name = layout_name(path, tag, "oci-archive")
        self._staging = Staging(path)
        self._tag = tag
        self._documents: set[Digest] = set()
        try:
            self._layout = LayoutSink(self._staging.folder, tag, name=self.name, sync=False)
        except BaseException:
            self._staging.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was gathered. Without ``commit`` the file is what it was."""
        self._layout.close()
        self._staging.close()

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See ``ImageSink``."""
        return self._layout.has_blob(descriptor)

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """See ``ImageSink``."""
        self._layout.put_blob(descriptor, source)

    def put_document(self, raw: bytes, media_type: str) -> None:
        """See ``ImageSink``."""
        self._layout.put_document(raw, media_type)
        self._documents.add(digest_bytes(raw))

    def add(self, descriptor: Descriptor, tag: str) -> None:
        """Have another image in the archive, which ``commit`` will write.

        Args:
            descriptor: of a document that was put.
            tag: what it will be called.
        """
        self._layout.commit_as(descriptor, tag)

    def commit(self, descriptor: Descriptor) -> None:
        """See ``ImageSink``; writes the archive with all images so far."""
        self.add(descriptor, self._tag)
        files = Folder(self._staging.folder)
        try:
            self._staging.publish(files, [(place, place) for place in self._places(files)])
        finally:
            files.close()

    def _places(self, files: Folder) -> list[Parts]:
        blobs = [
            Digest(algorithm, digits)
            for algorithm in files.names((BLOBS,))
            for digits in files.names((BLOBS, algorithm))
        ]
        blobs.sort(key=lambda digest: (digest not in self._documents, digest))
        return [VERSION_FILE, INDEX_FILE, *map(blob_place, blobs)]


class Staging:
    """A folder beside an archive that is to be made, and the right to make it."""

    def __init__(self, target: Path) -> None:
        """Make the folder, and remove those that killed processes have left for this archive.

        Args:
            target: the archive; its folder is there.
        Raises:
            IsADirectory: a folder has this name.
            InvalidArgument: something else that is no file has it, as a device.
            StoreLocked: another process makes this archive.
        """
        if target.is_dir():
            raise IsADirectory(f"{target} is a folder; name a file")
        if target.exists() and not target.is_file():
            raise InvalidArgument(f"{target} is no file that can be replaced; name another")
        self._target = target
        self._staged = re.compile(rf"\.{re.escape(target.name)}-[0-9a-f]{{16}}\.winlayers\.tmp")
        self._lock = FileLock(target.with_name(f".{target.name}.winlayers.lock"))
        self._lock.acquire(timeout_seconds=0)
        try:
            self._remove_leftovers()
            self.folder = self._new_path()
            self.folder.mkdir(mode=0o700)
        except BaseException:
            self._lock.remove()
            raise

    def close(self) -> None:
        """Remove the folder and let others write."""
        if self._lock.is_held:
            try:
                self._remove_leftovers()
            finally:
                self._lock.remove()

    def publish(self, files: Files, members: list[tuple[Parts, Parts]]) -> None:
        """Write the archive and let it take the place of the one that is there.

        Args:
            files: what the members are made of.
            members: (name in the archive, place in ``files``) in their order.
        """
        staged = self._new_path()
        with open(staged, "xb", buffering=0) as file:
            writer = TarWriter(file)
            for name, place in members:
                _add_member(writer, "/".join(name), files, place)
            writer.close()
            atomic.sync_file(file.fileno())
        os.replace(staged, self._target)
        atomic.sync_directory(self._target.parent)

    def _new_path(self) -> Path:
        return self._target.with_name(f".{self._target.name}-{os.urandom(8).hex()}.winlayers.tmp")

    def _remove_leftovers(self) -> None:
        for path in list(self._target.parent.iterdir()):
            if not self._staged.fullmatch(path.name):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def open_oci_archive(path: Path, tag: str = "") -> LayoutSource:
    """Open the images in an archive.

    Args:
        path: the tar, plain or compressed.
        tag: which of its images; see ``LayoutSource``.
    Raises:
        ImageNotFound: there is no such file, or no layout in it.
        Malformed: it is no tar.
    """
    name = layout_name(path, tag, "oci-archive")
    files = open_members(path, name)
    try:
        return LayoutSource(files, name, tag)
    except BaseException:
        files.close()
        raise


def open_members(path: Path, name: str) -> TarFiles:
    """Open an archive, whose not being there means that the image is not.

    Args:
        path: the tar.
        name: of the source, for the error.
    Raises:
        ImageNotFound: there is no such file.
        IsADirectory: it is a folder.
    """
    if path.is_dir():
        raise IsADirectory(f"{name}: {path} is a folder, not an archive")
    try:
        return TarFiles(path)
    except FileNotFoundError as error:
        raise ImageNotFound(f"{name}: {path} is not there") from error


def _add_member(writer: TarWriter, name: str, files: Files, place: Parts) -> None:
    with files.open(place) as file:
        size = files.size(place) or 0
        writer.add(TarHeader(name.encode(), TYPE_REGULAR, size=size, mode=_MODE, mtime_ns=0))
        while block := file.read(BLOCK_SIZE):
            writer.write(block)
    writer.flush()
