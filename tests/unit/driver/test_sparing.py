"""Which imports get a process of their own: large ones, as long as few run, and those of unknown size."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from winlayers.driver.importing import SMALL_SIZE, ImportJob, SparingImporter
from winlayers.errors import NoSpace
from winlayers.layer.chain import Chain
from winlayers.layer.entry import LayerSummary

SUMMARY = LayerSummary(0, 0)


def job(size: int | None) -> ImportJob:
    return ImportJob("one", Chain(), io.BytesIO(), {}, size=size)


class Recorder:
    """Two importers that note who was asked; the one in a child may ask for more on the way."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def in_child(self, job: ImportJob) -> LayerSummary:
        self.asked.append("child")
        self.meanwhile()
        return SUMMARY

    def in_line(self, job: ImportJob) -> LayerSummary:
        self.asked.append("line")
        return SUMMARY

    def importer(self, limit: int) -> SparingImporter:
        return SparingImporter(self.in_child, self.in_line, limit)


@pytest.mark.parametrize(
    ("size", "where"),
    [(None, "child"), (SMALL_SIZE, "child"), (SMALL_SIZE - 1, "line"), (0, "line")],
)
def test_small_layers_are_imported_in_line(size: int | None, where: str) -> None:
    recorder = Recorder()
    assert recorder.importer(1)(job(size)) is SUMMARY
    assert recorder.asked == [where]


def test_layers_past_the_limit_are_imported_in_line() -> None:
    recorder = Recorder()
    importer = recorder.importer(1)
    recorder.meanwhile = lambda: importer(job(SMALL_SIZE))
    importer(job(SMALL_SIZE))
    assert recorder.asked == ["child", "line"]
    recorder.meanwhile = lambda: None
    importer(job(SMALL_SIZE))
    assert recorder.asked[2:] == ["child"]


def test_layer_of_unknown_size_always_gets_a_process() -> None:
    recorder = Recorder()
    importer = recorder.importer(0)
    importer(job(None))
    assert recorder.asked == ["child"]


def test_failed_import_frees_its_place() -> None:
    recorder = Recorder()
    importer = recorder.importer(1)

    def fail() -> None:
        raise NoSpace("no space")

    recorder.meanwhile = fail
    for _ in range(2):
        with pytest.raises(NoSpace):
            importer(job(SMALL_SIZE))
    assert recorder.asked == ["child", "child"]
