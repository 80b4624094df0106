"""What a look into a bare tar leaves in the folder for temporary files: nothing, at the latest at the next look."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, content_at, layer_tar
from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.portable.loose import open_loose
from winlayers.backends.sealed import staging
from winlayers.errors import Malformed

_HOLD_OPEN = """
import sys
from pathlib import Path
from winlayers.backends.portable.loose import open_loose

with open_loose(Path(sys.argv[1]), tmpdir=Path(sys.argv[2])):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    path = tmp_path / "layer.tar"
    path.write_bytes(layer_tar(a_layer(a_file("Files/a.txt", b"content"))))
    return path


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@contextmanager
def another_looking(tar: Path, tmp: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the tar open, killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_OPEN, str(tar), str(tmp)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()
        process.wait()


def names_in(folder: Path) -> list[str]:
    """What lies there, the random part left out."""
    return sorted(name.replace(name[15:31], "#") for name in os.listdir(folder))


def test_next_look_removes_what_a_killed_one_left_but_nothing_of_a_living_one(
    tar: Path, tmp: Path
) -> None:
    one_look = ["winlayers-look.#", "winlayers-look.#.lock"]
    with another_looking(tar, tmp) as process:
        with open_loose(tar, tmpdir=tmp) as layer:
            assert content_at(layer.view, "Files/a.txt") == b"content"
            assert names_in(tmp) == sorted(2 * one_look)
        assert names_in(tmp) == one_look
    assert process.returncode  # it was killed
    assert names_in(tmp) == one_look
    with open_loose(tar, tmpdir=tmp):
        assert names_in(tmp) == one_look
    assert names_in(tmp) == []


def test_store_removes_what_a_killed_look_left(tar: Path, tmp: Path) -> None:
    with another_looking(tar, tmp):
        assert PortableBackend(tmp.parent / "root", tmpdir=tmp).recover() == []
    assert len(PortableBackend(tmp.parent / "root", tmpdir=tmp).recover()) == 1
    assert names_in(tmp) == []


def test_look_leaves_alone_what_it_did_not_make(
    tar: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"layer.0123456789abcdef", "winlayers-look.0123456789abcdef"}
    for name in others:
        (tmp / name).mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(staging, "_is_own", lambda path: False)
        open_loose(tar, tmpdir=tmp).close()
    assert set(os.listdir(tmp)) == others
    open_loose(tar, tmpdir=tmp).close()
    assert set(os.listdir(tmp)) == {"layer.0123456789abcdef"}


def test_tar_that_cannot_be_opened_leaves_nothing(
    tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    damaged = tmp.parent / "damaged.tar"
    damaged.write_bytes(b"no tar" * 500)
    with pytest.raises(Malformed):
        open_loose(damaged)
    with pytest.raises(FileNotFoundError):
        open_loose(tmp.parent / "absent.tar")
    assert os.listdir(tmp) == []


if sys.platform != "win32":

    def test_only_own_files_are_own(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert staging._is_own(tmp)
        assert not staging._is_own(tmp / "absent")
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert not staging._is_own(tmp)
