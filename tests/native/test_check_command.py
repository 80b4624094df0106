"""store check on a store of Windows, with all that a repair has Windows do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from tests.native.test_check import BASE, DOCKER_ID, OTHER_ID, a_docker_layer, driver_of
from tests.support.dockerroot import record_layer
from tests.unit.cli.harness import Shell
from winlayers.backends.native import backend, check, presence, repair
from winlayers.driver.mounting import MountedLayer, MountTable

REFUSED = 0x80070091


@pytest.fixture
def shell(tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs commands on a store that Windows keeps, and Docker too: one layer of an image."""
    fake.set("FAKE_BARE", "1")
    for module in (backend, check, presence, repair):
        monkeypatch.setattr(module, "Libraries", lambda: fake.api)
    root = tmp_path / "docker"
    (root / "windowsfilter").mkdir(parents=True)
    a_docker_layer(root, "base")
    record_layer(root, "base", BASE)
    return Shell(root, tmp_path)


def age(root: Path) -> None:
    """Let nothing have changed for two days."""
    then = time.time() - 2 * 24 * 60 * 60
    for path in (root / "windowsfilter").glob("**/*"):
        os.utime(path, (then, then))


def codes(shell: Shell, *arguments: str, code: int = 0) -> list[tuple[str, str, bool]]:
    rows = shell.run("store", "check", "--json", *arguments, code=code).rows
    return [(row["code"], row["layer"], row["repaired"]) for row in rows]


def layers(shell: Shell) -> list[str]:
    return sorted(os.listdir(shell.root / "windowsfilter"))


def test_repair_removes_orphans_those_first_that_stand_on_others(shell: Shell, fake: Fake) -> None:
    a_docker_layer(shell.root, DOCKER_ID, "base")
    a_docker_layer(shell.root, OTHER_ID, DOCKER_ID, "base")
    age(shell.root)
    told = [("layer-orphaned", DOCKER_ID), ("layer-orphaned", OTHER_ID)]
    assert codes(shell) == [(*one, False) for one in told]
    assert layers(shell) == sorted([DOCKER_ID, OTHER_ID, "base"])
    lines = shell.run("store", "check").lines
    assert "    --repair does: remove the layer" in lines
    assert codes(shell, "--repair") == [(*one, True) for one in told]
    assert layers(shell) == ["base"]
    assert fake.calls().count("DestroyLayer") == 2


def test_orphan_that_is_held_stays(shell: Shell, fake: Fake) -> None:
    a_docker_layer(shell.root, DOCKER_ID, "base")
    age(shell.root)
    driver_of(shell.root, fake).get(DOCKER_ID)
    result = shell.run("store", "check", "--repair")
    assert "LayerMounted" in result.err or "is held by process" in result.err
    assert layers(shell) == sorted([DOCKER_ID, "base"])


def test_dead_mount_is_forgotten(shell: Shell) -> None:
    table = MountTable(shell.root / "driver.db")
    table.add(MountedLayer("base", shell.root / "gone", False, False, 0, ""))
    assert codes(shell) == [("mount-dead", "base", False)]
    assert codes(shell, "--repair") == [("mount-dead", "base", True)]
    assert table.all() == []


def test_repair_goes_on_where_windows_refuses(shell: Shell, fake: Fake) -> None:
    for name in ("one-removing", "two-removing"):
        (shell.root / "windowsfilter" / name / "Files").mkdir(parents=True)
    fake.fail("DestroyLayer", REFUSED, 1)
    told = [("left-removing", "one", True), ("left-removing", "two", True)]
    assert codes(shell, "--repair") == told
    assert layers(shell) == ["base"]


def test_leftover_that_does_not_go_keeps_nothing_else_from_going(shell: Shell, fake: Fake) -> None:
    a_docker_layer(shell.root, DOCKER_ID, "base")
    age(shell.root)
    (shell.root / "windowsfilter/old-removing").mkdir()
    fake.fail("DestroyLayer", REFUSED, 2)
    fake.fail("NtCreateFile", -1073741790, 1)  # access denied
    assert codes(shell, "--repair") == [
        ("left-removing", "old", False),
        ("layer-orphaned", DOCKER_ID, True),
    ]
    assert layers(shell) == ["base", "old-removing"]


def test_content_is_read_through_windows(shell: Shell, fake: Fake) -> None:
    driver = driver_of(shell.root, fake)
    with (shell.root / "base.tar").open("w+b") as tar:
        tar.write(BASE)
        tar.seek(0)
        driver.apply_diff("mine", "", tar)
    assert codes(shell, "--deep") == []
    path = shell.root / "windowsfilter/mine/Files/a.txt"
    path.write_bytes(path.read_bytes()[::-1])
    assert codes(shell, "--deep", code=3) == [("layer-changed", "mine", False)]
