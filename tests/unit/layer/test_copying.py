"""Copying between forms: order, commit and abort, progress and cancelling."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import BinaryIO, Self

import pytest

from tests.support.builders import a_directory, a_file, a_layer, a_link, a_whiteout, tar_of
from winlayers.backends.memory import MemoryReader
from winlayers.base.progress import Cancel
from winlayers.errors import Cancelled, WinlayersError
from winlayers.layer.backuptar import BackupTarReader
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, LayerSummary, Part

LAYER = a_layer(
    a_file("Files/a", b"abc", {"s": b"de"}),
    a_directory("Files/d"),
    a_link("Files/l", "Files/a"),
    a_whiteout("Files/gone"),
)


class Recorder:
    """A writer that writes down what it is told."""

    def __init__(self, fail_at: str = "") -> None:
        self.told: list[str] = []
        self._fail_at = fail_at

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        if entry.path == self._fail_at:
            raise WinlayersError("full")
        read = [f"{part.name}={source.read().decode()}" for part, source in parts]
        self.told.append(" ".join(["add", entry.path, *read]))

    def link(self, entry: Entry) -> None:
        self.told.append(f"link {entry.path} {entry.target}")

    def remove(self, path: str) -> None:
        self.told.append(f"remove {path}")

    def commit(self) -> LayerSummary:
        self.told.append("commit")
        return LayerSummary(1, 2)

    def abort(self) -> None:
        self.told.append("abort")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()


class Steps:
    """A progress that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def start(self, label: str, total_size: int | None) -> None:
        self.told.append(("start", total_size))

    def advance(self, size: int) -> None:
        self.told.append(size)

    def finish(self) -> None:
        self.told.append("finish")


def test_entries_go_to_the_method_of_their_kind() -> None:
    writer = Recorder()
    assert copy_entries(MemoryReader(LAYER), writer) == LayerSummary(1, 2)
    assert writer.told == [
        "add Files",
        "add Files/a =abc s=de",
        "add Files/d",
        "link Files/l Files/a",
        "remove Files/gone",
        "commit",
        "abort",
    ]


def test_error_of_the_writer_aborts() -> None:
    writer = Recorder(fail_at="Files/d")
    with pytest.raises(WinlayersError, match="full"):
        copy_entries(MemoryReader(LAYER), writer)
    assert writer.told[-1] == "abort"
    assert "commit" not in writer.told


def test_progress_is_told_all_bytes_and_the_end() -> None:
    steps = Steps()
    copy_entries(MemoryReader(LAYER), Recorder(), progress=steps)
    assert steps.told[0] == ("start", None)
    assert steps.told[-1] == "finish"
    assert sum(size for size in steps.told if isinstance(size, int)) == 5


def test_progress_ends_with_an_error_too() -> None:
    steps = Steps()
    with pytest.raises(WinlayersError):
        copy_entries(MemoryReader(LAYER), Recorder("Files/a"), progress=steps)
    assert steps.told[-1] == "finish"


def test_cancel_stops_before_the_next_entry() -> None:
    cancel = Cancel()
    cancel.set()
    writer = Recorder()
    with pytest.raises(Cancelled):
        copy_entries(MemoryReader(LAYER), writer, cancel=cancel)
    assert writer.told == ["abort"]


def test_cancel_stops_within_a_part() -> None:
    cancel = Cancel()

    class Reads(Recorder):
        def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
            for _, source in parts:
                assert source.read(1) == b"a"
                buffer = bytearray(1)
                assert source.readinto(buffer) == 1  # type: ignore[attr-defined]  # raw readers have it
                cancel.set()
                source.read(1)

    with pytest.raises(Cancelled):
        copy_entries(MemoryReader(LAYER), Reads(), cancel=cancel)


def test_copy_of_a_tar_is_the_same_tar() -> None:
    tar = tar_of(MemoryReader(LAYER))
    assert tar_of(BackupTarReader(io.BytesIO(tar))) == tar
