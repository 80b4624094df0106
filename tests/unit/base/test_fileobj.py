"""File objects over file objects and descriptors."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest

from winlayers.base import fileobj
from winlayers.base.fileobj import (
    BoundedReader,
    CountingReader,
    CountingWriter,
    ExtentReader,
    JoinedReader,
    PaddedReader,
    PreadReader,
    copy,
    read_exactly_at,
    write_all,
)
from winlayers.errors import Corrupt, InvalidArgument, Malformed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class PartWriter(io.RawIOBase):
    """Takes three bytes at a time."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: ReadableBuffer) -> int:
        part = bytes(memoryview(data)[:3])
        self.taken += part
        return len(part)


class TestBoundedReader:
    def test_reads_no_further_than_its_bound(self) -> None:
        source = io.BytesIO(b"0123456789")
        reader = BoundedReader(source, 6)
        assert reader.read(4) == b"0123"
        assert reader.remaining == 2
        assert reader.read(4) == b"45"
        assert reader.read(4) == b""
        assert source.read() == b"6789"

    def test_reads_all_of_itself(self) -> None:
        assert BoundedReader(io.BytesIO(b"0123456789"), 6).read() == b"012345"
        assert BoundedReader(io.BytesIO(b""), 0).read() == b""

    def test_reads_into_a_buffer(self) -> None:
        buffer = bytearray(4)
        reader = BoundedReader(io.BytesIO(b"0123456789"), 6)
        assert [reader.readinto(buffer) for _ in range(3)] == [4, 2, 0]
        assert buffer == b"4523"

    def test_source_that_ends_early_is_malformed(self) -> None:
        reader = BoundedReader(io.BytesIO(b"0123"), 6, what="file body")
        with pytest.raises(Malformed, match="ends 2 bytes before its 6") as caught:
            reader.read()
        assert (caught.value.structure, caught.value.offset) == ("file body", 4)

    def test_skip_leaves_the_source_behind_the_bound(self) -> None:
        source = io.BytesIO(b"0123456789")
        reader = BoundedReader(source, 6)
        reader.read(1)
        reader.skip()
        assert (source.tell(), reader.remaining) == (6, 0)
        with pytest.raises(Malformed):
            BoundedReader(source, 6).skip()

    def test_closing_leaves_the_source_open(self) -> None:
        source = io.BytesIO(b"0123")
        BoundedReader(source, 2).close()
        assert source.read() == b"0123"


class TestCounting:
    def test_reader_counts(self) -> None:
        reader = CountingReader(io.BytesIO(b"0123456789"))
        assert (reader.read(3), reader.count) == (b"012", 3)
        assert (reader.readinto(bytearray(2)), reader.count) == (2, 5)
        assert (reader.read(), reader.count) == (b"56789", 10)

    def test_writer_writes_all_and_counts(self) -> None:
        target = PartWriter()
        writer = CountingWriter(cast(BinaryIO, target))
        assert writer.write(b"01234567") == 8
        assert writer.write(memoryview(b"89").cast("H")) == 2
        writer.flush()
        assert (target.taken, writer.count, writer.writable()) == (b"0123456789", 10, True)

    def test_closing_the_writer_leaves_the_target_open(self) -> None:
        target = io.BytesIO()
        CountingWriter(target).close()
        assert not target.closed


class TestJoinedReader:
    def test_sources_follow_each_other(self) -> None:
        parts = [io.BytesIO(part) for part in (b"", b"ab", b"", b"cde", b"")]
        assert JoinedReader(parts).read() == b"abcde"
        assert JoinedReader([]).read(1) == b""

    def test_source_is_asked_for_when_its_turn_comes(self) -> None:
        asked = []

        def sources() -> Iterator[io.BytesIO]:
            for part in (b"ab", b"cd"):
                asked.append(part)
                yield io.BytesIO(part)

        reader = JoinedReader(sources())
        assert reader.read(0) == b""
        assert (reader.read(9), asked) == (b"ab", [b"ab"])
        assert (reader.read(1), reader.readinto(bytearray(9))) == (b"c", 1)
        assert reader.read(9) == b""


class TestPaddedReader:
    @pytest.mark.parametrize(
        ("size", "padding"), [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)]
    )
    def test_zeros_follow_up_to_a_multiple(self, size: int, padding: int) -> None:
        expected = b"x" * size + bytes(padding)
        assert PaddedReader(io.BytesIO(b"x" * size), 512).read() == expected
        reader = PaddedReader(io.BytesIO(b"x" * size), 512)
        buffer = bytearray(100)
        got = b"".join(bytes(buffer[:n]) for n in iter(lambda: reader.readinto(buffer), 0))
        assert got == expected
        assert reader.read(0) == reader.read(5) == b""


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """An open file of 256 KiB in which each four bytes are their own number."""
    path = tmp_path / "file"
    path.write_bytes(b"".join(number.to_bytes(4, "big") for number in range(65_536)))
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    yield opened
    os.close(opened)


