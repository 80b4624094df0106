"""A copy is whole and the same, or nothing leads to it."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import BinaryIO

import pytest

from tests.support.memoryimages import (
    WINDOWS,
    MemoryImages,
    make_image,
    put_image,
    put_index,
)
from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.errors import (
    BlobNotFound,
    Cancelled,
    DigestMismatch,
    InvalidArgument,
    NoSpace,
    TooLarge,
    Unsupported,
)
from winlayers.oci import mediatypes
from winlayers.oci.building import build_index, build_manifest, describe
from winlayers.oci.model import Descriptor, Manifest, digest_bytes, parse_document
from winlayers.oci.platform import Platform
from winlayers.transfer import checked, copying
from winlayers.transfer.copying import BlobCopied, copy_image
from winlayers.transfer.selecting import Selected

LINUX = Platform("linux", "amd64")
LAYERS = [bytes([number]) * 5000 for number in range(6)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(checked, "_FIRST_PAUSE_SECONDS", 0.0)
    return


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.chosen: list[Selected] = []
        self.plan: list[Descriptor] = []
        self.done: list[BlobCopied] = []
        self.size = 0
        self._lock = threading.Lock()

    def selected(self, image: Selected) -> None:
        self.chosen.append(image)

    def planned(self, blobs: Iterable[Descriptor]) -> None:
        self.plan.extend(blobs)

    def progress_of(self, blob: Descriptor) -> Progress:
        return _Counting(self)

    def copied(self, blob: BlobCopied) -> None:
        with self._lock:
            self.done.append(blob)

    def add(self, size: int) -> None:
        with self._lock:
            self.size += size


class _Counting(NullProgress):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def advance(self, size: int) -> None:
        self._listener.add(size)


@pytest.mark.parametrize("jobs", [1, 3, 64])
def test_copy_has_the_digests_of_the_original(jobs: int) -> None:
    source, sink, listener = MemoryImages(), MemoryImages(), Listener()
    image = make_image(LAYERS)
    put_image(source, image)
    copied = copy_image(source, sink, jobs=jobs, listener=listener)
    assert sink.top == source.top == copied.descriptor
    assert sink.blobs == source.blobs
    assert sink.documents == source.documents
    assert copied.documents == (image.manifest.digest,)
    assert copied.rewritten == ()
    assert copied.copied_size == listener.size == sum(map(len, source.blobs.values()))
    assert {blob.digest for blob in listener.plan} == set(source.blobs)
    assert len(listener.done) == len(copied.blobs) == 7
    assert listener.chosen == [copied.selected]
    assert [event.split()[0] for event in sink.events] == ["blob"] * 7 + ["document", "commit"]


def test_config_is_fetched_once_and_what_the_sink_has_not_at_all() -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(source, make_image(LAYERS))
    sink.blobs[digest_bytes(LAYERS[0])] = LAYERS[0]
    copied = copy_image(source, sink)
    fetched = sorted(str(digest) for digest, _ in source.opened)
    assert fetched == sorted(str(digest) for digest in {*source.blobs} - {digest_bytes(LAYERS[0])})
    assert [blob.descriptor.digest for blob in copied.blobs if blob.was_there] == [
        digest_bytes(LAYERS[0])
    ]


def test_layer_that_an_image_has_twice_is_copied_once() -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(source, make_image([b"same", b"same"]))
    assert len(copy_image(source, sink).blobs) == 2


def test_index_whole() -> None:
    source, sink = MemoryImages(), MemoryImages()
    windows, linux = make_image([b"w", b"common"]), make_image([b"common"], platform=LINUX)
    index = put_index(source, [(windows, WINDOWS), (linux, LINUX)])
    copied = copy_image(source, sink, all_platforms=True)
    assert copied.selected is None
    assert copied.documents == (windows.manifest.digest, linux.manifest.digest, index.digest)
    assert sink.documents == source.documents
    assert sink.blobs == source.blobs
    assert sink.top == source.top
    assert [event.split()[0] for event in sink.events[-4:]] == ["document"] * 3 + ["commit"]


def test_one_image_of_an_index() -> None:
    source, sink = MemoryImages(), MemoryImages()
    linux = make_image([b"l"], platform=LINUX)
    put_index(source, [(make_image([b"w"]), WINDOWS), (linux, LINUX)])
    copied = copy_image(source, sink, platform=LINUX)
    assert sink.documents == {linux.manifest.digest: linux.manifest.raw}
    assert sink.top == copied.descriptor
    assert copied.descriptor.platform is None


def test_attestation_goes_along_with_its_index() -> None:
    source, sink = Expecting(), Expecting()
    statement, empty = b'{"a statement": 1}', b"{}"
    manifest = build_manifest(
        describe(empty, "application/vnd.oci.empty.v1+json"),
        [describe(statement, "application/vnd.in-toto+json")],
    )
    source.blobs |= {digest_bytes(one): one for one in (statement, empty)}
    source.add_document(manifest)
    copy_image(source, sink, all_platforms=True)
    assert sink.blobs == source.blobs
    assert sink.expected == []


def test_foreign_layers_are_kept_or_uploaded() -> None:
    source, sink = MemoryImages(), MemoryImages()
    image = make_image([b"base", b"update"], foreign=[0])
    put_image(source, image)
    copy_image(source, sink)
    assert sink.top == source.top
    copied = copy_image(source, sink, foreign="upload")
    assert copied.rewritten == ((image.manifest.digest, copied.descriptor.digest),)
    assert sink.top == copied.descriptor
    manifest = parse_document(sink.documents[copied.descriptor.digest])
    assert isinstance(manifest, Manifest)
    assert not any(layer.is_foreign for layer in manifest.layers)


def test_blob_of_a_foreign_layer_is_asked_for_as_the_source_names_it() -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(source, make_image([b"base"], foreign=[0]))
    asked: list[Descriptor] = []
    original = source.open_blob

    def open_blob(descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        asked.append(descriptor)
        return original(descriptor, offset)

    source.open_blob = open_blob  # type: ignore[method-assign]
    copy_image(source, sink, foreign="upload")
    assert ("https://elsewhere.example/0",) in [descriptor.urls for descriptor in asked]


def test_digests_are_preserved_or_nothing_is_copied() -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(source, make_image([b"base"], foreign=[0]))
    assert copy_image(source, sink, preserve_digests=True).rewritten == ()
    fresh = MemoryImages()
    with pytest.raises(Unsupported, match="keep its digest"):
        copy_image(source, fresh, preserve_digests=True, foreign="upload")
    assert fresh.events == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"all_platforms": True, "platform": LINUX},
        {"foreign": "burn"},
        {"jobs": 0},
        {"jobs": 65},
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        copy_image(MemoryImages(), MemoryImages(), **arguments)  # type: ignore[arg-type]


class Expecting(MemoryImages):
    """A sink of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: list[tuple[bytes, bytes]] = []

    def expect(self, manifest_raw: bytes, config_raw: bytes) -> None:
        assert not self.events
        self.expected.append((manifest_raw, config_raw))


