"""Where imports are staged: never in a folder that somebody else owns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from winlayers.backends.portable.backend import PortableBackend
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
