"""Folders gone through by plain calls, and removed where those do not suffice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native._handles import system_path
from winlayers.backends.native._plaintrees import count_bytes, remove_staged


def test_bytes_are_counted_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "a").write_bytes(b"12345")
    (tmp_path / "d" / "e" / "b").write_bytes(b"67")
    assert count_bytes(tmp_path) == 7
    assert count_bytes(tmp_path / "gone") == 0


def test_links_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "large").write_bytes(bytes(100_000))
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "link").symlink_to(tmp_path / "elsewhere")
    assert count_bytes(tmp_path / "layer") < 10_000


def test_what_lies_deeper_than_260_units_is_counted(tmp_path: Path) -> None:
    deep = Path(system_path(tmp_path), *["x" * 100] * 4)
    deep.mkdir(parents=True)
    (deep / "a").write_bytes(b"12345")
    assert count_bytes(tmp_path) == 5


def test_what_refuses_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "denied").mkdir()
    (tmp_path / "denied" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"67")
    scandir = os.scandir

    def scan(path: str) -> object:
        if path.endswith("denied"):
            refuse()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert count_bytes(tmp_path) == 2


def refuse(*_arguments: object) -> None:
    raise PermissionError(13, "READONLY, or too deep")


def test_what_plain_calls_leave_goes_by_handles(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "staged" / "Files").mkdir(parents=True)
    (tmp_path / "staged" / "Files" / "a").write_bytes(b"1")
    monkeypatch.setattr(shutil, "rmtree", refuse)
    remove_staged(fake.api, tmp_path / "staged")
    assert list(tmp_path.iterdir()) == []
