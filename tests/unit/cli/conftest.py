"""The stores that the tests of the command line run on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.cli.harness import APP, BASE, Shell
from winlayers.cli import copyrun, makerun, openimage


@pytest.fixture(autouse=True)
def _host_is_no_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have images chosen as elsewhere where tests run on Windows, whose own build would come first."""
    for module in (copyrun, makerun, openimage):
        monkeypatch.setattr(module, "host_build", lambda: None)


def _filled(folder: Path) -> Shell:
    shell = Shell(folder / "store", folder)
    base, app = shell.write("base.tar", BASE), shell.write("app.tar", APP)
    shell.run("layer", "import", "base", base, "--no-sync")
    shell.run("layer", "import", "app", app, "--parent", "base", "--no-sync")
    return shell


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A store for tests that only look."""
    return _filled(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def shell(shared: Shell, tmp_path: Path) -> Shell:
    """A store for a test of its own."""
    shutil.copytree(shared.root, tmp_path / "store")
    return Shell(tmp_path / "store", tmp_path)


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    """No store at all yet."""
    return Shell(tmp_path / "none", tmp_path)
