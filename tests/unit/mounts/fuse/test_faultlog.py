"""The file in which the process of a mount tells what went wrong."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from winlayers.mounts.fuse._faultlog import FaultLog


@pytest.fixture
def log(tmp_path: Path) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addHandler(FaultLog(tmp_path / "log" / "mount-s.log", size=1000))
    return logger


def test_nothing_is_made_before_there_is_something_to_tell(
    log: logging.Logger, tmp_path: Path
) -> None:
    log.info("all is well")
    assert list(tmp_path.iterdir()) == []


def test_fault_is_told_with_its_traceback(log: logging.Logger, tmp_path: Path) -> None:
    try:
        raise LookupError("lost \udcff")
    except LookupError:
        log.exception("fault in %s", "read")
    file = tmp_path / "log" / "mount-s.log"
    text = file.read_text()
    assert "ERROR fault in read" in text
    assert "LookupError: lost" in text
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_long_log_begins_anew(log: logging.Logger, tmp_path: Path) -> None:
    for number in range(500):
        log.warning("number %d", number)
    text = (tmp_path / "log" / "mount-s.log").read_text()
    assert text.endswith("number 499\n")
    assert len(text) < 1200


def test_folder_that_cannot_be_made_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_bytes(b"")
    logger = logging.Logger("test")
    logger.addHandler(FaultLog(tmp_path / "log" / "mount-s.log"))
    logger.error("fault")
    assert "Logging error" in capsys.readouterr().err
