"""The build of this Windows: nothing elsewhere, and on Windows what an image of an index is chosen by."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tests.unit.cli.harness import Shell
from tests.unit.cli.images import put_layout
from winlayers.cli.hostbuild import host_build


def test_other_systems_have_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert host_build() is None


def test_build_is_that_of_windows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(build=9200, platform_version=(10, 0, 17763))
    monkeypatch.setattr(sys, "getwindowsversion", lambda: told, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert host_build() == 17763


@pytest.fixture
def old_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Windows of build 17763."""
    for module in ("copyrun", "openimage", "makerun"):
        monkeypatch.setattr(f"winlayers.cli.{module}.host_build", lambda: 17763)


@pytest.mark.usefixtures("old_host")
def test_image_for_this_build_is_chosen(bare: Shell) -> None:
    layout = put_layout(bare.folder / "layout")
    for arguments in (["inspect", layout], ["pull", layout, "--as", "app:1"]):
        assert "took windows/amd64:10.0.17763.1" in bare.run(*arguments).err
    newer = bare.run("inspect", layout, "--platform", "windows:ltsc2022")
    assert "took windows/amd64:10.0.20348.2113" in newer.err
    linux = bare.run("inspect", layout, "--platform", "linux/amd64")
    assert "took linux/amd64" in linux.err


@pytest.mark.usefixtures("old_host")
def test_image_for_this_build_is_made_more_of(bare: Shell) -> None:
    layout = put_layout(bare.folder / "layout")
    made = bare.run("config", layout, "-t", "app:2", "--env", "A=b")
    assert "took windows/amd64:10.0.17763.1" in made.err
