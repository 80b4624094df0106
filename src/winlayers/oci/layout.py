"""``oci:DIR[:tag]``: images in a folder, as the OCI image layout has them.

    oci-layout                   {"imageLayoutVersion": "1.0.0"}
    index.json                   an index; each entry an image, or an index of them, named by an annotation
    blobs/<algorithm>/<hex>      manifests, indexes, configs and layers

An entry has its name in ``org.opencontainers.image.ref.name`` (what skopeo and umoci call the tag) or
``io.containerd.image.name`` (the whole name). The files may also lie in an archive: ``LayoutSource`` does not care.

A sink may be used by several processes on one folder: blobs appear whole, and ``index.json`` is changed under a lock
and replaced at once. A tag that is given anew leaves its old entry out; blobs are never removed. No link below the
folder is followed. A foreign layer is given out where its bytes are among the blobs; its URLs are not asked here.

Source: OCI image-spec image-layout.md; containerd images/annotations.go for the second annotation.
"""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.base.digest import Digest
from winlayers.base.locking import FileLock
from winlayers.base.rooted import Parts
from winlayers.errors import (
    AlreadyExists,
    BlobNotFound,
    ImageNotFound,
    InvalidReference,
    Malformed,
    StoreLocked,
    Unsupported,
)
from winlayers.oci import mediatypes
from winlayers.oci._files import OWN_PREFIX, Files, Folder, read_small
from winlayers.oci._json import JsonObject, read_object, write_json
from winlayers.oci.building import build_index, edit_index
from winlayers.oci.model import (
    MAX_DOCUMENT_SIZE,
    Descriptor,
    Index,
    digest_bytes,
    parse_document,
)
from winlayers.oci.reference import Reference

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"

VERSION_FILE: Parts = ("oci-layout",)
INDEX_FILE: Parts = ("index.json",)
BLOBS = "blobs"

_VERSION = "1.0.0"
_MAX_VERSION_SIZE = 4096
_TOLD_COUNT = 20


