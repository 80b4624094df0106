"""What is open is refused where that keeps it in its place."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from winlayers.base import openfiles
from winlayers.base.openfiles import check_closed
from winlayers.errors import InUse


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of files that this Windows has open."""
    names: set[str] = set()

    def rename(source: Path, target: Path) -> None:
        assert source == target
        os.lstat(source)
        if source.name in names:
            raise PermissionError(errno.EACCES, "Sharing violation", str(source))

    monkeypatch.setattr(openfiles, "_IS_WINDOWS", True)
    monkeypatch.setattr(os, "rename", rename)
    return names


def test_files_at_any_depth_are_asked(held: set[str], tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for place in ("first", "a/b/last"):
        (tmp_path / place).write_bytes(b"")
    check_closed(tmp_path)
    held.add("last")
    with pytest.raises(InUse, match="last is open"):
        check_closed(tmp_path)
    with pytest.raises(InUse, match="last is open"):
        check_closed(tmp_path / "a" / "b" / "last")
    check_closed(tmp_path / "first")


def test_what_is_not_there_is_not_open(held: set[str], tmp_path: Path) -> None:
    check_closed(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_open_file_is_asked_of_this_system(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open(path, "wb"):
        if sys.platform == "win32":
            with pytest.raises(InUse):
                check_closed(tmp_path)
        else:
            check_closed(tmp_path)
            path.unlink()
            assert list(tmp_path.iterdir()) == []
    check_closed(tmp_path)
