"""Targets of ``winlayers.driver``: its files, its options, and what its child says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz import seeds
from tests.fuzz.registry import target
from tests.fuzz.sources import outcome
from tests.fuzz.workplace import empty, workplace
from winlayers.driver import wire
from winlayers.driver.metadata import (
    LAYER_CHAIN,
    LAYER_ID,
    build_layer_chain,
    check_layer_id,
    read_layer_chain,
    read_layer_id,
)
from winlayers.driver.options import parse_driver_options, parse_storage_options
from winlayers.errors import DigestMismatch, LayerNotFound, Malformed
from winlayers.layer.entry import LayerSummary
from winlayers.layer.findings import Finding


def _chains() -> Iterator[bytes]:
    yield build_layer_chain([Path("/var/lib/docker/windowsfilter/a"), Path("C:\\x\\b")])
    yield build_layer_chain([])
    yield b'["C:\\\\ProgramData\\\\docker\\\\windowsfilter\\\\0123"]'


@target(_chains)
def layer_chain(data: bytes) -> None:
    """The file that tells the parents of a layer: names of folders in our own home, or an error."""
    folder = workplace("layer")
    if not folder.is_dir():
        empty(folder)
    (folder / LAYER_CHAIN).write_bytes(data)
    for layer_id in read_layer_chain(folder):
        assert layer_id not in ("", ".", "..")
        assert not {"/", "\\"} & set(layer_id)


@target(lambda: (b"0123abcd", b"base.1_x"))
def layer_id(data: bytes) -> None:
    """The file that gives a layer another id: one that cannot lead elsewhere, or an error."""
    folder = workplace("layer")
    if not folder.is_dir():
        empty(folder)
    (folder / LAYER_ID).write_bytes(data)
    found = read_layer_id(folder)
    assert found is not None
    assert check_layer_id(found) == found


def _answers() -> Iterator[bytes]:
    yield wire.dump_answer(Finding("time-range", "Files/\ud800", "detail", offset=512))
    yield wire.dump_answer(LayerSummary(1, 2, "sha256:x", "sha256:y", 3))
    for error in (
        Malformed("tar", "bad", offset=3, entry="Files/a", finding="tar-damaged"),
        LayerNotFound("no layer"),
        DigestMismatch("blob", expected="a", actual="b"),
        OSError(28, "No space", "/x"),
        ValueError("x"),
    ):
        yield wire.dump_answer(error)


@target(_answers)
def wire_answer(data: bytes) -> None:
    """A line from the write-layer process, which may have been taken over by what it parsed."""
    found = wire.load_answer(data)
    assert str(found)
    again = wire.load_answer(wire.dump_answer(found))
    if isinstance(found, Exception):
        assert str(again) == str(found)
    else:
        assert again == found


def _frames() -> Iterator[bytes]:
    yield (
        wire.build_frame_head(3)
        + b"abc"
        + wire.build_frame_head(2)
        + b"de"
        + wire.build_frame_head(0)
    )


@target(_frames)
def wire_frames(data: bytes) -> None:
    """The frames in which the write-layer process is given a tar."""
    path = workplace("frames")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        source = wire.FrameReader(descriptor)
        size = 0
        while block := source.read(100):
            size += len(block)
        assert size <= len(data)
    finally:
        os.close(descriptor)


def _options() -> Iterator[bytes]:
    yield from (b"size=20GB", b"SIZE = 1.5g", b"other=1")
    for text in seeds.text_of("units", "input"):
        yield b"size=" + text


@target(_options)
def storage_options(data: bytes) -> None:
    """Storage options as Docker passes them."""
    option = data.decode("utf-8", "surrogateescape")
    key, _, value = option.partition("=")
    outcome(lambda: parse_storage_options({key: value}))
    assert -(1 << 63) <= parse_driver_options([option]).size < 1 << 63