def test_sink_of_layers_is_told_first_what_comes() -> None:
    source, sink = MemoryImages(), Expecting()
    image = make_image(LAYERS)
    put_image(source, image)
    copy_image(source, sink)
    assert sink.expected == [(image.manifest.raw, source.blobs[image.manifest.config.digest])]


def test_cut_connections_are_resumed() -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(source, make_image(LAYERS))
    source.cut_after = 2000
    copy_image(source, sink)
    assert sink.blobs == source.blobs
    assert {offset for _, offset in source.opened} == {0, 2000, 4000}


@pytest.mark.parametrize("number", range(6))
def test_wrong_layer_leaves_the_old_image(number: int) -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(sink, make_image([b"old"]))
    old = sink.top
    put_image(source, make_image(LAYERS))
    source.blobs[digest_bytes(LAYERS[number])] = b"?" * 5000
    with pytest.raises(DigestMismatch):
        copy_image(source, sink)
    assert sink.top == old
    assert digest_bytes(LAYERS[number]) not in sink.blobs


def test_first_error_stops_the_rest() -> None:
    source, sink = MemoryImages(), MemoryImages()
    layers = [bytes([number]) * 100 for number in range(100)]
    put_image(source, make_image(layers))
    missing = digest_bytes(layers[3])
    del source.blobs[missing]
    with pytest.raises(BlobNotFound, match=missing.hex):
        copy_image(source, sink, jobs=2)
    assert len(source.opened) < 20
    assert not [thread for thread in threading.enumerate() if "winlayers-copy" in thread.name]


def test_error_of_the_sink_stops_the_rest() -> None:
    class Full(MemoryImages):
        def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
            source.read(10)
            raise NoSpace("the disk is full")

    source = MemoryImages()
    put_image(source, make_image(LAYERS))
    with pytest.raises(NoSpace):
        copy_image(source, Full(), jobs=2)


def test_reader_that_waits_is_stopped_by_the_error_of_another() -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(source, make_image([b"slow" * 2000, b"bad" * 2000]))
    slow, bad = digest_bytes(b"slow" * 2000), digest_bytes(b"bad" * 2000)
    begun = threading.Event()

    def fault(digest: Digest, offset: int) -> None:
        if digest == slow and not begun.is_set():
            begun.set()
            raise ConnectionResetError  # tries again, and finds that all is over
        if digest == bad:
            begun.wait(10)
            raise BlobNotFound("gone")
        if digest == slow:
            failed.wait(10)
            raise ConnectionResetError

    failed = threading.Event()
    original = sink.put_blob

    def put_blob(descriptor: Descriptor, stream: BinaryIO) -> None:
        try:
            original(descriptor, stream)
        finally:
            if descriptor.digest == bad:
                failed.set()

    source.open_fault = fault
    sink.put_blob = put_blob  # type: ignore[method-assign]
    with pytest.raises(BlobNotFound, match="gone"):
        copy_image(source, sink)


