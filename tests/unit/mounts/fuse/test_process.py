"""What is said between who mounts and the process that serves; with workers that only talk."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from winlayers.base.processes import process_start_time
from winlayers.errors import LayerMounted, Malformed, RemoteFailure, StoreCorrupt, TimedOut
from winlayers.mounts.contract import ForestRequest, MountRequest
from winlayers.mounts.fuse import _process
from winlayers.mounts.fuse._process import (
    build_error,
    build_ready,
    build_request,
    parse_forest_request,
    parse_request,
    start_process,
)

REQUEST = MountRequest(Path("/home"), None, "s", ("a", "b"), Path("/mnt"), read_only=True)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module whose ``run`` is the test's parameter."""
    body = "".join(f"    {line}\n" for line in request.param.splitlines())
    (tmp_path / "talking.py").write_text(f"import os, sys, time\ndef run():\n{body}")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return "talking"


def said(line: bytes) -> str:
    return f"sys.stdin.read(); os.write(1, {line!r})"


def test_request_is_read_back() -> None:
    assert parse_request(build_request(REQUEST)) == REQUEST
    with_tmpdir = MountRequest(Path("/h"), Path("/t"), "s", (), Path("/m"), raw=True, shared=True)
    assert parse_request(build_request(with_tmpdir)) == with_tmpdir
    forest = ForestRequest(Path("/h"), Path("/t"), Path("/h/snapshots"), shared=True)
    assert parse_forest_request(build_request(forest)) == forest


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"home": 1}', b"\xff"])
def test_what_is_no_request_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_request(data)
    with pytest.raises(Malformed):
        parse_forest_request(data)


@pytest.mark.parametrize("worker", [said(build_ready()) + "; time.sleep(60)"], indirect=True)
def test_process_that_is_ready_is_told_of(worker: str) -> None:
    info = start_process(worker, REQUEST)
    try:
        assert info.path == Path("/mnt")
        assert info.started == process_start_time(info.pid)
        assert os.getsid(info.pid) == info.pid
    finally:
        os.kill(info.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "worker", [said(build_error(LayerMounted("somebody has it")))], indirect=True
)
def test_error_of_the_process_is_raised(worker: str) -> None:
    with pytest.raises(LayerMounted, match="somebody has it"):
        start_process(worker, REQUEST)


@pytest.mark.parametrize("worker", [said(build_error(Malformed("a", "b")))], indirect=True)
def test_damage_in_the_store_is_told_as_that(worker: str) -> None:
    with pytest.raises(StoreCorrupt, match="a: b"):
        start_process(worker, REQUEST)


@pytest.mark.parametrize("worker", [said(build_error(KeyError("k")))], indirect=True)
def test_error_that_is_none_of_ours_is_quoted(worker: str) -> None:
    with pytest.raises(RemoteFailure, match="KeyError"):
        start_process(worker, REQUEST)


@pytest.mark.parametrize(
    "worker",
    [
        "os.write(2, b'out of luck'); sys.exit(3)",
        "sys.stdin.read(); os.write(2, b'out of luck'); os.write(1, b'[1]\\n')",
        "os.close(0); os.write(2, b'out of luck'); os.write(1, b'no JSON')",
    ],
    indirect=True,
)
def test_process_that_ends_without_a_word_is_quoted(worker: str) -> None:
    with pytest.raises(RemoteFailure, match="out of luck"):
        start_process(worker, REQUEST)


@pytest.mark.parametrize("worker", ["time.sleep(60)"], indirect=True)
def test_process_that_says_nothing_is_ended(worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_process, "_START_SECONDS", 0.3)
    with pytest.raises(TimedOut):
        start_process(worker, REQUEST)
