"""Cloning a utility VM."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from winlayers.errors import Unsupported
from winlayers.layer.utilityvm import clone_utility_vm

BCD = Path("EFI/Microsoft/Boot/BCD")
PLAIN = Path("Windows/System32/ntoskrnl.exe")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for path in (BCD, PLAIN):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(path.name.encode())
    (root / "empty").mkdir()
    os.symlink("nowhere", root / "link")
    os.utime(root / "Windows", ns=(10**18, 10**18))
    return root


def test_plain_files_share_and_others_are_copies(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    clone_utility_vm(source, target)
    assert (target / PLAIN).samefile(source / PLAIN)
    assert not (target / BCD).samefile(source / BCD)
    assert (target / BCD).read_bytes() == b"BCD"
    assert (target / "empty").is_dir()
    assert os.readlink(target / "link") == "nowhere"


def test_folders_keep_their_times(source: Path, tmp_path: Path) -> None:
    clone_utility_vm(source, tmp_path / "target")
    assert (tmp_path / "target" / "Windows").stat().st_mtime_ns == 10**18


def test_files_are_copied_where_there_are_no_links(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EXDEV, "other device")

    monkeypatch.setattr(os, "link", refuse)
    clone_utility_vm(source, tmp_path / "target")
    assert (tmp_path / "target" / PLAIN).read_bytes() == PLAIN.name.encode()


def test_other_errors_come_through(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="full"):
        clone_utility_vm(source, tmp_path / "target")


if hasattr(os, "mkfifo"):  # Windows has nothing of that sort

    def test_what_is_no_file_is_refused(source: Path, tmp_path: Path) -> None:
        os.mkfifo(source / "queue")
        with pytest.raises(Unsupported, match="queue"):
            clone_utility_vm(source, tmp_path / "target")


def test_target_must_be_new_and_source_there(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        clone_utility_vm(source, tmp_path)
    with pytest.raises(FileNotFoundError):
        clone_utility_vm(tmp_path / "missing", tmp_path / "target")
