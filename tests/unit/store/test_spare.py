"""The spare room: given up where there is no other, and taken again."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from winlayers.store.spare import SPARE_SIZE, Spare


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.spare"


def leave(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Have the disk say that it has so much free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size))


def refuse_writes(monkeypatch: pytest.MonkeyPatch, code: int, *, after: int = 0) -> None:
    write = os.write
    left = after

    def refuse(file: int, block: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(code, os.strerror(code))
        size = write(file, block[:left])
        left -= size
        return size

    monkeypatch.setattr(os, "write", refuse)


def test_room_is_taken_at_once_and_once(path: Path) -> None:
    Spare(path)
    content = path.read_bytes()
    assert len(content) == SPARE_SIZE
    Spare(path)
    assert path.read_bytes() == content


def test_room_is_kept_where_there_is_other(path: Path) -> None:
    with Spare(path).lent():
        assert path.stat().st_size == SPARE_SIZE


def test_room_is_given_up_where_there_is_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = Spare(path)
    leave(monkeypatch, SPARE_SIZE - 1)
    with pytest.raises(KeyError), spare.lent():
        assert not path.exists()
        raise KeyError
    assert path.stat().st_size == SPARE_SIZE


def test_two_may_borrow_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 0)
    with Spare(path).lent():
        with Spare(path).lent():
            assert not path.exists()
        assert path.stat().st_size == SPARE_SIZE
    assert path.stat().st_size == SPARE_SIZE


def test_as_much_is_taken_again_as_there_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spare = Spare(path)
    leave(monkeypatch, 0)
    with monkeypatch.context() as patched:
        refuse_writes(patched, errno.ENOSPC, after=5000)
        with spare.lent():
            pass
    assert path.stat().st_size == 5000
    with spare.lent():
        pass
    assert path.stat().st_size == SPARE_SIZE


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_no_error(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    refuse_writes(monkeypatch, code)
    Spare(path)
    assert path.stat().st_size == 0


def test_other_errors_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_writes(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        Spare(path)
