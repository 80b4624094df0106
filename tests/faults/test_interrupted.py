"""Imports that somebody stops, or whose source or receiver fails: nothing is left, and the error is theirs."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.faults import scenes, sweeps
from tests.faults.forks import Actor, Bell, Nursery
from tests.faults.scenes import GZIPPED, Source
from tests.support.builders import a_file, a_layer, layer_tar, raw_tar
from winlayers.base import blocks
from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel, NullProgress
from winlayers.driver import wire
from winlayers.driver.driver import Driver
from winlayers.driver.importing import ChildImporter, ImportJob
from winlayers.driver.metadata import LAYER_CHAIN
from winlayers.errors import (
    Cancelled,
    DigestMismatch,
    LayerExists,
    Malformed,
    RemoteFailure,
    TooLarge,
    WindowsCallFailed,
    codes_of,
)
from winlayers.formats.tar import TarHeader
from winlayers.layer.chain import Chain
from winlayers.layer.entry import LayerSummary
from winlayers.layer.findings import Finding

_PROMPT_SECONDS = 5.0


@pytest.fixture(params=[False, True], ids=["inline", "child"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    """A store with the usual layers; imports run in this process or in one of their own."""
    scenes.make(tmp_path / "root")
    return scenes.open_store(tmp_path / "root", reexec=request.param)


def assert_nothing(driver: Driver, tmp_path: Path) -> None:
    """Nothing is left of the layer, and it can be imported."""
    assert scenes.leftovers(tmp_path / "root") == []
    assert scenes.state_of(driver) == "absent"


def failing(error: BaseException, at: int) -> Source:
    """A source that raises instead of giving what is at an offset."""

    def fail(offset: int) -> None:
        if offset >= at:
            raise error

    return Source(GZIPPED, fail, 64)


# -- cancelled ----------------------------------------------------------------------------------------


class CancelAt(NullProgress):
    """Cancels once so many bytes were read."""

    def __init__(self, cancel: Cancel, size: int) -> None:
        self._cancel = cancel
        self._left = size

    def advance(self, size: int) -> None:
        self._left -= size
        if self._left <= 0:
            self._cancel.set()


def test_cancelled_from_the_start(driver: Driver, tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled) as caught:
        scenes.add(driver, "new", Source(GZIPPED), cancel=cancel)
    assert codes_of(caught.value).exit == 130
    assert_nothing(driver, tmp_path)


def test_cancelled_in_the_middle(driver: Driver, tmp_path: Path) -> None:
    cancel = Cancel()
    noise = layer_tar(a_layer(*(a_file(f"Files/{n}", bytes(1 << 20)) for n in range(12))))
    with pytest.raises(Cancelled):
        driver.import_layer(
            "new", "", io.BytesIO(noise), cancel=cancel, progress=CancelAt(cancel, 6 << 20)
        )
    assert_nothing(driver, tmp_path)


def test_cancelled_while_the_source_dribbles(driver: Driver, tmp_path: Path) -> None:
    cancel = Cancel()

    def dribble(offset: int) -> None:
        time.sleep(0.01)
        if offset == 5:
            cancel.set()

    began = time.monotonic()
    with pytest.raises(Cancelled):
        scenes.add(driver, "new", Source(GZIPPED, dribble, 1), cancel=cancel)
    assert time.monotonic() - began < _PROMPT_SECONDS
    assert_nothing(driver, tmp_path)


def test_cancelled_while_the_source_is_silent(driver: Driver, tmp_path: Path) -> None:
    cancel = Cancel()
    read, write = os.pipe()
    os.write(write, GZIPPED[:500])
    threading.Timer(0.1, cancel.set).start()
    began = time.monotonic()
    with open(read, "rb", buffering=0) as source, pytest.raises(Cancelled):
        try:
            scenes.add(driver, "new", source, cancel=cancel)
        finally:
            os.close(write)
    assert time.monotonic() - began < _PROMPT_SECONDS
    assert_nothing(driver, tmp_path)


# -- interrupted from the keyboard ---------------------------------------------------------------------


def interrupt(root: Path, reexec: bool, to_all: bool) -> str:
    """Press Ctrl-C while the source is silent; the name of the error."""
    scenes.make(root)
    silent = Bell()
    actor = Actor(import_in_silence, root, reexec, silent)
    assert silent.wait()
    os.killpg(actor.pid, signal.SIGINT) if to_all else actor.kill(signal.SIGINT)
    return actor.outcome().error


def import_in_silence(root: Path, reexec: bool, silent: Bell) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def fall_silent(offset: int) -> None:
        if offset >= 512:
            deadline = time.monotonic() + 10
            while not any((root / "tmp").glob("new.*")) and time.monotonic() < deadline:
                time.sleep(0.002)
            silent.ring()
            threading.Event().wait()

    scenes.add(scenes.open_store(root, reexec=reexec), "new", Source(GZIPPED, fall_silent, 64))


@pytest.mark.parametrize(("reexec", "to_all"), [(False, False), (True, False), (True, True)])
def test_keyboard_interrupt_leaves_nothing(
    nursery: Nursery, tmp_path: Path, reexec: bool, to_all: bool
) -> None:
    root = tmp_path / "root"
    assert nursery.run(interrupt, root, reexec, to_all) == "KeyboardInterrupt"
    assert scenes.leftovers(root) == []
    assert nursery.run(scenes.look, root) == "absent"


# -- sources and receivers that fail -------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), ValueError("odd"), BrokenPipeError()])
@pytest.mark.parametrize("at", [0, 600])
def test_error_of_the_source_comes_out_as_it_is(
    driver: Driver, tmp_path: Path, error: Exception, at: int
) -> None:
    with pytest.raises(type(error)) as caught:
        scenes.add(driver, "new", failing(error, at))
    assert caught.value is error
    assert_nothing(driver, tmp_path)


class RefusedError(Exception):
    """What a receiver of findings raises."""


def test_error_of_the_receiver_of_findings_stops_the_import(driver: Driver, tmp_path: Path) -> None:
    # More findings than a pipe holds, so that a receiver that reads no more would stop all.
    names = [b"Files", *(b"Files\\%d%s" % (n, b"a" * 200) for n in range(2000))]
    tar = raw_tar(*(TarHeader(name, b"5") for name in names))
    told = threading.Event()

    def refuse(finding: Finding) -> None:
        told.set()
        raise RefusedError(finding.code)

    def wait_until_told(offset: int) -> None:
        assert offset < len(tar) or told.wait(10)

    with pytest.raises(RefusedError):
        driver.import_layer("new", "", Source(tar, wait_until_told), report=refuse)
    assert_nothing(driver, tmp_path)


def test_wrong_digests_leave_nothing(driver: Driver, tmp_path: Path) -> None:
    wrong = Digest("sha256", "0" * 64)
    for digests in ({"digest": wrong}, {"diff_id": wrong}):
        with pytest.raises(DigestMismatch, match="0000"):
            scenes.add(driver, "new", Source(GZIPPED), **digests)
        assert_nothing(driver, tmp_path)


@pytest.mark.parametrize("size", [100, 5 << 20])
def test_existing_layer_is_told_whatever_is_left_to_send(
    driver: Driver, tmp_path: Path, size: int
) -> None:
    tar = layer_tar(a_layer(a_file("Files/a", bytes(size))))
    with pytest.raises(LayerExists, match="other"):
        driver.import_layer("other", "", Source(tar))
    assert_nothing(driver, tmp_path)


def test_damaged_tar_is_told_with_its_place(driver: Driver, tmp_path: Path) -> None:
    tar = bytearray(layer_tar(a_layer(a_file("Files/a", bytes(5 << 20)), a_file("Files/b"))))
    tar[-2048] ^= 1
    with pytest.raises(Malformed) as caught:
        driver.import_layer("new", "", Source(bytes(tar)))
    assert caught.value.offset is not None
    assert caught.value.offset > 5 << 20
    assert_nothing(driver, tmp_path)


def test_failure_of_a_thread_of_the_import_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError("no priorities here")

    driver = scenes.make(tmp_path / "root")
    monkeypatch.setattr(blocks, "lower_priority", refuse)
    with pytest.raises(PermissionError, match="no priorities"):
        scenes.add(driver, "new")
    assert_nothing(driver, tmp_path)


# -- what a write-layer process may be told --------------------------------------------------------


def conversation(root: Path, facts: dict[str, object]) -> list[bytes]:
    """What is said to the process: request, frames, end and the word."""
    request = {
        "backend": "portable", "home": str(root), "tmpdir": None, "layer_id": "new", "chain": ["parent", "base"],
        "files": {LAYER_CHAIN: '["/parent","/base"]'}, "policy": {},
    }  # fmt: skip
    tar = scenes.TARS["new"]
    frames = [tar[:1000], tar[1000:30_000], tar[30_000:]]
    heads = [wire.build_frame_head(len(frame)) for frame in frames]
    said = [piece for pair in zip(heads, frames, strict=True) for piece in pair]
    word = wire.build_message(facts)
    return [wire.build_message(request), *said, wire.build_frame_head(0), word]


def good_facts() -> dict[str, object]:
    digest = scenes.DIFF_IDS["new"]
    return {"size": len(scenes.TARS["new"]), "diff_id": digest, "digest": digest, "verified": True}


def say(root: Path, data: bytes) -> tuple[int, bytes]:
    """Say something to a write-layer process; its status and its answer."""
    process = sweeps.ForkedWorker(lambda call: None)
    with contextlib.suppress(BrokenPipeError), process.stdin:
        view = memoryview(data)
        while view:
            view = view[process.stdin.write(view) :]
    with process.stdout, process.stderr:
        answer = process.stdout.readall()
    return process.wait(), answer


def say_parts(root: Path) -> list[str]:
    """Stop talking after each byte that could matter; what was answered each time."""
    scenes.make(root)
    pieces = conversation(root, good_facts())
    whole = b"".join(pieces)
    borders = list(itertools.accumulate(map(len, pieces)))
    last = range(borders[-3] - 1, borders[-1], 5)
    sizes = {0, 1, *last, *(border + step for border in borders[:-1] for step in (-1, 0, 1, 4))}
    kinds = []
    for size in sorted(sizes):
        status, answer = say(root, whole[:size])
        assert status == 1
        assert scenes.leftovers(root) == []
        assert not (root / "windowsfilter/new").exists()
        kinds.append(type(wire.load_answer(answer)).__name__)
    status, answer = say(root, whole)
    assert status == 0
    assert isinstance(wire.load_answer(answer), LayerSummary)
    return kinds


def test_layer_is_abandoned_wherever_the_conversation_ends(
    nursery: Nursery, tmp_path: Path
) -> None:
    kinds = nursery.run(say_parts, tmp_path / "root")
    assert len(kinds) > 50
    assert set(kinds) == {"Cancelled"}
    assert nursery.run(scenes.look, tmp_path / "root") == "whole"


def say_wrongly(root: Path) -> list[str]:
    scenes.make(root)
    pieces = conversation(root, good_facts())
    other_size = conversation(root, {**good_facts(), "size": 512})
    kinds = []
    for said in (other_size, [b"\xff\xff\xff\xff", *pieces[1:]]):
        _, answer = say(root, b"".join(said))
        kinds.append(type(wire.load_answer(answer)).__name__)
        assert scenes.leftovers(root) == []
    return kinds


def test_word_that_does_not_fit_is_refused(nursery: Nursery, tmp_path: Path) -> None:
    assert nursery.run(say_wrongly, tmp_path / "root") == ["Corrupt", "Malformed"]
    assert nursery.run(scenes.look, tmp_path / "root") == "absent"


# -- what a write-layer process may say ---------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"nonsense", b"[]", b"1", b"{}", b'{"finding": 1}', b'{"summary": {"size": 1}}',
     b'{"error": {}}', b'{"summary": {"size": "x", "entry_count": null}}',
     b'{"finding": {"code": 1, "entry": "", "detail": ""}}',
     b'{"finding": {"code": "none", "entry": "", "detail": ""}}', b'{"finding": {"odd": 1}}', b"\xff", b"[" * 100_000,
     b'{"error": {"kind": "Malformed", "message": ""}}'],
)  # fmt: skip
def test_rubbish_from_the_child_is_a_remote_failure(line: bytes) -> None:
    with pytest.raises(RemoteFailure, match="said"):
        wire.load_answer(line)


@pytest.mark.parametrize(
    "answer",
    [
        Finding("name-separator", "Files/\ud800", "half a pair", offset=512),
        LayerSummary(1, 2, "sha256:00", "sha256:11", 3),
        Malformed("layer tar", "odd", offset=3, entry="Files/a", finding="name-duplicate"),
        TooLarge("more than was allowed"),
        WindowsCallFailed(
            call="ImportLayer", raw=0x80070005, code=5, text="Access is denied.", events=("why",)
        ),
        OSError(28, "No space left on device", "/somewhere"),
    ],
)
def test_answers_of_the_child_come_back(answer: Finding | LayerSummary | Exception) -> None:
    back = wire.load_answer(wire.dump_answer(answer))
    assert type(back) is type(answer)
    assert str(back) == str(answer)


def test_error_that_is_none_of_ours_is_quoted() -> None:
    back = wire.load_answer(wire.dump_answer(KeyError("odd")))
    assert isinstance(back, RemoteFailure)
    assert "KeyError" in str(back)


def test_store_whose_path_is_no_utf8_takes_layers_from_a_child(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"\xe9t\xe9")
    driver = scenes.make(root, "base")
    chain = b'["/\xe9t\xe9/windowsfilter/base"]'
    job = ImportJob(
        "child", Chain(("base",)), io.BytesIO(scenes.TARS["parent"]), {LAYER_CHAIN: chain}
    )
    ChildImporter("portable", root)(job)
    assert (root / "windowsfilter/child" / LAYER_CHAIN).read_bytes() == chain
    assert scenes.digest_of(driver, "base") == scenes.DIFF_IDS["base"]
