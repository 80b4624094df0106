"""Files that are made before they are needed."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from winlayers.backends.portable._scratch_data import DataFiles
from winlayers.backends.portable._scratch_spares import Spares


class Maker:
    """Makes files, as long as it may."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = count(1)
        self.is_full = False

    def __call__(self) -> tuple[int, int]:
        if self.is_full:
            raise OSError(errno.ENOSPC, "full")
        number = next(self.numbers)
        return number, os.open(self.folder / str(number), os.O_RDWR | os.O_CREAT | os.O_EXCL)


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture
def spares(maker: Maker) -> Iterator[Spares]:
    spares = Spares(maker)
    yield spares
    spares.stop()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def files(folder: Path) -> int:
    return len(os.listdir(folder))


def test_none_is_made_before_one_is_wanted(spares: Spares, tmp_path: Path) -> None:
    assert spares.stop() == []
    assert files(tmp_path) == 0


def test_one_that_is_taken_is_new_and_open(spares: Spares, tmp_path: Path) -> None:
    taken = [spares.take() for _ in range(200)]
    assert len({number for number, _ in taken}) == 200
    for number, descriptor in taken:
        assert os.fstat(descriptor).st_ino == (tmp_path / str(number)).stat().st_ino
        os.close(descriptor)


def test_there_are_as_many_as_were_wanted_lately_and_no_more(
    spares: Spares, tmp_path: Path
) -> None:
    os.close(spares.take()[1])
    wait_until(lambda: files(tmp_path) == 2)
    for _ in range(100):
        os.close(spares.take()[1])
    wait_until(lambda: files(tmp_path) >= 117)
    assert files(tmp_path) <= 101 + 32


def test_those_that_nobody_took_are_told_and_closed(spares: Spares, tmp_path: Path) -> None:
    number, descriptor = spares.take()
    os.close(descriptor)
    wait_until(lambda: files(tmp_path) == 2)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert spares.stop() == [3 - number]
    if before:
        assert len(os.listdir("/proc/self/fd")) == before - 1


def test_one_that_cannot_be_made_is_an_error_for_who_takes_it(spares: Spares, maker: Maker) -> None:
    maker.is_full = True
    for _ in range(3):
        with pytest.raises(OSError, match="full"):
            spares.take()
    maker.is_full = False
    os.close(spares.take()[1])


def test_data_files_leave_no_spares(tmp_path: Path) -> None:
    data = DataFiles(tmp_path)
    data.keep_spares()
    number, descriptor = data.create()
    os.close(descriptor)
    wait_until(lambda: len(data.numbers()) == 2)
    data.drop_spares()
    assert data.numbers() == [number]
    other, descriptor = data.create()
    os.close(descriptor)
    assert other > number
