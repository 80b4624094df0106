"""reader_of: what one thread writes, another reads."""

from __future__ import annotations

import gc
import threading
import time
from typing import BinaryIO

import pytest

from winlayers.base import pipe
from winlayers.base.pipe import AHEAD_SIZE, BLOCK_SIZE, reader_of


def pipe_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pipe-writer"]


class FailedError(Exception):
    """What writers raise here."""


@pytest.mark.parametrize("size", [1, 1000, BLOCK_SIZE, BLOCK_SIZE + 1, 3_000_000])
def test_what_is_written_is_read(size: int) -> None:
    content = bytes(range(256)) * (8_000_000 // 256)

    def write(target: BinaryIO) -> None:
        for start in range(0, len(content), 777_777):
            assert target.write(content[start : start + 777_777]) <= 777_777
        target.write(b"end")

    if size == 1:
        content = content[:5000]
    with reader_of(write) as reader:
        assert b"".join(iter(lambda: reader.read(size), b"")) == content + b"end"
    assert not pipe_threads()


def test_reads_are_filled_up_to_the_end() -> None:
    def write(target: BinaryIO) -> None:
        for number in range(100):
            target.write(bytes([number]))
            target.flush()

    with reader_of(write) as reader:
        assert reader.read(60) == bytes(range(60))
        buffer = bytearray(30)
        assert reader.readinto(buffer) == 30
        assert buffer == bytes(range(60, 90))
        assert reader.read(0) == b""
        assert reader.read() == bytes(range(90, 100))
        assert reader.read(5) == b""


def test_writer_is_never_far_ahead() -> None:
    written = 0

    def write(target: BinaryIO) -> None:
        nonlocal written
        for _ in range(40):
            target.write(bytes(1 << 20))
            written += 1 << 20

    with reader_of(write) as reader:
        assert len(reader.read(1)) == 1
        time.sleep(0.05)
        assert written <= AHEAD_SIZE + 2 * (1 << 20)
        assert 1 + len(reader.read()) == 40 << 20


def test_writer_is_as_far_ahead_as_it_may_be() -> None:
    written: list[bytes] = []

    def write(target: BinaryIO) -> None:
        for number in range(8):
            written.append(bytes([number]) * BLOCK_SIZE)
            assert target.write(written[-1]) == BLOCK_SIZE

    with reader_of(write, ahead_size=2 * BLOCK_SIZE) as reader:
        assert reader.read(1) == b"\0"
        time.sleep(0.05)
        assert len(written) <= 4
        assert b"\0" + reader.read() == b"".join(written)


def test_whole_blocks_stay_behind_what_is_pending() -> None:
    def write(target: BinaryIO) -> None:
        target.write(b"pending")
        target.write(bytes(BLOCK_SIZE))
        target.write(b"end")

    with reader_of(write) as reader:
        assert reader.read() == b"pending" + bytes(BLOCK_SIZE) + b"end"


def test_error_of_the_writer_is_raised_after_what_it_wrote() -> None:
    def write(target: BinaryIO) -> None:
        target.write(b"abc")
        target.flush()
        raise FailedError

    with reader_of(write) as reader:
        assert reader.read(100) == b"abc"
        for _ in range(2):
            with pytest.raises(FailedError):
                reader.read(100)


def test_bytes_that_were_not_handed_over_before_an_error_are_not_seen() -> None:
    def write(target: BinaryIO) -> None:
        target.write(b"abc")
        raise FailedError

    with reader_of(write) as reader, pytest.raises(FailedError):
        reader.read(100)


def test_error_that_no_read_has_told_is_raised_by_close() -> None:
    def write(target: BinaryIO) -> None:
        target.write(b"abc")
        target.flush()
        raise FailedError

    reader = reader_of(write)
    assert reader.read(3) == b"abc"
    for thread in pipe_threads():
        thread.join()
    with pytest.raises(FailedError):
        reader.close()
    reader.close()


def test_error_of_the_reader_is_not_hidden_by_one_of_the_writer() -> None:
    def write(target: BinaryIO) -> None:
        raise FailedError("in the writer")

    def use() -> None:
        with reader_of(write):
            for thread in pipe_threads():
                thread.join()
            raise KeyError("first")

    with pytest.raises(KeyError, match="first") as caught:
        use()
    assert any("in the writer" in note for note in caught.value.__notes__)


def test_closing_early_ends_the_writer() -> None:
    ended = []

    def write(target: BinaryIO) -> None:
        try:
            while True:
                target.write(bytes(1 << 20))
        finally:
            ended.append(True)

    reader = reader_of(write)
    assert reader.read(1) == b"\0"
    reader.close()
    assert ended == [True]
    assert not pipe_threads()
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)


def test_writer_may_turn_the_early_end_into_another_error() -> None:
    def write(target: BinaryIO) -> None:
        try:
            while True:
                target.write(bytes(1 << 20))
        except OSError as error:
            raise FailedError from error

    reader = reader_of(write)
    reader.read(1)
    reader.close()
    assert reader.closed


def test_forgotten_reader_ends_the_writer() -> None:
    def write(target: BinaryIO) -> None:
        while True:
            target.write(bytes(1 << 20))

    reader = reader_of(write)
    reader.read(1)
    (thread,) = pipe_threads()
    del reader
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_writer_may_close_its_end() -> None:
    def write(target: BinaryIO) -> None:
        with target:
            target.write(b"abc")

    with reader_of(write) as reader:
        assert reader.read() == b"abc"


def test_small_writes_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[int] = []
    put = pipe._Channel.put

    def counted(channel: pipe._Channel, block: bytes) -> None:
        blocks.append(len(block))
        put(channel, block)

    monkeypatch.setattr(pipe._Channel, "put", counted)

    def write(target: BinaryIO) -> None:
        target.writelines(bytes(512) for _ in range(2000))

    with reader_of(write) as reader:
        assert len(reader.read()) == 1_024_000
    assert len(blocks) == 4