@pytest.fixture(params=["system", "seek"])
def pread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by position as this system does, and as Windows has to."""
    if request.param == "seek":
        monkeypatch.setattr(fileobj, "_pread", fileobj._seek_and_read)


@pytest.mark.usefixtures("pread")
class TestPreadReader:
    def test_shows_a_range(self, descriptor: int) -> None:
        reader = PreadReader(descriptor, 400, 10)
        assert reader.read(6) == (100).to_bytes(4, "big") + b"\0\0"
        assert reader.tell() == 6
        assert reader.read() == b"\0\x65\0\0"
        assert reader.read(1) == b""
        assert reader.seekable()

    def test_is_a_buffered_file_too(self, descriptor: int) -> None:
        reader = io.BufferedReader(PreadReader(descriptor, 4, 262_140))
        assert reader.read(4) == b"\0\0\0\1"
        reader.seek(-4, os.SEEK_END)
        assert reader.read() == b"\0\0\xff\xff"

    def test_seeks(self, descriptor: int) -> None:
        reader = PreadReader(descriptor, 0, 100)
        assert reader.seek(40) == 40
        assert reader.seek(4, os.SEEK_CUR) == 44
        assert reader.read(4) == b"\0\0\0\x0b"
        assert reader.seek(-4, os.SEEK_END) == 96
        assert reader.seek(1000) == 1000
        assert reader.read() == b""
        for offset, whence in ((-1, os.SEEK_SET), (-101, os.SEEK_END), (0, 9)):
            with pytest.raises(InvalidArgument):
                reader.seek(offset, whence)

    def test_file_shorter_than_the_range_is_corrupt(self, descriptor: int) -> None:
        reader = PreadReader(descriptor, 262_140, 8)
        with pytest.raises(Corrupt, match=r"ends at byte 262144 .* to byte 262148"):
            reader.read()

    def test_readers_of_one_descriptor_do_not_disturb_each_other(self, descriptor: int) -> None:
        faults = []

        def read(start: int) -> None:
            for number in range(start, 65_536, 97):
                got = read_exactly_at(descriptor, number * 4, 4)
                if got != number.to_bytes(4, "big"):
                    faults.append(number)

        threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults

    def test_short_answers_of_the_system_are_joined(
        self, descriptor: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = fileobj._pread
        monkeypatch.setattr(fileobj, "_pread", lambda fd, size, at: whole(fd, min(size, 3), at))
        assert read_exactly_at(descriptor, 4, 10) == b"\0\0\0\1\0\0\0\2\0\0"


@pytest.mark.usefixtures("pread")
class TestExtentReader:
    EXTENTS = ((2, 7, 1), (5, 11, 1), (6, 15, 1), (8, 0, 0))
    WHOLE = b"\0\0\x01\0\0\x02\x03\0\0\0"

    def test_holes_are_zeros(self, descriptor: int) -> None:
        assert ExtentReader(descriptor, self.EXTENTS, 10).read() == self.WHOLE
        assert ExtentReader(descriptor, (), 3).read() == bytes(3)
        assert ExtentReader(descriptor, ((0, 4, 4),), 4).read() == b"\0\0\0\x01"
        assert ExtentReader(descriptor, (), 0).read() == b""

    @pytest.mark.parametrize("size", [1, 2, 3, 4, 10])
    def test_any_place_can_be_read(self, descriptor: int, size: int) -> None:
        reader = ExtentReader(descriptor, self.EXTENTS, 10)
        for start in range(11):
            reader.seek(start)
            assert reader.read(size) == self.WHOLE[start : start + size]

    @pytest.mark.parametrize(
        ("extents", "size"),
        [
            (((4, 0, 4), (2, 0, 1)), 10),
            (((0, 0, 4), (3, 0, 1)), 10),
            (((0, 0, 4),), 3),
            (((0, 0, -1),), 3),
            (((-1, 0, 1),), 3),
        ],
    )
    def test_pieces_out_of_place_are_refused(
        self, descriptor: int, extents: tuple[tuple[int, int, int], ...], size: int
    ) -> None:
        with pytest.raises(InvalidArgument, match="extent"):
            ExtentReader(descriptor, extents, size)

    def test_file_that_lacks_a_piece_is_corrupt(self, descriptor: int) -> None:
        with pytest.raises(Corrupt):
            ExtentReader(descriptor, ((0, 262_140, 5),), 5).read()


def test_write_all_goes_on_until_all_is_written() -> None:
    target = PartWriter()
    write_all(cast(BinaryIO, target), memoryview(b"0123456789"))
    assert target.taken == b"0123456789"


def test_write_all_does_not_wait_for_a_file_that_does_not_block() -> None:
    class Nothing:
        def write(self, data: memoryview) -> None:
            return None

    with pytest.raises(BlockingIOError):
        write_all(cast(BinaryIO, Nothing()), memoryview(b"0"))


def test_copy_tells_how_much_it_copied() -> None:
    target = io.BytesIO()
    assert copy(io.BytesIO(b"0123456789"), target, block_size=3) == 10
    assert target.getvalue() == b"0123456789"


def test_position_stays_where_a_system_reads_and_writes_at_it_only(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0))
    try:
        assert fileobj._seek_and_write(descriptor, b"12345", 0) == 5
        assert fileobj._seek_and_read(descriptor, 2, 3) == b"45"
        assert os.read(descriptor, 9) == b"12345"
    finally:
        os.close(descriptor)
