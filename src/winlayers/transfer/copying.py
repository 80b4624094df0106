"""Copies an image, or all images of an index, from one endpoint to another.

Documents first, so that all that will come is known and bounded before a byte of a layer does; then configs and
layers, several at once, each checked as it goes by; then manifests, the one that the name leads to last. What the
sink has is skipped. The first error stops the rest, and the sink's name leads to what it led to before.

Memory is that of the documents and a block for each blob that is on its way.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel, LinkedCancel, NullProgress, Progress
from winlayers.errors import InvalidArgument, TooLarge, Unsupported
from winlayers.oci.endpoint import ImageSink, ImageSource, distrust, heed
from winlayers.oci.model import Descriptor, Index, Manifest
from winlayers.oci.platform import Platform
from winlayers.transfer.checked import SPOILED, BlobReader, read_small_blob
from winlayers.transfer.foreign import Documents, without_foreign_layers
from winlayers.transfer.selecting import (
    MAX_DOCUMENTS_SIZE,
    Selected,
    has_image_config,
    read_tree,
    select_image,
)

FOREIGN = ("keep", "upload")
MAX_JOBS = 64


@dataclass(frozen=True, slots=True)
class BlobCopied:
    """Told of each config and layer that is in the sink.

    Attributes:
        descriptor: of it, as the sink has it.
        was_there: whether the sink had it, or gets it without our help.
    """

    descriptor: Descriptor
    was_there: bool


@dataclass(frozen=True, slots=True)
class CopiedImage:
    """What was copied.

    Attributes:
        descriptor: what the sink's name leads to now.
        selected: the image that was chosen; None where all were copied.
        documents: digests of all manifests and indexes, as the sink has them.
        blobs: configs and layers, in no order.
        rewritten: old digest and new one of each document that had to change.
    """

    descriptor: Descriptor
    selected: Selected | None
    documents: tuple[Digest, ...]
    blobs: tuple[BlobCopied, ...]
    rewritten: tuple[tuple[Digest, Digest], ...] = ()

    @property
    def copied_size(self) -> int:
        """Bytes of the blobs that were not there."""
        return sum(blob.descriptor.size for blob in self.blobs if not blob.was_there)


class CopyListener(Protocol):
    """What is told how a copy goes; all calls but the first two come from any thread, several at once."""

    def selected(self, image: Selected) -> None:
        """An image was chosen."""

    def planned(self, blobs: Iterable[Descriptor]) -> None:
        """These configs and layers will be asked for or copied."""

    def progress_of(self, blob: Descriptor) -> Progress:
        """What is told how far one blob is; only of those that are copied."""

    def copied(self, blob: BlobCopied) -> None:
        """One is there."""


class SilentListener:
    """A CopyListener for whoever does not want to know."""

    def selected(self, image: Selected) -> None:
        """Do nothing."""

    def planned(self, blobs: Iterable[Descriptor]) -> None:
        """Do nothing."""

    def progress_of(self, blob: Descriptor) -> Progress:
        """A progress that shows nothing."""
        return NullProgress()

    def copied(self, blob: BlobCopied) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _Blob:
    """A config or layer: as the source names it and as the sink does, and its bytes where they are at hand."""

    origin: Descriptor
    target: Descriptor
    raw: bytes | None = None


def copy_image(
    source: ImageSource,
    sink: ImageSink,
    *,
    platform: Platform | None = None,
    host_build: int | None = None,
    machine: str = "",
    all_platforms: bool = False,
    foreign: str = "keep",
    preserve_digests: bool = False,
    jobs: int = 8,
    listener: CopyListener | None = None,
    cancel: Cancel | None = None,
) -> CopiedImage:
    """Copy what a source's name leads to, so that the sink's name leads to it.

    Args:
        source: from where.
        sink: to where; it is committed, and neither of the two is closed.
        platform: see ``selecting.select_image``.
        host_build: see there.
        machine: see there.
        all_platforms: an index whole, with all that it names, instead of one image of it.
        foreign: foreign layers stay so (``keep``), whether their bytes are copied being the sink's choice, or are
            made ordinary ones (``upload``), which gives the manifest another digest.
        preserve_digests: refuse rather than change a document.
        jobs: how many blobs are on their way at once, 1 to 64.
        listener: told how it goes.
        cancel: asked before each block.
    Returns:
        What is in the sink now.
    Raises:
        ImageNotFound, BlobNotFound: something is not there.
        Corrupt, DigestMismatch: something is not what its digest says.
        Malformed, TooLarge, Unsupported: a document is not what is taken; see ``selecting``. One that is known by
            another digest than SHA-256 is not either, as a sink would keep it where that does not lead.
        InvalidArgument: arguments that do not fit together.
        Cancelled: it was asked for.
    """
    _check_arguments(platform, foreign, jobs, all_platforms=all_platforms)
    told = listener or SilentListener()
    flag = LinkedCancel(*([cancel] if cancel is not None else []))
    heed(source, flag)
    heed(sink, flag)
    selected = None
    if not all_platforms:
        selected = select_image(source, platform, host_build=host_build, machine=machine)
        told.selected(selected)
    plan = _plan(source, selected, is_upload=foreign == "upload")
    flag.check()
    if preserve_digests:
        _check_preserved(sink, plan.rewritten)
    return _carry_out(plan, source, sink, told, flag, jobs)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be copied: its documents as the source has them and as the sink will, the top ones last."""

    selected: Selected | None
    old: Documents
    documents: Documents

    @property
    def rewritten(self) -> tuple[tuple[Digest, Digest], ...]:
        """Old digest and new one of each document that changes."""
        return tuple(
            (before.digest, after.digest)
            for (before, _), (after, _) in zip(self.old, self.documents, strict=True)
            if before.digest != after.digest
        )


