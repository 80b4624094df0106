"""Where imports are staged: never in a folder that somebody else owns."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.sealed import staging
from winlayers.errors import Denied


def test_staging_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmpdir = tmp_path / "tmp"
    tmpdir.mkdir()
    if os.geteuid() == 0:
        os.chown(tmpdir, 4711, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(Denied, match="belongs to user"):
        PortableBackend(tmp_path / "root", tmpdir=tmpdir)


def test_staging_folder_of_ones_own_is_taken(tmp_path: Path) -> None:
    PortableBackend(tmp_path / "root", tmpdir=tmp_path / "tmp")
    assert (tmp_path / "tmp").is_dir()


def test_tree_of_any_depth_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "deep"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 60, dir_fd=descriptor)
        below = os.open("d" * 60, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open(b"odd\xff\n", os.O_CREAT, dir_fd=descriptor))
    os.symlink("/", "link", dir_fd=descriptor)
    os.close(descriptor)
    staging.remove_tree(top)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_its_owner_may_not_write_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "top" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"x")
    for folder in (inner, inner.parent):
        folder.chmod(0o500)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "as it is for all but root", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    staging.remove_tree(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []
