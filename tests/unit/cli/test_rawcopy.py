"""Copies that the kernel makes, and new files that appear whole."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from winlayers.cli import rawcopy
from winlayers.cli.rawcopy import copy_descriptor, new_file

BINARY: int = getattr(os, "O_BINARY", 0)
CONTENT = os.urandom(1 << 20) * 9 + b"end"


@pytest.fixture
def source(tmp_path: Path) -> int:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return os.open(path, os.O_RDONLY | BINARY)


def _copy(source: int, target: int) -> int:
    steps: list[int] = []
    try:
        copy_descriptor(source, target, steps.append)
    finally:
        os.close(source)
        os.close(target)
    return sum(steps)


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_copy_into_a_file(source: int, tmp_path: Path, flags: int) -> None:
    target = os.open(tmp_path / "target", os.O_WRONLY | os.O_CREAT | BINARY | flags)
    assert _copy(source, target) == len(CONTENT)
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_copy_into_a_pipe_begins_where_the_source_stands(source: int) -> None:
    reading, writing = os.pipe()
    received: list[bytes] = []

    def receive() -> None:
        with open(reading, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=receive)
    thread.start()
    os.lseek(source, 1000, os.SEEK_SET)
    assert _copy(source, writing) == len(CONTENT) - 1000
    thread.join()
    assert received == [CONTENT[1000:]]


def test_copy_where_the_kernel_moves_nothing(
    source: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(rawcopy, "_movers", lambda target: iter([refuse]))
    target = os.open(tmp_path / "target", os.O_WRONLY | os.O_CREAT | BINARY)
    assert _copy(source, target) == len(CONTENT)
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_copy_into_a_closed_pipe_fails(source: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        _copy(source, writing)


def test_new_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with new_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_leaves_the_old_one_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), new_file(path):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_follows_a_link_and_takes_a_device(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with new_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()
    with new_file(Path(os.devnull)) as file:
        file.write(b"nowhere")
    assert Path(os.devnull).is_char_device()
