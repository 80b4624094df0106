"""containerd's store of blobs as a client of it sees it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.containerd import FakeContent, digest_of, serve
from winlayers.base.digest import Digest
from winlayers.base.fileobj import RawReader
from winlayers.errors import BlobNotFound, Cancelled, Corrupt, NoSpace, RemoteFailure
from winlayers.oci.model import Descriptor
from winlayers.services.containerd.cancelling import CallCancel
from winlayers.services.containerd.content import Content

BYTES = bytes(range(256)) * 20


@pytest.fixture
def fake() -> FakeContent:
    return FakeContent()


@pytest.fixture
def content(fake: FakeContent, tmp_path: Path) -> Iterator[Content]:
    server = serve(tmp_path / "c.sock", fake.handlers())
    with closing(Content(str(tmp_path / "c.sock"))) as made:
        yield made
    fake.go.set()
    server.stop(None).wait()


def descriptor(content: bytes) -> Descriptor:
    return Descriptor("any", Digest.parse(digest_of(content)), len(content))


def told(content: bytes, **labels: str) -> tuple[Digest, int, Mapping[str, str]]:
    return Digest.parse(digest_of(content)), len(content), labels


@pytest.mark.parametrize("size", [1, 7, 999, 1000, 1001, 10**6, -1])
def test_blob_is_read_in_any_pieces(content: Content, fake: FakeContent, size: int) -> None:
    fake.put(BYTES)
    with closing(content.open("default", descriptor(BYTES))) as file:
        assert b"".join(iter(lambda: file.read(size), b"")) == BYTES
        assert file.read(10) == b""


def test_blob_is_read_into_a_buffer(content: Content, fake: FakeContent) -> None:
    fake.put(BYTES)
    buffer = bytearray(300)
    with closing(content.open("default", descriptor(BYTES))) as file:
        count = file.readinto(buffer)
    assert count is not None
    assert 0 < count <= 300
    assert buffer[:count] == BYTES[:count]


def test_empty_blob_is_read(content: Content, fake: FakeContent) -> None:
    fake.put(b"")
    with closing(content.open("default", descriptor(b""))) as file:
        assert file.read() == b""


def test_blob_of_another_namespace_is_not_there(content: Content, fake: FakeContent) -> None:
    fake.put(BYTES, namespace="moby")
    with (
        closing(content.open("default", descriptor(BYTES))) as file,
        pytest.raises(BlobNotFound, match="not found"),
    ):
        file.read(1)
    with closing(content.open("moby", descriptor(BYTES))) as file:
        assert file.read() == BYTES


def test_failure_in_the_middle_is_told(content: Content, fake: FakeContent) -> None:
    fake.put(BYTES)
    fake.fail_at = 2000
    with closing(content.open("default", descriptor(BYTES))) as file:
        assert file.read(1000) + file.read(1000) == BYTES[:2000]
        with pytest.raises(RemoteFailure, match="the disk fails"):
            file.read(1000)


def test_pieces_out_of_order_are_noticed(content: Content, fake: FakeContent) -> None:
    fake.put(BYTES)
    fake.shifted = -1
    with (
        closing(content.open("default", descriptor(BYTES))) as file,
        pytest.raises(Corrupt, match="out of order"),
    ):
        file.read()


def test_reader_that_is_given_up_waits_no_longer(content: Content, fake: FakeContent) -> None:
    fake.put(BYTES)
    fake.wait_at = 1000
    cancel = CallCancel()
    with closing(content.open("default", descriptor(BYTES), cancel)) as file:
        assert file.read(1000) == BYTES[:1000]
        assert fake.is_waiting.wait(20)
        cancel.set()
        with pytest.raises(Cancelled):
            file.read(1)


def test_containerd_that_is_not_there_is_told(tmp_path: Path) -> None:
    with closing(Content(str(tmp_path / "none.sock"))) as content:
        with (
            closing(content.open("default", descriptor(BYTES))) as file,
            pytest.raises(RemoteFailure),
        ):
            file.read(1)
        with pytest.raises(RemoteFailure):
            list(content.blobs("default"))
        with pytest.raises(RemoteFailure):
            content.write("default", "", io.BytesIO(BYTES), lambda: told(BYTES))


def test_blobs_are_told_with_their_labels(content: Content, fake: FakeContent) -> None:
    fake.put(b"one", labels={"a.b/c": "1"})
    fake.put(b"three", labels={"a.b/c": "3"}, namespace="moby")
    assert list(content.blobs("default")) == [(digest_of(b"one"), 3, {"a.b/c": "1"})]


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_blob_is_written(content: Content, fake: FakeContent, size: int) -> None:
    blob = bytes(size)
    content.write("moby", "mine", io.BytesIO(blob), lambda: told(blob, a="1"))
    assert fake.blobs == {("moby", digest_of(blob)): blob}
    assert fake.labels == {("moby", digest_of(blob)): {"a": "1"}}
    assert fake.partial == {}


def test_blob_that_is_there_is_as_good(content: Content, fake: FakeContent) -> None:
    fake.put(BYTES)
    content.write("default", "", io.BytesIO(BYTES), lambda: told(BYTES))
    assert len(fake.blobs) == 1
    assert fake.partial == {}


def test_blob_that_is_refused_is_given_up(content: Content, fake: FakeContent) -> None:
    fake.refuse_at = 1
    with pytest.raises(RemoteFailure, match="no space left"):
        content.write("default", "mine", io.BytesIO(bytes(5 << 20)), lambda: told(b""))
    with pytest.raises(RemoteFailure, match="another digest"):
        fake.refuse_at = None
        content.write("default", "mine", io.BytesIO(BYTES), lambda: told(b"else"))
    assert fake.partial == fake.blobs == {}


class Failing(RawReader):
    """Fails after some bytes."""

    def __init__(self) -> None:
        self._left = 3

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if not self._left:
            raise NoSpace("the disk is full")
        return b"some"


def test_what_reading_raises_is_told_and_nothing_is_left(
    content: Content, fake: FakeContent
) -> None:
    with pytest.raises(NoSpace, match="the disk is full"):
        content.write("default", "mine", Failing(), lambda: told(b""))
    assert fake.partial == fake.blobs == {}