class LayoutSource:
    """The images of a layout, one of which is meant."""

    def __init__(self, files: Files, name: str, tag: str = "") -> None:
        """Look at a layout.

        Args:
            files: of the layout; closed with this object.
            name: what the user called it.
            tag: which of its images; ``@`` and a digest for the entry of that digest; ``""`` where it has only one.
        Raises:
            ImageNotFound: it is no layout.
            Unsupported: it is one of another version.
        """
        self.name = name
        self._files = files
        self._tag = tag
        _check_version(files, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def index(self) -> Index:
        """All images of the layout.

        Raises:
            ImageNotFound: it has no index yet.
            Malformed: the index is none.
        """
        index = _read_index(self._files)
        if index is None:
            raise ImageNotFound(f"{self.name}: there is no image, as it has no index.json")
        return index

    def resolve(self) -> Descriptor:
        """The entry of the image that is meant; see ``ImageSource``.

        Raises:
            ImageNotFound: there is none of this name, or several and no name was given.
            Malformed: two entries have this name and different digests.
        """
        return find_entry(self.index(), self._tag, self.name)

    def document(self, descriptor: Descriptor) -> bytes:
        """See ``ImageSource``."""
        try:
            return read_small(self._files, blob_place(descriptor.digest), MAX_DOCUMENT_SIZE)
        except FileNotFoundError as error:
            raise _missing(self.name, descriptor) from error

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the bytes of a blob, or as many bytes, are here."""
        return self._files.size(blob_place(descriptor.digest)) == descriptor.size

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """See ``ImageSource``."""
        return open_at(self._files, blob_place(descriptor.digest), descriptor, offset, self.name)


class LayoutSink:
    """Takes images into a layout, beside those that it has."""

    def __init__(self, path: Path, tag: str = "", *, name: str = "", sync: bool = True) -> None:
        """Begin.

        Args:
            path: the folder, made where it is not there; it is empty or a layout.
            tag: what the image will be called; ``""`` for no name.
            name: what the user called it, where that is not ``oci:path:tag``.
            sync: whether to wait for the disk.
        Raises:
            AlreadyExists: other things are in the folder.
            Unsupported: it is a layout of another version.
        """
        self.name = name or layout_name(path, tag)
        self._tag = tag
        path.mkdir(parents=True, exist_ok=True)
        self._folder = Folder(path, sync=sync)
        self._used: set[Parts] = set()
        self._writing = FileLock(path / f"{OWN_PREFIX}writing.lock")
        self._changing = FileLock(path / f"{OWN_PREFIX}index.lock")
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder. Without ``commit`` no name leads to what was put."""
        if self._writing.is_held:
            self._writing.release()
            # The last one who leaves takes the lock with him.
            with suppress(StoreLocked):
                self._writing.acquire(timeout_seconds=0)
                self._writing.remove()
        self._folder.close()

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See ``ImageSink``."""
        place = blob_place(descriptor.digest)
        is_there = self._folder.size(place) == descriptor.size
        if is_there:
            self._used.add(place[:-1])  # whoever put it there need not have waited for the disk
        return is_there

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """See ``ImageSink``.

        Raises:
            Corrupt: it has more or fewer bytes than the descriptor says.
        """
        place = blob_place(descriptor.digest)
        self._folder.make_folder(place[:-1])
        self._folder.receive(place, source, descriptor.size)
        self._used.add(place[:-1])

    def put_document(self, raw: bytes, media_type: str) -> None:
        """See ``ImageSink``."""
        self.put_blob(Descriptor(media_type, digest_bytes(raw), len(raw)), io.BytesIO(raw))

    def commit(self, descriptor: Descriptor) -> None:
        """See ``ImageSink``; see ``commit_as``."""
        self.commit_as(descriptor, self._tag)

    def commit_as(self, descriptor: Descriptor, tag: str) -> None:
        """Have a name lead to a document that was put, whatever the name of this sink.

        Args:
            descriptor: of the document.
            tag: see ``add_entry``.
        Raises:
            BlobNotFound: the document was not put.
        """
        if not self.has_blob(descriptor):
            raise _missing(self.name, descriptor)
        self._folder.sync(*sorted(self._used), (BLOBS,))
        with self._changing.acquire():
            try:
                index = add_entry(_read_index(self._folder), descriptor, tag)
                raw = index.raw
                self._folder.receive(INDEX_FILE, io.BytesIO(raw), len(raw))
                self._folder.sync(())
            finally:
                self._changing.remove()

    def _begin(self) -> None:
        # Alone in the folder, what others have left may go; with others, it may be theirs.
        with suppress(StoreLocked), self._writing.acquire(timeout_seconds=0):
            self._folder.sweep()
        self._writing.acquire(shared=True)
        with self._changing.acquire():
            try:
                self._make_layout()
            finally:
                self._changing.remove()

    def _make_layout(self) -> None:
        if self._folder.size(VERSION_FILE) is not None:
            _check_version(self._folder, self.name)
            return
        if names := self._folder.names():
            raise AlreadyExists(
                f"{self._folder.path} has {names[0]!r} in it and is no OCI image layout; name an empty folder"
            )
        raw = write_json({"imageLayoutVersion": _VERSION})
        self._folder.receive(VERSION_FILE, io.BytesIO(raw), len(raw))


def open_layout(path: Path, tag: str = "") -> LayoutSource:
    """Open the images in a folder.

    Args:
        path: the folder.
        tag: which of its images; see ``LayoutSource``.
    Raises:
        ImageNotFound: there is no such folder, or it is no layout.
    """
    name = layout_name(path, tag)
    try:
        folder = Folder(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFound(f"{name}: {path} is no folder") from error
    try:
        return LayoutSource(folder, name, tag)
    except BaseException:
        folder.close()
        raise


def layout_name(path: Path, tag: str, transport: str = "oci") -> str:
    """How a user writes an endpoint on disk."""
    return f"{transport}:{path}:{tag}" if tag else f"{transport}:{path}"


def blob_place(digest: Digest) -> Parts:
    """Where a blob lies in a layout."""
    return (BLOBS, digest.algorithm, digest.hex)


def open_at(files: Files, parts: Parts, descriptor: Descriptor, offset: int, name: str) -> BinaryIO:
    """Open a blob that lies at a place, from an offset on.

    Args:
        files: where it is.
        parts: its place.
        descriptor: of it, for the error.
        offset: bytes to leave out.
        name: of the source, for the error.
    Raises:
        BlobNotFound: nothing is there.
    """
    try:
        file = files.open(parts)
    except FileNotFoundError as error:
        raise _missing(name, descriptor) from error
    file.seek(offset)
    return file


def find_entry(index: Index, tag: str, name: str) -> Descriptor:
    """The entry of an index that a user means.

    Args:
        index: ``index.json`` of a layout.
        tag: an entry has it as its ``REF_NAME``, else as its ``IMAGE_NAME`` (``nanoserver`` is
            ``docker.io/library/nanoserver:latest``); ``@`` and a digest; or ``""``.
        name: of the source, for errors.
    Raises:
        ImageNotFound: there is none, or several and no tag was given.
        Malformed: several different ones have this name.
    """
    if tag.startswith("@"):
        found = [one for one in index.manifests if str(one.digest) == tag[1:]]
    elif tag:
        found = [one for one in index.manifests if one.annotations.get(REF_NAME) == tag]
        found = found or [one for one in index.manifests if _is_called(one, tag)]
    else:
        found = list(index.manifests)
    if len({one.digest for one in found}) == 1:
        return found[0]
    if found and tag:
        raise Malformed("index.json", f"{tag!r} stands for {len(found)} different images")
    names = sorted({_name_of(one) for one in index.manifests})
    told = ", ".join(names[:_TOLD_COUNT]) + (", ..." if len(names) > _TOLD_COUNT else "")
    if not found:
        raise ImageNotFound(
            f"{name}: there is no such image" + (f"; there are: {told}" if told else "")
        )
    raise ImageNotFound(
        f"{name}: say which image by adding a colon and its name; there are: {told}"
    )


def add_entry(index: Index | None, descriptor: Descriptor, tag: str) -> Index:
    """An index with an image more, in the place of the one that had its name.

    Args:
        index: the one before, or None.
        descriptor: of the image.
        tag: its name, or ``""``. Where it is a whole name (it has a ``/`` or a ``:``), the entry has it under both
            annotations.
    """
    annotations = {
        key: text
        for key, text in descriptor.annotations.items()
        if key not in (REF_NAME, IMAGE_NAME)
    }
    if tag:
        annotations[REF_NAME] = tag
        if "/" in tag or ":" in tag:
            with suppress(InvalidReference):
                annotations[IMAGE_NAME] = str(Reference.parse(tag).with_default_tag())
    entry = Descriptor(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        annotations=annotations,
        platform=descriptor.platform,
    )
    old = [] if index is None else list(index.manifests)
    kept = [one for one in old if not _is_replaced(one, entry, tag)]
    if index is None:
        return build_index([entry])
    return edit_index(index, manifests=[*kept, entry])


def _is_replaced(one: Descriptor, entry: Descriptor, tag: str) -> bool:
    if tag:
        return one.annotations.get(REF_NAME) == tag
    has_name = REF_NAME in one.annotations or IMAGE_NAME in one.annotations
    return not has_name and one.digest == entry.digest


def _is_called(entry: Descriptor, tag: str) -> bool:
    whole = entry.annotations.get(IMAGE_NAME, "")
    if not whole or whole == tag:
        return bool(whole)
    try:
        return Reference.parse(whole) == Reference.parse(tag).with_default_tag()
    except InvalidReference:
        return False


def _name_of(entry: Descriptor) -> str:
    for key in (REF_NAME, IMAGE_NAME):
        if name := entry.annotations.get(key):
            return name
    return f"@{entry.digest}"


def _read_index(files: Files) -> Index | None:
    try:
        raw = read_small(files, INDEX_FILE, MAX_DOCUMENT_SIZE)
    except FileNotFoundError:
        return None
    index = parse_document(raw, mediatypes.OCI_INDEX)
    if not isinstance(index, Index):
        raise Malformed("index.json", "it is a manifest")
    return index


def _check_version(files: Files, name: str) -> None:
    try:
        raw = read_small(files, VERSION_FILE, _MAX_VERSION_SIZE)
    except FileNotFoundError as error:
        raise ImageNotFound(
            f"{name}: there is no file oci-layout, so it is no OCI image layout"
        ) from error
    json = JsonObject(read_object(raw, "oci-layout", limit=_MAX_VERSION_SIZE), "oci-layout")
    version = json.needed_text("imageLayoutVersion")
    if version.partition(".")[0] != "1":
        raise Unsupported(f"{name}: the layout has version {version!r}; only 1 is known")


def _missing(name: str, descriptor: Descriptor) -> BlobNotFound:
    return BlobNotFound(f"{name} does not have {descriptor.digest} ({descriptor.media_type})")
