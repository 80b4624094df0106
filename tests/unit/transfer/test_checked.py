"""What is read of a source is what its descriptor says, however often the connection is lost."""

from __future__ import annotations

import io
import threading
import time
from typing import BinaryIO

import pytest

from tests.support.memoryimages import MemoryImages
from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel
from winlayers.errors import (
    BlobNotFound,
    Cancelled,
    Corrupt,
    DigestMismatch,
    TooLarge,
)
from winlayers.oci.model import MAX_DOCUMENT_SIZE, Descriptor, digest_bytes
from winlayers.transfer import checked
from winlayers.transfer.checked import BlobReader, read_document, read_small_blob

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(checked, "_FIRST_PAUSE_SECONDS", 0.0)
    return


def a_source(
    content: bytes = CONTENT, *, size: int | None = None
) -> tuple[MemoryImages, Descriptor]:
    source = MemoryImages()
    descriptor = Descriptor("x", digest_bytes(CONTENT), len(CONTENT) if size is None else size)
    source.blobs[descriptor.digest] = content
    return source, descriptor


def test_blob_is_read_in_steps() -> None:
    source, descriptor = a_source()
    with BlobReader(source, descriptor) as reader:
        assert reader.read(10) == CONTENT[:10]
        assert reader.readall() == CONTENT[10:]
        assert reader.read(10) == b""
    assert source.opened == [(descriptor.digest, 0)]


def test_blob_is_read_into_a_buffer() -> None:
    source, descriptor = a_source()
    buffer = bytearray(100)
    with BlobReader(source, descriptor) as reader:
        assert reader.readinto(buffer) == 100
    assert bytes(buffer) == CONTENT[:100]


def test_empty_blob_is_checked_without_opening_it() -> None:
    source = MemoryImages()
    with BlobReader(source, Descriptor("x", digest_bytes(b""), 0)) as reader:
        assert reader.read() == b""
    with pytest.raises(DigestMismatch):
        BlobReader(source, Descriptor("x", digest_bytes(b"a"), 0)).read()
    assert source.opened == []


def test_blob_that_is_cut_goes_on_where_it_stopped() -> None:
    source, descriptor = a_source()
    source.cut_after = 3000
    with BlobReader(source, descriptor) as reader:
        assert reader.read() == CONTENT
    assert [offset for _, offset in source.opened] == [0, 3000, 6000, 9000]


def test_wait_between_two_attempts_ends_with_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "_FIRST_PAUSE_SECONDS", 60.0)
    source, descriptor = a_source()
    source.cut_after = 0
    cancel = Cancel()
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled), BlobReader(source, descriptor, cancel=cancel) as reader:
        reader.read()
    timer.join()
    assert time.monotonic() - started < 30
    assert len(source.opened) == 1


def test_blob_that_is_always_cut_is_given_up() -> None:
    source, descriptor = a_source()
    source.cut_after = 0
    with pytest.raises(ConnectionResetError) as caught, BlobReader(source, descriptor) as reader:
        reader.read()
    assert len(source.opened) == checked.MAX_CUTS
    assert "given up at byte 0 after 5 cuts" in caught.value.__notes__[0]


def test_blob_that_comes_byte_by_byte_is_given_up_at_last() -> None:
    source, descriptor = a_source()
    source.cut_after = 1
    with pytest.raises(ConnectionResetError), BlobReader(source, descriptor) as reader:
        reader.read()
    assert len(source.opened) == checked.MAX_CUTS_IN_ALL


def test_blob_that_is_too_short_is_damaged_and_not_asked_for_again() -> None:
    source, descriptor = a_source(CONTENT[:-1])
    with pytest.raises(Corrupt, match="ended at byte 10239 of 10240"):
        BlobReader(source, descriptor).read()
    assert len(source.opened) == 1


class Places(MemoryImages):
    """A source whose first places give other bytes."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.bad_count = count

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        if self.bad_count:
            return io.BytesIO(bytes(descriptor.size - offset))
        return super().open_blob(descriptor, offset)

    def distrust(self, descriptor: Descriptor) -> bool:
        self.bad_count -= 1
        return True


def test_small_blob_that_is_damaged_comes_from_another_place() -> None:
    source = Places(2)
    descriptor = Descriptor("x", digest_bytes(CONTENT), len(CONTENT))
    source.blobs[descriptor.digest] = CONTENT
    assert read_small_blob(source, descriptor) == CONTENT
    assert source.bad_count == 0


def test_blob_that_is_not_there_is_not_asked_for_again() -> None:
    source, descriptor = a_source()
    del source.blobs[descriptor.digest]
    with pytest.raises(BlobNotFound):
        BlobReader(source, descriptor).read()
    assert len(source.opened) == 1


def test_last_bytes_of_another_blob_are_not_given_out() -> None:
    source, descriptor = a_source(b"x" + CONTENT[1:])
    taken = io.BytesIO()
    with pytest.raises(DigestMismatch), BlobReader(source, descriptor) as reader:
        while block := reader.read(1000):
            taken.write(block)
    assert len(taken.getvalue()) == 10_000


def test_blob_that_is_longer_is_refused() -> None:
    source, descriptor = a_source(CONTENT + b"more")
    with pytest.raises(Corrupt, match="has more than 10240 bytes"):
        BlobReader(source, descriptor).read()


def test_sha512_is_checked_too() -> None:
    source = MemoryImages()
    digest = Digest("sha512", "a" * 128)
    source.blobs[digest] = b"abc"
    with pytest.raises(DigestMismatch):
        BlobReader(source, Descriptor("x", digest, 3)).read()


def test_blob_stops_where_it_is_told_to() -> None:
    source, descriptor = a_source()
    cancel = Cancel()
    reader = BlobReader(source, descriptor, cancel=cancel)
    reader.read(10)
    cancel.set()
    with pytest.raises(Cancelled):
        reader.read(10)


def test_small_blob_has_a_limit() -> None:
    source, descriptor = a_source(size=MAX_DOCUMENT_SIZE + 1)
    with pytest.raises(TooLarge, match="at most 4194304"):
        read_small_blob(source, descriptor)
    assert source.opened == []


def test_document_has_a_limit_a_size_and_a_digest() -> None:
    raw = b'{"schemaVersion": 2, "manifests": []}'
    source = MemoryImages()
    good = Descriptor("application/vnd.oci.image.index.v1+json", digest_bytes(raw), len(raw))
    source.documents[good.digest] = raw
    assert read_document(source, good).raw == raw
    with pytest.raises(TooLarge):
        read_document(source, Descriptor(good.media_type, good.digest, MAX_DOCUMENT_SIZE + 1))
    with pytest.raises(Corrupt, match="has 37 bytes, not 36"):
        read_document(source, Descriptor(good.media_type, good.digest, len(raw) - 1))
    source.documents[good.digest] = raw.replace(b"2", b"3")
    with pytest.raises(DigestMismatch):
        read_document(source, good)
