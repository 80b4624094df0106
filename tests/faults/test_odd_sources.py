"""Sources that are unlike a file on a disk: empty, endless zeros, tiny reads, many members, huge files."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from tests.faults import scenes
from tests.faults.scenes import GZIPPED, TARS, Source
from tests.support.builders import a_file, a_layer, layer_tar, paths_of
from winlayers.backends.contract import ImportPolicy
from winlayers.base.fileobj import RawReader
from winlayers.driver.driver import Driver
from winlayers.errors import Malformed, TooLarge

HUGE_SIZE = (48 << 20) + 12345


@pytest.fixture(params=[False, True], ids=["inline", "child"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    """A store with the usual layers; imports run in this process or in one of their own."""
    scenes.make(tmp_path / "root")
    return scenes.open_store(tmp_path / "root", reexec=request.param)


class Chunks(RawReader):
    """A file object that gives the chunks of an iterator, however large each is."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int | None = -1, /) -> bytes:
        self._left = self._left or next(self._chunks, b"")
        count = len(self._left) if size is None or size < 0 else size
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def huge_layer() -> Iterator[bytes]:
    """The tar of one file, in pieces, without ever being in memory as a whole."""
    tar = layer_tar(a_layer(a_file("Files/huge.bin", b"\x01" * 512)))
    at = tar.index(b"\x01" * 512)
    header = bytearray(tar[:at])
    start = at - 512
    header[start + 124 : start + 136] = b"%011o\0" % HUGE_SIZE
    header[start + 148 : start + 156] = b" " * 8
    header[start + 148 : start + 156] = b"%06o\0 " % sum(header[start:at])
    yield bytes(header)
    block = bytes(range(256)) * 256
    for _ in range(HUGE_SIZE // len(block)):
        yield block
    yield block[: HUGE_SIZE % len(block)]
    yield bytes(-HUGE_SIZE % 512)
    yield tar[at + 512 :]


def refuses(driver: Driver, tmp_path: Path, source: Source, finding: str) -> None:
    with pytest.raises(Malformed) as caught:
        scenes.add(driver, "new", source)
    assert caught.value.finding == finding
    assert scenes.leftovers(tmp_path / "root") == []
    assert scenes.state_of(driver) == "absent"


def test_nothing_at_all_is_malformed(driver: Driver, tmp_path: Path) -> None:
    refuses(driver, tmp_path, Source(b""), "tar-unterminated")


@pytest.mark.parametrize("size", [1024, 10240, (3 << 20) + 512])
def test_zeros_are_a_layer_without_entries(driver: Driver, size: int) -> None:
    summary = driver.import_layer("new", "parent", Source(bytes(size)))
    assert (summary.entry_count, summary.tar_size) == (0, size)
    assert driver.diff("new").read() == bytes(size)
    with closing(driver.view("new")) as view, closing(driver.view("parent")) as parent:
        assert paths_of(view) == paths_of(parent)


def test_zeros_that_end_within_a_block_are_taken_as_they_are(driver: Driver) -> None:
    summary = driver.import_layer("new", "parent", Source(bytes(1500)))
    assert summary.tar_size == 1500
    assert driver.diff("new").read() == bytes(1500)


@pytest.mark.parametrize("data", [GZIPPED, TARS["new"]], ids=["gzip", "plain"])
def test_one_byte_at_a_time(driver: Driver, tmp_path: Path, data: bytes) -> None:
    scenes.add(driver, "new", Source(data, most=1))
    assert scenes.look(tmp_path / "root") == "whole"


def test_file_object_that_has_only_read(driver: Driver, tmp_path: Path) -> None:
    class OnlyRead:
        def __init__(self) -> None:
            self.read = io.BytesIO(TARS["new"]).read

    scenes.add(driver, "new", cast(BinaryIO, OnlyRead()))
    assert scenes.look(tmp_path / "root") == "whole"


def test_slow_source(driver: Driver, tmp_path: Path) -> None:
    def nap(offset: int) -> None:
        time.sleep(0.05)

    scenes.add(driver, "new", Source(GZIPPED, nap, 300))
    assert scenes.look(tmp_path / "root") == "whole"


def test_gzip_of_many_members(driver: Driver, tmp_path: Path) -> None:
    tar = TARS["new"]
    members = [gzip.compress(tar[at : at + 97], 1) for at in range(0, len(tar), 97)]
    members.insert(3, gzip.compress(b""))
    assert len(members) > 400
    scenes.add(driver, "new", Source(b"".join(members)))
    assert scenes.look(tmp_path / "root") == "whole"


@pytest.mark.parametrize("end", [-1, -9, 700, 11])
def test_gzip_that_is_cut_is_malformed(driver: Driver, tmp_path: Path, end: int) -> None:
    refuses(driver, tmp_path, Source(GZIPPED[:end]), "compression-damaged")


def test_gzip_with_rubbish_behind_it_is_malformed(driver: Driver, tmp_path: Path) -> None:
    refuses(driver, tmp_path, Source(GZIPPED + b"rubbish"), "compression-damaged")


def test_bytes_behind_the_end_marker_are_kept(driver: Driver) -> None:
    tar = TARS["other"] + b"behind" * 1000
    summary = driver.import_layer("new", "", Source(tar))
    assert summary.tar_size == len(tar)
    assert driver.diff("new").read() == tar


def test_huge_single_file(driver: Driver) -> None:
    summary = driver.import_layer("new", "", Chunks(huge_layer()))
    assert summary.size == HUGE_SIZE
    digest = hashlib.sha256()
    for chunk in huge_layer():
        digest.update(chunk)
    assert summary.diff_id == f"sha256:{digest.hexdigest()}"
    with closing(driver.view("new")) as view:
        node = view.lookup("Files/huge.bin")
        assert node is not None
        with view.open(node) as file:
            file.seek(HUGE_SIZE - 3)
            last = (HUGE_SIZE - 3) % 256
            assert file.read() == bytes([last, last + 1, last + 2])


def test_source_without_an_end_stops_at_the_limit(driver: Driver, tmp_path: Path) -> None:
    zeros = Chunks(itertools.repeat(bytes(1 << 16)))
    with pytest.raises(TooLarge, match="5242880"):
        driver.import_layer("new", "", zeros, policy=ImportPolicy(max_size=5 << 20))
    assert scenes.leftovers(tmp_path / "root") == []
