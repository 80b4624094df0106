"""Places below a transport folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from winlayers.errors import InvalidName, Malformed, Unsupported
from winlayers.layer.transportfolder import TransportFolder, is_real_directory

USES: list[Callable[[TransportFolder, str], object]] = [
    TransportFolder.create,
    TransportFolder.make_directory,
    TransportFolder.open,
    TransportFolder.remove,
]


def test_files_and_folders_are_made_and_removed(tmp_path: Path) -> None:
    with closing(TransportFolder(tmp_path)) as folder:
        folder.make_directory("d")
        with folder.create("d/a") as target:
            target.write(b"abc")
        with folder.open("d/a") as source:
            assert source.read() == b"abc"
        assert folder.names("") == ["d"]
        found = folder.lstat("d")
        assert found is not None
        assert is_real_directory(found)
        folder.set_times("d/a", access_ns=10**9, write_ns=2 * 10**9)
        assert (tmp_path / "d" / "a").stat().st_mtime_ns == 2 * 10**9
        folder.remove("d")
        assert folder.lstat("d/a") is None
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "d/../../x", "a\0"])
def test_path_that_is_none_is_refused(
    tmp_path: Path, use: Callable[[TransportFolder, str], object], path: str
) -> None:
    with closing(TransportFolder(tmp_path)) as folder, pytest.raises(InvalidName):
        use(folder, path)


@pytest.mark.parametrize("use", USES)
def test_link_is_never_followed(
    tmp_path: Path, use: Callable[[TransportFolder, str], object]
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    for place in (outside, root):
        place.mkdir()
    (outside / "x").write_bytes(b"kept")
    os.symlink(outside, root / "d")
    with closing(TransportFolder(root)) as folder:
        for path in ("d/x", "d/y"):
            with pytest.raises((InvalidName, Malformed)):
                use(folder, path)
    assert (outside / "x").read_bytes() == b"kept"
    assert not (outside / "y").exists()


def test_refusals_of_the_host_carry_the_finding(tmp_path: Path) -> None:
    with closing(TransportFolder(tmp_path)) as folder:
        folder.create("a").close()
        for use in (folder.create, folder.make_directory):
            with pytest.raises(Malformed) as caught:
                use("a")
            assert caught.value.finding == "name-duplicate"
            with pytest.raises(Malformed) as caught:
                use("missing/a")
            assert caught.value.finding == "parent-missing"
        for use in (folder.open, folder.remove):
            with pytest.raises(Malformed):
                use("missing")


def test_lone_surrogate_is_kept_or_refused(tmp_path: Path) -> None:
    with closing(TransportFolder(tmp_path)) as folder:
        try:
            folder.create("\ud800").close()
            outcome = folder.names("")
        except Unsupported:  # a file system that takes only UTF-8
            outcome = ["unsupported"]
    assert outcome in (["\ud800"], ["unsupported"])


def test_name_that_the_host_cannot_hold_is_unsupported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(TransportFolder(tmp_path)) as folder:
        with pytest.raises(Unsupported):
            folder.create("n" * 5000)

        def fail(*args: object, **options: object) -> None:
            raise OSError(errno.EIO, "broken")

        monkeypatch.setattr(os, "mkdir", fail)
        with pytest.raises(OSError, match="broken"):
            folder.make_directory("d")
