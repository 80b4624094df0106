"""Content that would fill a disk."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from winlayers.base import room
from winlayers.base.room import RoomReader, disk_of, is_nearly_full
from winlayers.errors import NoSpace


@dataclass
class FakeDisk:
    """A disk of which each look takes something away."""

    total: int
    free: int
    step: int = 0
    looks: int = 0

    def look(self, folder: Path) -> FakeDisk:
        """What it has now."""
        self.looks += 1
        self.free -= self.step
        return self


class Endless(io.RawIOBase):
    """Zeros without end, as a bomb gives them."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As many as are asked for."""
        assert size is not None
        return bytes(size)


@pytest.mark.parametrize(
    ("total", "free", "is_full"),
    [
        (1 << 40, 64 << 20, False),
        (1 << 40, (64 << 20) - 1, True),
        (100 << 20, 2 << 20, False),
        (100 << 20, (2 << 20) - 1, True),
    ],
)
def test_disk_is_nearly_full_with_64_mib_or_2_percent(total: int, free: int, is_full: bool) -> None:
    assert is_nearly_full(FakeDisk(total, free)) is is_full


def test_what_is_about_to_come_counts() -> None:
    disk = FakeDisk(
        40 << 20, 1 << 20
    )  # a read may be larger than what is left alone of a small disk
    assert not is_nearly_full(disk)
    assert is_nearly_full(disk, 1 << 20)


def test_disk_is_that_of_the_folder(tmp_path: Path) -> None:
    assert disk_of(tmp_path).total == shutil.disk_usage(tmp_path).total


def test_content_comes_as_it_is(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10
    reader = RoomReader(io.BytesIO(content), tmp_path, advice="x")
    buffer = bytearray(100)
    assert reader.readinto(buffer) == 100
    assert bytes(buffer) + reader.read() == content
    assert reader.read(1) == b""


def test_content_without_end_is_stopped_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FakeDisk(1 << 40, 100 << 20, step=8 << 20)
    monkeypatch.setattr(room, "disk_of", disk.look)
    reader = RoomReader(Endless(), tmp_path, advice="take another disk")
    count = 0
    with pytest.raises(NoSpace, match="take another disk") as caught:
        while True:
            count += len(reader.read(1 << 20))
    assert count == 4 << 20
    assert disk.looks == 5
    assert f"after {count} bytes" in str(caught.value)
