"""What a mounter says before it mounts, and who holds a folder; mounts themselves are in tests/e2e."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from winlayers.errors import InUse, InvalidArgument, MissingExtra, Unsupported
from winlayers.mounts.contract import MountRequest
from winlayers.mounts.fuse import mounter
from winlayers.mounts.fuse._holders import holders_of
from winlayers.mounts.fuse.mounter import FuseMounter, check_system
from winlayers.mounts.fuse.mountinfo import MountLine


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system that can mount, as far as anybody sees; the device of it."""
    device = tmp_path / "fuse"
    device.touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(mounter, "_DEVICE", device)
    monkeypatch.setattr(sys, "platform", "linux")
    return device


def a_request(path: Path) -> MountRequest:
    return MountRequest(path.parent / "home", None, "s", (), path)


def test_library_that_is_missing_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'winlayers\[fuse\]'.*apt install fuse3"):
        check_system()


def test_kernel_without_fuse_is_told(system: Path) -> None:
    check_system()
    system.unlink()
    with pytest.raises(Unsupported, match="modprobe fuse"):
        check_system()


def test_user_without_fusermount_is_told(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(mounter.shutil, "which", lambda name: None)
    with pytest.raises(Unsupported, match="fusermount3"):
        check_system()


def test_place_has_to_be_an_empty_folder(system: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no folder"):
        FuseMounter("nobody").mount(a_request(tmp_path / "none"))
    with pytest.raises(InvalidArgument, match="no folder"):
        FuseMounter("nobody").mount(a_request(system))
    with pytest.raises(InvalidArgument, match="not empty"):
        FuseMounter("nobody").mount(a_request(tmp_path))


def test_place_that_is_taken_is_refused(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounter, "find_mount", lambda path: MountLine(path, "s", 1))
    with pytest.raises(InUse, match="already"):
        FuseMounter("nobody").mount(a_request(tmp_path))


def test_nothing_is_unmounted_where_nothing_is_mounted(tmp_path: Path) -> None:
    mounts = FuseMounter("nobody")
    mounts.unmount(tmp_path)
    assert not mounts.is_mounted(tmp_path)
    assert not mounts.mend(tmp_path)
    assert not mounts.mend(tmp_path / "none")


def test_holders_are_told_by_name_where_the_system_tells(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=inner, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        holders = holders_of(tmp_path)
        assert process.stdin is not None
        process.stdin.close()
    assert any(one.endswith(f"({process.pid})") for one in holders) is Path("/proc/self").exists()
    assert holders_of(tmp_path / "inn") == []