def _plan(source: ImageSource, selected: Selected | None, *, is_upload: bool) -> _Plan:
    if selected is None:
        old = read_tree(source, source.resolve())
    else:
        old = [(selected.descriptor, selected.manifest)]
    _check_digests(source, old)
    return _Plan(selected, old, without_foreign_layers(old) if is_upload else old)


def _carry_out(
    plan: _Plan,
    source: ImageSource,
    sink: ImageSink,
    listener: CopyListener,
    cancel: LinkedCancel,
    jobs: int,
) -> CopiedImage:
    """Copy blobs, then documents, and have the sink's name lead to the last."""
    blobs = _collect_blobs(source, sink, plan.old, plan.documents, cancel)
    listener.planned([blob.target for blob in blobs])
    copied = _BlobCopier(source, sink, listener, cancel).copy(blobs, jobs)
    for _, document in plan.documents:
        cancel.check()
        sink.put_document(document.raw, document.media_type)
    top = _plain(*plan.documents[-1])
    sink.commit(top)
    digests = tuple(descriptor.digest for descriptor, _ in plan.documents)
    return CopiedImage(top, plan.selected, digests, tuple(copied), plan.rewritten)


def _check_arguments(
    platform: Platform | None, foreign: str, jobs: int, *, all_platforms: bool
) -> None:
    if all_platforms and platform is not None:
        raise InvalidArgument("all platforms or one of them: both cannot be wanted")
    if foreign not in FOREIGN:
        raise InvalidArgument(f"foreign layers can be dealt with by {FOREIGN}, not by {foreign!r}")
    if not 1 <= jobs <= MAX_JOBS:
        raise InvalidArgument(f"{jobs} blobs at once are not possible; 1 to {MAX_JOBS} are")


def _check_digests(source: ImageSource, documents: Documents) -> None:
    for descriptor, document in documents:
        if descriptor.digest.algorithm != "sha256":
            raise Unsupported(
                f"document {descriptor.digest} of {source.name} cannot be copied, as documents are known by SHA-256 at "
                f"their new place; by that it is {document.digest}"
            )


