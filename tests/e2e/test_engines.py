"""The engines themselves: all start, do their own work without us, and end with nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.engines import MIRROR_VARIABLE, Engines

from tests.e2e.engines import mounts_below, running_containerd, running_docker, short_folder
from tests.e2e.registries import free_port

pytestmark = pytest.mark.e2e


@pytest.fixture
def short() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.mark.parametrize("version", ["1.6", "1.7"])
def test_containerd_starts_and_ends(short: Path, version: str) -> None:
    with running_containerd(short, version) as containerd:
        _, _, server = containerd.ctr("version").partition("Server:")
        assert server.split()[1].startswith(f"{version}.")
        assert containerd.snapshots("overlayfs") == {}
    assert mounts_below(short) == []


@pytest.mark.parametrize(("version", "below"), [("20.10", "1.6"), ("26.1", "1.7")])
def test_docker_starts_and_ends(short: Path, version: str, below: str) -> None:
    driver = "overlay2" if version == "20.10" else "overlayfs"
    with (
        running_containerd(short / "c", below) as containerd,
        running_docker(short / "d", containerd, version, storage_driver=driver) as docker,
    ):
        info = docker.json("info", "--format", "{{json .}}")
        assert info["ServerVersion"].startswith(version)
        assert info["Driver"] == driver
        assert docker.run("images", "--quiet") == ""
    assert mounts_below(short) == []


def test_engines_that_cannot_be_had_are_an_error(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{free_port()}/debian")
    with pytest.raises(SystemExit, match="engines cannot be had: apt-get said"):
        Engines(short / "engines").make()
    with pytest.raises(SystemExit, match="containerd of Debian 13 is not in"):
        Engines(short / "engines").program("13", "containerd")