def test_cancelled_copy_commits_nothing() -> None:
    source, sink, cancel = MemoryImages(), MemoryImages(), Cancel()
    put_image(source, make_image(LAYERS))
    source.open_fault = lambda digest, offset: cancel.set()
    with pytest.raises(Cancelled):
        copy_image(source, sink, cancel=cancel)
    assert sink.top is None


def test_interrupt_is_not_taken_for_an_error_of_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(source, make_image(LAYERS))

    class Interrupting(Listener):
        def copied(self, blob: BlobCopied) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_image(source, sink, listener=Interrupting())
    assert sink.top is None


def test_configs_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    source = MemoryImages()
    put_image(source, make_image([b"a"]))
    monkeypatch.setattr(copying, "MAX_DOCUMENTS_SIZE", 10)
    with pytest.raises(TooLarge, match="configs of memory: are larger than 10 bytes"):
        copy_image(source, MemoryImages())


def test_docker_documents_stay_dockers() -> None:
    source, sink = MemoryImages(), MemoryImages()
    put_image(source, make_image(LAYERS, is_docker=True))
    assert copy_image(source, sink).descriptor.media_type == mediatypes.DOCKER_MANIFEST


@pytest.mark.parametrize("all_platforms", [False, True])
def test_document_known_by_another_digest_is_refused_before_a_blob_comes(
    *, all_platforms: bool
) -> None:
    """A sink would keep it by SHA-256, and the index would lead to nothing."""
    source, sink = MemoryImages(), MemoryImages("sink:")
    image = make_image(LAYERS[:2])
    put_image(source, image)
    raw = image.manifest.raw
    digest = Digest("sha512", hashlib.sha512(raw).hexdigest())
    source.documents[digest] = raw
    entry = Descriptor(image.manifest.media_type, digest, len(raw), platform=WINDOWS)
    source.add_document(build_index([entry]))
    with pytest.raises(Unsupported, match=f"{digest} of memory: .* {image.manifest.digest}"):
        copy_image(source, sink, all_platforms=all_platforms)
    assert sink.events == []


def test_layer_may_have_another_digest() -> None:
    source, sink = MemoryImages(), MemoryImages("sink:")
    image = make_image(LAYERS[:1])
    layer = image.manifest.layers[0]
    digest = Digest("sha512", hashlib.sha512(LAYERS[0]).hexdigest())
    manifest = build_manifest(image.manifest.config, [replace(layer, digest=digest)])
    source.blobs = {**image.blobs, digest: LAYERS[0]}
    source.add_document(manifest)
    copy_image(source, sink)
    assert sink.blobs[digest] == LAYERS[0]


class Sleeping(MemoryImages):
    """A place that waits at its blobs until it is told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.cancel = Cancel()
        self.is_waiting = threading.Event()

    def heed(self, cancel: Cancel) -> None:
        self.cancel = cancel

    def has_blob(self, descriptor: Descriptor) -> bool:
        self.is_waiting.set()
        assert self.cancel.wait(60)
        self.cancel.check()
        return False


def test_waits_of_an_endpoint_end_when_a_copy_is_cancelled() -> None:
    source, sink, cancel = MemoryImages(), Sleeping(), Cancel()
    put_image(source, make_image(LAYERS))
    timer = threading.Timer(0.05, cancel.set)
    timer.start()
    with pytest.raises(Cancelled):
        copy_image(source, sink, cancel=cancel)
    timer.join()
    assert sink.top is None


def test_waits_of_an_endpoint_end_with_the_first_error_and_the_caller_is_not_cancelled() -> None:
    source, sink, cancel = MemoryImages(), Sleeping(), Cancel()
    image = make_image(LAYERS)
    put_image(source, image)

    original = sink.has_blob

    def has_blob(descriptor: Descriptor) -> bool:
        if descriptor.digest == image.manifest.config.digest:
            sink.is_waiting.wait(10)
            raise NoSpace("the disk is full")
        return original(descriptor)

    sink.has_blob = has_blob  # type: ignore[method-assign]
    with pytest.raises(NoSpace):
        copy_image(source, sink, cancel=cancel)
    assert not cancel.is_set()


def test_layer_that_is_damaged_comes_from_another_place() -> None:
    class Mirrored(MemoryImages):
        bad = True

        def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
            if self.bad and descriptor.digest == digest_bytes(LAYERS[0]):
                return io.BytesIO(bytes(descriptor.size))
            return super().open_blob(descriptor, offset)

        def distrust(self, descriptor: Descriptor) -> bool:
            was_bad, self.bad = self.bad, False
            return was_bad

    source, sink = Mirrored(), MemoryImages()
    put_image(source, make_image(LAYERS))
    copy_image(source, sink)
    assert sink.blobs == source.blobs
