"""Atomic writes: content appears at once or not at all, and reaches the disk in the right order."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from winlayers.base import atomic
from winlayers.base.atomic import publish, sync_directory, write_file
from winlayers.errors import AlreadyExists


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the disk, in order."""
    done: list[str] = []
    real_fsync, real_rename, real_replace = os.fsync, os.rename, os.replace

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append("sync folder" if is_folder else "sync file")
        real_fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        done.append("rename")
        real_rename(source, target)

    def replace(source: Path, target: Path) -> None:
        done.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "replace", replace)
    return done


class TestWriteFile:
    def test_content_reaches_the_disk_before_the_name_does(
        self, tmp_path: Path, steps: list[str]
    ) -> None:
        path = tmp_path / "file"
        write_file(path, b"content")
        assert path.read_bytes() == b"content"
        assert steps == ["sync file", "rename", "sync folder"]
        assert os.listdir(tmp_path) == ["file"]

    def test_old_content_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old and longer")
        write_file(path, b"new")
        assert path.read_bytes() == b"new"
        write_file(path, b"")
        assert path.read_bytes() == b""

    def test_without_sync_the_disk_is_left_alone(self, tmp_path: Path, steps: list[str]) -> None:
        write_file(tmp_path / "file", b"content", sync=False)
        assert steps == ["rename"]

    @pytest.mark.skipif(sys.platform == "win32", reason="no such bits there")
    def test_mode_is_that_of_the_new_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        write_file(path, b"")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        write_file(path, b"", 0o400)
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        write_file(path, b"again")
        assert path.read_bytes() == b"again"

    def test_link_is_replaced_and_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"keep")
        path = tmp_path / "link"
        path.symlink_to(victim)
        write_file(path, b"new")
        assert victim.read_bytes() == b"keep"
        assert not path.is_symlink()

    @pytest.mark.parametrize("name", ["fsync", "replace"])
    def test_failure_leaves_the_old_content_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old")

        def fail(*arguments: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, name, fail)
        with pytest.raises(OSError, match="Input/output"):
            write_file(path, b"new")
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["file"]

    def test_first_error_is_told_when_cleaning_up_fails_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*arguments: object, **options: object) -> None:
            raise OSError(errno.EIO, "broken")

        monkeypatch.setattr(os, "replace", fail)
        monkeypatch.setattr(Path, "unlink", fail)
        with pytest.raises(OSError, match="broken") as caught:
            write_file(tmp_path / "file", b"new")
        assert "could not be removed" in caught.value.__notes__[0]

    def test_missing_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write_file(tmp_path / "none" / "file", b"")


class TestPublish:
    def test_folder_gets_its_name_and_the_disk_learns_it(
        self, tmp_path: Path, steps: list[str]
    ) -> None:
        staged = tmp_path / "tmp" / "staged"
        staged.mkdir(parents=True)
        (staged / "file").write_bytes(b"content")
        publish(staged, tmp_path / "final")
        assert (tmp_path / "final" / "file").read_bytes() == b"content"
        assert steps == ["sync folder", "rename", "sync folder", "sync folder"]

    def test_file_within_one_folder(self, tmp_path: Path, steps: list[str]) -> None:
        (tmp_path / "staged").write_bytes(b"content")
        publish(tmp_path / "staged", tmp_path / "final")
        assert os.listdir(tmp_path) == ["final"]
        assert steps == ["rename", "sync folder"]

    def test_without_sync_only_the_name_changes(self, tmp_path: Path, steps: list[str]) -> None:
        (tmp_path / "staged").mkdir()
        publish(tmp_path / "staged", tmp_path / "final", sync=False)
        assert steps == ["rename"]

    @pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
    def test_name_in_use_is_not_taken(self, tmp_path: Path, kind: str) -> None:
        staged, target = tmp_path / "staged", tmp_path / "final"
        staged.mkdir()
        if kind == "file":
            target.touch()
        elif kind == "folder":
            target.mkdir()
        else:
            target.symlink_to(tmp_path / "nowhere")
        with pytest.raises(AlreadyExists, match="final exists already"):
            publish(staged, target)
        assert staged.is_dir()

    def test_name_taken_in_the_last_moment_is_told_alike(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def taken(source: Path, target: Path) -> None:
            raise FileExistsError(errno.EEXIST, "File exists")

        monkeypatch.setattr(os, "rename", taken)
        (tmp_path / "staged").touch()
        with pytest.raises(AlreadyExists):
            publish(tmp_path / "staged", tmp_path / "final")


class TestSync:
    def test_folder_of_a_file_system_without_such_a_sync(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        codes = [errno.EINVAL, errno.EIO]

        def fail(descriptor: int) -> None:
            raise OSError(codes.pop(0), "sync")

        monkeypatch.setattr(os, "fsync", fail)
        sync_directory(tmp_path)
        with pytest.raises(OSError, match="sync"):
            sync_directory(tmp_path)
        assert not codes

    def test_windows_lets_go_of_a_new_file_after_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, failures = os.replace, [1, 2]

        def replace(source: Path, target: Path) -> None:
            if failures:
                failures.pop()
                raise PermissionError(errno.EACCES, "in use")
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(atomic, "_WINDOWS_PAUSE_SECONDS", 0)
        monkeypatch.setattr(sys, "platform", "win32")
        write_file(tmp_path / "file", b"content")
        assert (tmp_path / "file").read_bytes() == b"content"

    def test_elsewhere_a_refusal_is_final(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []

        def replace(source: Path, target: Path) -> None:
            calls.append(target)
            raise PermissionError(errno.EACCES, "no")

        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(atomic, "_WINDOWS_PAUSE_SECONDS", 0)
        monkeypatch.setattr(sys, "platform", "linux")
        with pytest.raises(PermissionError):
            write_file(tmp_path / "file", b"content")
        monkeypatch.setattr(sys, "platform", "win32")
        with pytest.raises(PermissionError):
            write_file(tmp_path / "file", b"content")
        assert len(calls) == 1 + 20