def _check_preserved(sink: ImageSink, rewritten: tuple[tuple[Digest, Digest], ...]) -> None:
    if rewritten:
        raise Unsupported(
            f"foreign layers cannot be made ordinary and document {rewritten[0][0]} keep its digest"
        )
    if not getattr(sink, "keeps_digests", True):
        raise Unsupported(f"{sink.name} has no place for a manifest, so its digest would be lost")


def _collect_blobs(
    source: ImageSource, sink: ImageSink, old: Documents, documents: Documents, cancel: Cancel
) -> list[_Blob]:
    """All configs and layers, each once, lower layers before upper ones; a sink of layers is told what comes."""
    expect = getattr(sink, "expect", None)
    blobs: dict[Digest, _Blob] = {}
    configs_size = 0
    for (_, before), (_, after) in zip(old, documents, strict=True):
        if isinstance(before, Index) or isinstance(after, Index):
            continue
        raw = None
        if has_image_config(before):
            configs_size += before.config.size
            if configs_size > MAX_DOCUMENTS_SIZE:
                raise TooLarge(
                    f"the configs of {source.name} are larger than {MAX_DOCUMENTS_SIZE} bytes"
                )
            raw = read_small_blob(source, before.config, cancel=cancel)
            if expect is not None:
                expect(after.raw, raw)
        blobs.setdefault(before.config.digest, _Blob(before.config, after.config, raw))
        for origin, target in zip(before.layers, after.layers, strict=True):
            blobs.setdefault(origin.digest, _Blob(origin, target))
    return list(blobs.values())


class _BlobCopier:
    """Copies blobs in threads; the first that fails ends the others, by setting ``cancel``."""

    def __init__(
        self, source: ImageSource, sink: ImageSink, listener: CopyListener, cancel: LinkedCancel
    ) -> None:
        self._source = source
        self._sink = sink
        self._listener = listener
        self._cancel = cancel
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def copy(self, blobs: list[_Blob], jobs: int) -> list[BlobCopied]:
        """Copy all, or raise what went wrong first, when no thread runs any more."""
        pool = ThreadPoolExecutor(
            min(jobs, max(1, len(blobs))), thread_name_prefix="winlayers-copy"
        )
        try:
            futures = [pool.submit(self._copy_one, blob) for blob in blobs]
            copied = [future.result() for future in futures]
        except BaseException as error:
            self._cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, Exception) and self._error is not None:
                raise self._error from None
            raise  # an interrupt, whatever the threads make of it
        pool.shutdown()
        return copied

    def _copy_one(self, blob: _Blob) -> BlobCopied:
        try:
            self._cancel.check()
            was_there = self._sink.has_blob(blob.target)
            if not was_there:
                self._put(blob)
            copied = BlobCopied(blob.target, was_there)
            self._listener.copied(copied)
        except BaseException as error:
            with self._lock:
                if self._error is None:
                    self._error = error
            self._cancel.set()
            raise
        return copied

    def _put(self, blob: _Blob) -> None:
        while True:
            try:
                self._put_once(blob)
            except SPOILED:
                if not distrust(self._source, blob.origin):
                    raise
            else:
                return

    def _put_once(self, blob: _Blob) -> None:
        progress = self._listener.progress_of(blob.target)
        progress.start(str(blob.target.digest), blob.target.size)
        try:
            with self._open(blob, progress) as reader:
                self._sink.put_blob(blob.target, reader)
        finally:
            progress.finish()

    def _open(self, blob: _Blob, progress: Progress) -> BinaryIO:
        if blob.raw is not None:
            progress.advance(len(blob.raw))
            return io.BytesIO(blob.raw)
        return BlobReader(self._source, blob.origin, cancel=self._cancel, progress=progress)


def _plain(descriptor: Descriptor, document: Manifest | Index) -> Descriptor:
    """What a name leads to by: nothing of the index that a manifest was found in."""
    return Descriptor(document.media_type, descriptor.digest, descriptor.size)
