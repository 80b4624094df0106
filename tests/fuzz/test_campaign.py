"""The campaign itself: it finds what is there to be found, and goes where it was not yet."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz import campaign as campaign_module
from tests.fuzz import seeds
from tests.fuzz.campaign import Campaign, found_cases
from tests.fuzz.reach import Reach
from tests.fuzz.registry import Target
from tests.fuzz.repair import repair_hive, repair_records, repair_tar
from tests.fuzz.targets import TARGETS
from winlayers.errors import Malformed
from winlayers.formats.ea import parse_ea_list
from winlayers.formats.hive.reader import Hive
from winlayers.formats.pax import parse_records
from winlayers.formats.tar import TarReader
from winlayers.layer.names import fold

ROOT = Path(__file__).parents[2]


def a_target(decode: Callable[[bytes], None], *made: bytes) -> Target:
    return Target(decode, lambda: made or (b"0123456789",), None)


def crash(data: bytes) -> None:
    """Goes past the end of some inputs."""
    assert data[3:4] or data[9]


def stall(data: bytes) -> None:
    """Does not end."""
    while True:
        time.sleep(0)


def refuse(data: bytes) -> None:
    """Says so."""
    raise Malformed("input", "is not good")


def decode(data: bytes) -> None:
    """Goes into the package."""
    parse_ea_list(data)


def test_exception_that_is_not_ours_is_found() -> None:
    found = Campaign(a_target(crash)).run(5)
    assert found is not None
    assert len(found.data) < 4
    assert "IndexError" in found.report
    with pytest.raises(IndexError):
        crash(found.data)


def test_error_of_ours_is_none() -> None:
    assert Campaign(a_target(refuse)).run(0.1) is None


@pytest.mark.parametrize("make", [KeyboardInterrupt, SystemExit])
def test_interrupt_ends_a_campaign_and_other_ends_are_found(make: type[BaseException]) -> None:
    def end(data: bytes) -> None:
        raise make

    campaign = Campaign(a_target(end))
    if make is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            campaign.run(1)
    else:
        assert campaign.run(1) is not None


def test_case_without_an_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(signal, "setitimer"):
        assert sys.platform == "win32"
        return
    monkeypatch.setattr(campaign_module, "CASE_SECONDS", 0.05)
    found = Campaign(a_target(stall)).run(5)
    assert found is not None
    assert "TooSlowError" in found.report
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_input_that_reaches_new_lines_is_kept() -> None:
    campaign = Campaign(a_target(decode, b""))
    assert campaign.run(0.5) is None
    reached = campaign.reach.line_count
    assert reached > 5
    assert len(campaign.inputs) > 1
    again = Reach()
    for data in campaign.inputs:
        again.run(a_target(decode), data)
    assert again.line_count == reached


def test_same_seed_gives_the_same_cases() -> None:
    def cases_of(seed: int) -> list[bytes]:
        cases: list[bytes] = []

        def remember(data: bytes) -> None:
            cases.append(data)
            assert len(cases) < 20

        assert Campaign(a_target(remember), seed=seed).run(30) is not None
        return cases

    assert cases_of(1) == cases_of(1) != cases_of(2)


def test_repair_changes_nothing_that_is_right() -> None:
    tar = next(iter(seeds.layer_tars()))
    assert repair_tar(tar) == tar
    hive = next(iter(seeds.hives()))
    assert repair_hive(hive) == hive
    records = b"12 path=abc\n" + b"102 k=" + b"v" * 95 + b"\n"
    assert parse_records(records)
    assert repair_records(records) == records


def test_repair_makes_a_changed_input_readable() -> None:
    tar = bytearray(next(iter(seeds.layer_tars())))
    at = tar.index(b"MSWINDOWS.fileattr")
    tar[at:at] = b"X"
    tar[at + 100 : at + 101] = b""  # so that the blocks stay where they were
    tar[0:1] = b"p"
    with pytest.raises(Malformed):
        list(TarReader(io.BytesIO(bytes(tar))))
    (header, *_) = TarReader(io.BytesIO(repair_tar(bytes(tar))))
    assert b"XMSWINDOWS.fileattr" in header.pax
    hive = bytearray(next(iter(seeds.hives())))
    hive[24] ^= 1
    with pytest.raises(Malformed, match="checksum"):
        Hive.open(bytes(hive), fold=fold)
    Hive.open(repair_hive(bytes(hive)), fold=fold)


def test_finding_is_written_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_limit_memory", lambda: None)  # of this process
    monkeypatch.setitem(TARGETS, "crash", a_target(crash))
    assert command.main(["crash", "--seconds", "5"], folder=tmp_path) == 1
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("crash-")
    told = capsys.readouterr().out
    assert str(path) in told
    assert "IndexError" in told
    ((target, data),) = found_cases(tmp_path)
    assert (target.name, data) == ("crash", path.read_bytes())


def test_finding_of_no_target_is_told(tmp_path: Path) -> None:
    (tmp_path / "nobody-01234567").write_bytes(b"")
    with pytest.raises(KeyError, match="nobody"):
        list(found_cases(tmp_path))


def test_command_feeds_the_targets_it_is_given() -> None:
    done = fuzz("ea", "guid", "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["ea", "guid"]
    refused = fuzz("nothing")
    assert refused.returncode == 2
    assert "there is no target nothing" in refused.stderr


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
