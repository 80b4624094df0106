"""What is looked at in the same way whoever keeps the layers: who holds a lock."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from winlayers.backends.commonchecks import check_staging, is_locked
from winlayers.base.locking import FileLock


def test_lock_is_held_by_whoever_has_it(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    assert not is_locked(path)
    assert not path.exists()
    with FileLock(path).acquire(shared=True):
        assert is_locked(path)
    assert not is_locked(path)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_on_a_disk_that_cannot_be_written_nobody_holds_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "one.lock"
    path.touch()

    def refuse(self: FileLock, **options: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    if code == errno.EROFS:
        assert not is_locked(path)
    else:
        with pytest.raises(PermissionError):
            is_locked(path)


def test_staging_that_is_in_use_or_somebody_else_s_is_passed_over(tmp_path: Path) -> None:
    for name in ("used.0123456789abcdef", "left.0123456789abcdef", "left.0123", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.0123456789abcdef").touch()
    with FileLock(tmp_path / "used.0123456789abcdef.lock").acquire():
        found = list(check_staging(tmp_path))
    assert [(one.path.name, one.action) for one in found] == [
        ("left.0123456789abcdef", "remove the folder")
    ]
